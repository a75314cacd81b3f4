"""Findings are kept up to date in the transaction that receives the outcomes they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.model import Action, Outcome
from hashscan.service.monitor.findings import FindingState, Known, after, begun, is_another
from hashscan.service.monitor.times import Times, checked
from hashscan.service.tables import Provider
from hashscan.service.tables_back import FindingRow


@dataclass(frozen=True, slots=True)
class Teller:
    """Who tells: the provider, and which of its API keys."""

    provider_id: int
    api_key_id: int | None


@dataclass(frozen=True, slots=True)
class New:
    """An outcome that was not known, and the entry that it is about, None where there is none (any more)."""

    outcome: Outcome
    entry_id: int | None


def times_of(session: Session, provider_id: int, outcomes: Sequence[Outcome], received: float) -> dict[str, Times]:
    """The checked times of each outcome, by its id."""
    admitted = session.get_one(Provider, provider_id).created
    return {one.id: checked(one.first_seen, one.acted_at, received=received, admitted=admitted) for one in outcomes}


def note(session: Session, teller: Teller, new: Sequence[New], times: dict[str, Times], received: float) -> None:
    """Bring the findings of these outcomes up to date; each outcome must come here once."""
    rows = _rows(session, teller, new)
    for one in new:
        outcome = one.outcome
        row = rows.get(_ref(outcome)) or _restored(session, teller, outcome)
        when = times[outcome.id]
        known = None if row is None else _known(row)
        if row is None or known is None or is_another(known, outcome.action, when):
            row = _begin(session, teller, one, begun(outcome.action, when, received), 1 if row is None else row.round + 1)
        else:
            _write(row, after(known, outcome.action, when, received))
        rows[row.ref] = row


def _ref(outcome: Outcome) -> str:
    """What names the finding: the agent's name of it; an agent that gives none has a finding for each outcome."""
    return outcome.finding or outcome.id


def _rows(session: Session, teller: Teller, new: Sequence[New]) -> dict[str, FindingRow]:
    query = (
        select(FindingRow)
        .where(FindingRow.provider_id == teller.provider_id, FindingRow.ref.in_([_ref(one.outcome) for one in new]))
        .order_by(FindingRow.round)
    )
    return {row.ref: row for row in session.scalars(query)}  # the last round counts


def _restored(session: Session, teller: Teller, outcome: Outcome) -> FindingRow | None:
    """What an agent gave back that names no findings: one of those that it removed on the same verdict."""
    if outcome.action is not Action.RESTORED or outcome.finding:
        return None
    query = select(FindingRow).where(
        FindingRow.provider_id == teller.provider_id,
        FindingRow.entry == outcome.entry,
        FindingRow.verdict == outcome.verdict_id,
        FindingRow.state == FindingState.REMOVED,
    )
    return session.scalars(query.limit(1)).first()


def _known(row: FindingRow) -> Known:
    return Known(FindingState(row.state), row.first_seen, row.opened, row.told, row.removed, row.removed_told, row.doubt)


def _begin(session: Session, teller: Teller, one: New, known: Known, number: int) -> FindingRow:
    outcome = one.outcome
    row = FindingRow(
        provider_id=teller.provider_id,
        ref=_ref(outcome),
        round=number,
        list_name=outcome.list_id,
        entry=outcome.entry,
        entry_id=one.entry_id,
        verdict=outcome.verdict_id,
        api_key_id=teller.api_key_id,
    )
    _write(row, known)
    session.add(row)
    return row


def _write(row: FindingRow, known: Known) -> None:
    row.state = known.state.value
    row.first_seen, row.opened, row.told = known.first_seen, known.opened, known.told
    row.removed, row.removed_told, row.doubt = known.removed, known.removed_told, known.doubt
