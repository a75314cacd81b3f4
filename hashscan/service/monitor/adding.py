"""What the figures are made of, added up by the database: a million findings are never rows of this program.

Counts come by provider and agent, of which providers, countries and sites are made; removal times come as sorted arrays of each
agent. What a group says is defined in `figures`; a test compares it with counting row by row.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, case, exists, func, literal_column, or_, select
from sqlalchemy.orm import Session

from hashscan.model import Standing
from hashscan.service.asking import Statement, quick_rows
from hashscan.service.dialects import among, day_of, integers
from hashscan.service.disputing.rules import DisputeState
from hashscan.service.monitor.figures import NORM, Sum
from hashscan.service.monitor.findings import IN_PLACE
from hashscan.service.tables import Entry
from hashscan.service.tables_back import ComplaintRow, DisputeRow, FindingRow

Agent = tuple[int, int | None]
"""The ids of a provider and of the API key that told, None where that is not known."""

_BY = (FindingRow.provider_id, FindingRow.api_key_id, FindingRow.state)  # in the order of the index `finding_figures`
_IN_PLACE = FindingRow.state.in_(sorted(IN_PLACE))


@dataclass(frozen=True, slots=True)
class Days:
    """How many findings came in and how many removals were told, by the day (days since 1970)."""

    came: Counter[int]
    went: Counter[int]


def meant(*, since: float | None, until: float | None, list_name: str | None, agents: ColumnElement[bool] | None) -> Any:
    """The findings of a selection as a condition; those of the self-test are none.

    A sum, not the bare column: a range of that tempts SQLite to the index by time, and to a look into the table for each row.
    """
    at = FindingRow.opened + 0.0
    conditions = [or_(FindingRow.entry_id.is_(None), FindingRow.entry_id.not_in(_entries_that_are(Standing.TEST)))]
    conditions += [at >= since] if since is not None else []
    conditions += [at < until] if until is not None else []
    conditions += [FindingRow.list_name == list_name] if list_name is not None else []
    conditions += [agents] if agents is not None else []
    return and_(*conditions)


def _entries_that_are(standing: Standing) -> Any:
    """Their ids, by the index of those that are not active: its condition must stand here as it stands there."""
    return select(Entry.id).where(literal_column("entry.standing <> 'active'"), Entry.standing == standing.value)


def is_void() -> ColumnElement[int]:
    """1 where the entry was withdrawn."""
    return case((FindingRow.entry_id.in_(_entries_that_are(Standing.WITHDRAWN)), 1), else_=0)


def is_disputed() -> ColumnElement[int]:
    """1 where the entry is in doubt, for everybody or for the provider of the finding by its own complaint."""
    stopped = (
        select(DisputeRow.entry_id)
        .join(ComplaintRow, ComplaintRow.dispute_id == DisputeRow.id)
        .where(ComplaintRow.pauses, DisputeRow.state == DisputeState.OPEN.value, ComplaintRow.provider_id.is_not(None))
    )
    mine = stopped.where(ComplaintRow.provider_id == FindingRow.provider_id, DisputeRow.entry_id == FindingRow.entry_id)
    return case(
        (FindingRow.entry_id.in_(_entries_that_are(Standing.DISPUTED)), 1),
        (and_(FindingRow.entry_id.in_(stopped), exists(mine.correlate(FindingRow))), 1),
        else_=0,
    )


def is_overdue(now: float) -> ColumnElement[int]:
    """1 where an open finding is overdue, as `figures.overdue` says; of others it says nothing."""
    return case((and_(is_disputed() == 0, now - FindingRow.first_seen > NORM), 1), else_=0)


def sums(session: Session, condition: Any, now: float) -> Mapping[Agent, Sum]:
    """Of every agent with findings, in four passes over an index that holds all that is needed."""
    found: dict[Agent, Sum] = {}
    timed = and_(FindingRow.removed.is_not(None), FindingRow.doubt == "")
    query = select(
        *_BY,
        func.count(),
        func.count().filter(and_(FindingRow.removed.is_not(None), FindingRow.doubt != "")),
        func.count().filter(and_(timed, FindingRow.removed_told - FindingRow.first_seen <= NORM)),
    )
    for provider, key, state, count, doubtful, proved in session.execute(query.where(condition).group_by(*_BY)):
        one = found.setdefault((provider, key), Sum())
        one.states[state] += count
        one.doubtful += doubtful
        one.proved += proved
    _add_open(session, condition, now, found)
    times = _Times(session, and_(condition, timed))
    for agent, one in found.items():
        one.times.append(times.of(agent))
    return found


def _add_open(session: Session, condition: Any, now: float, found: Mapping[Agent, Sum]) -> None:
    row = (
        select(*_BY, FindingRow.first_seen, is_void().label("void"), is_disputed().label("disputed"))
        .where(condition, _IN_PLACE)
        .subquery()
    )
    there = row.c.void == 0
    late = and_(there, row.c.disputed == 0, now - row.c.first_seen > NORM)
    by = (row.c.provider_id, row.c.api_key_id, row.c.state)
    query = select(
        *by,
        func.count().filter(there),
        func.count().filter(row.c.void == 1),
        func.count().filter(and_(there, row.c.disputed == 1)),
        func.count().filter(late),
        func.min(row.c.first_seen).filter(there),
    ).group_by(*by)
    for provider, key, state, still, void, disputed, overdue, oldest in session.execute(query):
        more = Sum(open=Counter({state: still}), void=void, disputed=disputed, overdue=overdue, oldest=oldest)
        found[provider, key].take(more)


class _Times:
    """Seconds from first sight to removal of one agent after the other: eight bytes each, ascending."""

    def __init__(self, session: Session, condition: Any) -> None:
        self._connection = session.connection()
        query = select(FindingRow.removed - FindingRow.first_seen).where(
            FindingRow.provider_id == bindparam("provider"), condition
        )
        self._of_key = Statement(query.where(FindingRow.api_key_id == bindparam("key")))
        self._of_nobody = Statement(query.where(FindingRow.api_key_id.is_(None)))

    def of(self, agent: Agent) -> Sequence[float]:
        provider, key = agent
        statement = self._of_nobody if key is None else self._of_key
        rows = quick_rows(self._connection, statement, provider=provider, key=key)
        return array("d", sorted(map(itemgetter(0), rows)))


def by_day(session: Session, condition: Any) -> Days:
    """What came and what went, each day."""
    came, went = day_of(FindingRow.opened), day_of(FindingRow.removed_told)
    query = select(came, went, func.count()).where(condition).group_by(came, went)
    days = Days(Counter(), Counter())
    for first, last, count in session.execute(query):
        days.came[first] += count
        if last is not None:
            days.went[last] += count
    return days


def of_agents(agents: Iterable[Agent]) -> ColumnElement[bool]:
    """Findings that one of these told."""
    agents = list(agents)
    providers = {provider for provider, _ in agents}
    provider = providers.pop() if len(providers) == 1 else None  # then a part of the index is all that is read
    keys = [key for _, key in agents if key is not None]
    nobodies = [one for one, key in agents if key is None]
    nobody = and_(FindingRow.api_key_id.is_(None), among(FindingRow.provider_id, integers(value=nobodies)))
    theirs = or_(among(FindingRow.api_key_id, integers(value=keys)), nobody)
    return theirs if provider is None else and_(FindingRow.provider_id == provider, theirs)


def longest_open(condition: Any, now: float, at_most: int) -> Any:
    """The ids of what is still in its place, as a subquery: overdue first, the oldest first."""
    order = (is_overdue(now).desc(), FindingRow.first_seen, FindingRow.entry, FindingRow.id)
    return select(FindingRow.id).where(condition, _IN_PLACE, is_void() == 0).order_by(*order).limit(at_most)
