"""How much waits in the outbox, for whoever asks every minute: a look that brings in none of its nouns, and writes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hashscan.errors import StateError

VERSION = 2
"""Of the form of ``central.outbox``, written last when the file is made."""
READABLE = frozenset({1, VERSION})
BUSY_SECONDS = 10.0
PENDING = "SELECT count(*) FROM pending"
UNSENT = "SELECT count(*) FROM outcome WHERE receipt IS NULL"


def waits(path: Path) -> tuple[int, int]:
    """How many candidates in that outbox have no answer yet, and how many outcomes the service has not acknowledged.

    Raises `StateError` where the file is not there or cannot be read.
    """
    with guarded(path):
        uri = f"{path.absolute().as_uri()}?mode=rw"  # a reader of a file with a journal beside it may have to finish that
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:  # it is being made, or its making was cut off
                return 0, 0
            check_version(path, version)
            return int(db.execute(PENDING).fetchone()[0]), int(db.execute(UNSENT).fetchone()[0])


def check_version(path: Path, version: int) -> None:
    """Raises `StateError` where this version of the program does not know that form."""
    if version not in READABLE:
        raise StateError(f"{path} has format {version}, this version reads {VERSION}", hint="update hashscan")


@contextmanager
def guarded(path: Path) -> Iterator[None]:
    """What the database or the system refuses becomes `StateError`."""
    try:
        yield
    except sqlite3.Error as error:
        hint = "is the disk full, or the file damaged? Nothing was moved"
        raise StateError(f"the state in {path} cannot be used: {error}", hint=hint) from None
    except OSError as error:
        raise StateError(f"the state in {path} cannot be used: {error.strerror}", hint="check rights and disk") from None
