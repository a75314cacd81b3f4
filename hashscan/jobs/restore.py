"""Restore: a file goes back to where it was, and the service hears of it."""

from __future__ import annotations

from hashscan.central.outbox import Outbox
from hashscan.model import Case
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.restore import Wish


def restore(cabinet: Cabinet, outbox: Outbox, case_id: str, wish: Wish, now: float) -> Case:
    """The case after its file was put back as ``wish`` says. Raises `QuarantineError`; nothing has changed then."""
    restored = cabinet.restore(case_id, wish)
    outbox.add_restored(restored, now)
    return restored
