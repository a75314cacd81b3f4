"""A service as an operator would make and start it, and agents of providers that it has admitted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from hashscan.known.keys import KeyRing
from hashscan.model import Algorithm, ListRef, VerdictKey
from hashscan.service import admin
from hashscan.service.keys import OnlineKeys
from hashscan.service.store import open_store
from hashscan.service.tables import Entry, HashList, Phase
from scripts.benchlib.growing import grow
from scripts.benchlib.ours import PROGRAM, environment

LIST = "bench"
START_SECONDS = 120.0
_SAMPLE = 20_000  # entries that questions are made of


@dataclass(frozen=True, slots=True)
class Host:
    """An agent: its provider, what it shows, what it makes tags with."""

    provider: str
    api_key: str
    keys: KeyRing


@dataclass(frozen=True, slots=True)
class Hotline:
    """A service in ``data``; digests (hex) of some of its entries; the keys whose answers count."""

    data: Path
    hosts: tuple[Host, ...]
    list: ListRef
    entries: int
    sample: tuple[dict[Algorithm, str], ...]
    verdict_keys: tuple[VerdictKey, ...]


def make(folder: Path, entries: int, providers: int, database: Path | None) -> Hotline:
    """A service with so many entries and providers in ``folder``, or the one that is there.

    The list is published while it is short and grows then: answers come from the database, not from filters.
    """
    data = folder / "service"
    if not data.exists():
        admin.init(data, name="bench", root_keys=folder / "root-keys", database=database)
        admin.set_quota(data, None, per_day=0, burst=None)  # as `service provider quota --per-day 0` does
        grow(data, LIST, random.Random(0), 1)
    for number in range(providers):
        name = f"provider-{number}"
        if not (folder / name).exists():
            admin.add_provider(data, name, phase=Phase.REGULAR, url="https://hashes.example.org", out=folder / name)
    if _count(data) == 2:  # that entry and the self-test
        admin.publish(data, list_id=LIST)
    if (missing := entries - _count(data)) > 0:
        grow(data, LIST, random.Random(f"hashscan bench {_count(data)}"), missing)
    return _described(folder, data, providers)


def _count(data: Path) -> int:
    with open_store(data) as store, store.reading() as session:
        return session.scalars(select(func.count()).select_from(Entry)).one()


def _described(folder: Path, data: Path, providers: int) -> Hotline:
    folders = [folder / f"provider-{number}" for number in range(providers)]
    hosts = tuple(
        Host(one.name, (one / "api-key").read_text().strip(), KeyRing.from_text((one / "provider-key").read_text()))
        for one in folders
    )
    with open_store(data) as store, store.reading() as session:
        version = session.scalars(select(HashList.version).where(HashList.name == LIST)).one()
        entries = session.scalars(select(func.count()).select_from(Entry)).one()
        ids = random.Random(1).sample(range(2, entries), min(_SAMPLE, entries - 2))
        rows = session.execute(select(Entry.md5, Entry.sha1).where(Entry.id.in_(ids), Entry.category == LIST)).all()
        keys = OnlineKeys.open(store).verdict_keys()
    sample = tuple({Algorithm.MD5: one.md5.hex(), Algorithm.SHA1: one.sha1.hex()} for one in rows)
    return Hotline(data, hosts, ListRef(LIST, version, 1), entries, sample, keys)


@dataclass(frozen=True, slots=True)
class Server:
    """A service that answers: its port, and its first process."""

    port: int
    pid: int


@contextmanager
def serving(data: Path, workers: int, more: Sequence[str] = ()) -> Iterator[Server]:
    """``hashscan service serve`` for the time of the block; its journal goes to a file beside ``data``.

    Raises `ValueError` where it does not start, or does not end well.
    """
    journal = data.parent / "journal"
    argv = [*PROGRAM, "service", "--data", str(data), "serve", "--port", "0", "--workers", str(workers), "--rate", "0", *more]
    with journal.open("wb") as out:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=out, env=environment())
    try:
        yield Server(_port(child, journal), child.pid)
    finally:
        child.terminate()
        code = child.wait(60)
        if code and sys.exc_info()[0] is None:
            raise ValueError(f"the service ended with {code}; see {journal}")


def _port(child: subprocess.Popen[bytes], journal: Path) -> int:
    until = time.monotonic() + START_SECONDS
    while b"answering on" not in (said := journal.read_bytes()[:10_000]):
        if child.poll() is not None or time.monotonic() > until:
            raise ValueError(f"the service does not start: {said.decode('utf-8', 'replace').strip()[-500:]}")
        time.sleep(0.05)
    return int(said.split(b"answering on", 1)[1].split(b"\n", 1)[0].rpartition(b":")[2])


def processor(pids: Sequence[int]) -> float:
    """Seconds that these processes have used so far, and those that they have waited for."""
    ticks = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:  # it has ended; its parent has its time
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
