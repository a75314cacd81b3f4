"""Outcomes are kept, each once, and acknowledged (docs/wire.md, "Outcomes")."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.model import Outcome
from hashscan.service.access import Caller
from hashscan.service.monitor.keeping import New, Teller, note, times_of
from hashscan.service.parsing import Report
from hashscan.service.tables import ApiKey, Entry
from hashscan.service.tables_back import OutcomeRow


def receive(session: Session, caller: Caller, report: Report, now: float) -> bytes:
    """Store what is new and return the payload of the receipts: of what is not new, the time it was first received.

    An entry that is not known here (any more: a database restored from a backup) is no reason to refuse: the agent would
    send its outcomes again for ever. The head of the agent's log is kept and signed with the receipts: a log that lost its end
    can then be told.
    """
    outcomes, head = report.outcomes, report.head
    received = _known(session, caller, outcomes)
    entry_ids = _entry_ids(session, outcomes)
    times = times_of(session, caller.id, outcomes, now)
    new = []
    for outcome in outcomes:
        if outcome.id not in received:
            received[outcome.id] = now
            new.append(New(outcome, entry_ids.get(outcome.entry)))
            session.add(_row(caller, new[-1], times[outcome.id].doubt, now))
    note(session, Teller(caller.id, caller.api_key_id), new, times, now)
    receipts = [{"id": one, "received": received[one]} for one in dict.fromkeys(outcome.id for outcome in outcomes)]
    told: dict[str, object] = {"provider": caller.name, "issued": now, "receipts": receipts}
    if head is not None:
        told["log"] = {"lines": head.lines, "hash": head.hash}
        key = session.get_one(ApiKey, caller.api_key_id)
        key.log_lines, key.log_hash = head.lines, head.hash
    if report.backlog is not None:
        key = session.get_one(ApiKey, caller.api_key_id)
        key.pending, key.pending_since, key.pending_told = report.backlog.pending, report.backlog.since, now
    return json.dumps(told, separators=(",", ":")).encode()


def _known(session: Session, caller: Caller, outcomes: Sequence[Outcome]) -> dict[str, float]:
    query = select(OutcomeRow.outcome_id, OutcomeRow.received).where(
        OutcomeRow.provider_id == caller.id, OutcomeRow.outcome_id.in_([outcome.id for outcome in outcomes])
    )
    return {row.outcome_id: row.received for row in session.execute(query)}


def _entry_ids(session: Session, outcomes: Sequence[Outcome]) -> dict[str, int]:
    query = select(Entry.public_id, Entry.id).where(Entry.public_id.in_([outcome.entry for outcome in outcomes]))
    return {row.public_id: row.id for row in session.execute(query)}


def _row(caller: Caller, new: New, doubt: str, now: float) -> OutcomeRow:
    outcome = new.outcome
    return OutcomeRow(
        provider_id=caller.id,
        outcome_id=outcome.id,
        list_name=outcome.list_id,
        entry=outcome.entry,
        entry_id=new.entry_id,
        verdict=outcome.verdict_id,
        action=outcome.action.value,
        first_seen=outcome.first_seen,
        acted_at=outcome.acted_at,
        received=now,
        api_key_id=caller.api_key_id,
        finding=outcome.finding or None,
        doubt=doubt or None,
    )
