"""Left as it is, added to, or built from nothing: the rules, and that what is published may be none of a stranger."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hashscan.known.bloom import CANARIES
from hashscan.service.planning import Before, Limits, Wanted, is_in_force, why_anew

NOW = 1_790_000_000.0
DAY = 86_400.0
BEFORE = Before(
    version=3,
    epoch=1,
    file_name="police-3-1.filter",
    sha256="0" * 64,
    content="then",
    withdrawn="w",
    base=2,
    base_created=NOW - DAY,
    error_rate=1e-6,
    tokens=200_000 + CANARIES,
)
WANTED = Wanted(1, 1e-6, "now", "w", 200_100 + CANARIES, NOW)
ROOM = 205_000


def why(before: Before | None = BEFORE, wanted: Wanted = WANTED, known: str = "then", **facts: Any) -> str:
    return why_anew(before, wanted, known, **{"added": 100, "capacity": ROOM, **facts})


def test_a_change_is_added() -> None:
    assert why() == ""


@pytest.mark.parametrize(
    ("said", "facts"),
    [
        ("the first of this provider", {"before": None}),
        ("a new provider key", {"wanted": replace(WANTED, epoch=2)}),
        ("another error rate", {"wanted": replace(WANTED, error_rate=1e-7)}),
        ("much has changed, or nothing is known of the one before", {"known": ""}),
        ("much has changed, or nothing is known of the one before", {"known": "something else"}),
        ("much has changed, or nothing is known of the one before", {"known": "", "before": replace(BEFORE, content="")}),
        ("the file before is gone or damaged", {"capacity": None}),
        ("the one before has fewer tokens than it should", {"added": 99}),
        ("another capacity", {"capacity": 200_099}),
        ("another capacity", {"capacity": 500_000}),
        ("many entries left the list", {"added": 2_200}),
    ],
)
def test_why_not(said: str, facts: dict[str, Any]) -> None:
    assert why(**facts) == said


@pytest.mark.parametrize(
    ("limits", "age", "lingering", "said"),
    [
        (Limits(), DAY, 0, ""),
        (Limits(), 300 * DAY, 0, ""),
        (Limits(), DAY, 1, ""),
        (Limits(), 30 * DAY, 1, ""),
        (Limits(), 31 * DAY, 1, "entries left the list some time ago"),
        (Limits(), -1, 1, "entries left the list some time ago"),  # of a clock that went back nobody knows how long
        (Limits(quick=10**6), DAY, 1, "entries left a small list"),
        (Limits(share=1), DAY, 2_000, ""),
        (Limits(share=1000), DAY, 300, "many entries left the list"),
    ],
)
def test_what_lingers_is_bounded(limits: Limits, age: float, lingering: int, said: str) -> None:
    before, wanted = replace(BEFORE, base_created=NOW - age), replace(WANTED, limits=limits)
    assert why(before, wanted, added=100 + lingering) == said
    there = replace(before, content="now", tokens=wanted.tokens + lingering)
    assert is_in_force(there, wanted) == (not said), "and with nothing new it is built from nothing all the same"


def test_what_is_in_force_stays_where_it_says_the_same() -> None:
    same = replace(BEFORE, content="now", tokens=WANTED.tokens)
    assert is_in_force(same, WANTED)
    assert not is_in_force(None, WANTED)
    for changed in ({"epoch": 2}, {"error_rate": 1e-5}, {"content": "other"}, {"withdrawn": ""}):
        assert not is_in_force(same, replace(WANTED, **changed))
