"""What the operator sees: how many entries, which filters are in force, what providers report."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hashscan.service.quotas import DAY
from hashscan.service.store import Store
from hashscan.service.tables import ApiKey, Entry, HashList, Provider, Publication, ServiceRow
from hashscan.service.tables_back import OutcomeRow
from hashscan.service.tables_out import Budget


@dataclass(frozen=True, slots=True)
class ListStats:
    """One list: entries by standing (the self-test entry is ``test``), the version in force (0: none), outcomes by action."""

    id: str
    version: int
    entries: Mapping[str, int]
    outcomes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ProviderStats:
    """One provider; ``published`` and ``last_outcome`` in seconds since 1970, None for never; outcomes by action.

    ``slowest_act`` is the longest time in seconds from first seen to quarantined: the 24-hour norm. ``asked_today`` counts the
    prefixes taken out of the budgets of its agents, ``slowed`` the requests that found one empty, ``slowed_at`` the last time.
    """

    name: str
    phase: str
    epoch: int
    published: float | None
    outcomes: Mapping[str, int]
    last_outcome: float | None
    slowest_act: float | None
    asked_today: int = 0
    slowed: int = 0
    slowed_at: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceStats:
    """The whole service."""

    name: str
    lists: tuple[ListStats, ...]
    providers: tuple[ProviderStats, ...]


def stats(store: Store) -> ServiceStats:
    """Counted now, in one consistent state (1.4 M entries: about a second)."""
    with store.reading() as session:
        name = session.scalars(select(ServiceRow.name)).one()
        return ServiceStats(name, _lists(session), _providers(session))


def _lists(session: Session) -> tuple[ListStats, ...]:
    entries: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for list_id, standing, count in session.execute(
        select(Entry.list_id, Entry.standing, func.count()).group_by(Entry.list_id, Entry.standing)
    ):
        entries[list_id][standing] = count
    outcomes: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for name, action, count in session.execute(
        select(OutcomeRow.list_name, OutcomeRow.action, func.count()).group_by(OutcomeRow.list_name, OutcomeRow.action)
    ):
        outcomes[name][action] = count
    lists = session.scalars(select(HashList).order_by(HashList.name))
    return tuple(ListStats(one.name, one.version, entries[one.id], outcomes[one.name]) for one in lists)


def _providers(session: Session) -> tuple[ProviderStats, ...]:
    outcomes: defaultdict[int, dict[str, int]] = defaultdict(dict)
    for provider_id, action, count in session.execute(
        select(OutcomeRow.provider_id, OutcomeRow.action, func.count()).group_by(OutcomeRow.provider_id, OutcomeRow.action)
    ):
        outcomes[provider_id][action] = count
    return tuple(_provider(session, one, outcomes[one.id]) for one in session.scalars(select(Provider).order_by(Provider.name)))


def _provider(session: Session, provider: Provider, outcomes: Mapping[str, int]) -> ProviderStats:
    of_provider = OutcomeRow.provider_id == provider.id
    slowest = select(func.max(OutcomeRow.acted_at - OutcomeRow.first_seen)).where(
        of_provider, OutcomeRow.action == "quarantined"
    )
    asked, slowed, slowed_at = _budgets(session, provider.id)
    return ProviderStats(
        name=provider.name,
        phase=provider.phase,
        epoch=provider.epoch,
        published=session.scalar(select(func.max(Publication.created)).where(Publication.provider_id == provider.id)),
        outcomes=outcomes,
        last_outcome=session.scalar(select(func.max(OutcomeRow.received)).where(of_provider)),
        slowest_act=session.scalar(slowest),
        asked_today=asked,
        slowed=slowed,
        slowed_at=slowed_at,
    )


def _budgets(session: Session, provider_id: int) -> tuple[int, int, float | None]:
    """Of the agents of a provider: prefixes taken today, requests that were slowed, the last time."""
    query = select(Budget).join(ApiKey, ApiKey.id == Budget.api_key_id).where(ApiKey.provider_id == provider_id)
    rows = session.scalars(query).all()
    day = int(time.time() // DAY)
    slowed_at = max((one.refused_at for one in rows if one.refused_at is not None), default=None)
    return sum(one.asked for one in rows if one.day == day), sum(one.refused for one in rows), slowed_at
