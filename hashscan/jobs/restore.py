"""Restore: a file goes back to where it was, and the service hears of it."""

from __future__ import annotations

from pathlib import Path

from hashscan.central.outbox import Outbox
from hashscan.model import Case
from hashscan.quarantine.vault import Vault


def restore(vault: Vault, outbox: Outbox, case_id: str, to: Path | None, now: float) -> Case:
    """The case after its file was put back, or into ``to``. Raises `QuarantineError`; nothing has changed then."""
    restored = vault.restore(case_id, to)
    outbox.add_restored(restored, now)
    return restored
