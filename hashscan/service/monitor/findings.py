"""Outcomes become findings: what the state of one is after each outcome. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from hashscan.model import Action
from hashscan.service.monitor.times import Times, joined


class FindingState(enum.StrEnum):
    """Where the file is. REPORTED, HELD, FAILED: in its place still (only told, stopped by a limit, could not be taken)."""

    REPORTED = "reported"
    HELD = "held"
    FAILED = "failed"
    REMOVED = "removed"
    RESTORED = "restored"


IN_PLACE = frozenset({FindingState.REPORTED, FindingState.HELD, FindingState.FAILED})
_STATE_OF = {
    Action.REPORTED: FindingState.REPORTED,
    Action.HELD: FindingState.HELD,
    Action.FAILED: FindingState.FAILED,
    Action.QUARANTINED: FindingState.REMOVED,
    Action.RESTORED: FindingState.RESTORED,
}


@dataclass(frozen=True, slots=True)
class Known:
    """A finding: times as in `tables_back.FindingRow`, seconds since 1970."""

    state: FindingState
    first_seen: float
    opened: float
    told: float
    removed: float | None
    removed_told: float | None
    doubt: str


def begun(action: Action, times: Times, received: float) -> Known:
    """A finding of which this is the first outcome."""
    state = _STATE_OF[action]
    gone = state is FindingState.REMOVED
    return Known(
        state,
        times.first_seen,
        received,
        received,
        times.acted_at if gone else None,
        received if gone else None,
        times.doubt,
    )


def is_another(known: Known, action: Action, times: Times) -> bool:
    """Whether the outcome is of another file at the same place: seen after the one before was removed or given back."""
    gone = known.state in {FindingState.REMOVED, FindingState.RESTORED}
    return gone and action is not Action.RESTORED and times.first_seen > (known.removed or known.first_seen)


def after(known: Known, action: Action, times: Times, received: float) -> Known:
    """The finding after one more outcome about the same file.

    What is removed can be restored and nothing else; a report that comes in late changes nothing. The doubts of a removal
    count, and those of the first sight; a late restore spoils neither.
    """
    state = _STATE_OF[action]
    if known.state in {FindingState.REMOVED, FindingState.RESTORED} and state is not FindingState.RESTORED:
        return replace(known, told=received)
    if state is FindingState.REMOVED:
        removed = max(known.first_seen, times.acted_at)
        doubt = joined(known.doubt, times.doubt)
        return replace(known, state=state, told=received, removed=removed, removed_told=received, doubt=doubt)
    return replace(known, state=state, told=received)
