"""The circuit breaker counts over runs, days, entries and owners."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from hashscan.quarantine.limits import DAY, Counts, Limits, Removed

NOW = 1_790_000_000.0
OPEN = Limits(per_run=1000, per_day=1000, per_entry=1000, per_owner=1000)


def _reached(counts: Counts, limits: Limits, entry: str = "e", owner: str = "o", now: float = NOW) -> str:
    return counts.reached(limits, entry=entry, owner=owner, now=now)


def test_nothing_is_reached_at_first() -> None:
    assert _reached(Counts(), Limits()) == ""


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (replace(OPEN, per_run=3), "3 removals in one run"),
        (replace(OPEN, per_day=3), "3 removals within 24 hours"),
        (replace(OPEN, per_owner=3), "3 removals of one owner \\(o\\)"),
    ],
)
def test_each_limit_stops_the_next_one(limits: Limits, words: str) -> None:
    counts = Counts()
    for _ in range(3):
        assert _reached(counts, limits) == ""
        counts.add(Removed(NOW, "e", "o"))
    assert re.search(words, _reached(counts, limits))


def test_an_entry_counts_owners() -> None:
    counts, limits = Counts(), replace(OPEN, per_entry=3)
    for owner in ("a", "b", "c"):
        assert not _reached(counts, limits, owner=owner)
        counts.add(Removed(NOW, "e", owner))
    assert "3 owners of one entry" in _reached(counts, limits, owner="d")
    assert not _reached(counts, limits, owner="d", entry="another")


def test_nobody_makes_an_entry_wait_for_all_others_by_storing_its_file_often() -> None:
    counts = Counts(Removed(NOW - 1, "e", "o") for _ in range(30))
    limits = replace(OPEN, per_entry=3, per_owner=30)
    assert "one owner (o)" in _reached(counts, limits, owner="o")
    assert not _reached(counts, limits, owner="x")
    assert not _reached(counts, replace(limits, per_owner=31), owner="o")


def test_other_entries_do_not_free_an_owner() -> None:
    counts = Counts(Removed(NOW - 1, "e", "o") for _ in range(3))
    assert _reached(counts, replace(OPEN, per_owner=3), entry="x", owner="o")
    assert not _reached(counts, replace(OPEN, per_owner=3), entry="x", owner="x")


def test_the_day_slides_and_runs_begin_anew() -> None:
    earlier = [Removed(NOW - DAY + 10, "e", "o") for _ in range(5)]
    counts = Counts(earlier)
    assert _reached(counts, replace(OPEN, per_day=5))
    assert not _reached(counts, replace(OPEN, per_day=5), now=NOW + 11)
    assert not _reached(counts, replace(OPEN, per_run=5))


def test_a_clock_that_went_back_opens_nothing() -> None:
    counts = Counts(Removed(NOW + 10 * DAY, "e", "o") for _ in range(5))
    assert _reached(counts, replace(OPEN, per_day=5))


def test_a_limit_of_nothing_holds_everything() -> None:
    assert _reached(Counts(), replace(OPEN, per_day=0))
