"""Outcomes: tell the service what was done, and keep its signed receipts: the company's proof, the hotline's check."""

from __future__ import annotations

from dataclasses import dataclass

from hashscan.central.outbox import Outbox
from hashscan.errors import RefusedError, ServiceUnavailable
from hashscan.known.verdicts import open_receipts
from hashscan.model import Warned
from hashscan.ports import Confirmer, Reporter, Service, Trust
from hashscan.report import events
from hashscan.report.tally import Tally

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class OutcomeTools:
    """What it takes to tell outcomes."""

    service: Service
    trust: Trust
    outbox: Outbox
    provider: str


def tell_outcomes(tools: OutcomeTools) -> str:
    """Send what was not acknowledged yet. Returns "" or why some still wait: they stay stored, so nothing is lost."""
    while unsent := tools.outbox.unsent(_AT_ONCE):
        try:
            receipts = open_receipts(tools.trust, tools.service.report_outcomes(unsent), tools.provider)
        except (ServiceUnavailable, RefusedError) as error:
            return str(error)
        acknowledged = {outcome.id for outcome in unsent} & {receipt.outcome_id for receipt in receipts}
        if not acknowledged:
            return "the service acknowledged none of the outcomes"
        tools.outbox.acknowledge(receipts)
    return ""


def close_run(tools: OutcomeTools | None, confirmer: Confirmer, reporter: Reporter, tally: Tally) -> None:
    """The end of every run that acts: tell outcomes, say so where some still wait, and note a refusal in the tally."""
    tally.refused = confirmer.refusal is not None
    if tools is None or tally.stopped:
        return
    why = tell_outcomes(tools)
    if why:
        reporter.tell(events.warning(Warned(f"{tools.outbox.unsent_count()} outcomes are not acknowledged yet: {why}")))
