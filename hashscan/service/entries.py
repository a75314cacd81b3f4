"""Entries of a list in bulk: finding those that share a digest with many rows at once, adding, enriching."""

from __future__ import annotations

import base64
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.known import selftest
from hashscan.model import Act, Algorithm, Standing
from hashscan.service.dialects import among, integers
from hashscan.service.merging import Known, Row
from hashscan.service.tables import DIGEST_COLUMNS, Entry, HashList, History, prefix

TEST_CATEGORY = "test"
MAX_LISTS = 32  # agents refuse metadata with more


class Index:
    """The entries that may share a digest with the rows of one chunk, those that the chunk adds included."""

    def __init__(self, connection: Connection, list_id: int, rows: Sequence[Row]) -> None:
        self.new: list[Known] = []
        self._by_digest: dict[Algorithm, defaultdict[bytes, list[Known]]] = {a: defaultdict(list) for a in Algorithm}
        by_id: dict[int, Known] = {}
        for algorithm in Algorithm:
            prefixes = {prefix(digest) for row in rows if (digest := row.digests.get(algorithm)) is not None}
            if prefixes:
                for known in _load(connection, list_id, algorithm, prefixes):
                    by_id.setdefault(known.id, known)
        self.old = list(by_id.values())
        for known in self.old:
            self.enter(known, known.digests.items())

    def enter(self, known: Known, digests: Iterable[tuple[Algorithm, bytes]]) -> None:
        """Let ``known`` be found by these digests."""
        for algorithm, digest in digests:
            found = self._by_digest[algorithm][digest]
            if known not in found:
                found.append(known)

    def add(self, known: Known) -> None:
        """An entry that this chunk makes."""
        self.new.append(known)
        self.enter(known, known.digests.items())

    def sharing(self, row: Row) -> list[Known]:
        """Those that share a digest with ``row``."""
        found: list[Known] = []
        for algorithm, digest in row.digests.items():
            found += [known for known in self._by_digest[algorithm].get(digest, ()) if known not in found]
        return found


_KNOWN_COLUMNS = (
    Entry.id, Entry.md5, Entry.sha1, Entry.sha256, Entry.blake3,
    Entry.size, Entry.category, Entry.act, Entry.standing, Entry.sources,
)  # fmt: skip


def _loader(algorithm: Algorithm) -> Any:
    """One statement for any number of prefixes."""
    column = DIGEST_COLUMNS[algorithm][1]
    return select(*_KNOWN_COLUMNS).where(Entry.list_id == bindparam("list"), among(column, integers("prefixes")))


_LOADERS = {algorithm: _loader(algorithm) for algorithm in Algorithm}


def _load(connection: Connection, list_id: int, algorithm: Algorithm, prefixes: set[int]) -> Iterator[Known]:
    for row in connection.execute(_LOADERS[algorithm], {"list": list_id, "prefixes": prefixes}):
        digests = {one: digest for one, digest in zip(Algorithm, row[1:5], strict=True) if digest is not None}
        yield Known(row[0], digests, row[5], row[6], row[7], row[8], tuple(json.loads(row[9])))


def _digest_values(known: Known) -> dict[str, bytes | int | None]:
    values: dict[str, bytes | int | None] = {}
    for algorithm in Algorithm:
        digest = known.digests.get(algorithm)
        values[algorithm.value] = digest
        values[f"{algorithm}_p"] = None if digest is None else prefix(digest)
    return values


def new_public_ids(count: int) -> Iterator[str]:
    """Unguessable ids of 80 random bits: "e_" and 16 characters of base32."""
    random = os.urandom(10 * count)
    for start in range(0, 10 * count, 10):
        yield "e_" + base64.b32encode(random[start : start + 10]).decode().lower()


def insert_entries(connection: Connection, list_id: int, new: Sequence[Known], now: float) -> None:
    """Write entries that are new."""
    if not new:
        return
    values = [
        {
            "public_id": public_id,
            "list_id": list_id,
            **_digest_values(known),
            "size": known.size,
            "category": known.category,
            "standing": known.standing,
            "act": known.act,
            "sources": json.dumps(known.sources),
            "created": now,
            "changed": now,
        }
        for public_id, known in zip(new_public_ids(len(new)), new, strict=True)
    ]
    connection.execute(insert(Entry), values)


def update_entries(connection: Connection, touched: Sequence[Known], now: float, reason: str) -> None:
    """Write entries that took something in, and that they did."""
    if not touched:
        return
    values = [
        {
            "b_id": known.id,
            **_digest_values(known),
            "size": known.size,
            "category": known.category,
            "act": known.act,
            "sources": json.dumps(known.sources),
            "changed": now,
        }
        for known in touched
    ]
    table = Entry.__table__
    connection.execute(update(Entry).where(table.c.id == bindparam("b_id")), values)
    connection.execute(insert(History), [{"entry_id": k.id, "at": now, "what": "merged", "reason": reason} for k in touched])


def ensure_list(session: Session, list_id: str) -> HashList:
    """The list of that id; where it is new, it is made with the self-test entry in it.

    Raises `UsageError` where there are `MAX_LISTS` already.
    """
    found = session.scalar(select(HashList).where(HashList.name == list_id))
    if found is not None:
        return found
    if session.scalars(select(func.count()).select_from(HashList)).one() >= MAX_LISTS:
        raise UsageError(f"a service has at most {MAX_LISTS} lists", hint="import into one that is there")
    now = time.time()
    made = HashList(name=list_id, version=0, created=now)
    session.add(made)
    session.flush()
    digests = {algorithm: selftest.digest(algorithm, selftest.CONTENT) for algorithm in Algorithm}
    entry = Known(0, digests, len(selftest.CONTENT), TEST_CATEGORY, Act.REPORT, Standing.TEST, ("hashscan",))
    insert_entries(session.connection(), made.id, [entry], now)
    return made
