"""Numbers over findings. Pure: sums and a time come in, figures go out; nobody is named here who was not in them."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from hashscan.service.monitor.findings import IN_PLACE, FindingState

NORM = 86_400.0  # seconds: removal within 24 hours
MAX_OPEN_SHOWN = 1000


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
class Sum:
    """What `Group` is made of, for one agent or for several together.

    ``times`` are seconds from first sight to removal without those in doubt, as sequences of which each ascends.
    """

    states: Counter[str] = field(default_factory=Counter)
    open: Counter[str] = field(default_factory=Counter)
    void: int = 0
    disputed: int = 0
    overdue: int = 0
    oldest: float | None = None
    proved: int = 0
    doubtful: int = 0
    times: list[Sequence[float]] = field(default_factory=list)

    def take(self, other: Sum) -> None:
        """Add another one."""
        self.states.update(other.states)
        self.open.update(other.open)
        self.void += other.void
        self.disputed += other.disputed
        self.overdue += other.overdue
        self.proved += other.proved
        self.doubtful += other.doubtful
        self.times += other.times
        if other.oldest is not None and (self.oldest is None or other.oldest < self.oldest):
            self.oldest = other.oldest

    def removals(self) -> Removals:
        """See `Removals`."""
        count = sum(map(len, self.times))
        within = sum(bisect_right(one, NORM) for one in self.times)
        return Removals(
            count,
            self.doubtful,
            percentile(self.times, 50),
            percentile(self.times, 95),
            within / count if count else None,
            self.proved / count if count else None,
        )

    def group(self, key: str, now: float) -> Group:
        """See `Group`."""
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


def percentile(several: Sequence[Sequence[float]], percent: int) -> float | None:
    """The nearest rank: the smallest value that at least ``percent`` of all do not exceed; None where there are none.

    Each sequence ascends. They are not put together: a value in the middle is chosen, those below are counted by halving, and
    what cannot be it is left out, at least a quarter of what was left.
    """
    windows = [(one, 0, len(one)) for one in several]
    rank = max(1, math.ceil(percent * sum(map(len, several)) / 100))
    while (pivot := _middle(windows)) is not None:
        below = [bisect_left(one, pivot) for one in several]
        up_to = [bisect_right(one, pivot) for one in several]
        if rank <= sum(below):
            windows = [(one, low, min(high, end)) for (one, low, high), end in zip(windows, below, strict=True)]
        elif rank > sum(up_to):
            windows = [(one, max(low, start), high) for (one, low, high), start in zip(windows, up_to, strict=True)]
        else:
            return pivot
    return None


def _middle(windows: Sequence[tuple[Sequence[float], int, int]]) -> float | None:
    """The middle of the middles of all windows, each of which counts for as many values as it has; None where all are empty."""
    middles = sorted((one[(low + high) // 2], high - low) for one, low, high in windows if low < high)
    half = sum(count for _, count in middles) / 2
    for value, count in middles:
        half -= count
        if half <= 0:
            return value
    return None


def groups(sums: Iterable[tuple[str, Sum]], now: float) -> tuple[Group, ...]:
    """A group for each key; sums with the same key are added up. Most overdue first, then most open, then by name."""
    together: defaultdict[str, Sum] = defaultdict(Sum)
    for key, one in sums:
        together[key].take(one)
    made = [one.group(key, now) for key, one in together.items()]
    return tuple(sorted(made, key=lambda one: (-one.overdue, -one.open, one.key)))


def total(sums: Iterable[Sum], now: float) -> Group:
    """All in one group."""
    summed = Sum()
    for one in sums:
        summed.take(one)
    return summed.group("all", now)


def spans(came_by_day: Counter[int], went_by_day: Counter[int], days: int = 1) -> tuple[Span, ...]:
    """Days (1) or weeks from Monday (7), from the first with something to the last, the empty ones between included.

    What comes in is counted by days since 1970.
    """
    came, went = (_buckets(one, days) for one in (came_by_day, went_by_day))
    if not came:
        return ()
    numbers = range(min(came), max([*came, *went]) + 1, days)
    return tuple(Span(_iso(number), came[number], went[number]) for number in numbers)


def _buckets(by_day: Counter[int], days: int) -> Counter[int]:
    """The same by the first day of the bucket; 1970 began on a Thursday, weeks begin on a Monday."""
    found: Counter[int] = Counter()
    for day, count in by_day.items():
        found[day if days == 1 else day - (day + 3) % 7] += count
    return found


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
