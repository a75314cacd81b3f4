"""A quarantine that only reports: the default of a fresh installation, and what ``--dry-run`` means."""

from __future__ import annotations

from hashscan.model import Action, Finding
from hashscan.ports import ActionResult


class ReportOnly:
    """Implements `ports.Quarantine`; touches nothing, so nothing can fail."""

    def handle(self, finding: Finding) -> ActionResult:
        """Report it, whatever the verdict allows."""
        return ActionResult(finding, Action.REPORTED, reason="quarantine is switched off")
