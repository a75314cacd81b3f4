"""A scan that was stopped or killed, taken up again: what it left is in the state folder, and nowhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from hashscan.cli import plans
from hashscan.errors import StateError, UsageError
from hashscan.files.checkpoint import Checkpoint, Saved
from hashscan.files.engine import LocalEngine
from hashscan.model import Sifted
from hashscan.ports import Sieve
from hashscan.report.tally import Tally
from hashscan.settings import Settings

NAME = "checkpoint"
_AHEAD = 300.0  # seconds that a scan may seem to have begun in the future: the clock was set back


def checkpoint_of(chosen: Settings, plan: plans.Plan, tally: Tally) -> Checkpoint | None:
    """Where the scan notes what is left; None for an audit, which keeps no state.

    One that moves files does not go on where a dry run stopped. ``tally`` has what was counted before the walk.
    """
    if plan.lists is None:
        return None
    already = Sifted(seen=tally.seen, errors=dict(tally.errors), skipped=dict(tally.skipped))
    return Checkpoint(chosen.scan_dir / NAME, purpose=plan.mode, seconds=chosen.scan.checkpoint, already=already)


def stopped_scan(chosen: Settings) -> Saved:
    """What is to be resumed. Raises `UsageError` where there is nothing, `StateError` where it is damaged."""
    saved = Checkpoint(chosen.scan_dir / NAME).load()
    if saved is None:
        raise UsageError("no scan was stopped before its end", hint="name the PATHs to scan")
    return saved


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan that may go on has found: where it goes on, or why it begins anew ("" where nothing was stopped)."""

    saved: Saved | None = None
    why_not: str = ""


def same_scan(chosen: Settings, engine: LocalEngine, roots: Sequence[bytes], sieve: Sieve) -> Found:
    """What ``scan.resume = "auto"`` goes on with. Whatever is wrong with it keeps no scan from beginning anew."""
    try:
        saved = Checkpoint(chosen.scan_dir / NAME).load()
    except StateError as error:
        return Found(why_not=str(error))
    if saved is None:
        return Found()
    age = time.time() - saved.started
    if not -_AHEAD <= age <= chosen.scan.resume_within:
        return Found(why_not="the scan that was stopped began too long ago")
    if not engine.resumes(saved, roots, sieve):
        return Found(why_not="the scan that was stopped had other paths or settings")
    return Found(saved)
