"""A provider's complaint: about an entry that it met, bounded, once, and for its own agents only until people have looked."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from hashscan.model import Standing
from hashscan.service.actors import Actor, Deed, PersonRole, require
from hashscan.service.asking import Asking, Statement
from hashscan.service.disputing import acts, rules
from hashscan.service.disputing.rules import DisputeState, NoSuchDisputeError
from hashscan.service.tables import Entry, HashList
from hashscan.service.tables_back import ComplaintRow, DisputeRow, OutcomeRow


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a provider disputes. ``key`` is the id that its agent gave the complaint."""

    key: str
    list_id: str
    entry: str
    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """What a provider is told about a dispute of its own. Times in seconds since 1970; ``decided`` None while it is open."""

    key: str
    dispute: str
    list_id: str
    entry: str
    state: DisputeState
    paused: bool
    opened: float
    decided: float | None


class NotMetError(NoSuchDisputeError):
    """The provider has no outcome about that entry, or there is no such entry: one answer for both."""


@dataclass(frozen=True, slots=True)
class Complainer:
    """The provider, and which of its agents speaks."""

    provider_id: int
    provider: str
    api_key_id: int | None = None

    @property
    def actor(self) -> Actor:
        """The provider as an actor."""
        return Actor(self.provider, PersonRole.PROVIDER, self.provider)


def complain(session: Session, who: Complainer, complaint: Complaint, now: float) -> Told:
    """Store a complaint; one with a key that is known is answered as it stands.

    Raises `NotMetError`, `TooManyError`, `UsageError`.
    """
    require(who.actor, Deed.COMPLAIN)
    mine = ComplaintRow.provider_id == who.provider_id
    known = session.scalar(select(ComplaintRow).where(mine, ComplaintRow.key == complaint.key))
    if known is not None:
        return _told(session, known)
    entry = _met(session, who.provider_id, complaint)
    _check_room(session, who.provider_id, now)
    row = acts.opened(session, entry, complaint.reason, now)
    made = ComplaintRow(
        dispute_id=row.id,
        provider_id=who.provider_id,
        api_key_id=who.api_key_id,
        key=complaint.key,
        by=who.actor.label,
        at=now,
        reason=complaint.reason,
        pauses=rules.pauses(_overruled(session, who.provider_id, entry.id), now),
    )
    session.add(made)
    acts.write_down(session, entry, "complaint", complaint.reason, who.actor.label, now)
    session.flush()
    return _told(session, made)


def told(session: Session, provider_id: int, dispute_id: str) -> Told:
    """A dispute that this provider takes part in, with its latest complaint. Raises `NoSuchDisputeError` for every other."""
    query = (
        select(ComplaintRow)
        .join(DisputeRow, DisputeRow.id == ComplaintRow.dispute_id)
        .where(DisputeRow.public_id == dispute_id, ComplaintRow.provider_id == provider_id)
        .order_by(ComplaintRow.id.desc())
    )
    row = session.scalars(query).first()
    if row is None:
        raise NoSuchDisputeError("this provider has no such dispute")
    return _told(session, row)


_PAUSED = Statement(
    select(DisputeRow.entry_id)
    .join(ComplaintRow, ComplaintRow.dispute_id == DisputeRow.id)
    .where(ComplaintRow.provider_id == bindparam("provider"), ComplaintRow.pauses, DisputeRow.state == DisputeState.OPEN.value)
)


def paused(asking: Asking, provider_id: int) -> frozenset[int]:
    """The database ids of the entries that a provider's own complaints pause for it; at most `rules.MAX_OPEN`."""
    return frozenset(row[0] for row in asking.rows(_PAUSED, provider=provider_id))


def _told(session: Session, row: ComplaintRow) -> Told:
    dispute = session.get_one(DisputeRow, row.dispute_id)
    entry = session.get_one(Entry, dispute.entry_id)
    list_name = session.get_one(HashList, entry.list_id).name
    state = DisputeState(dispute.state)
    stopped = row.pauses and state is DisputeState.OPEN
    return Told(row.key or "", dispute.public_id, list_name, entry.public_id, state, stopped, row.at, dispute.decided)


def _met(session: Session, provider_id: int, complaint: Complaint) -> Entry:
    query = (
        select(Entry)
        .join(HashList, HashList.id == Entry.list_id)
        .where(HashList.name == complaint.list_id, Entry.public_id == complaint.entry)
    )
    entry = session.scalar(query)
    if entry is not None and entry.standing != Standing.TEST:
        outcome = select(OutcomeRow.id).where(OutcomeRow.provider_id == provider_id, OutcomeRow.entry_id == entry.id).limit(1)
        if session.scalar(outcome) is not None:
            return entry
    raise NotMetError("this provider has told no outcome about such an entry", hint="outcomes first, then the dispute")


def _check_room(session: Session, provider_id: int, now: float) -> None:
    mine = ComplaintRow.provider_id == provider_id
    still_open = (
        select(func.count())
        .select_from(ComplaintRow)
        .join(DisputeRow, DisputeRow.id == ComplaintRow.dispute_id)
        .where(mine, DisputeRow.state == DisputeState.OPEN)
    )
    last_day = session.scalars(select(ComplaintRow.at).where(mine, ComplaintRow.at > now - rules.DAY)).all()
    rules.check_room(session.scalars(still_open).one(), last_day, now)


def _overruled(session: Session, provider_id: int, entry_id: int) -> list[float]:
    query = (
        select(DisputeRow.decided)
        .join(ComplaintRow, ComplaintRow.dispute_id == DisputeRow.id)
        .where(
            ComplaintRow.provider_id == provider_id,
            DisputeRow.entry_id == entry_id,
            DisputeRow.state == DisputeState.CONFIRMED,
        )
    )
    return [at for at in session.scalars(query) if at is not None]
