"""Release: a person lets findings be taken that a limit had stopped. The service is asked again about each."""

from __future__ import annotations

from collections.abc import Iterable

from hashscan.jobs.conclude import ActTools
from hashscan.model import Action, Case, CaseState
from hashscan.ports import Sieve
from hashscan.quarantine.vault import Vault
from hashscan.report import events
from hashscan.report.tally import Tally


def waiting(cases: Iterable[Case], *, entry: str = "", ids: Iterable[str] = ()) -> list[Case]:
    """The cases that wait for a person: all of them, those of an entry, or those with these ids. Pure."""
    wanted = set(ids)
    return [
        case
        for case in cases
        if case.state is CaseState.HELD and (not entry or case.entry == entry) and (not wanted or case.id in wanted)
    ]


def release(act: ActTools, vault: Vault, sieve: Sieve, cases: Iterable[Case], tally: Tally) -> None:
    """Take the files of ``cases``. One that no list in force holds any more is dismissed; without an answer it goes on waiting.

    Raises `QuarantineError` where the vault fails.
    """
    for case in cases:
        if act.stop():
            tally.stopped = True
            return
        _release(act, vault, sieve, case, tally)


def _release(act: ActTools, vault: Vault, sieve: Sieve, case: Case, tally: Tally) -> None:
    candidates = sieve.candidates([vault.hashed(case.id)])
    if not candidates:
        act.reporter.tell(events.case(vault.dismiss(case.id, "no list in force contains it any more")))
        return
    tally.candidates += 1
    ruling = act.confirmer.confirm(candidates)[0]
    if ruling.pending:
        tally.pending += 1
        act.reporter.tell(events.pending(ruling.candidate, ruling.pending))
    elif ruling.finding is None:
        tally.cleared += 1
        act.reporter.tell(events.case(vault.dismiss(case.id, "the service has no entry for it any more")))
    else:
        tally.found(ruling.finding, case.tenant)
        result = vault.release(case.id, ruling.finding)
        tally.acted(result)
        act.reporter.tell(events.action(result, case.tenant))
        act.memory.add_outcome(ruling.finding, Action(result.action), case.opened)
