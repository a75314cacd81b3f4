"""Numbers over findings. Pure: rows and a time come in, figures go out; nobody is named here who was not in the rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, TypeVar

from hashscan.service.monitor.findings import IN_PLACE, FindingState

NORM = 86_400.0  # seconds: removal within 24 hours
MAX_OPEN_SHOWN = 1000
Key = TypeVar("Key", bound=Hashable)


class Sighting(NamedTuple):
    """One finding as figures need it; times as in `tables_back.FindingRow`.

    ``void``: its entry is not in force (withdrawn since). ``disputed``: its entry is in doubt, for everybody or for this
    provider.
    """

    provider: str
    country: str
    site: str
    list: str
    entry: str
    state: FindingState
    void: bool
    disputed: bool
    first_seen: float
    opened: float
    removed: float | None
    removed_told: float | None
    doubt: str

    @property
    def is_open(self) -> bool:
        """Whether the file is where it was found, and should not be."""
        return self.state in IN_PLACE and not self.void


@dataclass(frozen=True, slots=True)
class Removals:
    """Times from first sight to removal in seconds, None where there are none to count.

    ``doubtful`` removals have times that cannot be true and are in no other number here. ``within_norm`` is the share (0 to 1)
    that agents say they removed in `NORM`, ``proved`` the share of which they also told so in that time, by our clock.
    """

    count: int
    doubtful: int
    median: float | None
    p95: float | None
    within_norm: float | None
    proved: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """What there is of one provider, country, site, or of all. ``removed`` counts what is away now, not what was restored.

    ``open`` is ``reported`` + ``held`` + ``failed`` without those whose entry was withdrawn (``void``); ``overdue`` are open
    for longer than `NORM` and not ``disputed``. ``oldest_open`` is an age in seconds.
    """

    key: str
    findings: int
    open: int
    overdue: int
    disputed: int
    reported: int
    held: int
    failed: int
    removed: int
    restored: int
    void: int
    oldest_open: float | None
    removals: Removals


@dataclass(frozen=True, slots=True)
class Span:
    """A day or a week by our clock, named by its first day (ISO date, UTC): what came in, and what was told as removed."""

    start: str
    findings: int
    removed: int


@dataclass(frozen=True, slots=True)
class OpenFinding:
    """A file that is still where it was found. ``age`` in seconds since first sight."""

    provider: str
    country: str
    site: str
    list: str
    entry: str
    state: FindingState
    age: float
    overdue: bool
    disputed: bool
    doubt: str


@dataclass(slots=True)
class _Sum:
    """What `groups` adds up while it goes through the rows once."""

    states: Counter[FindingState] = field(default_factory=Counter)
    open: Counter[FindingState] = field(default_factory=Counter)
    void: int = 0
    disputed: int = 0
    overdue: int = 0
    oldest: float | None = None
    times: list[float] = field(default_factory=list)
    proved: int = 0
    doubtful: int = 0

    def add(self, row: Sighting, now: float) -> None:
        self.states[row.state] += 1
        if row.state in IN_PLACE:
            self._add_in_place(row, now)
        if row.removed is not None:
            self._add_removal(row, row.removed)

    def _add_in_place(self, row: Sighting, now: float) -> None:
        if row.void:
            self.void += 1
            return
        self.open[row.state] += 1
        self.disputed += row.disputed
        self.overdue += overdue(row, now)
        if self.oldest is None or row.first_seen < self.oldest:
            self.oldest = row.first_seen

    def _add_removal(self, row: Sighting, removed: float) -> None:
        if row.doubt:
            self.doubtful += 1
            return
        self.times.append(removed - row.first_seen)
        self.proved += row.removed_told is not None and row.removed_told - row.first_seen <= NORM

    def removals(self) -> Removals:
        count = len(self.times)
        ordered = sorted(self.times)
        within = sum(one <= NORM for one in ordered)
        return Removals(
            count,
            self.doubtful,
            percentile(ordered, 50),
            percentile(ordered, 95),
            within / count if count else None,
            self.proved / count if count else None,
        )

    def group(self, key: str, now: float) -> Group:
        return Group(
            key=key,
            findings=sum(self.states.values()),
            open=sum(self.open.values()),
            overdue=self.overdue,
            disputed=self.disputed,
            reported=self.open[FindingState.REPORTED],
            held=self.open[FindingState.HELD],
            failed=self.open[FindingState.FAILED],
            removed=self.states[FindingState.REMOVED],
            restored=self.states[FindingState.RESTORED],
            void=self.void,
            oldest_open=None if self.oldest is None else max(0.0, now - self.oldest),
            removals=self.removals(),
        )


def overdue(row: Sighting, now: float) -> bool:
    """Whether the file is in its place longer than the norm allows, and nobody disputes that it should go."""
    return row.is_open and not row.disputed and now - row.first_seen > NORM


def percentile(ordered: Sequence[float], percent: int) -> float | None:
    """The nearest rank: the smallest value that at least ``percent`` of all do not exceed. ``ordered`` ascends."""
    return ordered[max(0, math.ceil(percent * len(ordered) / 100) - 1)] if ordered else None


def groups(rows: Iterable[Sighting], by: Callable[[Sighting], str], now: float) -> tuple[Group, ...]:
    """A group for each value of ``by``: most overdue first, then most open, then by name."""
    sums: defaultdict[str, _Sum] = defaultdict(_Sum)
    for row in rows:
        sums[by(row)].add(row, now)
    made = [one.group(key, now) for key, one in sums.items()]
    return tuple(sorted(made, key=lambda one: (-one.overdue, -one.open, one.key)))


def total(rows: Iterable[Sighting], now: float) -> Group:
    """All in one group."""
    summed = _Sum()
    for row in rows:
        summed.add(row, now)
    return summed.group("all", now)


def spans(rows: Iterable[Sighting], days: int = 1) -> tuple[Span, ...]:
    """Days (1) or weeks from Monday (7), from the first with something to the last, the empty ones between included."""
    came: Counter[int] = Counter()
    went: Counter[int] = Counter()
    for row in rows:
        came[_bucket(row.opened, days)] += 1
        if row.removed_told is not None:
            went[_bucket(row.removed_told, days)] += 1
    if not came:
        return ()
    numbers = range(min(came), max([*came, *went]) + 1, days)
    return tuple(Span(_iso(number), came[number], went[number]) for number in numbers)


def _bucket(at: float, days: int) -> int:
    """The first day of the bucket, in days since 1970, which began on a Thursday: weeks begin on a Monday."""
    day = int(at // 86_400)
    return day if days == 1 else day - (day + 3) % 7


def _iso(day: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)).date().isoformat()


def open_findings(rows: Iterable[Sighting], now: float, at_most: int = MAX_OPEN_SHOWN) -> tuple[OpenFinding, ...]:
    """What is still in its place: overdue first, the oldest first."""
    found = sorted((row for row in rows if row.is_open), key=lambda row: (not overdue(row, now), row.first_seen, row.entry))
    return tuple(_open(found[:at_most], now))


def _open(rows: Iterable[Sighting], now: float) -> Iterator[OpenFinding]:
    for row in rows:
        yield OpenFinding(
            row.provider,
            row.country,
            row.site,
            row.list,
            row.entry,
            row.state,
            max(0.0, now - row.first_seen),
            overdue(row, now),
            row.disputed,
            row.doubt,
        )
