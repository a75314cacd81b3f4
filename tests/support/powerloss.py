"""Power loss: from the recorded system calls of a piece of work, the states that a disk may be in when the power goes.

The model is pessimistic POSIX with atomic renames. It allows what ALICE (Pillai and others, OSDI 2014) found filesystems to
do and CrashMonkey (Mohan and others, OSDI 2018) found them to do wrongly, and more than ext4, xfs and btrfs do when ordered:

- Bytes, length, owner, mode and times of a file are durable once *that file* was fsynced. Until then a crash may leave: nothing
  of the writes; any prefix of them; the last one torn at any byte; its length without its bytes (zeros); any one sector of it
  missing or all but the last; one earlier write missing. Reserved space reads as zeros.
- A name is durable once *its directory* was fsynced, that of a rename between two directories once both were. Until then any
  subset of the changes of names may have happened, whatever their order; a rename happens wholly or not (with ``split`` also
  its first half: both names). fsync of a file says nothing about its name.
- An unnamed file (O_TMPFILE) is nowhere until it is linked. What is durable stays. A killed process leaves everything to the
  kernel: its changes are as durable as before.

`Disk` follows the calls; `Disk.states` are the states that a crash just now may leave; `Stage` makes one of them real: a new
tmpfs for each, whose inodes get the very numbers they had, because records name inodes.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import random
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from blake3 import blake3

from tests.support.recording import Call

SECTOR = 512  # bytes that a disk writes wholly or not
_MNT_DETACH = 2
_STACKED = 60  # filesystems: each is met on the way to the uppermost
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Image:
    """A file as it may be on the disk. Times in nanoseconds since 1970, or None: never set by a call."""

    data: bytes = b""
    mode: int = 0o600
    owner: tuple[int, int] = (0, 0)
    times: tuple[int, int] | None = None
    xattrs: tuple[tuple[str, bytes], ...] = ()

    def key(self) -> bytes:
        """The same for equal images."""
        known: bytes | None = self.__dict__.get("_key")
        if known is None:
            about = repr((self.mode, self.owner, self.times, self.xattrs)).encode()
            known = self.__dict__["_key"] = blake3(self.data).digest() + blake3(about).digest(8)
        return known


@dataclass(frozen=True)
class Change:
    """One change of a file. ``write``: (offset, bytes); ``size``: truncated or reserved to; ``fields``: of `Image`."""

    offset: int = 0
    data: bytes = b""
    size: int | None = None
    grows_only: bool = False
    fields: tuple[tuple[str, object], ...] = ()

    def apply(self, image: Image) -> Image:
        """The image after it."""
        data = image.data
        if self.data:
            data = data.ljust(self.offset, b"\0")
            data = data[: self.offset] + self.data + data[self.offset + len(self.data) :]
        if self.size is not None:
            data = data.ljust(self.size, b"\0") if self.grows_only else data[: self.size].ljust(self.size, b"\0")
        return replace(image, data=data, **dict(self.fields))  # type: ignore[arg-type]


@dataclass(eq=False)
class Node:
    """A file, directory or (with ``link``) symbolic link. ``durable`` is what a crash cannot take, ``pending`` what it can."""

    volume: Path
    number: int
    mode: int = 0o700
    directory: bool = False
    link: bytes = b""
    durable: Image = field(default_factory=Image)
    pending: list[Change] = field(default_factory=list)

    @property
    def now(self) -> Image:
        """As every process sees it."""
        return _applied(self.durable, self.pending)

    def settle(self) -> None:
        """fsync."""
        self.durable, self.pending = self.now, []

    def torn(self, rng: random.Random, most: int) -> list[Image]:
        """What else than nothing and everything a crash may leave, at most about ``most`` of it."""
        images = [_applied(self.durable, self.pending[:count]) for count in range(1, len(self.pending))]
        for index, change in enumerate(self.pending):
            before = _applied(self.durable, self.pending[:index])
            rest = self.pending[index + 1 :]
            if rest:
                images.append(_applied(before, rest))
            if change.data:
                images += [piece.apply(before) for piece in _pieces(change, rng, most)]
        return images


def _applied(image: Image, changes: Iterable[Change]) -> Image:
    for change in changes:
        image = change.apply(image)
    return image


def _pieces(change: Change, rng: random.Random, most: int) -> Iterator[Change]:
    """Ways in which one write may be half done."""
    data, start = change.data, change.offset
    cuts = set(range(1, len(data)))
    if len(cuts) > most:
        sectors = [cut - start % SECTOR for cut in range(SECTOR, len(data) + SECTOR, SECTOR)]
        cuts = {cut for cut in sectors if 0 < cut < len(data)}
        cuts = set(rng.sample(sorted(cuts), min(len(cuts), most // 2))) | set(rng.sample(range(1, len(data)), most // 2))
        cuts |= {1, len(data) - 1}
    for cut in sorted(cuts):
        yield replace(change, data=data[:cut])
        if cut % 4 == 0 or cut > len(data) - 2:
            yield replace(change, data=data[:cut].ljust(len(data), b"\0"))  # its length came first
    yield replace(change, data=bytes(len(data)))
    edges = [start, *range((start // SECTOR + 1) * SECTOR, start + len(data), SECTOR), start + len(data)]
    spans = list(itertools.pairwise(edges))
    if len(spans) < 2:
        return
    for low, high in rng.sample(spans, min(len(spans), 16)):
        yield replace(change, data=data[: low - start] + bytes(high - low) + data[high - start :])
    last = spans[-1][0] - start
    yield replace(change, data=bytes(last) + data[last:])


Entry = tuple[Node, bytes]  # a directory and a name in it


@dataclass(eq=False)
class Naming:
    """One change of names, whole or not at all: what each name means after it. ``waits`` are the directories to be fsynced."""

    means: tuple[tuple[Entry, Node | None], ...]
    waits: set[Node]

    @property
    def durable(self) -> bool:
        """No crash can take it."""
        return not self.waits


Tree = dict[Node, dict[bytes, Node]]


@dataclass(frozen=True)
class State:
    """One disk after a crash. ``told`` are the marks of the recording so far: what was promised by then."""

    entries: Mapping[Entry, Node]
    images: Mapping[Node, Image]
    told: tuple[str, ...]

    def tree(self) -> Tree:
        """The names by directory."""
        found: Tree = {}
        for (folder, name), node in self.entries.items():
            found.setdefault(folder, {})[name] = node
        return found


class Disk:
    """What the kernel holds and what the disk holds, as one recorded call after the other is followed.

    ``volumes`` are mount points of filesystems without anything else in them, the outer one first.
    """

    def __init__(self, volumes: Sequence[Path], *, split: bool = False) -> None:
        self.volumes = list(volumes)
        self.split = split
        self.told: list[str] = []
        self.roots: dict[Path, Node] = {}
        self.base: dict[Entry, Node] = {}
        self.names: list[Naming] = []
        self.next: dict[Path, int] = {}
        self._open: dict[int, _Opened] = {}
        for volume in self.volumes:
            self._snapshot(volume)

    def _snapshot(self, volume: Path) -> None:
        nodes: dict[int, Node] = {}

        def node(path: Path, number: int) -> Node:
            if number not in nodes:
                status = os.lstat(path)  # of what covers it, for a mount point: a directory all the same
                one = nodes[number] = Node(volume, number, stat.S_IMODE(status.st_mode), stat.S_ISDIR(status.st_mode))
                if stat.S_ISLNK(status.st_mode):
                    one.link = os.readlink(os.fsencode(path))
                elif not one.directory:
                    one.durable = _image(path, status)
            return nodes[number]

        def walk(path: Path, folder: Node) -> None:
            for entry in os.scandir(path):
                child = node(Path(entry.path), entry.inode())
                self.base[folder, os.fsencode(entry.name)] = child
                if child.directory and Path(entry.path) not in self.volumes:
                    walk(Path(entry.path), child)

        self.roots[volume] = node(volume, os.lstat(volume).st_ino)
        walk(volume, self.roots[volume])
        probe = volume / ".probe"
        probe.touch()
        self.next[volume] = os.lstat(probe).st_ino + 1
        probe.unlink()

    def fork(self) -> None:
        """Another process goes on: it has none of the descriptors of the one before."""
        self._open = {}

    # -- following calls ---------------------------------------------------------------------------------------------

    def follow(self, call: Call) -> bool:
        """Whether anything changed, or became durable, or was told."""
        if call.marked:
            self.told.append(call.marked)
            return True
        follower = getattr(self, f"_do_{call.name}", None)
        assert follower is not None, f"a call that the model does not know: {call}"
        return bool(follower(call))

    def _entries(self) -> dict[Entry, Node]:
        found = dict(self.base)
        for one in self.names:
            _rename(found, one.means)
        return found

    def _resolve(self, start: Node | None, path: bytes) -> tuple[Node | None, bytes, Node | None]:
        """The directory of the last component, its name, and what is there; (None, ...) for what is none of ours."""
        entries = self._entries()
        if path.startswith(b"/"):
            volume = max((one for one in self.volumes if _below(path, one)), key=lambda one: len(one.parts), default=None)
            if volume is None:
                return None, b"", None
            start, path = self.roots[volume], path[len(os.fsencode(volume)) :]
        here, parent, name = start, None, b""
        for part in path.split(b"/"):
            if part in (b"", b"."):
                continue
            if here is None:
                return None, part, None
            parent, name = here, part
            here = entries.get((here, part))
        return parent, name, here

    def _at(self, word: str) -> Node | None:
        return self._open[int(word)].node if word != "AT_FDCWD" and int(word) in self._open else None

    def _named(self, *means: tuple[Entry, Node | None]) -> bool:
        self.names.append(Naming(means, {entry[0] for entry, _ in means}))
        return True

    def _new(self, folder: Node, mode: int, *, directory: bool = False) -> Node:
        number = self.next[folder.volume]
        self.next[folder.volume] += 1
        return Node(folder.volume, number, mode, directory, durable=Image(mode=mode))

    def _opened(self, start: Node | None, path: bytes, flags: str, mode: int, fd: int) -> bool:
        self._open.pop(fd, None)
        if path.startswith(b"/proc/self/fd/"):
            if (behind := self._open.get(int(path.rsplit(b"/", 1)[1]))) is not None:
                self._open[fd] = _Opened(behind.node, append="O_APPEND" in flags)
            return False
        parent, name, node = self._resolve(start, path)
        changed = False
        if "O_TMPFILE" in flags:
            assert node is not None, "an unnamed file outside the volumes"
            node = self._new(node, mode)
        elif node is None and "O_CREAT" in flags and parent is not None:
            node = self._new(parent, mode)
            changed = self._named(((parent, name), node))
        node = self._covering(node)
        if node is not None:
            self._open[fd] = _Opened(node, append="O_APPEND" in flags)
            if "O_TRUNC" in flags and not changed:
                node.pending.append(Change(size=0))
                return True
        return changed

    def _covering(self, node: Node | None) -> Node | None:
        """The root of the volume that is mounted on this directory, if any."""
        for volume in self.volumes[1:]:
            covered = self._resolve(None, os.fsencode(volume.parent))[2] or self.roots.get(volume.parent)
            if node is not None and covered is not None and self._entries().get((covered, os.fsencode(volume.name))) is node:
                return self.roots[volume]
        return node

    def _do_open(self, call: Call) -> bool:
        return self._opened(None, call.text(0), call.args[1], _mode(call, 2), call.result)

    def _do_openat(self, call: Call) -> bool:
        return self._opened(self._at(call.args[0]), call.text(1), call.args[2], _mode(call, 3), call.result)

    def _do_openat2(self, call: Call) -> bool:
        return self._opened(self._at(call.args[0]), call.text(1), call.args[2], 0, call.result)

    def _do_close(self, call: Call) -> bool:
        self._open.pop(int(call.args[0]), None)
        return False

    def _copy(self, old: int, new: int) -> bool:
        if old in self._open:
            self._open[new] = self._open[old]
        return False

    def _do_dup(self, call: Call) -> bool:
        return self._copy(int(call.args[0]), call.result)

    _do_dup2 = _do_dup3 = _do_dup

    def _do_fcntl(self, call: Call) -> bool:
        return self._copy(int(call.args[0]), call.result) if "DUPFD" in call.args[1] else False

    def _do_lseek(self, call: Call) -> bool:
        if opened := self._open.get(int(call.args[0])):
            opened.offset = call.result
        return False

    def _do_read(self, call: Call) -> bool:
        if opened := self._open.get(int(call.args[0])):
            opened.offset += call.result
        return False

    def _do_ioctl(self, call: Call) -> bool:
        return False

    def _do_mmap(self, call: Call) -> bool:
        shared = "MAP_SHARED" in call.args[3] and "PROT_WRITE" in call.args[2] and int(call.args[4]) in self._open
        assert not shared, "written memory of a file is not followed"
        return False

    def _do_write(self, call: Call) -> bool:
        opened = self._open.get(int(call.args[0]))
        if opened is None or not call.result:
            return False
        at = len(opened.node.now.data) if opened.append else opened.offset
        opened.offset = at + call.result
        opened.node.pending.append(Change(at, call.text(1)[: call.result]))
        return True

    def _do_pwrite64(self, call: Call) -> bool:
        opened = self._open.get(int(call.args[0]))
        if opened is None:
            return False
        opened.node.pending.append(Change(int(call.args[3]), call.text(1)[: call.result]))
        return True

    def _changed(self, fd: str, change: Change) -> bool:
        opened = self._open.get(int(fd))
        if opened is None or opened.node.directory:
            return False
        opened.node.pending.append(change)
        return True

    def _do_ftruncate(self, call: Call) -> bool:
        return self._changed(call.args[0], Change(size=int(call.args[1])))

    def _do_fallocate(self, call: Call) -> bool:
        assert call.args[1] == "0", "only plain reserving is followed"
        return self._changed(call.args[0], Change(size=int(call.args[2]) + int(call.args[3]), grows_only=True))

    def _do_fchmod(self, call: Call) -> bool:
        return self._changed(call.args[0], Change(fields=(("mode", call.number(1)),)))

    def _do_chmod(self, call: Call) -> bool:
        node = self._resolve(None, call.text(0))[2]
        if node is None or node.directory:  # the mode of a directory is not followed
            return False
        node.pending.append(Change(fields=(("mode", call.number(1)),)))
        return True

    def _do_fchown(self, call: Call) -> bool:
        return self._changed(call.args[0], Change(fields=(("owner", (int(call.args[1]), int(call.args[2]))),)))

    def _do_utimensat(self, call: Call) -> bool:
        assert call.args[1] == "NULL", "only times by descriptor are followed"
        return self._changed(call.args[0], Change(fields=(("times", _times(call.args[2])),)))

    def _do_fsetxattr(self, call: Call) -> bool:
        opened = self._open.get(int(call.args[0]))
        if opened is None:
            return False
        xattrs = {**dict(opened.node.now.xattrs), os.fsdecode(call.text(1)): call.text(2)}
        return self._changed(call.args[0], Change(fields=(("xattrs", tuple(sorted(xattrs.items()))),)))

    def _do_fsync(self, call: Call) -> bool:
        opened = self._open.get(int(call.args[0]))
        if opened is None:
            return False
        opened.node.settle()
        for one in self.names:
            one.waits.discard(opened.node)
        while self.names and self.names[0].durable:
            _rename(self.base, self.names.pop(0).means)
        return True

    _do_fdatasync = _do_fsync  # for a file of ours: no call of it leaves owner or mode behind

    def _mkdir(self, start: Node | None, path: bytes, mode: int) -> bool:
        parent, name, _ = self._resolve(start, path)
        return parent is not None and self._named(((parent, name), self._new(parent, mode, directory=True)))

    def _do_mkdir(self, call: Call) -> bool:
        return self._mkdir(None, call.text(0), call.number(1))

    def _do_mkdirat(self, call: Call) -> bool:
        return self._mkdir(self._at(call.args[0]), call.text(1), call.number(2))

    def _unlink(self, start: Node | None, path: bytes) -> bool:
        parent, name, _ = self._resolve(start, path)
        return parent is not None and self._named(((parent, name), None))

    def _do_unlink(self, call: Call) -> bool:
        return self._unlink(None, call.text(0))

    _do_rmdir = _do_unlink

    def _do_unlinkat(self, call: Call) -> bool:
        return self._unlink(self._at(call.args[0]), call.text(1))

    def _move(self, old: tuple[Node | None, bytes], new: tuple[Node | None, bytes]) -> bool:
        parent, name, node = self._resolve(*old)
        target, called, _ = self._resolve(*new)
        if parent is None or target is None:
            return False
        return self._named(((target, called), node), ((parent, name), None))

    def _do_rename(self, call: Call) -> bool:
        return self._move((None, call.text(0)), (None, call.text(1)))

    def _do_renameat(self, call: Call) -> bool:
        return self._move((self._at(call.args[0]), call.text(1)), (self._at(call.args[2]), call.text(3)))

    _do_renameat2 = _do_renameat

    def _do_linkat(self, call: Call) -> bool:
        path = call.text(1)
        if path.startswith(b"/proc/self/fd/"):
            opened = self._open.get(int(path.rsplit(b"/", 1)[1]))
            node = opened.node if opened else None
        else:
            node = self._resolve(self._at(call.args[0]), path)[2]
        parent, name, _ = self._resolve(self._at(call.args[2]), call.text(3))
        return parent is not None and self._named(((parent, name), node))

    def _do_symlink(self, call: Call) -> bool:
        parent, name, _ = self._resolve(None, call.text(1))
        if parent is None:
            return False
        node = self._new(parent, 0o777)
        node.link = call.text(0)
        return self._named(((parent, name), node))

    # -- what a crash may leave --------------------------------------------------------------------------------------

    def states(self, rng: random.Random, *, most: int = 64) -> Iterator[State]:
        """The states after a crash just now; ``most`` bounds the subsets of names, and how often one file is torn."""
        told = tuple(self.told)
        for entries in self._subsets(rng, most):
            nodes = _reachable(entries, self.roots.values())
            pending = [node for node in nodes if node.pending]
            alive = {entry: node for entry, node in entries.items() if entry[0] in nodes}
            whole = {node: node.now for node in nodes}
            for number in range(2 ** min(len(pending), 4)):
                lost = {node: node.durable for bit, node in enumerate(pending) if number >> bit & 1}
                yield State(alive, {**whole, **lost}, told)
            for node in pending:
                for image in node.torn(rng, most):
                    yield State(alive, {**whole, node: image}, told)

    def _subsets(self, rng: random.Random, most: int) -> Iterator[dict[Entry, Node]]:
        loose = [one for one in self.names if not one.durable]
        kinds = 3 if self.split else 2
        every = kinds ** len(loose)
        numbers: Iterable[int] = range(every)
        if every > most:
            numbers = {0, every - 1, *(rng.randrange(every) for _ in range(most))}
        for number in numbers:
            chosen = {one: number // kinds**index % kinds for index, one in enumerate(loose)}
            entries = dict(self.base)
            for one in self.names:
                how = chosen.get(one, 1)
                if how:
                    _rename(entries, one.means[:1] if how == 2 else one.means)
            yield entries

    def settled(self) -> State:
        """As every process sees it now."""
        entries = self._entries()
        nodes = _reachable(entries, self.roots.values())
        alive = {entry: node for entry, node in entries.items() if entry[0] in nodes}
        return State(alive, {node: node.now for node in nodes}, tuple(self.told))


@dataclass
class _Opened:
    node: Node
    append: bool = False
    offset: int = 0


def _mode(call: Call, index: int) -> int:
    return call.number(index) if len(call.args) > index else 0


def _times(word: str) -> tuple[int, int]:
    """Of [{tv_sec=1, tv_nsec=2} /* comment */, {tv_sec=3, tv_nsec=4} /* comment */], in nanoseconds."""
    first, last = (int(seconds) * 10**9 + int(rest) for seconds, rest in re.findall(r"tv_sec=(\d+), tv_nsec=(\d+)", word))
    return first, last


def _image(path: Path, status: os.stat_result) -> Image:
    xattrs = tuple(sorted((name, os.getxattr(path, name)) for name in os.listxattr(path) if name.startswith("user.")))
    return Image(
        path.read_bytes(),
        stat.S_IMODE(status.st_mode),
        (status.st_uid, status.st_gid),
        (status.st_atime_ns, status.st_mtime_ns),
        xattrs,
    )


def _below(path: bytes, volume: Path) -> bool:
    top = os.fsencode(volume)
    return path == top or path.startswith(top + b"/")


def _rename(entries: dict[Entry, Node], means: Iterable[tuple[Entry, Node | None]]) -> None:
    for entry, node in means:
        if node is None:
            entries.pop(entry, None)
        else:
            entries[entry] = node


def _reachable(entries: Mapping[Entry, Node], roots: Iterable[Node]) -> list[Node]:
    below: dict[Node, list[Node]] = {}
    for (folder, _), node in entries.items():
        below.setdefault(folder, []).append(node)
    found: dict[Node, None] = {}
    waiting = list(roots)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found[node] = None
            waiting += below.get(node, ())
    return list(found)


def key_of(state: State) -> bytes:
    """The same for states that no program can tell apart."""
    rows = [
        (
            str(folder.volume),
            folder.number,
            name,
            node.number,
            node.link or b"" if node.directory or node.link else state.images[node].key(),
        )
        for (folder, name), node in state.entries.items()
    ]
    return blake3(repr(sorted(rows)).encode()).digest(16)


class Stage:
    """Places where disks are made real, only inside `mounts.with_own_mounts`: a tmpfs for each volume, new for each state.

    The folder that the first volume is in is given over to this. Filesystems of many states lie on top of each other there and
    go at once: to unmount one takes the kernel 2 ms.
    """

    def __init__(self, volumes: Sequence[Path]) -> None:
        self.volumes = list(volumes)
        self._folder = volumes[0].parent
        self._mounted = 0

    def mount(self, volume: Path) -> None:
        """An empty filesystem."""
        if not self._mounted:
            _mount(self._folder)
            self.volumes[0].mkdir()
        _mount(volume)
        self._mounted += 1

    def clear(self, most: int = 0) -> None:
        """Nothing stays of what was shown, where it was more than ``most`` filesystems."""
        if self._mounted > most:
            _libc.umount2(os.fsencode(self._folder), _MNT_DETACH)
            self._mounted = 0

    def show(self, state: State, beyond: Mapping[Path, int] | None = None) -> None:
        """Make a state real; inodes have the numbers that they had, new ones will have those in ``beyond`` or later ones."""
        self.clear(_STACKED)
        tree = state.tree()
        for volume in self.volumes:
            self.mount(volume)
            self._fill(volume, state, tree, (beyond or {}).get(volume, 0))

    def _fill(self, volume: Path, state: State, tree: Tree, beyond: int) -> None:
        nodes = {node.number: node for node in state.images if node.volume == volume}
        root = next(node for node in nodes.values() if node.number == min(nodes))
        os.chmod(volume, root.mode)
        beside: dict[Node, bytes] = {}
        spare = os.fsencode(volume) + b"/.spare"
        for number in range(root.number + 1, max(max(nodes) + 1, beyond)):
            node = nodes.get(number)
            if node is None:
                os.mknod(spare, stat.S_IFREG | 0o600)
                os.unlink(spare)
                continue
            path = beside[node] = os.fsencode(volume) + b"/.made-%d" % number
            if node.directory:
                os.mkdir(path, node.mode)
            elif node.link:
                os.symlink(node.link, path)
            else:
                _write(path, state.images[node])
            if (real := os.lstat(path).st_ino) != number:
                raise AssertionError(f"inode {real} was made, not {number}")
        self._name(os.fsencode(volume), root, tree, beside)

    def _name(self, folder: bytes, node: Node, tree: Tree, beside: dict[Node, bytes]) -> None:
        for name, child in tree.get(node, {}).items():
            path = os.path.join(folder, name)
            if beside[child].rpartition(b"/.made-")[1]:
                os.rename(beside[child], path)
                beside[child] = path
                if child.directory:
                    self._name(path, child, tree, beside)
            else:
                os.link(beside[child], path)


def _mount(path: Path) -> None:
    if _libc.mount(b"none", os.fsencode(path), b"tmpfs", 0, b"size=256m,mode=755") != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _write(path: bytes, image: Image) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if image.data:
            os.write(fd, image.data)
        if image.owner != (0, 0):
            os.fchown(fd, *image.owner)
        os.fchmod(fd, image.mode)
        for name, value in image.xattrs:
            os.setxattr(fd, name, value)
        if image.times is not None:
            os.utime(fd, ns=image.times)
    finally:
        os.close(fd)


def differences(model: State, real: State) -> list[str]:
    """Where the model of a recording and the disk that was recorded differ: the model is only as good as this is empty."""
    wanted, found = ({_row(entry, node): _bytes(one, node) for entry, node in one.entries.items()} for one in (model, real))
    return [
        f"{key}: {str(wanted.get(key))[:80]} in the model, {str(found.get(key))[:80]} on the disk"
        for key in wanted.keys() | found.keys()
        if wanted.get(key, "nothing") != found.get(key, "nothing")
    ]


def _row(entry: Entry, node: Node) -> tuple[str, int, bytes, int]:
    return str(entry[0].volume), entry[0].number, entry[1], node.number


def _bytes(state: State, node: Node) -> object:
    image = state.images[node]
    return "directory" if node.directory else node.link or (image.data, image.mode, image.owner, image.xattrs)
