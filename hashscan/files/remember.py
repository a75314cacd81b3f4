"""A worker's use of the digest cache: what it recalls of a directory before a file is opened, what it learns from hashing.

Where a directory is as it was and the lists are too, this is one mark (`rows.Marker`): no row is read, no file is opened and no
filter is asked. Where only the lists are others, it is one row and one comparison of bytes.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from hashscan.files.cache import Cache
from hashscan.files.completing import Completing, Picked
from hashscan.files.filesystems import Filesystem, filesystem_of
from hashscan.files.hashing import Batch
from hashscan.files.listing import WINDOW
from hashscan.files.looks import Looks, seen_of
from hashscan.files.notebook import Notebook
from hashscan.files.rows import SINGLE, Key, Marker, Row, block_of, due, id_of, mask_of, where_of
from hashscan.files.tally import Tally
from hashscan.files.walk import Node, as_bytes
from hashscan.files.window import Digests, Memo, Window, unknown_in
from hashscan.model import Warned
from hashscan.ports import Sieve

OPEN_WINDOWS = 8  # windows of big directories that wait for their files in one worker: 2.6 MB at most
_LIED = "its bytes are others, though inode, size and times are as they were when it was last read"


class Remembering:
    """The digest cache as one worker uses it. ``on`` is false where nothing is remembered."""

    def __init__(self, cache: Cache, sieve: Sieve, tally: Tally, completing: Completing) -> None:
        self._cache, self._sieve, self._tally, self._completing = cache, sieve, tally, completing
        self._needed, self._mask = sieve.algorithms, mask_of(sieve.algorithms)
        self._fingerprint, self._admits = sieve.fingerprint, sieve.admits_size
        self._run, self._reread = cache.run, cache.options.reread
        self._book = Notebook(cache, tally.warn)
        self._filesystems: dict[int, Filesystem] = {}
        self._markers: dict[int, Marker] = {}
        self._looks = Looks(WINDOW if self._book.on else 0)
        self._above: tuple[Node | None, bytes] = (None, b"")
        self._windows: OrderedDict[Node, list[Window]] = OrderedDict()
        self._old: dict[Key, Row] = {}

    @property
    def on(self) -> bool:
        """Whether there is anything to ask."""
        return self._book.on

    def recall(self, node: Node, part: int, files: list[os.DirEntry[str]]) -> list[tuple[int, str]]:
        """Inode and name of those of ``files`` that must be read; the others are counted here. They are the regular files in
        one window of the open directory ``node``."""
        filesystem = self._filesystems.get(node.device) or self._filesystem(node)
        if not filesystem.believed or not self._book.on:
            return [(entry.inode(), entry.name) for entry in files]
        row_id = id_of(filesystem.number, node.inode, part)
        again = due(row_id, self._run, self._reread)
        if not again and self._is_marked(node, (filesystem.number, row_id), files):
            return []
        statuses = self._statuses(node, files)
        if not files:
            return []
        block = block_of(statuses)
        key = Key(filesystem.number, node.inode, part)
        row = self._book.row(key)
        where = (self._tally.roots[node.root], node.path())
        window = Window(key, where, block, self._needed)
        if row is not None and row.block == block and row.complete & self._mask == self._mask:
            if not again and (row.root, row.path) == where:
                self._sieve_row(node, row, files, statuses)
                return []
            # Another device: a file that is mounted over a name of this directory.
            if again and self._admits is None and all(status.st_dev == node.device for status in statuses):
                window.expect(row, [entry.name for entry in files])
                return self._wait(node, window, [(entry.inode(), entry.name) for entry in files])
        missing = self._compare(node, window, row, (files, statuses), again=again)
        if row is not None and not again:
            self._old[key] = row
        return self._wait(node, window, [(statuses[index].st_ino, files[index].name) for index in missing])

    def _filesystem(self, node: Node) -> Filesystem:
        found = self._filesystems.get(node.device)
        if found is None:
            found = self._filesystems[node.device] = filesystem_of(node.fd, node.device, self._cache.options.believed)
            self._markers[found.number] = Marker(self._cache.secret, self._fingerprint, found.number)
        return found

    def _statuses(self, node: Node, files: list[os.DirEntry[str]]) -> list[os.stat_result]:
        """What stat says of each; files that went away meanwhile are counted and taken out of ``files``."""
        try:
            return [entry.stat(follow_symlinks=False) for entry in files]
        except OSError:
            statuses: dict[os.DirEntry[str], os.stat_result] = {}
        for entry in files:
            try:
                statuses[entry] = entry.stat(follow_symlinks=False)
            except OSError as error:
                self._tally.fail(error, node, as_bytes(entry.name))
        files[:] = statuses
        return list(statuses.values())

    def _is_marked(self, node: Node, row: tuple[int, int], files: list[os.DirEntry[str]]) -> bool:
        """Nothing has changed since these lists were asked: all of ``files`` end here, by their digests or their size."""
        device, row_id = row
        mark = self._book.mark(row_id) if self._fingerprint else None
        if mark is None:
            return False
        seen = self._looks.at(node.fd, [entry.name.encode("utf-8", "surrogateescape") for entry in files])
        unknown = None if seen is None else self._markers[device].unknown(mark, self._where(node), seen)
        if unknown is None:
            return False
        self._tally.cached += len(files) - unknown
        self._tally.by_size += unknown
        return True

    def _where(self, node: Node) -> bytes:
        """`where_of` the directory; what its siblings begin with alike is put together once."""
        above = node.parent
        if above is None:
            return where_of(self._tally.roots[node.root], node.name)
        if self._above[0] is not above:
            self._above = above, where_of(self._tally.roots[node.root], os.path.join(above.path(), b""))[:-1]
        return self._above[1] + node.name + b"\0"

    def _put_mark(self, row: Row) -> None:
        """No file of the row is a candidate."""
        if self._fingerprint:
            unknown = 0 if row.complete & self._mask == self._mask else unknown_in(row, self._needed)
            marker = self._markers[row.key.device]
            self._book.put_mark(row.key.id, marker.mark(where_of(row.root, row.path), seen_of(row.block), unknown))

    def _sieve_row(self, node: Node, row: Row, files: list[os.DirEntry[str]], statuses: list[os.stat_result]) -> None:
        """The files are as they were, the lists are not."""
        self._tally.cached += len(row)
        if not self._pick(node, row.rows(self._needed), files, statuses):
            self._put_mark(row)

    def _pick(
        self, node: Node, rows: list[tuple[bytes, ...]], files: Sequence[os.DirEntry[str]], statuses: Sequence[os.stat_result]
    ) -> bool:
        """Let the sieve pick from what is remembered; whether it picked any."""
        chosen = self._sieve.survivors(rows) if rows else ()
        root = self._tally.roots[node.root]
        picked = [Picked(files[at].name, statuses[at], node.place(root, as_bytes(files[at].name)), rows[at]) for at in chosen]
        self._tally.candidates += self._completing.candidates(node.fd, picked)
        return bool(picked)

    def _compare(
        self,
        node: Node,
        window: Window,
        row: Row | None,
        seen: tuple[list[os.DirEntry[str]], list[os.stat_result]],
        *,
        again: bool,
    ) -> list[int]:
        """File by file: count what is remembered, let the sieve pick from it, and return the indices of what must be read."""
        files, statuses = seen
        memo = Memo(self._neighbours(window.key, row, len(window)))
        known, missing = [], []
        for index, status in enumerate(statuses):
            # Another device: a file that is mounted over a name of this directory.
            digests = self._remembered(memo, window, index, status.st_ino) if status.st_dev == node.device else {}
            if again and digests:
                window.promise(index, digests)
            elif window.adopt(index, digests):
                known.append(index)
                continue
            if self._admits is not None and not self._admits(status.st_size):
                self._tally.by_size += 1
            else:
                missing.append(index)
                window.missing[files[index].name] = index
        self._tally.cached += len(known)
        if self._pick(node, window.known(known), [files[at] for at in known], [statuses[at] for at in known]):
            window.barred = True
        return missing

    def _neighbours(self, key: Key, row: Row | None, files: int) -> list[Row]:
        """The old row, and in a big directory those beside it: one new name moves all that come after it in the listing."""
        rows = [row] if row is not None else []
        if key.part or max(files, len(row) if row is not None else 0) > WINDOW // 2:
            beside = [self._book.row(key._replace(part=part)) for part in (key.part - 1, key.part + 1) if part >= 0]
            rows += [one for one in beside if one is not None]
        return rows

    def _remembered(self, memo: Memo, window: Window, index: int, inode: int) -> Digests:
        identity = window.identity(index)
        digests = memo.get(identity)
        if not digests:
            single = Key(window.key.device, inode, SINGLE)
            digests = self._book.file(single, identity)
            if digests:
                window.absorbed.append(single.id)
        return digests

    def _wait(self, node: Node, window: Window, names: list[tuple[int, str]]) -> list[tuple[int, str]]:
        """Keep the window at hand until its files are hashed; of a very big directory, the last ones."""
        if not names:
            self._keep(window)
            return names
        self._windows.setdefault(node, []).append(window)
        while sum(map(len, self._windows.values())) > OPEN_WINDOWS:
            first = next(iter(self._windows))
            self._keep(self._windows[first].pop(0))
            if not self._windows[first]:
                del self._windows[first]
        return names

    def learn(self, node: Node, batch: Batch, suspects: Iterable[int]) -> None:
        """What a batch of a directory came to; ``suspects`` are the rows that the sieve picked."""
        if not self.on:
            return
        windows, picked = self._windows.get(node, []), frozenset(suspects)
        before = batch.started_ns - int(self._cache.options.settle_seconds * 1e9)
        for index, (name, status, digests) in enumerate(zip(batch.names, batch.statuses, batch.rows, strict=True)):
            settled = status.st_ctime_ns < before and status.st_dev == node.device
            for window in windows:
                if name in window.missing:
                    break
            else:
                if settled:
                    self._keep_file(node, status, digests)
                continue
            window.barred = window.barred or index in picked
            if not window.fill(name, status, digests, settled=settled):
                self._tally.warn(Warned(_LIED, node.place(self._tally.roots[node.root], as_bytes(name))))
        for name, _ in batch.refused:
            for window in windows:
                window.give_up(name)
        if not all(window.missing for window in windows):
            self._keep_full(node, windows)

    def _keep_full(self, node: Node, windows: list[Window]) -> None:
        for window in windows:
            if not window.missing:
                self._keep(window)
        windows[:] = [window for window in windows if window.missing]
        if not windows:
            self._windows.pop(node, None)

    def leave(self, node: Node | None) -> None:
        """No name of the directory is left here: what was not learnt, another worker learns."""
        for window in self._windows.pop(node, ()) if node is not None else ():
            self._keep(window)

    def release(self) -> None:
        """Before something that takes long: hold no other worker up."""
        self._book.release()

    def settle(self) -> None:
        """Write everything."""
        for node in list(self._windows):
            self.leave(node)
        self._book.flush()

    def close(self) -> None:
        """Write everything, and let go of the file."""
        self.settle()
        self._book.close()

    def _keep(self, window: Window) -> None:
        """Remember a row, unless it says what is there already."""
        old = self._old.pop(window.key, None)
        if not window.any_known or not self.on:
            return
        row = window.row(self._cache.run)
        if old is not None and (old.block, old.columns, old.path, old.root) == (row.block, row.columns, row.path, row.root):
            row.check = old.check
        else:
            self._book.put_row(row, window.absorbed)
        if not window.barred and not window.missing:
            self._put_mark(row)

    def _keep_file(self, node: Node, status: os.stat_result, digests: Sequence[bytes]) -> None:
        """Remember a file on its own: another worker listed its directory."""
        filesystem = self._filesystem(node)
        if filesystem.believed:
            key, where = Key(filesystem.number, status.st_ino, SINGLE), (self._tally.roots[node.root], node.path())
            columns = dict(zip(self._needed, digests, strict=True))
            self._book.put_file(Row(key, self._cache.run, where, block_of([status]), columns))
