"""How long the monitor takes: a service with many findings, and the time of what its pages and exports are made of."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from hashscan.service import admin
from hashscan.service.actors import Actor, PersonRole
from hashscan.service.monitor import exporting
from hashscan.service.monitor.fetching import Selection
from hashscan.service.monitor.views import monitor
from hashscan.service.store import Folder, Store, open_store
from hashscan.service.tables import ApiKey, Phase, Provider
from hashscan.service.tables_back import FindingRow
from scripts.benchlib.growing import grow

DAY = 86_400.0
DAYS = 730  # that the findings are spread over
LIST = "bench"
_HOTLINE = Actor("bench", PersonRole.HOTLINE)
_COUNTRIES = ("NL", "DE", "FR", "US")


@dataclass(frozen=True, slots=True)
class Plan:
    """So many findings of so many providers with some agents each, about so many entries; ``open`` (0 to 1) are in place."""

    findings: int = 1_000_000
    providers: int = 50
    agents: int = 4
    entries: int = 50_000
    open: float = 0.05
    database: Path | None = None


def make(plan: Plan, folder: Path) -> Path:
    """The service in ``folder``, or the one that is there; its data folder."""
    data = folder / "service"
    if data.exists():
        return data
    admin.init(data, name="bench", root_keys=folder / "root-keys", database=plan.database)
    rng = random.Random("hashscan bench monitor")
    for number in range(plan.providers):
        admin.add_provider(data, f"provider-{number}", phase=Phase.REGULAR)
    grow(data, LIST, rng, plan.entries)
    with open_store(data) as store:
        with store.writing() as session:
            for one in session.scalars(select(Provider)).all():
                one.country = rng.choice(_COUNTRIES)
                for number in range(plan.agents):
                    key = ApiKey(provider_id=one.id, sha256=rng.randbytes(32), label="bench", created=0.0)
                    key.site = f"site-{number}"
                    session.add(key)
        _fill(plan, store, rng)
        store.compact_log()
    return data


def _fill(plan: Plan, store: Store, rng: random.Random) -> None:
    names = [column.name for column in FindingRow.__table__.columns if column.name != "id"]
    rows = _rows(plan, names, rng)
    path = Folder(store.folder.data).database
    if path.exists():
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("BEGIN")
            database.executemany(f"INSERT INTO finding ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", rows)
            database.execute("COMMIT")
        return
    with store.database.writer(wait=True).connect() as connection:
        cursor: Any = connection.connection.cursor()
        with cursor.copy(f"COPY finding ({', '.join(names)}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        connection.commit()
    with store.database.reader.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE finding")


def _rows(plan: Plan, names: list[str], rng: random.Random) -> Iterator[list[object]]:
    now = time.time()
    for number in range(plan.findings):
        provider = rng.randrange(plan.providers)
        seen = now - rng.random() * DAYS * DAY
        gone = rng.random() >= plan.open
        away = seen + rng.expovariate(1 / 7200) if gone else None
        values: dict[str, object] = {
            "provider_id": provider + 1,
            "api_key_id": provider * plan.agents + rng.randrange(plan.agents) + 1,
            "ref": f"f_{number:x}",
            "round": 1,
            "list_name": LIST,
            "entry": f"e_{rng.getrandbits(80):x}",
            "entry_id": rng.randrange(2, plan.entries),
            "verdict": f"{number:064x}",
            "state": "removed" if gone else rng.choice(("reported", "held", "failed")),
            "first_seen": seen,
            "opened": seen + 5.0,
            "told": (away or seen) + 5.0,
            "removed": away,
            "removed_told": None if away is None else away + 5.0,
            "doubt": "late" if rng.random() < 0.01 else "",
        }
        yield [values[name] for name in names]


HEAD = "| database | findings | what | seconds | processor s | load |\n|---|---:|---|---:|---:|---:|"


def main(plan: Plan, folder: Path) -> int:
    """Measure and print."""
    data = make(plan, folder)
    print(HEAD, flush=True)
    with open_store(data) as store:
        for what, act in _acts(store):
            began, used, load = time.monotonic(), time.process_time(), os.getloadavg()[0]
            act()
            print(
                f"| {'SQLite' if plan.database is None else 'PostgreSQL'} | {plan.findings:,} | {what} "
                f"| {time.monotonic() - began:.2f} | {time.process_time() - used:.2f} | {load:.1f} |",
                flush=True,
            )
    return 0


def _acts(store: Store) -> Iterator[tuple[str, Callable[[], object]]]:
    now = time.time()

    def seen(selection: Selection) -> Any:
        with store.reading() as session:
            return monitor(session, _HOTLINE, selection, now)

    yield "everything", lambda: seen(Selection())
    yield "everything again", lambda: seen(Selection())
    yield "90 days", lambda: seen(Selection(since=now - 90 * DAY))
    yield "one provider", lambda: seen(Selection(provider="provider-0"))
    yield "one country", lambda: seen(Selection(country="NL"))
    shown = seen(Selection())
    yield "JSON of it", lambda: exporting.as_json(shown)
