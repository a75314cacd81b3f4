"""Restore: a file goes back to where it was, and the service hears of it."""

from __future__ import annotations

from typing import Protocol

from hashscan.model import Case
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.restore import Wish


class Noting(Protocol):
    """Where a restore waits to be told: `central.outbox.Outbox`, or `central.handover.ActingMemory` on a split host."""

    def add_restored(self, case: Case, now: float) -> None:
        """A case was restored at ``now`` (seconds since 1970); the same restore twice is told once."""


def restore(cabinet: Cabinet, outbox: Noting, case_id: str, wish: Wish) -> Case:
    """The case after its file was put back as ``wish`` says. Raises `QuarantineError`; nothing has changed then."""
    restored = cabinet.restore(case_id, wish)
    note_restored(cabinet, outbox)
    return restored


def note_restored(cabinet: Cabinet, outbox: Noting) -> None:
    """Whatever the log says was restored lately waits for the service; what waited or was told already is left as it is.

    By the log, and not by the act: an act may be cut off when its file is back and before anybody has noted it.
    """
    for case, at in cabinet.restored_lately():
        outbox.add_restored(case, at)
