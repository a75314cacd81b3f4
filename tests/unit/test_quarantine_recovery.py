"""The decision, over every combination of facts. What it does to a disk is in tests/hostile/test_kills.py."""

from __future__ import annotations

import itertools

import pytest

from hashscan.model import CaseState
from hashscan.quarantine.holding import Held, absent
from hashscan.quarantine.recovery import Original, Step, decide

ALL = list(itertools.product(CaseState, Held, (False, True), Original))
REMOVES_THE_HELD = (Step.COMMIT, Step.FINISH)


@pytest.mark.parametrize(
    ("state", "held", "evidence", "original", "step"),
    [
        (CaseState.INTENT, Held.EMPTY, False, Original.TAKEN, Step.DROP),
        (CaseState.INTENT, Held.UNREACHABLE, False, Original.TAKEN, Step.DROP),
        (CaseState.INTENT, Held.OURS, True, Original.FREE, Step.PUT_BACK),
        (CaseState.COPIED, Held.EMPTY, True, Original.TAKEN, Step.DROP),
        (CaseState.COPIED, Held.EMPTY, True, Original.FREE, Step.DROP),
        (CaseState.COPIED, Held.OURS, True, Original.FREE, Step.COMMIT),
        (CaseState.COPIED, Held.OURS, True, Original.TAKEN, Step.COMMIT),
        (CaseState.COPIED, Held.OURS, True, Original.NO_PARENT, Step.COMMIT),
        (CaseState.COPIED, Held.OURS, False, Original.FREE, Step.PUT_BACK),
        (CaseState.COPIED, Held.OURS, False, Original.TAKEN, Step.ORPHAN),
        (CaseState.COPIED, Held.CHANGED, True, Original.FREE, Step.PUT_BACK),
        (CaseState.COPIED, Held.FOREIGN, True, Original.FREE, Step.PUT_BACK),
        (CaseState.COPIED, Held.FOREIGN, True, Original.TAKEN, Step.ORPHAN),
        (CaseState.COPIED, Held.FOREIGN, True, Original.NO_PARENT, Step.ORPHAN),
        (CaseState.COPIED, Held.UNREACHABLE, True, Original.FREE, Step.WAIT),
        (CaseState.COMMITTED, Held.OURS, True, Original.FREE, Step.FINISH),
        (CaseState.COMMITTED, Held.CHANGED, True, Original.TAKEN, Step.FINISH),
        (CaseState.COMMITTED, Held.EMPTY, True, Original.FREE, Step.CLOSE),
        (CaseState.COMMITTED, Held.EMPTY, False, Original.FREE, Step.DAMAGED),
        (CaseState.COMMITTED, Held.OURS, False, Original.FREE, Step.ORPHAN),
        (CaseState.COMMITTED, Held.FOREIGN, True, Original.FREE, Step.ORPHAN),
        (CaseState.COMMITTED, Held.UNREACHABLE, True, Original.FREE, Step.WAIT),
    ],
)
def test_decision(state: CaseState, held: Held, evidence: bool, original: Original, step: Step) -> None:
    assert decide(state, held, evidence_holds=evidence, original=original) is step


def test_laws_over_all_combinations() -> None:
    steps = set()
    for state, held, evidence, original in ALL:
        step = decide(state, held, evidence_holds=evidence, original=original)
        steps.add(step)
        unfinished = state in (CaseState.INTENT, CaseState.COPIED, CaseState.COMMITTED)
        assert (step is Step.NOTHING) == (not unfinished)
        if step in REMOVES_THE_HELD:  # the last good copy is never removed, and nothing that is not ours
            assert evidence
            assert held in (Held.OURS, Held.CHANGED)
            assert held is Held.OURS or state is CaseState.COMMITTED
        if step is Step.PUT_BACK:  # never over a name, never after the commit
            assert original is Original.FREE
            assert state is not CaseState.COMMITTED
        if step is Step.DROP:  # never while something of a tenant is with us
            assert held in (Held.EMPTY, Held.UNREACHABLE)
            assert held is Held.EMPTY or state is CaseState.INTENT
    assert len(ALL) == len(CaseState) * 5 * 2 * 3
    assert steps == set(Step)


def test_a_directory_that_contradicts_itself_is_not_believed() -> None:
    assert absent("a", ["b"]) is Held.EMPTY
    with pytest.raises(OSError, match="contradicts"):
        absent("a", ["b", "a"])
