"""A scan that was stopped or killed, taken up again: what it left is in the state folder, and nowhere else."""

from __future__ import annotations

from hashscan.cli import plans
from hashscan.errors import UsageError
from hashscan.files.checkpoint import Checkpoint, Saved
from hashscan.model import Sifted
from hashscan.report.tally import Tally
from hashscan.settings import Settings

NAME = "checkpoint"


def checkpoint_of(chosen: Settings, plan: plans.Plan, tally: Tally) -> Checkpoint | None:
    """Where the scan notes what is left; None for an audit, which keeps no state.

    One that moves files does not go on where a dry run stopped. ``tally`` has what was counted before the walk.
    """
    if plan.lists is None:
        return None
    return Checkpoint(chosen.state_dir / NAME, purpose=plan.mode, already=Sifted(seen=tally.seen, errors=dict(tally.errors)))


def stopped_scan(chosen: Settings) -> Saved:
    """What is to be resumed. Raises `UsageError` where there is nothing, `StateError` where it is damaged."""
    saved = Checkpoint(chosen.state_dir / NAME).load()
    if saved is None:
        raise UsageError("no scan was stopped before its end", hint="name the PATHs to scan")
    return saved
