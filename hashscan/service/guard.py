"""The known-good guard: digests that no list may hold, because they would match files everywhere.

Two kinds: trivial contents (`selftest.TRIVIAL`), and what the operator imports (NSRL, stock trees of content systems). Imports
refuse them, publications and answers leave entries out that hold one.
"""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.known import selftest
from hashscan.known.hash_list import BadLine, ParsedDigest, read_list
from hashscan.model import Algorithm, Standing
from hashscan.service.store import Store
from hashscan.service.tables import DIGEST_COLUMNS, Entry, KnownGood, prefix

IN_FORCE = (Standing.ACTIVE, Standing.DISPUTED)
"""Whose digests are in filters; the self-test entry is there besides, the withdrawn are left out."""

MAX_NAMED = 10  # entries that were left out, in a report
_CHUNK_LINES = 10_000
_MAX_BAD = 10  # lines named in a message
_SELF_TEST = frozenset((one, selftest.digest(one, selftest.CONTENT)) for one in Algorithm)
_TRIVIAL = selftest.trivial_digests()

Digests = Iterable[tuple[Algorithm, bytes]]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The entries of a list in force that are on the known-good list: how many, and the public ids of the first of them."""

    count: int = 0
    named: tuple[str, ...] = ()
    ids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class KnownGoodReport:
    """An import of known-good digests: how many the file holds and how many there are now; 64 hex digits count twice."""

    read: int
    total: int


def left_out(session: Session, list_id: int) -> LeftOut:
    """What must not be published of a list. Measured: see `publishing.publish`."""
    found: dict[int, str] = {}
    for algorithm, (digest, p) in DIGEST_COLUMNS.items():
        trivial = [one for kind, one in _TRIVIAL if kind is algorithm]
        good = select(KnownGood.p).where(KnownGood.algorithm == algorithm.value, KnownGood.p == p, KnownGood.digest == digest)
        for holds in (p.in_([prefix(one) for one in trivial]) & digest.in_(trivial), digest.is_not(None) & good.exists()):
            query = select(Entry.id, Entry.public_id).where(in_force(list_id), holds)
            found.update({row.id: row.public_id for row in session.execute(query)})
    named = tuple(found[one] for one in sorted(found)[:MAX_NAMED])
    return LeftOut(len(found), named, frozenset(found))


def in_force(list_id: int, without: Collection[int] = ()) -> ColumnElement[bool]:
    """The entries of a list that are published; ``without`` are ids of entries that are left out."""
    condition = (Entry.list_id == list_id) & Entry.standing.in_(IN_FORCE)
    if not without:
        return condition
    ids = func.json_each(json.dumps(sorted(without))).table_valued("value")
    return condition & Entry.id.not_in(select(ids.c.value))


def _loader() -> Any:
    """One statement for any number of prefixes, see `entries`."""
    wanted = func.json_each(bindparam("prefixes")).table_valued("value")
    return select(KnownGood.digest).where(
        KnownGood.algorithm == bindparam("algorithm"), KnownGood.p.in_(select(wanted.c.value))
    )


_LOADER = _loader()


def known_good(connection: Connection, digests: Digests) -> set[tuple[Algorithm, bytes]]:
    """Those of ``digests`` that the operator has imported as known-good."""
    wanted: defaultdict[Algorithm, set[bytes]] = defaultdict(set)
    for algorithm, digest in digests:
        wanted[algorithm].add(digest)
    return {(algorithm, one) for algorithm, some in wanted.items() for one in _found(connection, algorithm, some)}


def _found(connection: Connection, algorithm: Algorithm, digests: set[bytes]) -> set[bytes]:
    prefixes = json.dumps(sorted({prefix(one) for one in digests}))
    found = connection.execute(_LOADER, {"algorithm": algorithm.value, "prefixes": prefixes}).scalars()
    return digests.intersection(found)


def innocent(session: Session, entries: Sequence[Entry]) -> set[int]:
    """The ids of those of ``entries`` in force that hold a known-good or trivial digest: nobody is told of them."""
    in_question = [entry for entry in entries if entry.standing in IN_FORCE]
    good = known_good(session.connection(), (pair for entry in in_question for pair in digests_of(entry))) | _TRIVIAL
    return {entry.id for entry in in_question if not good.isdisjoint(digests_of(entry))}


def digests_of(entry: Entry) -> list[tuple[Algorithm, bytes]]:
    """The raw digests that an entry has."""
    every = ((algorithm, getattr(entry, algorithm.value)) for algorithm in Algorithm)
    return [(algorithm, digest) for algorithm, digest in every if digest is not None]


def import_known_good(store: Store, source: Path) -> KnownGoodReport:
    """Add the digests of a plain list to the known-good list: all of it or nothing. 64 hex digits count as both algorithms.

    The self-test file stays known. Raises `UsageError` (bad lines, no digests, cannot be read).
    """
    read = 0
    bad: list[str] = []
    try:
        with io.BufferedReader(io.FileIO(source), 1 << 18) as stream, store.writing() as session:
            for chunk in _chunks(read_list(stream), bad):
                read += len(chunk)
                _add(session.connection(), chunk)
            if bad:
                raise UsageError(f"{source} has bad lines, nothing was imported: {'; '.join(bad)}")
            if not read:
                raise UsageError(f"{source} holds no digest", hint="is it the right file and format?")
            total = session.scalars(select(func.count()).select_from(KnownGood)).one()
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from None
    store.compact_log()
    return KnownGoodReport(read, total)


def _chunks(lines: Iterable[tuple[int, ParsedDigest | BadLine]], bad: list[str]) -> Iterator[list[tuple[Algorithm, bytes]]]:
    """Digests in bulk; after the tenth bad line nothing more is read."""
    chunk: list[tuple[Algorithm, bytes]] = []
    for number, parsed in lines:
        if isinstance(parsed, BadLine):
            bad.append(f"line {number}: {parsed}")
            if len(bad) == _MAX_BAD:
                return
            continue
        chunk += [(algorithm, parsed.digest) for algorithm in parsed.algorithms]
        if len(chunk) >= _CHUNK_LINES:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _add(connection: Connection, chunk: Sequence[tuple[Algorithm, bytes]]) -> None:
    values = [
        {"algorithm": algorithm.value, "p": prefix(digest), "digest": digest}
        for algorithm, digest in chunk
        if (algorithm, digest) not in _SELF_TEST
    ]
    if values:
        connection.execute(insert(KnownGood).prefix_with("OR IGNORE"), values)
