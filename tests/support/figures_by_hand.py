"""The figures of the monitor counted row by row: what they mean. The service has the database add up (`monitor.adding`)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hashscan.model import Standing
from hashscan.service.disputing.rules import DisputeState
from hashscan.service.monitor.fetching import Selection
from hashscan.service.monitor.figures import NORM, Group, Removals, Sighting, Span, overdue
from hashscan.service.monitor.findings import IN_PLACE, FindingState
from hashscan.service.monitor.spread import EDGES, Spread
from hashscan.service.tables import ApiKey, Entry, Provider
from hashscan.service.tables_back import ComplaintRow, DisputeRow, FindingRow

_country = func.coalesce(ApiKey.country, Provider.country, "")


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


def spread(rows: Iterable[Sighting], edges: tuple[float, ...] = EDGES) -> Spread:
    """The removals among ``rows``. A time of exactly an edge counts below it: 24 hours are within the norm."""
    counts = [0] * (len(edges) + 1)
    for row in rows:
        if row.removed is not None and not row.doubt:
            counts[bisect_left(edges, row.removed - row.first_seen)] += 1
    return Spread(edges, tuple(counts))


def sightings(session: Session, selection: Selection, shown: Mapping[str, str], *, sites: bool) -> Iterator[Sighting]:
    """The findings that are selected, in no order; the self-test's are none.

    ``shown`` is what each provider is called; without ``sites`` they are left out.
    """
    paused = _paused(session)
    for row in session.execute(_findings(selection).execution_options(yield_per=10_000)):
        (provider_id, name, country, site, list_name, entry, entry_id, standing, state, *times) = row
        yield Sighting(
            shown[name],
            country,
            site or "" if sites else "",
            list_name,
            entry,
            FindingState(state),
            standing == Standing.WITHDRAWN,
            standing == Standing.DISPUTED or (provider_id, entry_id) in paused,
            *times,
        )


def _findings(selection: Selection) -> Any:
    query: Any = (  # its type has no name: more columns than SQLAlchemy has types for
        select(
            FindingRow.provider_id, Provider.name, _country, ApiKey.site, FindingRow.list_name, FindingRow.entry,
            FindingRow.entry_id, Entry.standing, FindingRow.state, FindingRow.first_seen, FindingRow.opened,
            FindingRow.removed, FindingRow.removed_told, FindingRow.doubt,
        )
        .join(Provider, Provider.id == FindingRow.provider_id)
        .outerjoin(ApiKey, ApiKey.id == FindingRow.api_key_id)
        .outerjoin(Entry, Entry.id == FindingRow.entry_id)
        .where(func.coalesce(Entry.standing, "") != Standing.TEST)
    )  # fmt: skip
    if selection.since is not None:
        query = query.where(FindingRow.opened >= selection.since)
    if selection.until is not None:
        query = query.where(FindingRow.opened < selection.until)
    if selection.list is not None:
        query = query.where(FindingRow.list_name == selection.list)
    if selection.provider is not None:
        query = query.where(Provider.name == selection.provider)
    if selection.country is not None:
        query = query.where(_country == selection.country)
    return query


def _paused(session: Session) -> frozenset[tuple[int, int]]:
    """Which provider's own complaint pauses which entry: (provider, entry) ids."""
    query = (
        select(ComplaintRow.provider_id, DisputeRow.entry_id)
        .join(DisputeRow, DisputeRow.id == ComplaintRow.dispute_id)
        .where(ComplaintRow.pauses, DisputeRow.state == DisputeState.OPEN)
    )
    return frozenset((one, other) for one, other in session.execute(query) if one is not None)
