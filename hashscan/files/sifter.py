"""One worker: takes frames from its stack, lists directories, hashes files, asks the sieve, counts.

The digest cache is asked while a directory is listed, so that a name whose digest is remembered never gets into a frame.
A throttle waits in `Sifter.advance` between two steps, before anything is taken from the stack; a checkpoint is the parent's
ledger.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

from hashscan.files.completing import Completing, picked_of
from hashscan.files.descriptors import Descriptors
from hashscan.files.filesystems import is_network_mount
from hashscan.files.hashing import Batch, Hasher, Refusal
from hashscan.files.listing import Keep, Listing
from hashscan.files.remember import Remembering
from hashscan.files.tally import Tally
from hashscan.files.throttle import Pacer
from hashscan.files.walk import Frame, Kind, Node, Packed, Stack, WalkOptions, as_bytes, place_of_next, without_next
from hashscan.flow import Commit
from hashscan.model import Algorithm, Place, Reason, Sifted, Skipped
from hashscan.ports import Sieve

STEP_NAMES = 256  # files between two looks at whether a neighbour is idle: about 3 ms of small ones
STEP_DIRECTORIES = 32  # the same for directories in which nothing is to be done: about 1 ms
CAREFUL_SECONDS = 5.0  # what a worker did since its last commit, at most a `flow.BEAT`, is done again well within this

# What the path of a directory that was listed, and moved away before its names were worked on, gives when opened again.
_MOVED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV})


class Sifter:
    """A `flow.Worker` on `Packed` frames, with `Sifted` as results. ``roots`` are distinct, absolute and normalised."""

    def __init__(
        self,
        options: WalkOptions,
        sieve: Sieve,
        roots: Sequence[bytes],
        silent_mounts: Collection[bytes],
        alive: Callable[[], None],
    ) -> None:
        self._options, self._sieve, self._roots, self._alive = options, sieve, roots, alive
        self._pacer = Pacer(options.throttle, alive) if options.throttle else None
        self._hasher = self._new_hasher(sieve.algorithms)
        self._hasher.admits = sieve.admits_size
        self._completing = Completing(sieve, self._new_hasher, self._spent)
        self._open = Descriptors(roots)
        self._tally = Tally(roots, silent_mounts)
        self._memory = Remembering(options.cache, sieve, self._tally, self._completing)
        self._listing = Listing(self._tally, alive, self._memory.recall if self._memory.on else None)
        self._stack = Stack()
        self._careful_until = 0.0
        self._at: tuple[int, Node | None] = (0, None)
        self._steps = {
            Kind.ROOTS: self._enter_root,
            Kind.DIRECTORIES: self._enter_directory,
            Kind.FILES: self._hash,
            Kind.LARGE: self._hash,
        }

    def _new_hasher(self, algorithms: Sequence[Algorithm]) -> Hasher:
        made = Hasher(algorithms, self._options.max_file_bytes, self._alive)
        made.buffer_read = self._pacer.buffer_read if self._pacer is not None else self._alive
        return made

    def load(self, items: Sequence[Packed], *, careful: bool) -> None:
        """Take over a stack."""
        self._open.close()
        self._stack = Stack(items)
        self._careful_until = time.monotonic() + CAREFUL_SECONDS if careful else 0.0

    def idle(self) -> bool:
        """Whether the stack is empty."""
        return not self._stack.frames

    def advance(self, until: float, hungry: Callable[[], bool]) -> None:
        """Work until ``until``, until a neighbour is hungry, until there is much to report; one unit where careful."""
        stack, tally, clock, pacer = self._stack, self._tally, time.monotonic, self._pacer
        while stack.frames:
            if pacer is not None and not pacer.ready(until):
                return  # what is done already is told now, and this is a sign of life
            frame = stack.touch()
            self._steps[frame.kind](frame, until)
            if clock() >= until or tally.full or self._careful_until or (hungry() and stack.divisible()):
                return

    def commit(self, *, give: bool) -> Commit[Packed, Sifted]:
        """What was done since the last one."""
        if self._careful_until and time.monotonic() > self._careful_until:
            self._careful_until = 0.0
        self._memory.release()
        if not self._stack.frames:
            self._memory.settle()  # the parent may end this process when it has read the commit
        low, pushed = self._stack.delta()
        cut, base, given = self._stack.halve() if give and not self._careful_until else (0, [], [])
        root, node = self._at
        at = Place(self._roots[root], node.path() if node else b"").full
        return Commit(self._tally.take(at), low, pushed, cut, base, given, self._careful_until > 0)

    def close(self) -> None:
        """Close all directories, and write what is to be remembered."""
        self._memory.close()
        self._open.close()

    def _finish(self, frame: Frame) -> None:
        """Drop the top frame once its names are used up, and close its directory where nothing is left in it."""
        if frame.names:
            return
        self._stack.drop()
        frames = self._stack.frames
        if not frames or frames[-1].node is not frame.node:
            self._memory.leave(frame.node)
            self._open.release(frame.node)

    def _enter_root(self, frame: Frame, _until: float) -> None:
        index = int(frame.names.pop())
        place = Place(self._roots[index], b"")
        self._finish(frame)
        self._at = (index, None)
        try:
            fd = self._open.open_root(index)
        except NotADirectoryError:
            if self._options.shard is None or self._options.shard.owns(os.path.dirname(place.root)):
                self._hash_root(place)
        except OSError as error:
            if self._options.shard is None or self._options.shard.owns(place.root):
                self._tally.fail_at(error, place)
        else:
            self._list(None, os.path.basename(place.root), index, fd)

    def _hash_root(self, place: Place) -> None:
        """A root that is not a directory."""
        try:
            regular = stat.S_ISREG(os.stat(place.root).st_mode)
        except OSError as error:
            self._tally.fail_at(error, place)
            return
        if regular:
            batch = self._hasher.run(None, [os.fsdecode(place.root)], 0.0, 1, large=True)
            self._spent(1, batch.bytes_hashed)
            self._enter(None, batch, lambda _: place)
        else:
            self._tally.skip(Reason.SPECIAL)

    def _enter_directory(self, frame: Frame, until: float) -> None:
        """Directories of the frame, up to the first that leaves something to be done."""
        node = frame.node
        if node is None or not self._reachable(frame, node):
            return
        names = frame.names
        for _ in range(1 if self._careful_until or self._pacer else STEP_DIRECTORIES):
            name = as_bytes(names.pop())
            try:
                fd = self._open.open_child(node, name)
            except OSError as error:
                if self._owns(node, name):
                    self._turned_away(error, node, name)
                self._finish(frame)
                return
            if not names:
                self._finish(frame)
            if self._list(node, name, node.root, fd) or not names or time.monotonic() >= until:
                return

    def _list(self, parent: Node | None, name: bytes, root: int, fd: int) -> bool:
        """Push the frames of an open directory, where there are any. ``name`` is its own name also where it is a root."""
        status = os.fstat(fd)
        node = Node(parent, name if parent else b"", root, status.st_dev, status.st_ino)
        node.fd = fd
        self._at = (root, node)
        frames: list[Frame] = []
        mine = self._owns(node)
        if self._options.is_own(name, status):
            if mine:
                self._tally.skip(Reason.OWN, node.place(self._roots[root], b""))
        else:
            self._spent(1)
            try:
                frames = self._listing.read(node, self._keeping(node, mine=mine), recall=mine)
                self._tally.directories += mine
            except OSError as error:
                frames = self._listing.frames()
                if mine:
                    self._tally.fail(error, node, b"")
        if not frames:
            os.close(fd)
            node.fd = -1
            return False
        for one in frames:
            self._stack.push(one)
        self._open.keep(node, fd)
        return True

    def _spent(self, files: int, count_bytes: int = 0) -> None:
        if self._pacer is not None:
            self._pacer.spent(count_bytes, files)

    def _owns(self, node: Node, name: bytes = b"") -> bool:
        """Whether a directory is counted by this shard, and its files read."""
        shard = self._options.shard
        return shard is None or shard.owns(node.place(self._roots[node.root], name).full)

    def _keeping(self, node: Node, *, mine: bool) -> Keep | None:
        """Which entries of a directory are part of this scan: of another shard's, the directories on the way to ours."""
        if self._options.exclude is None and mine:
            return None
        left_out = self._options.exclude.below(self._roots[node.root], node.path()) if self._options.exclude else None

        def keep(entry: os.DirEntry[str]) -> bool:
            try:
                is_dir = entry.is_dir(follow_symlinks=False)
            except OSError:  # the filesystem does not tell types, and it is gone: whose it is says so
                is_dir = False
            if left_out is not None and left_out(entry.name, is_dir):
                if mine:
                    self._tally.skip(Reason.EXCLUDED)
                return False
            return mine or is_dir

        return keep

    def _turned_away(self, error: OSError, node: Node, name: bytes) -> None:
        """A directory that cannot be entered; a mount is told by what is mounted there."""
        if error.errno == errno.EXDEV and node.fd >= 0:
            here = os.readlink(b"/proc/self/fd/%d" % node.fd)
            if is_network_mount(os.path.join(here, name)):
                self._tally.skip(Reason.NETWORK, node.place(self._roots[node.root], name))
                return
        self._tally.fail(error, node, name)

    def _reachable(self, frame: Frame, node: Node) -> bool:
        """Open the directory of ``frame``; where it has moved away, all names of the frame end here, under one note."""
        try:
            self._open.get(node)
        except OSError as error:
            lost = [one for one in frame.names if frame.kind is not Kind.DIRECTORIES or self._owns(node, as_bytes(one))]
            place, count = node.place(self._roots[node.root], b""), len(lost)
            if not lost:
                pass
            elif error.errno in _MOVED:
                self._tally.skip(Reason.CHANGED, place, f"moved away before {count} of its names were read", count=count)
            else:
                self._tally.fail_at(error, place, count=count)
            frame.names.clear()
            self._finish(frame)
            return False
        return True

    def _hash(self, frame: Frame, until: float) -> None:
        node = frame.node
        if node is None or not self._reachable(frame, node):
            return
        self._at = (node.root, node)
        large = frame.kind is Kind.LARGE
        limit = 1 if large or self._careful_until else STEP_NAMES if self._pacer is None else self._pacer.names
        if large:
            self._memory.release()
        batch = self._hasher.run(node.fd, frame.names, until, limit, large=large)
        self._spent(len(batch.rows) + len(batch.refused), batch.bytes_hashed)
        root = self._roots[node.root]
        self._memory.learn(node, batch, self._enter(node.fd, batch, lambda name: node.place(root, as_bytes(name))))
        if not batch.large:
            self._finish(frame)
            return
        if not frame.names:
            self._stack.drop()
        self._stack.push(Frame(Kind.LARGE, node, batch.large))

    def _enter(self, dir_fd: int | None, batch: Batch, place: Callable[[str], Place]) -> Sequence[int]:
        """Count a batch, and let the sieve pick from it; the rows that it picked."""
        tally = self._tally
        tally.scanned += len(batch.rows)
        tally.by_size += batch.by_size
        tally.bytes_hashed += batch.bytes_hashed
        for name, refusal in batch.refused:
            if isinstance(refusal, Refusal):
                tally.skip(refusal.reason, place(name), refusal.detail)
            else:
                tally.fail_at(refusal, place(name))
        chosen = self._sieve.survivors(batch.rows) if batch.rows else ()
        if chosen:
            tally.candidates += self._completing.candidates(dir_fd, picked_of(batch, chosen, place))
        return chosen


class Abandon:
    """The `flow.Blame` of a scan: a name that hangs or kills workers is skipped or an error, and named."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        self._roots = roots

    def culprit(self, stack: Sequence[Packed]) -> bytes:
        """The path that is worked on next."""
        return place_of_next(stack, self._roots).full

    def abandon(self, stack: Sequence[Packed], *, hung: bool) -> tuple[list[Packed], Sifted]:
        """Leave it out, and say so. ENOTRECOVERABLE stands for a path that killed its workers."""
        place = place_of_next(stack, self._roots)
        if hung:
            sifted = Sifted(seen=1, skipped={Reason.TIMEOUT: 1}, notes=(Skipped(place, Reason.TIMEOUT),), at=place.full)
        else:
            note = Skipped(place, Reason.ERROR, "ENOTRECOVERABLE", "the workers that read it died")
            sifted = Sifted(seen=1, errors={note.errno: 1}, notes=(note,), at=place.full)
        return without_next(stack), sifted


Start = Callable[[Callable[[], None]], Sifter]


def starter(options: WalkOptions, sieve: Sieve, roots: Sequence[bytes], silent_mounts: Collection[bytes]) -> Start:
    """What makes a `Sifter` inside its process."""
    return partial(Sifter, options, sieve, roots, silent_mounts)
