"""The gate of SQLite for the digest cache: one file, three tables, short transactions, nothing believed.

What sqlite3 raises becomes `StoreTrouble` here. Nothing is synced to disk: after a power cut the file may be torn, and then
its rows do not check, or SQLite says that it is damaged and it is made anew. Many read while one writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from hashscan.files.rows import MAX_ROW_BYTES

PAGE = 16_384  # bytes; about eleven directories of twenty files: 25 % less disk than pages of 4 KiB, the same time a row
VERSION = 2
LAST_ID = (1 << 63) - 1
_MAGIC = 0x6873_6463  # "hsdc", PRAGMA application_id
_SCHEMA = (
    "CREATE TABLE directory (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, day INTEGER NOT NULL, data BLOB NOT NULL)",
    "CREATE TABLE file (id INTEGER PRIMARY KEY, run INTEGER NOT NULL, day INTEGER NOT NULL, data BLOB NOT NULL)",
    # Marks change with every new list, rows hardly ever: apart, a new list rewrites 1 MB for a million files and not 75.
    "CREATE TABLE mark (id INTEGER PRIMARY KEY, mark BLOB NOT NULL)",
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
)
_GET = "SELECT data FROM directory WHERE id = ?"
_MARKS = "SELECT id, mark FROM mark WHERE id >= ? ORDER BY id LIMIT ?"
_RANGE = "SELECT d.data, m.mark FROM directory d LEFT JOIN mark m ON m.id = d.id WHERE d.id BETWEEN ? AND ? ORDER BY d.id"
_FILES = "SELECT data, NULL FROM file WHERE id BETWEEN ? AND ? ORDER BY id"
_CACHE_KIB = 1024  # of SQLite's own memory in each process; the page cache of the kernel holds the rest, once for all
_WAL_BYTES = 16 << 20  # the log is folded back at this size
BUSY_SECONDS = 1.0  # the longest that one write waits for another process


class StoreTrouble(Exception):
    """The file cannot be used. ``damaged`` says that it should be made anew, ``busy`` that somebody else writes."""

    def __init__(self, why: str, *, damaged: bool = False, busy: bool = False, full: bool = False) -> None:
        super().__init__(why)
        self.damaged, self.busy, self.full = damaged, busy, full


@dataclass(slots=True)
class Writes:
    """What is written together. ``directories`` and ``files``: (id, run, day since 1970, data); ``marks``: (id, mark);
    ``absorbed``: ids of files that a row holds now."""

    directories: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    files: list[tuple[int, int, int, bytes]] = field(default_factory=list)
    marks: list[tuple[int, bytes]] = field(default_factory=list)
    absorbed: list[tuple[int]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.directories) + len(self.files) + len(self.marks)


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


@contextmanager
def _gate() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = _code(error)
        damaged = code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or isinstance(error, sqlite3.ProgrammingError)
        busy = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        raise StoreTrouble(str(error), damaged=damaged, busy=busy, full=code == sqlite3.SQLITE_FULL) from None
    except (OverflowError, UnicodeDecodeError) as error:  # what a damaged file makes of a text or a number
        raise StoreTrouble(str(error), damaged=True) from None


class Store:
    """One connection, for one process: it must not cross a fork. ``max_bytes`` bounds the file. Raises `StoreTrouble`."""

    def __init__(self, path: Path, max_bytes: int, *, create: bool = False) -> None:
        with _gate():
            uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
            self._db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, cached_statements=16)
        try:
            with _gate():
                self._set_up(max_bytes, create=create)
        except StoreTrouble:
            self.close()
            raise

    def _set_up(self, max_bytes: int, *, create: bool) -> None:
        db = self._db
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ROW_BYTES)
        db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        if create:
            db.execute(f"PRAGMA page_size = {PAGE}")
        db.execute("PRAGMA synchronous = OFF")
        if create:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA application_id = {_MAGIC}")
            for statement in _SCHEMA:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        self._check()
        db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // PAGE}")
        db.execute(f"PRAGMA max_page_count = {max(max_bytes // PAGE, 16)}")
        self._execute = db.execute

    def _check(self) -> None:
        """That this file is one of ours, of this format and nothing else."""
        told = [self._db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version", "page_size")]
        if told != [_MAGIC, VERSION, PAGE]:
            raise StoreTrouble("it is of another version", damaged=True)
        schema = [row[0] for row in self._db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")]
        if schema != list(_SCHEMA):
            raise StoreTrouble("its tables are not ours", damaged=True)

    def close(self) -> None:
        """Close the file; the last one to do so folds the log back."""
        with _gate():
            self._db.close()

    def get(self, row_id: int) -> bytes | None:
        """The bytes of one row, as they were at the first question since the last `release` or `write`."""
        try:
            if not self._db.in_transaction:
                # One for many questions, which then take 1.9 us instead of 4.5: the rest is the locks of a transaction.
                self._execute("BEGIN")
            found = self._execute(_GET, (row_id,)).fetchone()
        except sqlite3.Error:
            with _gate():
                raise
        return found[0] if found is not None and type(found[0]) is bytes else None

    def marks(self, row_id: int, count: int) -> list[tuple[int, bytes]]:
        """At most ``count`` marks from this id on, ascending, with their ids. A damaged file may hold anything for a mark."""
        with _gate():
            return self._execute(_MARKS, (row_id, count)).fetchall()

    def release(self) -> None:
        """Let the log be folded back past what this connection has seen: call it before anything that takes long."""
        if self._db.in_transaction:
            with _gate():
                self._execute("COMMIT")

    def get_file(self, row_id: int) -> bytes | None:
        """The bytes of one remembered file."""
        with _gate():
            found = self._db.execute("SELECT data FROM file WHERE id = ?", (row_id,)).fetchone()
        return found[0] if found is not None and type(found[0]) is bytes else None

    def has_files(self) -> bool:
        """Whether any file is remembered on its own."""
        with _gate():
            return self._db.execute("SELECT 1 FROM file LIMIT 1").fetchone() is not None

    def write(self, writes: Writes) -> None:
        """All of it or, where this raises, nothing. A row that is written loses the mark that it had."""
        self.release()
        with _gate():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany("INSERT OR REPLACE INTO directory VALUES (?, ?, ?, ?)", writes.directories)
                self._db.executemany("DELETE FROM mark WHERE id = ?", [(row_id,) for row_id, *_ in writes.directories])
                self._db.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?)", writes.files)
                self._db.executemany("INSERT OR REPLACE INTO mark VALUES (?, ?)", writes.marks)
                self._db.executemany("DELETE FROM file WHERE id = ?", writes.absorbed)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def between(self, low: int, high: int, *, single: bool) -> list[tuple[bytes, bytes | None]]:
        """Bytes and mark of the rows with these ids, ``high`` included; of files on their own where ``single``."""
        with _gate():
            found = self._db.execute(_FILES if single else _RANGE, (low, high)).fetchall()
        return [row for row in found if type(row[0]) is bytes]

    def bounds(self, every: int, *, single: bool) -> list[int]:
        """The ids that cut the rows into stretches of ``every``: the first of each, ascending."""
        sql = "SELECT id FROM file ORDER BY id" if single else "SELECT id FROM directory ORDER BY id"
        with _gate():
            return [row_id for (row_id,) in islice(self._db.execute(sql), 0, None, every)]

    def forget(self, row_id: int) -> None:
        """Drop a row that turned out to be wrong, whatever it is about."""
        with _gate():
            for table in ("directory", "file", "mark"):
                self._db.execute(f"DELETE FROM {table} WHERE id = ?", (row_id,))  # noqa: S608

    def count(self) -> tuple[int, int]:
        """How many rows and how many files on their own."""
        with _gate():
            counts = [self._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("directory", "file")]  # noqa: S608
        return counts[0], counts[1]

    def sweep(self, run: int, day: int) -> None:
        """Forget what was written last before this run and before this day; its room is for new rows."""
        with _gate():
            self._db.execute("DELETE FROM directory WHERE run < ? AND day < ?", (run, day))
            self._db.execute("DELETE FROM file WHERE run < ? AND day < ?", (run, day))
            self._db.execute("DELETE FROM mark WHERE id NOT IN (SELECT id FROM directory)")

    def fold(self) -> None:
        """Write the log back into the file, where nobody else is reading it."""
        with _gate():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def meta(self, name: str) -> str | int | float | None:
        """One fact about the cache."""
        with _gate():
            found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return found[0] if found and isinstance(found[0], (str, int, float)) else None

    def set_meta(self, facts: dict[str, str | int | float]) -> None:
        """Write facts."""
        with _gate():
            self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(facts.items()))
