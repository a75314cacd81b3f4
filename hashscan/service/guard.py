"""The known-good guard: digests that no list may hold, because they would match files everywhere.

Two kinds: trivial contents (`selftest.TRIVIAL`), and what the operator imports (NSRL, stock trees of content systems). Imports
refuse them, publications and answers leave entries out that hold one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, bindparam, literal, select, union_all
from sqlalchemy.orm import Session

from hashscan.known import selftest
from hashscan.model import Algorithm, Standing
from hashscan.service.asking import Asking, Statement
from hashscan.service.dialects import among, insert_missing, integers
from hashscan.service.tables import DIGEST_COLUMNS, Entry, KnownGood, prefix

IN_FORCE = (Standing.ACTIVE, Standing.DISPUTED)
"""Whose digests are in filters; the self-test entry is there besides, the withdrawn are left out."""

MAX_NAMED = 10  # entries that were left out, in a report
_SELF_TEST = frozenset((one, selftest.digest(one, selftest.CONTENT)) for one in Algorithm)
_TRIVIAL = selftest.trivial_digests()

_BY_CODE = {one.code[0]: one for one in Algorithm}

Digests = Iterable[tuple[Algorithm, bytes]]


class Held(Protocol):
    """What of an entry is looked at here, wherever it was read from; it has a digest of each algorithm by name, or None."""

    @property
    def id(self) -> int:
        """That of the database."""

    @property
    def standing(self) -> str:
        """A `Standing`."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """The entries of a list in force that are on the known-good list: how many, and the public ids of the first of them."""

    count: int = 0
    named: tuple[str, ...] = ()
    ids: frozenset[int] = frozenset()


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
    return condition & ~among(Entry.id, integers(value=without))


def _loader() -> Any:
    """One statement for any number of prefixes, see `entries`."""
    return select(KnownGood.digest).where(
        KnownGood.algorithm == bindparam("algorithm"), among(KnownGood.p, integers("prefixes"))
    )


_LOADER = _loader()


def known_good(connection: Connection, digests: Digests) -> set[tuple[Algorithm, bytes]]:
    """Those of ``digests`` that the operator has imported as known-good."""
    wanted: defaultdict[Algorithm, set[bytes]] = defaultdict(set)
    for algorithm, digest in digests:
        wanted[algorithm].add(digest)
    return {(algorithm, one) for algorithm, some in wanted.items() for one in _found(connection, algorithm, some)}


def _found(connection: Connection, algorithm: Algorithm, digests: set[bytes]) -> set[bytes]:
    prefixes = {prefix(one) for one in digests}
    found = connection.execute(_LOADER, {"algorithm": algorithm.value, "prefixes": prefixes}).scalars()
    return digests.intersection(found)


_GOOD = Statement(
    union_all(
        *(
            select(literal(algorithm.code[0]), KnownGood.digest).where(
                KnownGood.algorithm == algorithm.value, among(KnownGood.p, integers(algorithm.value))
            )
            for algorithm in Algorithm
        )
    )
)


def innocent(asking: Asking, entries: Iterable[Held]) -> set[int]:
    """The ids of those of ``entries`` in force that hold a known-good or trivial digest: nobody is told of them."""
    held = {entry.id: digests_of(entry) for entry in entries if entry.standing in IN_FORCE}
    if not held:
        return set()
    wanted: dict[str, set[int]] = {algorithm.value: set() for algorithm in Algorithm}
    for pairs in held.values():
        for algorithm, digest in pairs:
            wanted[algorithm.value].add(prefix(digest))
    good = {(_BY_CODE[code], bytes(digest)) for code, digest in asking.rows(_GOOD, **wanted)} | _TRIVIAL
    return {one for one, pairs in held.items() if not good.isdisjoint(pairs)}


def digests_of(entry: Held) -> list[tuple[Algorithm, bytes]]:
    """The raw digests that an entry has."""
    every = ((algorithm, getattr(entry, algorithm.value)) for algorithm in Algorithm)
    return [(algorithm, digest) for algorithm, digest in every if digest is not None]


def add(connection: Connection, chunk: Sequence[tuple[Algorithm, bytes]]) -> None:
    """Make these digests known-good; the self-test file stays known."""
    values = [
        {"algorithm": algorithm.value, "p": prefix(digest), "digest": digest}
        for algorithm, digest in chunk
        if (algorithm, digest) not in _SELF_TEST
    ]
    if values:
        insert_missing(connection, KnownGood, values)
