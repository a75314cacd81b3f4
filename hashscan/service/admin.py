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
from hashscan.central.feed import FeedLine
from hashscan.errors import HashscanError, UsageError
from hashscan.service import agents as agents_of
from hashscan.service import (
    ceremony,
    counting,
    enrolment,
    exporting,
    fetching,
    importing,
    keys,
    known_good,
    publishing,
    quotas,
    schema,
    tracing,
)
from hashscan.service.agents import AgentKey, OpenCode, Revoked
from hashscan.service.batches import Published, Terms
from hashscan.service.counting import ServiceStats
from hashscan.service.enrolment import Enrolment, Rotated
from hashscan.service.exporters import listing
from hashscan.service.exporters.listing import Exported, PastExport
from hashscan.service.exporters.port import Wish
from hashscan.service.fetching import FetchReport, FetchRequest
from hashscan.service.importing import ImportReport, ImportRequest
from hashscan.service.known_good import KnownGoodReport, Manner
from hashscan.service.names import check_text
from hashscan.service.on_postgres import read_url_file
from hashscan.service.places import Place
from hashscan.service.quotas import Allowance
from hashscan.service.store import IMPORT_CACHE_KIB, SERVER_CACHE_KIB, Folder, connect, database_errors, found_store, open_store
from hashscan.service.tables import Phase, Provider, ServiceRow
from hashscan.service.tracing import Trace

BUSY_SECONDS = 30.0  # an operator's command waits that long for another writer
MAX_PACE = 86_400  # seconds: agents cap it there


@dataclass(frozen=True, slots=True)
class Agents:
    """Who can ask in the name of a provider, and who still may become able to."""

    keys: tuple[AgentKey, ...]
    codes: tuple[OpenCode, ...]


@dataclass(frozen=True, slots=True)
class Upgraded:
    """The database, and the number of its schema before and after; "" before there were numbers."""

    database: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """A service that was made: its folder, its name, and the version of its root (0: it has none yet)."""

    data: Path
    name: str
    root_version: int


def init(data: Path, *, name: str, root_keys: Path | None = None, database: Path | None = None) -> ServiceInfo:
    """Make a service in ``data``, a folder that is not there yet or empty. Raises `UsageError`.

    With ``root_keys`` one root key is made in that folder and root version 1 signed with it: for demos, tests, and hotlines
    that move the key away at once. Without, there is no root until a key ceremony (``service keys init``). ``database`` is a
    file of mode 0600 with the URL of an empty PostgreSQL database; without, SQLite.
    """
    check_text(name, "service name", 256)
    folder = Folder(data)
    url = read_url_file(database) if database is not None else None
    try:
        if data.exists() and any(data.iterdir()):
            raise UsageError(f"{data} is not empty", hint="a service is made in a folder of its own")
        fresh = not data.exists()
        make_private_directory(data)
        os.chmod(data, 0o700)
    except OSError as error:
        raise UsageError(f"cannot make {data}: {error.strerror}") from None
    try:
        if url is not None:
            write_bytes(folder.database_url, url, mode=0o600)
        return _fill(folder, name, root_keys)
    except BaseException:
        _remove_partial(data, fresh=fresh)
        raise


def _fill(folder: Folder, name: str, root_keys: Path | None) -> ServiceInfo:
    store = connect(folder, cache_kib=SERVER_CACHE_KIB, busy_seconds=BUSY_SECONDS)
    made = False
    try:
        with database_errors(folder.data):
            store.database.make()
            with store.reading() as session:
                if schema.has_tables(session.connection()):
                    raise UsageError(f"{store.database} holds a service already", hint="name an empty database")
            store.upgrade()
            made = True
            with store.writing() as session:
                session.add(ServiceRow(name=name, created=time.time()))
            keys.make_online_keys(store)
            root = ceremony.init_single(store, root_keys).version if root_keys is not None else 0
    except BaseException:
        if made:
            with store.writing() as session:
                schema.drop(session.connection())
        raise
    finally:
        store.close()
    return ServiceInfo(folder.data, name, root)


def _remove_partial(data: Path, *, fresh: bool) -> None:
    """Take back a service that could not be made: the folder was empty, so all in it is ours."""
    for path in data.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    if fresh:
        data.rmdir()


def upgrade(data: Path) -> Upgraded:
    """Make the tables what this program needs, all steps or none. Raises `UsageError` where they are newer."""
    store = found_store(data, cache_kib=IMPORT_CACHE_KIB, busy_seconds=BUSY_SECONDS)
    try:
        with database_errors(data):
            return Upgraded(str(store.database), *store.upgrade())
    finally:
        store.close()


def import_list(data: Path, request: ImportRequest, *, progress: Callable[[int], None] | None = None) -> ImportReport:
    """Import one file, all of it or nothing. See `importing.import_list`."""
    with open_store(data, cache_kib=IMPORT_CACHE_KIB, busy_seconds=BUSY_SECONDS) as store:
        return importing.import_list(store, request, progress)


def fetch(data: Path, request: FetchRequest, *, told: Callable[[int], None]) -> FetchReport:
    """Fetch what has changed at a source and import it. See `fetching.fetch`."""
    line = FeedLine(request.link)
    try:
        with open_store(data, cache_kib=IMPORT_CACHE_KIB, busy_seconds=BUSY_SECONDS) as store:
            return fetching.fetch(store, request, line, told=told)
    finally:
        line.close()


def import_known_good(data: Path, source: Path, manner: Manner | None = None) -> KnownGoodReport:
    """Add digests that no list may hold. See `known_good.import_known_good`."""
    with open_store(data, cache_kib=IMPORT_CACHE_KIB, busy_seconds=BUSY_SECONDS) as store:
        return known_good.import_known_good(store, source, manner or Manner())


def add_provider(data: Path, name: str, *, phase: Phase, url: str | None = None, out: Path | None = None) -> Enrolment:
    """Admit a provider, and with ``out`` write the files for one of its agents into that folder."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return enrolment.add_provider(store, name, phase=phase, url=url, out=out)


def new_code(data: Path, name: str, *, valid: float, place: Place = enrolment.NOWHERE) -> str:
    """A code that enrols one agent of a provider, at ``place``, within ``valid`` seconds; it is shown once."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return enrolment.new_code(store, name, valid=valid, place=place)


def rotate_provider_key(data: Path, name: str, *, revoke_old: bool = False) -> Rotated:
    """A new K_provider from the next publication on. See `enrolment.rotate_provider_key`."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return enrolment.rotate_provider_key(store, name, revoke_old=revoke_old)


def revoke_api_key(data: Path, name: str, what: str) -> Revoked:
    """End an API key (by its id) with all that came from it, or an open code (by its 16 hex digits)."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return agents_of.revoke(store, name, what)


def agents(data: Path, name: str) -> Agents:
    """The API keys of a provider, and its codes that can still be used."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return Agents(agents_of.agents(store, name), agents_of.codes(store, name))


def set_pace(data: Path, *, wait: int, jitter: int) -> None:
    """The least seconds between two syncs of an agent, and the most that it adds; agents learn of it with their next sync."""
    for seconds, what in ((wait, "wait"), (jitter, "jitter")):
        if not 0 <= seconds <= MAX_PACE:
            raise UsageError(f"a {what} is from 0 to {MAX_PACE} seconds")
    with open_store(data, busy_seconds=BUSY_SECONDS) as store, store.writing() as session:
        row = session.scalars(select(ServiceRow)).one()
        row.wait, row.jitter = wait, jitter


def export(data: Path, name: str, out: Path) -> tuple[Path, ...]:
    """What is in force for a provider as files in ``out``, for hosts without a network. See `exporting.export`."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return exporting.export(store, name, out)


def export_list(data: Path, list_id: str, out: Path, wish: Wish, *, who: str) -> Exported:
    """Write a list in the format of another tool: digests leave the service. See `exporters.listing.export_list`."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return listing.export_list(store, list_id, out, wish, who=who)


def past_exports(data: Path) -> tuple[PastExport, ...]:
    """Every list that left the service: when, into which file, by whose command."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return listing.past_exports(store)


def trace(data: Path, file: Path) -> Trace:
    """Whose filter ``file`` is, told from its bits. See `tracing.trace`."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store:
        return tracing.trace(store, file)


def set_phase(data: Path, name: str, phase: Phase) -> None:
    """Let a provider out of trial, or suspend it. Takes effect with the next request."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store, store.writing() as session:
        provider = session.scalar(select(Provider).where(Provider.name == name))
        if provider is None:
            raise UsageError(f"there is no provider {name!r}")
        provider.phase = phase.value


def set_quota(data: Path, name: str | None, *, per_day: int | None, burst: int | None) -> Allowance:
    """What each agent of a provider (None: of those without numbers of their own) may ask; None leaves it to the service.

    Takes effect within seconds. Raises `UsageError`.
    """
    with open_store(data, busy_seconds=BUSY_SECONDS) as store, store.writing() as session:
        return quotas.set_allowance(session, name, per_day, burst)


def publish(data: Path, *, list_id: str | None = None, terms: Terms | None = None) -> list[Published]:
    """A new version of one list (None: of all) for every provider for whom it changes anything. See `publishing.publish`."""
    with open_store(data, cache_kib=IMPORT_CACHE_KIB, busy_seconds=BUSY_SECONDS) as store:
        try:
            return publishing.publish(store, list_id, terms or Terms())
        except OSError as error:
            hint = "what was in force stays; is the disk full?"
            raise HashscanError(f"cannot write what is published in {data}: {error.strerror}", hint=hint) from None


def stats(data: Path) -> ServiceStats:
    """What ``service status`` shows."""
    with open_store(data) as store:
        return counting.stats(store)
