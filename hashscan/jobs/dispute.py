"""Dispute: tell the service that an entry is wrong, at once, and hear how it stands (docs/decisions/0035)."""

from __future__ import annotations

from typing import Protocol

from blake3 import blake3

from hashscan.errors import ServiceUnavailable, UsageError
from hashscan.jobs.outcomes import OutcomeTools, tell_outcomes
from hashscan.known.disputes import Stand, open_stand
from hashscan.model import Dispute

MAX_REASON = 1000  # characters


class DisputeDesk(Protocol):
    """Where disputes go. Raises `ServiceUnavailable`, `RefusedError`."""

    def dispute(self, dispute: Dispute) -> bytes:
        """The signed answer, unchecked."""


def make(list_id: str, entry: str, reason: str) -> Dispute:
    """The same words about the same entry are the same dispute: sent again, they ask how it stands. Raises `UsageError`."""
    if not 0 < len(reason) <= MAX_REASON or not reason.isprintable():
        raise UsageError(f"a reason has 1 to {MAX_REASON} printable characters")
    said = f"{list_id}\0{entry}\0{reason}".encode()
    return Dispute("q_" + blake3(said).hexdigest()[:32], list_id, entry, reason)


def dispute(tools: OutcomeTools, desk: DisputeDesk, wanted: Dispute) -> Stand:
    """Outcomes go first, because only who has met an entry can dispute it; then the dispute.

    Raises `ServiceUnavailable` (nothing was stored here: say it again), `RefusedError`.
    """
    if why := tell_outcomes(tools):
        raise ServiceUnavailable(f"outcomes have to be told first: {why}", hint="try again when the service answers")
    return open_stand(tools.keys, desk.dispute(wanted), tools.provider, wanted)
