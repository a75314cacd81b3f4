"""What one row of a list means for the entries that are there: a decision, no I/O."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from hashscan.known import selftest
from hashscan.model import Act, Algorithm, Standing

MAX_SOURCES = 64  # names an entry

_TRIVIAL = selftest.trivial_digests()
_SELF_TEST = frozenset((a, selftest.digest(a, selftest.CONTENT)) for a in Algorithm)


class Row(NamedTuple):
    """One known file as a list states it; at least one raw digest."""

    digests: Mapping[Algorithm, bytes]
    size: int | None
    category: str
    act: Act


@dataclass(slots=True, eq=False)
class Known:
    """An entry that is there, or (``id`` 0) one that this import adds. Changed in place by `absorb`."""

    id: int
    digests: dict[Algorithm, bytes]
    size: int | None
    category: str
    act: str
    standing: str
    sources: tuple[str, ...]
    touched: bool = False


class Fate(enum.StrEnum):
    """What becomes of a row. CONFLICT is an addition that disagrees with an entry that shares a digest with it."""

    ADD = "add"
    MERGE = "merge"
    CONFLICT = "conflict"
    TRIVIAL = "trivial"
    SELF_TEST = "self_test"
    WITHDRAWN = "withdrawn"
    KNOWN_GOOD = "known_good"


REFUSALS = {
    Fate.TRIVIAL: "the digest of an empty or trivial file: it would match everywhere",
    Fate.SELF_TEST: "the digest of the self-test file, which every list holds anyway",
    Fate.WITHDRAWN: "the entry was withdrawn here; an import does not bring it back",
    Fate.KNOWN_GOOD: "a digest on this service's known-good list: a file that is harmless and common",
}
CONFLICT_NOTE = "shares a digest with another entry and disagrees in another digest or the size: kept as an entry of its own"


def decide(
    row: Row, sharing: Iterable[Known], good: AbstractSet[tuple[Algorithm, bytes]] = frozenset()
) -> tuple[Fate, Known | None]:
    """The fate of ``row`` given all entries of the list that share a digest with it; for MERGE also the entry.

    ``good`` are the known-good digests among those of the import.

    Of several that agree it is the one that has most digests in common, then the oldest. The others stay as they are: agents
    may hold cases by their ids.
    """
    if not _TRIVIAL.isdisjoint(row.digests.items()):
        return Fate.TRIVIAL, None
    if not _SELF_TEST.isdisjoint(row.digests.items()):
        return Fate.SELF_TEST, None
    if not good.isdisjoint(row.digests.items()):
        return Fate.KNOWN_GOOD, None
    best: Known | None = None
    best_rank = (0, 0)
    any_sharing = False
    for known in sharing:
        any_sharing = True
        common = _agreement(row, known)
        if not common:
            continue
        if known.standing == Standing.WITHDRAWN:
            return Fate.WITHDRAWN, None
        rank = (common, -known.id if known.id else -(1 << 62))
        if best is None or rank > best_rank:
            best, best_rank = known, rank
    if best is not None:
        return Fate.MERGE, best
    return (Fate.CONFLICT if any_sharing else Fate.ADD), None


def _agreement(row: Row, known: Known) -> int:
    """How many digests agree; 0 where any digest or the size disagrees."""
    if row.size is not None and known.size is not None and row.size != known.size:
        return 0
    common = 0
    for algorithm, digest in row.digests.items():
        other = known.digests.get(algorithm)
        if other is not None:
            if other != digest:
                return 0
            common += 1
    return common


def added(row: Row, source: str) -> Known:
    """The new entry that ``row`` makes."""
    return Known(0, dict(row.digests), row.size, row.category, row.act, Standing.ACTIVE, (source,))


def absorb(known: Known, row: Row, source: str) -> bool:
    """Take into ``known`` what ``row`` adds; whether that changed anything.

    Missing digests and the size are filled in. The newest import states category and act. The standing never changes here.
    """
    before = (len(known.digests), known.size, known.category, known.act, known.sources)
    known.digests.update(row.digests)
    if known.size is None:
        known.size = row.size
    known.category, known.act = row.category, row.act
    if source not in known.sources and len(known.sources) < MAX_SOURCES:
        known.sources = tuple(sorted({*known.sources, source}))
    changed = before != (len(known.digests), known.size, known.category, known.act, known.sources)
    known.touched |= changed
    return changed
