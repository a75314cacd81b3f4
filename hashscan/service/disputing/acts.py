"""Disputing and deciding, in a session that writes. What follows is decided by `rules`; everything goes into the history."""

from __future__ import annotations

import base64
import os
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.model import Standing
from hashscan.service.actors import Actor, Deed, require
from hashscan.service.disputing import rules
from hashscan.service.disputing.entries import refuse_test
from hashscan.service.disputing.rules import DecidedError, DisputeState, NoSuchDisputeError, Opinion, Voice
from hashscan.service.names import check_text
from hashscan.service.tables import Entry, History
from hashscan.service.tables_back import ComplaintRow, DisputeRow, OpinionRow


@dataclass(frozen=True, slots=True)
class Standpoint:
    """How a dispute stands after an act: ``standing`` of the entry, and how many more people each decision needs."""

    dispute: str
    entry: str
    state: DisputeState
    standing: Standing
    to_confirm: int
    to_withdraw: int


def dispute(session: Session, actor: Actor, entry: Entry, reason: str, now: float) -> Standpoint:
    """A person of the hotline doubts an entry: from the next answer on nobody moves a file because of it.

    Joins the dispute that is open already. Raises `NotAllowedError`, `UsageError` (a bad reason, the self-test entry).
    """
    require(actor, Deed.DISPUTE)
    row = opened(session, entry, reason, now)
    session.add(ComplaintRow(dispute_id=row.id, by=actor.label, at=now, reason=reason, pauses=False))
    write_down(session, entry, "dispute", reason, actor.label, now)
    change_standing(session, entry, rules.disarmed(Standing(entry.standing)), reason, actor.label, now)
    return standpoint(session, row, entry)


def judge(session: Session, actor: Actor, dispute_id: str, opinion: Opinion, reason: str, now: float) -> Standpoint:
    """Somebody's opinion about a disputed entry; with the second person who agrees, it is decided and takes effect.

    One person who says that the entry is wrong makes it doubtful at once, as `dispute` does. An opinion can be changed until it
    is decided; the same person never counts twice. Raises `NotAllowedError`, `NoSuchDisputeError`, `DecidedError`,
    `UsageError`.
    """
    require(actor, Deed.JUDGE)
    check_text(reason, "reason", rules.MAX_REASON)
    row = find(session, dispute_id)
    if row.state != DisputeState.OPEN:
        raise DecidedError(f"the dispute {dispute_id} is decided: {row.state}", hint="dispute the entry again")
    entry = session.get_one(Entry, row.entry_id)
    session.add(
        OpinionRow(dispute_id=row.id, person=actor.person, by=actor.label, opinion=opinion.value, reason=reason, at=now)
    )
    write_down(session, entry, f"opinion: {opinion.value}", reason, actor.label, now)
    session.flush()
    decided = rules.decision(voices(session, row))
    if decided is not None:
        row.state, row.decided = rules.STATE_OF[decided].value, now
        who = " and ".join(one.by for one in rules.counting(voices(session, row)).values() if one.opinion is decided)
        change_standing(session, entry, rules.STANDING_OF[decided], f"decided: {reason}"[: rules.MAX_REASON], who, now)
    elif opinion is Opinion.WITHDRAW:
        change_standing(session, entry, rules.disarmed(Standing(entry.standing)), reason, actor.label, now)
    return standpoint(session, row, entry)


def withdraw_alone(session: Session, actor: Actor, entry: Entry, reason: str, now: float) -> Standpoint:
    """The emergency: one person of the hotline withdraws an entry at once. The dispute stays open and says so.

    It counts as that person's opinion; a second person agrees, or two confirm the entry, which brings it back. Nobody can arm
    an entry alone. Raises `NotAllowedError`, `UsageError`.
    """
    require(actor, Deed.WITHDRAW_ALONE)
    row = opened(session, entry, reason, now)
    session.add(ComplaintRow(dispute_id=row.id, by=actor.label, at=now, reason=reason, pauses=False))
    row.alone, row.alone_by = now, actor.label
    write_down(session, entry, "withdrawn alone", reason, actor.label, now)
    change_standing(session, entry, Standing.WITHDRAWN, f"alone: {reason}"[: rules.MAX_REASON], actor.label, now)
    session.flush()
    return judge(session, actor, row.public_id, Opinion.WITHDRAW, reason, now)


def opened(session: Session, entry: Entry, reason: str, now: float) -> DisputeRow:
    """The open dispute about ``entry``; a new one where there is none. Raises `UsageError`."""
    check_text(reason, "reason", rules.MAX_REASON)
    refuse_test(entry)
    query = select(DisputeRow).where(DisputeRow.entry_id == entry.id, DisputeRow.state == DisputeState.OPEN)
    row = session.scalar(query)
    if row is None:
        public_id = "d_" + base64.b32encode(os.urandom(10)).decode().lower()
        row = DisputeRow(public_id=public_id, entry_id=entry.id, opened=now, state=DisputeState.OPEN.value)
        session.add(row)
        session.flush()
    return row


def find(session: Session, dispute_id: str) -> DisputeRow:
    """The dispute of that id. Raises `NoSuchDisputeError`."""
    row = session.scalar(select(DisputeRow).where(DisputeRow.public_id == dispute_id))
    if row is None:
        raise NoSuchDisputeError("there is no such dispute", hint="'hashscan service disputes' names them")
    return row


def voices(session: Session, row: DisputeRow) -> list[Voice]:
    """All opinions about a dispute, the oldest first."""
    query = select(OpinionRow).where(OpinionRow.dispute_id == row.id).order_by(OpinionRow.id)
    return [Voice(one.person, one.by, Opinion(one.opinion), one.reason, one.at) for one in session.scalars(query)]


def standpoint(session: Session, row: DisputeRow, entry: Entry) -> Standpoint:
    """How the dispute stands now."""
    session.flush()
    said = voices(session, row)
    return Standpoint(
        row.public_id,
        entry.public_id,
        DisputeState(row.state),
        Standing(entry.standing),
        rules.missing(said, Opinion.CONFIRM),
        rules.missing(said, Opinion.WITHDRAW),
    )


def change_standing(session: Session, entry: Entry, standing: Standing, reason: str, by: str, now: float) -> None:
    """Give an entry another standing and write down why; nothing where it has it already."""
    if entry.standing != standing:
        entry.standing, entry.changed = standing.value, now
        write_down(session, entry, standing.value, reason, by, now)


def write_down(session: Session, entry: Entry, what: str, reason: str, by: str, now: float) -> None:
    """A line in the history of an entry."""
    session.add(History(entry_id=entry.id, at=now, what=what, reason=reason, by=by))
