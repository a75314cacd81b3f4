"""A service made of a backup, so that agents go on with it: what they were told after the backup was made is not repeated.

Agents refuse metadata, and versions of lists, that are older than what they hold (docs/threat-model.md). How far the lost
service had come nobody knows, so all counts go on far above: `headroom`. Who held an open enrolment code asks for a new one.
"""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import HashscanError, UsageError
from hashscan.service import backup, schema
from hashscan.service.on_postgres import read_url_file
from hashscan.service.store import IMPORT_CACHE_KIB, Folder, Store, connect, database_errors
from hashscan.service.tables import EnrolmentCode, HashList, Publication, Repository

MIN_HEADROOM = 1_000
SECONDS_A_VERSION = 60  # nobody publishes more often
_BUSY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Restored:
    """What was restored into which database, and by how much every version was raised."""

    backup: backup.Backup
    database: str
    raised: int


def headroom(made: float, now: float) -> int:
    """By how much versions go up: more than could have been signed since a backup was ``made``, also where a clock is off."""
    return MIN_HEADROOM + int(abs(now - made) // SECONDS_A_VERSION)


def restore(source: Path, data: Path, *, database: Path | None = None, now: float | None = None) -> Restored:
    """A service in ``data``, a folder that is not there yet or empty, from the backup in ``source``.

    ``database`` is a file with the URL of an empty PostgreSQL database; without, SQLite. Raises `UsageError` (a damaged backup,
    one of a newer program, a folder or database that is not empty), `HashscanError` (no space): then nothing is left behind.
    """
    found = backup.verify(source)
    schema.refuse_newer(found.schema, str(source))
    url = read_url_file(database) if database is not None else None
    if data.exists() and any(data.iterdir()):
        raise UsageError(f"{data} is not empty", hint="restore into a new folder, and put it in place of the old one")
    try:
        make_private_directory(data)
        os.chmod(data, 0o700)
        for name in backup.FOLDERS:
            backup.copy_tree(source / name, data / name)
        if url is not None:
            write_bytes(Folder(data).database_url, url)
        with database_errors(data):
            return _fill(found, data, time.time() if now is None else now)
    except BaseException as error:
        for path in data.iterdir() if data.is_dir() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if isinstance(error, OSError):
            raise HashscanError(f"cannot restore into {data}: {error.strerror}", hint="is the disk full?") from None
        raise


def _fill(found: backup.Backup, data: Path, now: float) -> Restored:
    raised = headroom(found.made, now)
    copied = data / "restoring.sqlite3"
    shutil.copyfile(Folder(found.folder).database, copied)
    os.chmod(copied, 0o600)
    if not Folder(data).database_url.exists():
        os.rename(copied, Folder(data).database)
    store = connect(Folder(data), cache_kib=IMPORT_CACHE_KIB, busy_seconds=_BUSY_SECONDS)
    try:
        if copied.exists():
            _into_another(copied, store)
            copied.unlink()
        store.upgrade()
        with store.writing() as session:
            _go_on(session, raised)
        store.compact_log()
        return Restored(found, str(store.database), raised)
    finally:
        store.close()


def _into_another(copied: Path, store: Store) -> None:
    folder = copied.parent / "restoring"
    make_private_directory(folder)
    os.rename(copied, Folder(folder).database)
    held = connect(Folder(folder), cache_kib=IMPORT_CACHE_KIB, busy_seconds=_BUSY_SECONDS)
    try:
        held.upgrade()
        with store.reading() as session:
            if schema.has_tables(session.connection()):
                raise UsageError(f"{store.database} holds a service already", hint="name an empty database")
        store.upgrade()
        with held.reading() as source, store.writing() as target:
            backup.copy_rows(source, target)
    finally:
        held.close()
        os.rename(Folder(folder).database, copied)
        shutil.rmtree(folder)


def _go_on(session: Session, raised: int) -> None:
    """Every count above what the lost service can have issued, everything signed and published anew, no open codes."""
    for state in session.scalars(select(Repository)):
        state.timestamp_version += raised
        state.snapshot_version += raised
        state.targets_version += raised
        state.content = ""
    session.execute(update(HashList).where(HashList.version > 0).values(version=HashList.version + raised))
    session.execute(update(Publication).values(content=""))
    session.execute(update(EnrolmentCode).where(EnrolmentCode.used.is_(None)).values(secret=b""))
