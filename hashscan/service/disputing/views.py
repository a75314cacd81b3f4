"""Disputes as people look at them, and what providers did about findings of an entry. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hashscan.model import Standing
from hashscan.service.actors import Actor, Deed, require, sees_name
from hashscan.service.disputing import acts, rules
from hashscan.service.disputing.rules import DisputeState, Opinion, Voice
from hashscan.service.monitor.findings import FindingState
from hashscan.service.monitor.pseudonyms import pseudonyms
from hashscan.service.tables import ApiKey, Entry, HashList, History, Provider, Publication
from hashscan.service.tables_back import ComplaintRow, DisputeRow, FindingRow

MAX_SHOWN = 500  # disputes in one view


@dataclass(frozen=True, slots=True)
class Line:
    """One dispute in a list. ``age`` in seconds, to the decision or until now; ``alone_by`` "" unless one person withdrew."""

    id: str
    list_id: str
    entry: str
    category: str
    standing: Standing
    state: DisputeState
    opened: float
    age: float
    overdue: bool
    complaints: int
    to_confirm: int
    to_withdraw: int
    alone_by: str


@dataclass(frozen=True, slots=True)
class Said:
    """A complaint: ``by`` a person, or a provider under the name that the viewer may see; ``pauses`` it for that provider."""

    by: str
    at: float
    reason: str
    pauses: bool


@dataclass(frozen=True, slots=True)
class Happened:
    """A line of the history of the entry."""

    at: float
    what: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Acted:
    """What one provider did about an entry: ``findings`` in all, of them ``restored``, ``quarantined`` still, or left in place.

    ``last_seen`` is the day (days since 1970) on which an agent of it was last heard of, None for never; ``heard``: one was
    since the entry last changed its standing, so it can know.
    """

    provider: str
    findings: int
    restored: int
    quarantined: int
    in_place: int
    last_seen: int | None
    heard: bool


@dataclass(frozen=True, slots=True)
class Detail:
    """One dispute with everything around it. ``opinions`` are those that count, ``history`` has all, the oldest first."""

    line: Line
    complaints: tuple[Said, ...]
    opinions: tuple[Voice, ...]
    history: tuple[Happened, ...]
    acted: tuple[Acted, ...]


def disputes(session: Session, actor: Actor, now: float, *, every: bool = False) -> tuple[Line, ...]:
    """Open disputes, the oldest first; with ``every`` the decided ones too, the newest first. At most `MAX_SHOWN`.

    Raises `NotAllowedError`.
    """
    require(actor, Deed.SEE_DISPUTES)
    query = select(DisputeRow, Entry, HashList.name).join(Entry, Entry.id == DisputeRow.entry_id)
    query = query.join(HashList, HashList.id == Entry.list_id)
    query = (
        query.order_by(DisputeRow.opened.desc(), DisputeRow.id.desc())
        if every
        else query.where(DisputeRow.state == DisputeState.OPEN).order_by(DisputeRow.opened, DisputeRow.id)
    )
    rows = session.execute(query.limit(MAX_SHOWN)).all()
    counted = select(ComplaintRow.dispute_id, func.count()).group_by(ComplaintRow.dispute_id)
    counts = dict(session.execute(counted).all())
    return tuple(_line(session, row, entry, name, counts.get(row.id, 0), now) for row, entry, name in rows)


def detail(session: Session, actor: Actor, dispute_id: str, now: float) -> Detail:
    """One dispute. Raises `NotAllowedError`, `NoSuchDisputeError`."""
    require(actor, Deed.SEE_DISPUTES)
    row = acts.find(session, dispute_id)
    entry = session.get_one(Entry, row.entry_id)
    list_name = session.get_one(HashList, entry.list_id).name
    complaints = session.execute(
        select(ComplaintRow, Provider.name)
        .outerjoin(Provider, Provider.id == ComplaintRow.provider_id)
        .where(ComplaintRow.dispute_id == row.id)
        .order_by(ComplaintRow.id)
    ).all()
    shown = _naming(session, actor)
    history = session.scalars(select(History).where(History.entry_id == entry.id).order_by(History.id))
    return Detail(
        _line(session, row, entry, list_name, len(complaints), now),
        tuple(Said(shown(name) if name else one.by, one.at, one.reason, one.pauses) for one, name in complaints),
        tuple(rules.counting(acts.voices(session, row)).values()),
        tuple(Happened(one.at, one.what, _who(one, shown), one.reason) for one in history),
        acted_on(session, actor, entry),
    )


def acted_on(session: Session, actor: Actor, entry: Entry) -> tuple[Acted, ...]:
    """Every provider that has a finding of ``entry``, and those that it was published to and who were not heard of since."""
    counts: defaultdict[int, dict[str, int]] = defaultdict(dict)
    grouped = select(FindingRow.provider_id, FindingRow.state, func.count()).where(FindingRow.entry_id == entry.id)
    for provider_id, state, count in session.execute(grouped.group_by(FindingRow.provider_id, FindingRow.state)):
        counts[provider_id][state] = count
    published = set(session.scalars(select(Publication.provider_id).where(Publication.list_id == entry.list_id).distinct()))
    last_days = select(ApiKey.provider_id, func.max(ApiKey.used_day)).group_by(ApiKey.provider_id)
    seen: dict[int, int | None] = dict(session.execute(last_days).all())
    shown = _naming(session, actor)
    rows = [
        _acted(shown(one.name), counts[one.id], seen.get(one.id), entry.changed)
        for one in session.scalars(select(Provider).order_by(Provider.name))
        if one.id in counts or one.id in published
    ]
    return tuple(one for one in rows if one.findings or not one.heard)


def _acted(provider: str, counts: Mapping[str, int], last_seen: int | None, changed: float) -> Acted:
    heard = last_seen is not None and last_seen > int(changed // rules.DAY)
    left = sum(counts.values()) - counts.get(FindingState.REMOVED, 0) - counts.get(FindingState.RESTORED, 0)
    return Acted(
        provider,
        sum(counts.values()),
        counts.get(FindingState.RESTORED, 0),
        counts.get(FindingState.REMOVED, 0),
        left,
        last_seen,
        heard,
    )


def _naming(session: Session, actor: Actor) -> Callable[[str], str]:
    opaque = pseudonyms(session)
    return lambda name: name if sees_name(actor, name) else opaque[name]


def _who(row: History, shown: Callable[[str], str]) -> str:
    """Who did it; of a complaint the company, which not everybody may know by name."""
    if row.by is None:
        return ""
    name, _, role = row.by.rpartition(" (")
    return f"{shown(name)} ({role}" if role == "provider)" else row.by


def _line(session: Session, row: DisputeRow, entry: Entry, list_name: str, complaints: int, now: float) -> Line:
    said = acts.voices(session, row)
    age = (row.decided if row.decided is not None else now) - row.opened
    return Line(
        id=row.public_id,
        list_id=list_name,
        entry=entry.public_id,
        category=entry.category,
        standing=Standing(entry.standing),
        state=DisputeState(row.state),
        opened=row.opened,
        age=age,
        overdue=row.decided is None and age > rules.DUE,
        complaints=complaints,
        to_confirm=rules.missing(said, Opinion.CONFIRM),
        to_withdraw=rules.missing(said, Opinion.WITHDRAW),
        alone_by=row.alone_by or "",
    )


def heard_nothing(acted: Iterable[Acted]) -> Sequence[str]:
    """The providers of `acted_on` that cannot know yet."""
    return [one.provider for one in acted if not one.heard]
