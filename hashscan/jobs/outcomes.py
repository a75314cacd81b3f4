"""Outcomes: tell the service what was done, and keep its signed receipts: the company's proof, the hotline's check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from hashscan.central.outbox import Outbox
from hashscan.errors import RefusedError, ServiceUnavailable
from hashscan.jobs.confirm import no_doubt
from hashscan.known.verdicts import open_receipts
from hashscan.model import Outcome, Receipt, VerdictKey, Warned
from hashscan.ports import Backlog, Confirmer, LogHead, Reporter, Service
from hashscan.report import events
from hashscan.report.tally import Tally

_AT_ONCE = 100
NOTHING = Backlog(0, None)


def no_log() -> LogHead | None:
    """There is no vault, so there is no log."""
    return None


@dataclass(frozen=True, slots=True)
class OutcomeTools:
    """What it takes to tell outcomes; ``keys`` and ``doubt`` as in `jobs.confirm.Court`.

    ``log_head`` is the head of the vault's log: the service signs it with the receipts, so that a log which lost its end
    can be told from one that never had it.
    """

    service: Service
    keys: tuple[VerdictKey, ...]
    outbox: Outbox
    provider: str
    doubt: Callable[[], str] = no_doubt
    log_head: Callable[[], LogHead | None] = no_log


def tell_outcomes(tools: OutcomeTools) -> str:
    """Send what was not acknowledged yet. Returns "" or why some still wait: they stay stored, so nothing is lost."""
    if why := tools.doubt():
        return why if tools.outbox.unsent_count() else ""
    backlog = tools.outbox.backlog()
    while unsent := tools.outbox.unsent(_AT_ONCE):
        head = tools.log_head()
        try:
            receipts = _sent(tools, unsent, head, backlog)
        except (ServiceUnavailable, RefusedError) as error:
            return str(error)
        acknowledged = {outcome.id for outcome in unsent} & {receipt.outcome_id for receipt in receipts}
        if not acknowledged:
            return "the service acknowledged none of the outcomes"
        tools.outbox.acknowledge(receipts, head)
    if backlog != (tools.outbox.backlog_told() or NOTHING):
        # What waits is told for the hotline's monitor only. Where that fails the next run tells it, and nobody here need act.
        with suppress(ServiceUnavailable, RefusedError):
            _sent(tools, (), None, backlog)
    return ""


def _sent(tools: OutcomeTools, unsent: Sequence[Outcome], head: LogHead | None, backlog: Backlog) -> list[Receipt]:
    envelope = tools.service.report_outcomes(unsent, head, backlog)
    receipts = open_receipts(tools.keys, envelope, tools.provider, head)
    tools.outbox.note_backlog(backlog)
    return receipts


def close_run(tools: OutcomeTools | None, confirmer: Confirmer, reporter: Reporter, tally: Tally) -> None:
    """The end of every run that acts: tell outcomes, say so where some still wait, and note a refusal in the tally."""
    tally.refused = confirmer.refusal is not None
    if tools is None or tally.stopped:
        return
    why = tell_outcomes(tools)
    if why:
        reporter.tell(events.warning(Warned(f"{tools.outbox.unsent_count()} outcomes are not acknowledged yet: {why}")))
