"""What follows from rulings: report, act, note the outcome, settle. The order keeps a crash from losing anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hashscan.model import Action, Candidate, FileEntry, Finding, Source
from hashscan.ports import Confirmer, Memory, Quarantine, Reporter, Ruling
from hashscan.report import events
from hashscan.report.tally import Tally

STOPPED = "the run was stopped before this finding was acted upon"


def never() -> bool:
    """Nobody asks such a run to stop."""
    return False


def nobody(_path: bytes) -> str:
    """No tenants are known."""
    return ""


@dataclass(frozen=True, slots=True)
class ActTools:
    """The tools between a candidate and its end. Once ``stop`` says that the run shall end, no finding is acted upon.

    ``tenant_of`` says whose file is at a path; "" where nobody knows.
    """

    confirmer: Confirmer
    memory: Memory
    quarantine: Quarantine
    reporter: Reporter
    stop: Callable[[], bool] = never
    tenant_of: Callable[[bytes], str] = nobody


class Deferred:
    """Candidates that a run has counted and that wait for a second question at its end; about 500 bytes each.

    By what the walk saw, not by place alone: what an earlier run met at the same place is another candidate, not counted yet.
    """

    def __init__(self) -> None:
        self._entries: set[FileEntry] = set()

    def add(self, rulings: Sequence[Ruling]) -> None:
        """Remember which they are."""
        self._entries.update(ruling.candidate.hashed.entry for ruling in rulings)

    def __contains__(self, candidate: Candidate) -> bool:
        return candidate.hashed.entry in self._entries


def conclude(tools: ActTools, candidates: Sequence[Candidate], tally: Tally) -> list[Ruling]:
    """Confirm ``candidates`` and do what the answers ask for. Returns the rulings that are pending, not counted yet.

    Where the run is asked to stop meanwhile, the findings that are left become pending again.
    """
    open_questions = [one for one in candidates if not tools.memory.is_cleared(one)]
    tally.cleared += len(candidates) - len(open_questions)
    tools.memory.settle([one for one in candidates if one not in open_questions])
    tools.memory.remember(open_questions)
    rulings = tools.confirmer.confirm(open_questions)
    _cleared(tools, [ruling for ruling in rulings if not ruling.finding and not ruling.pending], tally)
    pending = [ruling for ruling in rulings if ruling.pending]
    if found := [ruling.finding for ruling in rulings if ruling.finding]:
        tools.memory.judged(found)
    for ruling in rulings:
        if ruling.finding is None:
            continue
        if tools.stop():
            tally.stopped = True
            pending.append(Ruling(ruling.candidate, pending=STOPPED))
        else:
            _found(tools, ruling.finding, tally)
    return pending


def _cleared(tools: ActTools, rulings: Sequence[Ruling], tally: Tally) -> None:
    for ruling in rulings:
        tools.memory.clear(ruling.candidate, ruling.ttl)
    tools.memory.settle([ruling.candidate for ruling in rulings])
    tally.cleared += len(rulings)


def _found(tools: ActTools, finding: Finding, tally: Tally) -> None:
    """One finding to its end. It is settled last: after a crash it is asked about again, and a case that exists is found."""
    first_seen = tools.memory.first_seen(finding.candidate)
    tenant = tools.tenant_of(finding.candidate.hashed.entry.place.full)
    tally.found(finding, tenant)
    tools.reporter.tell(events.finding(finding, tenant))
    result = tools.quarantine.handle(finding)
    tally.acted(result)
    tools.reporter.tell(events.action(result, tenant))
    if finding.source is Source.SERVICE:
        tools.memory.add_outcome(finding, Action(result.action), first_seen)
    tools.memory.settle([finding.candidate])


def report_pending(tools: ActTools, rulings: Sequence[Ruling], tally: Tally) -> None:
    """Candidates that stay without an answer in this run: they stay where they are and are asked about again."""
    for reason in sorted({ruling.pending for ruling in rulings}):
        tools.memory.wait([ruling.candidate for ruling in rulings if ruling.pending == reason], reason)
    for ruling in rulings:
        tools.reporter.tell(events.pending(ruling.candidate, ruling.pending))
    tally.pending += len(rulings)
