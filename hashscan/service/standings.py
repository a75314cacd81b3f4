"""Second thoughts at the machine: withdraw, dispute, reinstate, by name and under the rule of two (`disputing.rules`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.model import Standing
from hashscan.service.actors import Actor, PersonRole
from hashscan.service.disputing import acts
from hashscan.service.disputing.acts import Standpoint
from hashscan.service.disputing.entries import find, refuse_test, sharing
from hashscan.service.disputing.rules import MAX_REASON, DisputeState, Opinion
from hashscan.service.names import check_text
from hashscan.service.store import Store
from hashscan.service.tables import Entry
from hashscan.service.tables_back import DisputeRow

_Act = Callable[[Session, Entry], Standpoint]


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody at the machine says of entries of a list; ``named`` is an entry id or any digest of them in hex."""

    list_id: str
    named: str
    reason: str
    by: str

    @property
    def actor(self) -> Actor:
        """Who has the machine runs the hotline. Raises `UsageError` for what is no name."""
        return Actor(self.by.strip(), PersonRole.HOTLINE)


@dataclass(frozen=True, slots=True)
class StandingChange:
    """What an act came to.

    ``entries`` have another standing than before, ``waiting`` are disputes that need a second person, ``sharing`` entries in
    force that share a digest with one that was meant and stay as they are.
    """

    standing: Standing
    entries: tuple[str, ...]
    waiting: tuple[Standpoint, ...]
    sharing: tuple[str, ...]


def withdraw(store: Store, wish: Wish, *, alone: bool = False, now: float | None = None) -> StandingChange:
    """An opinion for withdrawing; the second person's withdraws. Until then the entry is disputed: nobody moves a file.

    ``alone`` withdraws at once, and the dispute stays open until a second person has looked. Raises `UsageError`.
    """
    at = time.time() if now is None else now

    def act(session: Session, entry: Entry) -> Standpoint:
        if alone:
            return acts.withdraw_alone(session, wish.actor, entry, wish.reason, at)
        return _judge(session, wish, entry, Opinion.WITHDRAW, at)

    return _change(store, wish, Standing.WITHDRAWN, act)


def reinstate(store: Store, wish: Wish, *, now: float | None = None) -> StandingChange:
    """An opinion for the entry; the second person's makes it active. Nobody does that alone. Raises `UsageError`."""
    at = time.time() if now is None else now
    return _change(store, wish, Standing.ACTIVE, lambda session, entry: _judge(session, wish, entry, Opinion.CONFIRM, at))


def dispute(store: Store, wish: Wish, *, now: float | None = None) -> StandingChange:
    """Doubt: from the next answer on, files that match the entry are reported and not moved. Raises `UsageError`."""
    at = time.time() if now is None else now
    return _change(
        store,
        wish,
        Standing.DISPUTED,
        lambda session, entry: acts.dispute(session, wish.actor, entry, wish.reason, at),
    )


def _judge(session: Session, wish: Wish, entry: Entry, opinion: Opinion, now: float) -> Standpoint:
    open_one = select(DisputeRow).where(DisputeRow.entry_id == entry.id, DisputeRow.state == DisputeState.OPEN)
    row = session.scalar(open_one)
    name = row.public_id if row is not None else acts.dispute(session, wish.actor, entry, wish.reason, now).dispute
    return acts.judge(session, wish.actor, name, opinion, wish.reason, now)


def _change(store: Store, wish: Wish, wanted: Standing, act: _Act) -> StandingChange:
    check_text(wish.reason, "reason", MAX_REASON)
    with store.writing() as session:
        entries = find(session, wish.list_id, wish.named)
        for entry in entries:
            refuse_test(entry)
        before = {entry.id: entry.standing for entry in entries}
        points = [act(session, entry) for entry in entries if _asks(session, entry, wanted)]
        changed = [entry.public_id for entry in entries if entry.standing != before[entry.id]]
        return StandingChange(
            wanted,
            tuple(changed),
            tuple(one for one in points if one.state is DisputeState.OPEN),
            tuple(one.public_id for one in sharing(session, entries, wanted)),
        )


def _asks(session: Session, entry: Entry, wanted: Standing) -> bool:
    """Whether there is anything to do: not where the entry stands as wanted and nobody disputes it."""
    if entry.standing != wanted:
        return True
    open_one = select(DisputeRow.id).where(DisputeRow.entry_id == entry.id, DisputeRow.state == DisputeState.OPEN)
    return session.scalar(open_one) is not None
