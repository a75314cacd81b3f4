"""NSRL RDS 3: an SQLite database of the digests of published software. Read as what it is: a file that somebody else made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine
from hashscan.model import Act, Algorithm
from hashscan.service.importers.port import BrokenSource, digest_of
from hashscan.service.merging import Row

_TABLES = ("METADATA", "FILE")  # the table below and the view that RDS 2 would have been; small editions have only the latter
_COLUMNS = {"md5": Algorithm.MD5, "sha1": Algorithm.SHA1, "sha256": Algorithm.SHA256}
_STEPS = 1_000_000  # of SQLite's machine between two looks
_MOST_STEPS_A_ROW = 1_000  # times `_STEPS`: a view that finds nothing must not search for ever
_MAX_CELL = 1024  # bytes of a value or a row that SQLite may make
_FUNCTIONS = frozenset({"upper", "lower"})


class _Watch:
    """Ends a query that works without giving a row."""

    def __init__(self) -> None:
        self.steps = 0

    def __call__(self) -> int:
        self.steps += 1
        return int(self.steps > _MOST_STEPS_A_ROW)


def _may(action: int, _first: str | None, second: str | None, *_rest: str | None) -> int:
    """Reading and changing the letters' case; no recursion, no other function, nothing that writes."""
    allowed = action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ) or (
        action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


def read(path: Path) -> Iterator[tuple[int, Row | BadLine]]:
    """Every row with its number. Raises `UsageError` (none of these tables), `BrokenSource` (damaged, or it does not end)."""
    watch = _Watch()
    number = 0
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error as error:
        raise BrokenSource(f"SQLite cannot open it: {error}; it must be a file, not a pipe") from None
    try:
        table, columns = _prepare(connection, watch)
        names = ", ".join(f'"{name}"' for name in columns)
        for number, cells in enumerate(connection.execute(f'SELECT {names} FROM "{table}"'), 1):  # noqa: S608 - names of ours
            watch.steps = 0
            yield number, _row(cells, tuple(columns.values()))
    except sqlite3.Error as error:
        raise BrokenSource(f"after row {number}: SQLite cannot read it: {error}") from None
    finally:
        connection.close()


def _prepare(connection: sqlite3.Connection, watch: _Watch) -> tuple[str, dict[str, Algorithm]]:
    """Make it safe to ask, and find out whom and what. A real edition has 300 million rows: it is read in the order it has."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1 << 20)  # the schema has to pass too
    for pragma in ("trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0", "query_only=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    there = {row[0].upper() for row in connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
    for table in _TABLES:
        if table in there:
            held = {row[1].lower() for row in connection.execute(f'PRAGMA table_info("{table}")')}
            columns = {name: algorithm for name, algorithm in _COLUMNS.items() if name in held}
            if columns:
                connection.set_progress_handler(watch, _STEPS)
                connection.set_authorizer(_may)
                return table, columns
    raise UsageError("the database has no table METADATA or FILE with digests", hint="is it NSRL RDS 3?")


def _row(cells: tuple[object, ...], algorithms: tuple[Algorithm, ...]) -> Row | BadLine:
    digests: dict[Algorithm, bytes] = {}
    for cell, algorithm in zip(cells, algorithms, strict=True):
        if cell is None or cell == "":
            continue
        if not isinstance(cell, str) or len(cell) > _MAX_CELL:
            return BadLine(f"its {algorithm} is not text")
        try:
            digests[algorithm] = digest_of(cell, algorithm)
        except BadLine as error:
            return error
    return Row(digests, None, "", Act.REPORT) if digests else BadLine("it has no digest")
