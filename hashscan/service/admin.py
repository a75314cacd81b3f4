"""What an operator does with a service, one function each; ``hashscan service ...`` calls these and prints what they return.

Each opens the data folder, does its work and closes it. Raises `UsageError`, `LockedError` (the database is in use),
`HashscanError` (it is damaged, the disk is full).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import UsageError
from hashscan.known.envelopes import SigningKey
from hashscan.model import Standing
from hashscan.service import counting, enrolment, importing, publishing, standings
from hashscan.service.counting import ServiceStats
from hashscan.service.enrolment import Enrolment
from hashscan.service.importing import ImportReport, ImportRequest
from hashscan.service.names import check_text
from hashscan.service.publishing import Published
from hashscan.service.standings import StandingChange
from hashscan.service.store import IMPORT_CACHE_KIB, SERVER_CACHE_KIB, Folder, connect, database_errors, open_store
from hashscan.service.tables import SCHEMA_VERSION, Base, Phase, Provider, ServiceRow

BUSY_SECONDS = 30.0  # an operator's command waits that long for another writer


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """A service that was made: its folder, name, and the public key that agents pin (64 hex digits)."""

    data: Path
    name: str
    public_key: str


def init(data: Path, *, name: str) -> ServiceInfo:
    """Make a service in ``data``, a folder that is not there yet or empty. Raises `UsageError`."""
    check_text(name, "service name", 256)
    folder = Folder(data)
    try:
        if data.exists() and any(data.iterdir()):
            raise UsageError(f"{data} is not empty", hint="a service is made in a folder of its own")
        fresh = not data.exists()
        make_private_directory(data)
        os.chmod(data, 0o700)
    except OSError as error:
        raise UsageError(f"cannot make {data}: {error.strerror}") from None
    try:
        return _fill(folder, name)
    except BaseException:
        _remove_partial(data, fresh=fresh)
        raise


def _fill(folder: Folder, name: str) -> ServiceInfo:
    key = SigningKey.generate()
    write_bytes(folder.signing_key, key.to_pem(), mode=0o600)
    # Made before SQLite opens it, because SQLite would make it 0644; its log files take the mode over.
    os.close(os.open(folder.database, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    store = connect(folder, cache_kib=SERVER_CACHE_KIB, busy_seconds=BUSY_SECONDS)
    try:
        with database_errors(folder.data):
            store.use_write_ahead_log()
            with store.writing() as session:
                Base.metadata.create_all(session.connection())
                session.connection().exec_driver_sql(f"PRAGMA user_version={SCHEMA_VERSION}")
                session.add(ServiceRow(name=name, created=time.time()))
    finally:
        store.close()
    return ServiceInfo(folder.data, name, key.public_hex())


def _remove_partial(data: Path, *, fresh: bool) -> None:
    """Take back a service that could not be made: the folder was empty, so all in it is ours."""
    for path in data.iterdir():
        path.unlink()
    if fresh:
        shutil.rmtree(data)


def import_list(data: Path, request: ImportRequest, *, progress: Callable[[int], None] | None = None) -> ImportReport:
    """Import one file, all of it or nothing. See `importing.import_list`."""
    with open_store(data, cache_kib=IMPORT_CACHE_KIB, busy_seconds=BUSY_SECONDS) as store:
        return importing.import_list(store, request, progress)


def add_provider(data: Path, name: str, *, phase: Phase, url: str, out: Path) -> Enrolment:
    """Admit a provider and write the files for its agents into ``out``."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return enrolment.add_provider(store, name, phase=phase, url=url, out=out)


def set_phase(data: Path, name: str, phase: Phase) -> None:
    """Let a provider out of trial, or suspend it. Takes effect with the next request."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store, store.writing() as session:
        provider = session.scalar(select(Provider).where(Provider.name == name))
        if provider is None:
            raise UsageError(f"there is no provider {name!r}")
        provider.phase = phase.value


def publish(data: Path, *, list_id: str | None = None, error_rate: float = 1e-6) -> list[Published]:
    """A new version of one list (None: of all) for every provider that is not suspended."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return publishing.publish(store, list_id, error_rate=error_rate)


def withdraw(data: Path, list_id: str, entry: str, reason: str) -> StandingChange:
    """Withdraw an entry (named by id or digest): answers say so at once, filters with the next publication."""
    return _set_standing(data, list_id, entry, Standing.WITHDRAWN, reason)


def dispute(data: Path, list_id: str, entry: str, reason: str) -> StandingChange:
    """Mark an entry as doubtful: files that match it are reported and not moved."""
    return _set_standing(data, list_id, entry, Standing.DISPUTED, reason)


def reinstate(data: Path, list_id: str, entry: str, reason: str) -> StandingChange:
    """Make a disputed or withdrawn entry active again."""
    return _set_standing(data, list_id, entry, Standing.ACTIVE, reason)


def _set_standing(data: Path, list_id: str, entry: str, standing: Standing, reason: str) -> StandingChange:
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return standings.set_standing(store, list_id, entry, standing, reason)


def stats(data: Path) -> ServiceStats:
    """What ``service status`` shows."""
    with open_store(data) as store:
        return counting.stats(store)
