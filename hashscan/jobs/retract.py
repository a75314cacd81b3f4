"""Retract: a list took an entry back, so everything that was done on its word is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hashscan.central.outbox import Outbox
from hashscan.errors import QuarantineError
from hashscan.jobs.restore import note_restored
from hashscan.model import Case, CaseState, Warned
from hashscan.ports import Reporter
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.restore import Wish
from hashscan.report import events

_TOGETHER = 100  # restores are noted; what one run leaves unnoted is near the end of the log then
UNDONE = (CaseState.DONE, CaseState.HELD)


@dataclass(frozen=True, slots=True)
class Retracted:
    """How many cases were restored, dismissed, and could not be restored."""

    restored: int = 0
    dismissed: int = 0
    failed: int = 0


def concerned(cases: Iterable[Case], withdrawn: Callable[[str, str], bool]) -> list[Case]:
    """The cases that rest on an entry which ``withdrawn(list id, entry)`` says was taken back, and are not undone yet. Pure."""
    return [case for case in cases if case.state in UNDONE and withdrawn(case.list_id, case.entry)]


def retract(cabinet: Cabinet, outbox: Outbox, cases: Iterable[Case], wish: Wish, reporter: Reporter) -> Retracted:
    """Give back the file of every case, beside its place where something else has its name by now; dismiss what waits.

    One that cannot be given back is told with the reason, and the others go on. Raises `StateError`.
    """
    counts = {"restored": 0, "dismissed": 0, "failed": 0}
    for case in cases:
        if not sum(counts.values()) % _TOGETHER:
            note_restored(cabinet, outbox)
        try:
            if case.state is CaseState.HELD:
                after, what = cabinet.dismiss(case.id, "its entry was withdrawn"), "dismissed"
            else:
                after, what = cabinet.restore(case.id, wish), "restored"
        except QuarantineError as error:
            counts["failed"] += 1
            reporter.tell(events.warning(Warned(str(error), case.place)))
            continue
        counts[what] += 1
        reporter.tell(events.case(after))
    note_restored(cabinet, outbox)
    return Retracted(**counts)
