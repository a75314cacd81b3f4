"""One worker's reading and writing of the digest cache. No trouble with the file leaves this module: the cache is then off, and
that is said once."""

from __future__ import annotations

from collections.abc import Callable

from hashscan.files.cache import Cache
from hashscan.files.rows import Key, Row, decode
from hashscan.files.store import LAST_ID, Store, StoreTrouble, Writes
from hashscan.files.window import Digests, Memo
from hashscan.model import Warned

WRITES = 256  # rows or marks that are written in one transaction
_MAX_WRITES = 16 * WRITES  # what waits while somebody else writes; beyond that it is forgotten
_MIN_AHEAD, _MAX_AHEAD = 8, 256  # marks that are read together
_DAY = 86_400  # seconds


class Notebook:
    """Rows and single files by key. ``on`` is false where nothing is remembered; ``warn`` is told why, where that is news."""

    def __init__(self, cache: Cache, warn: Callable[[Warned], None]) -> None:
        self._cache, self._warn = cache, warn
        self._writes = Writes()
        self._has_files = self._full = False
        self._marks: dict[int, bytes] = {}
        self._first, self._last = 0, -1  # the ids whose marks were looked at
        self._count = _MIN_AHEAD  # marks that were asked for together
        self._store: Store | None = None
        self.on = False
        try:
            self._store = cache.open()
            self.on = self._store is not None
            self._has_files = self._store is not None and self._store.has_files()
        except StoreTrouble as error:
            self._trouble(error)

    def _trouble(self, error: StoreTrouble) -> None:
        if error.busy:
            return
        if error.full:
            if not self._full:
                self._warn(Warned(f"the digest cache is full, nothing new is remembered: {error}"))
            self._full = True
            self._writes = Writes()
            return
        if error.damaged:
            self._cache.condemn()
        self._store, self.on = None, False
        self._warn(Warned(f"the digest cache is off in one worker: {error}"))

    def row(self, key: Key) -> Row | None:
        """The row of a key, where there is one that checks."""
        if self._store is None:
            return None
        try:
            found = self._store.get(key.id)
        except StoreTrouble as error:
            self._trouble(error)
            return None
        return None if found is None else decode(found, key)

    def mark(self, row_id: int) -> bytes | None:
        """The mark of a row as the file has it, perhaps as it was a while ago: a mark says all by itself, or nothing."""
        if not self._first <= row_id <= self._last:
            self._look_ahead(row_id)
        return self._marks.get(row_id)

    def _look_ahead(self, row_id: int) -> None:
        """Directories are met in the order of their inodes, mostly: a mark and those that follow it in one question.

        0.4 us a mark instead of 2.5; where the order is another one, few are read in vain.
        """
        near = 0 < row_id - self._last <= self._last - self._first
        self._count = min(2 * self._count, _MAX_AHEAD) if near else _MIN_AHEAD
        self._marks, self._first, self._last = {}, row_id, LAST_ID
        if self._store is None:
            return
        try:
            found = self._store.marks(row_id, self._count)
        except StoreTrouble as error:
            self._trouble(error)
            return
        self._marks = dict(found)
        if len(found) == self._count:
            self._last = found[-1][0]

    def file(self, key: Key, identity: bytes) -> Digests:
        """What is remembered of one file on its own, where it is that very file as it was."""
        if self._store is None or not self._has_files:
            return {}
        try:
            data = self._store.get_file(key.id)
        except StoreTrouble as error:
            self._trouble(error)
            return {}
        row = decode(data, key) if data else None
        return Memo([row]).get(identity) if row is not None else {}

    def put_row(self, row: Row, absorbed: list[int]) -> None:
        """Remember a row; the files ``absorbed`` are in it now."""
        data = row.encode()
        if not self._full:
            self._writes.directories.append((row.key.id, row.run, self._today(), data))
            self._writes.absorbed += [(one,) for one in absorbed]
            self._write_some()

    def put_file(self, row: Row) -> None:
        """Remember a file on its own."""
        if not self._full:
            self._writes.files.append((row.key.id, row.run, self._today(), row.encode()))
            self._write_some()

    def put_mark(self, row_id: int, mark: bytes) -> None:
        """Remember that the filters in force do not contain the files of a row."""
        if not self._full:
            self._writes.marks.append((row_id, mark))
            self._write_some()

    def _today(self) -> int:
        return int(self._cache.options.clock() // _DAY)

    def _write_some(self) -> None:
        if len(self._writes) >= WRITES:
            self.flush()

    def release(self) -> None:
        """Before something that takes long: hold nobody up."""
        if self._store is not None:
            try:
                self._store.release()
            except StoreTrouble as error:
                self._trouble(error)

    def flush(self) -> None:
        """Write what waits; where another process is writing for long it stays for the next time, or is forgotten."""
        if self._store is not None and len(self._writes):
            try:
                self._store.write(self._writes)
                self._writes = Writes()
            except StoreTrouble as error:
                self._trouble(error)
        if self._store is None or len(self._writes) > _MAX_WRITES:
            self._writes = Writes()

    def close(self) -> None:
        """Write what waits, and let go of the file."""
        self.flush()
        store, self._store, self.on = self._store, None, False
        if store is not None:
            store.close()
