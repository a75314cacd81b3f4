"""Many random entries put into the database of a service at once, past the importer: reading lists in is measured elsewhere."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import text

from hashscan.service.entries import ensure_list
from hashscan.service.store import Folder, Store, open_store
from hashscan.service.tables import Entry, prefix

_AT_ONCE = 10_000  # for more the indexes are made at the end


def grow(data: Path, list_name: str, rng: random.Random, count: int) -> None:
    """``count`` entries (MD5 and SHA-1 each) for a list, which is made where there is none; SQLite or PostgreSQL."""
    with open_store(data) as store:
        with store.writing() as session:
            list_id = ensure_list(session, list_name).id
        if not Folder(data).database.exists():
            _into_postgres(store, list_id, rng, count)
            return
    _into_sqlite(Folder(data).database, list_id, rng, count)


def _into_sqlite(path: Path, list_id: int, rng: random.Random, count: int) -> None:
    names = _columns()
    query = f"INSERT INTO entry ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        indexes = "SELECT name, sql FROM sqlite_master WHERE tbl_name='entry' AND sql LIKE 'CREATE %INDEX%'"
        made_by = dict(database.execute(indexes).fetchall()) if count > _AT_ONCE else {}
        database.execute("PRAGMA cache_size=-262144")
        database.execute("BEGIN")
        for name in made_by:
            database.execute(f"DROP INDEX {name}")
        database.executemany(query, _entries(names, list_id, rng, count))
        for made in made_by.values():
            database.execute(made)
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _into_postgres(store: Store, list_id: int, rng: random.Random, count: int) -> None:
    names = _columns()
    with store.database.writer(wait=True).connect() as connection:
        made_by = dict(
            connection.execute(
                text(
                    "SELECT indexname, indexdef FROM pg_indexes WHERE tablename='entry' AND schemaname=current_schema() "
                    "AND indexname LIKE 'entry\\_%' AND indexdef LIKE '% WHERE %'"
                )
            ).all()
        )
        for name in made_by if count > _AT_ONCE else ():
            connection.exec_driver_sql(f"DROP INDEX {name}")
        cursor: Any = connection.connection.cursor()
        with cursor.copy(f"COPY entry ({', '.join(names)}) FROM STDIN") as copy:
            for row in _entries(names, list_id, rng, count):
                copy.write_row(row)
        for made in made_by.values() if count > _AT_ONCE else ():
            connection.exec_driver_sql(made)
        connection.commit()
    store.compact_log()


def _columns() -> list[str]:
    return [column.name for column in Entry.__table__.columns if column.name != "id"]


def _entries(names: list[str], list_id: int, rng: random.Random, count: int) -> Iterator[list[object]]:
    now = time.time()
    fixed: dict[str, object] = {
        "list_id": list_id,
        "category": "bench",
        "standing": "active",
        "act": "quarantine",
        "sources": '["bench"]',
        "created": now,
        "changed": now,
    }
    for _ in range(count):
        md5, sha1 = rng.randbytes(16), rng.randbytes(20)
        values = {
            **fixed,
            "public_id": f"e_{rng.getrandbits(80):x}",
            "md5": md5,
            "md5_p": prefix(md5),
            "sha1": sha1,
            "sha1_p": prefix(sha1),
        }
        yield [values.get(name) for name in names]
