"""How the service is, read from the database and the folder of keys: for load balancers, for people, for metrics."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from hashscan.errors import HashscanError
from hashscan.known.metadata import read_root
from hashscan.service import repository
from hashscan.service.keys import OnlineKeys
from hashscan.service.metrics import Gauge
from hashscan.service.store import Store
from hashscan.service.tables import HashList, Provider, Publication, Repository, Role, ServiceRow
from hashscan.service.tables_back import OutcomeRow
from hashscan.service.tables_out import Budget

ROOT_SOON = 30 * 86_400.0  # seconds before its end that a root is a trouble: a ceremony takes time
OLD = 7 * 86_400.0  # seconds without a publication
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Condition:
    """``broken``: why agents cannot be answered. ``troubles``: what a person should see to meanwhile. Words, no secrets."""

    broken: tuple[str, ...]
    troubles: tuple[str, ...]


def condition(store: Store, keys: OnlineKeys, now: float) -> Condition:
    """Whether this process can answer, and what is on its way to go wrong."""
    broken, troubles = [], []
    try:
        with store.reading() as session:
            session.execute(select(ServiceRow.id)).one()
            oldest = session.scalar(select(func.min(func.coalesce(HashList.published, HashList.created))))
            has_lists = session.scalar(select(func.max(HashList.version))) or 0
    except SQLAlchemyError:
        return Condition(("database",), ())
    try:
        for role in Role:
            keys.signing(role)
    except HashscanError:
        broken.append("online keys")
    try:
        left = root_expires(keys) - now
        if left <= ROOT_SOON:
            troubles.append("the root has expired" if left <= 0 else "the root expires soon")
    except HashscanError:
        troubles.append("there is no root")
    if not has_lists:
        troubles.append("nothing is published")
    elif oldest is not None and now - oldest > OLD:
        troubles.append("a list was not published for a week")
    return Condition(tuple(broken), tuple(troubles))


def root_expires(keys: OnlineKeys) -> float:
    """When the root in force ends, in seconds since 1970. Raises `UsageError` where there is none."""
    return read_root(keys.latest_root()).expires


def gauges(store: Store, keys: OnlineKeys, now: float) -> list[Gauge]:
    """What stands in the database, in one consistent state."""
    with store.reading() as session:
        found = [*_lists(session, now), *_providers(session, now), *_outcomes(session)]
    with suppress(HashscanError):  # there is no root yet: no sample
        found.append(Gauge("root_expires_seconds", "Seconds until the root expires.", (({}, root_expires(keys) - now),)))
    return found


def _lists(session: Session, now: float) -> Iterator[Gauge]:
    lists = session.scalars(select(HashList).order_by(HashList.name)).all()
    rows = session.execute(select(Publication.list_id, func.max(Publication.created)).group_by(Publication.list_id))
    newest = {list_id: created for list_id, created in rows}  # noqa: C416 - dict() of rows is not typed
    yield Gauge("list_version", "The version of a list published last.", tuple(({"list": x.name}, x.version) for x in lists))
    yield Gauge(
        "list_age_seconds",
        "Seconds since the newest version of a list.",
        tuple(({"list": one.name}, now - newest[one.id]) for one in lists if one.id in newest),
    )
    yield Gauge(
        "list_published_seconds",
        "Seconds since a publication last looked at a list, whether it found a change or not.",
        tuple(({"list": one.name}, now - one.published) for one in lists if one.published is not None),
    )


def _providers(session: Session, now: float) -> Iterator[Gauge]:
    phases = session.execute(select(Provider.phase, func.count()).group_by(Provider.phase)).all()
    yield Gauge("providers", "Providers by phase.", tuple(({"phase": phase}, count) for phase, count in phases))
    oldest = session.execute(select(func.min(Repository.targets_issued), func.min(Repository.issued))).first() or (None, None)
    lives: tuple[tuple[str, float | None, float], ...] = (
        ("targets", oldest[0], repository.LIFETIME),
        ("timestamp", oldest[1], repository.TIMESTAMP_LIFETIME),
    )
    yield Gauge(
        "metadata_expires_seconds",
        "Seconds until the oldest signed metadata of a provider expires; the timestamp is signed anew when it is asked for.",
        tuple(({"role": role}, issued + life - now) for role, issued, life in lives if issued is not None),
    )
    day = int(now // _DAY)
    asked = session.scalar(select(func.sum(Budget.asked)).where(Budget.day == day)) or 0
    yield Gauge("budget_taken_today", "Prefixes that were taken out of budgets today (UTC).", (({}, asked),))
    refused = session.scalar(select(func.count()).select_from(Budget).where(Budget.refused_at > now - _DAY)) or 0
    yield Gauge("agents_slowed", "Agents that were slowed by their budget within a day.", (({}, refused),))


def _outcomes(session: Session) -> Iterator[Gauge]:
    rows = session.execute(select(OutcomeRow.action, func.count()).group_by(OutcomeRow.action)).all()
    yield Gauge("outcomes_total", "Outcomes by action.", tuple(({"action": a}, n) for a, n in rows), kind="counter")
