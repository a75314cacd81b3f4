"""The figures of the monitor: times that cannot be true, outcomes that become findings, numbers over rows. All pure."""

from __future__ import annotations

import random
import statistics
from dataclasses import replace

import pytest

from hashscan.model import Action
from hashscan.service.monitor import figures
from hashscan.service.monitor.figures import NORM, Sighting, open_findings
from hashscan.service.monitor.findings import FindingState, after, begun, is_another
from hashscan.service.monitor.times import LATE, TOLERANCE, Times, checked, joined
from tests.support.figures_by_hand import groups, percentile, spans, total

NOW = 1_900_000_000.0
ADMITTED = NOW - 1_000_000
S = FindingState


@pytest.mark.parametrize(
    ("seen", "acted", "want"),
    [
        (NOW - 60, NOW - 30, Times(NOW - 60, NOW - 30, "")),
        (NOW + TOLERANCE, NOW + TOLERANCE, Times(NOW, NOW, "")),
        (NOW - 60, NOW + TOLERANCE + 1, Times(NOW - 60, NOW, "future")),
        (NOW + 9e9, NOW + 9e9, Times(NOW, NOW, "future")),
        (0.0, NOW - 30, Times(NOW, NOW, "early")),
        (ADMITTED - TOLERANCE, NOW - 30, Times(ADMITTED - TOLERANCE, NOW - 30, "")),
        (ADMITTED - TOLERANCE - 1, NOW - 30, Times(NOW, NOW, "early")),
        (NOW - 30, NOW - 60, Times(NOW - 30, NOW - 30, "")),
        (NOW - 30, NOW - 31 - TOLERANCE, Times(NOW - 30, NOW - 30, "order")),
        (NOW - 2 * LATE, NOW - LATE, Times(NOW - 2 * LATE, NOW - LATE, "late")),
        (NOW - 2 * LATE, NOW - LATE + 1, Times(NOW - 2 * LATE, NOW - LATE + 1, "")),
        (NOW + 9999, 0.0, Times(NOW, NOW, "future,early,order,late")),
    ],
)
def test_times_that_cannot_be_true_are_ours_and_flagged(seen: float, acted: float, want: Times) -> None:
    assert checked(seen, acted, received=NOW, admitted=ADMITTED) == want


def test_whatever_an_agent_tells_the_times_are_in_order_and_not_after_now() -> None:
    pick = random.Random(7)
    for _ in range(5000):
        seen, acted = (NOW + pick.uniform(-2e6, 2e6) for _ in range(2))
        times = checked(seen, acted, received=NOW, admitted=ADMITTED)
        assert ADMITTED - TOLERANCE <= times.first_seen <= times.acted_at <= NOW


def test_doubts_are_joined_once() -> None:
    assert (joined("", ""), joined("late", ""), joined("order,late", "future,late")) == ("", "late", "future,order,late")


# Outcomes become findings


def at(seen: float, acted: float, doubt: str = "") -> Times:
    return Times(NOW + seen, NOW + acted, doubt)


@pytest.mark.parametrize(
    ("first", "then", "state"),
    [
        (Action.REPORTED, Action.QUARANTINED, S.REMOVED),
        (Action.REPORTED, Action.HELD, S.HELD),
        (Action.HELD, Action.QUARANTINED, S.REMOVED),
        (Action.HELD, Action.FAILED, S.FAILED),
        (Action.FAILED, Action.QUARANTINED, S.REMOVED),
        (Action.QUARANTINED, Action.RESTORED, S.RESTORED),
        (Action.QUARANTINED, Action.REPORTED, S.REMOVED),
        (Action.QUARANTINED, Action.HELD, S.REMOVED),
        (Action.RESTORED, Action.QUARANTINED, S.RESTORED),
        (Action.RESTORED, Action.RESTORED, S.RESTORED),
    ],
)
def test_the_state_after_two_outcomes(first: Action, then: Action, state: FindingState) -> None:
    known = after(begun(first, at(0, 10), NOW + 20), then, at(0, 30), NOW + 40)
    assert known.state is state
    assert (known.first_seen, known.opened, known.told) == (NOW, NOW + 20, NOW + 40)


def test_a_removal_has_its_times() -> None:
    known = after(begun(Action.REPORTED, at(0, 10), NOW + 20), Action.QUARANTINED, at(500, 600, "late"), NOW + 700)
    assert (known.removed, known.removed_told, known.doubt) == (NOW + 600, NOW + 700, "late")
    restored = after(known, Action.RESTORED, at(0, 900), NOW + 901)
    assert (restored.removed, restored.removed_told) == (NOW + 600, NOW + 700)


def test_a_removal_before_the_first_sight_takes_no_time() -> None:
    known = after(begun(Action.REPORTED, at(100, 110), NOW + 120), Action.QUARANTINED, at(50, 60), NOW + 130)
    assert known.removed == NOW + 100


@pytest.mark.parametrize(
    ("known", "action", "seen", "another"),
    [
        (Action.QUARANTINED, Action.QUARANTINED, 11, True),
        (Action.QUARANTINED, Action.REPORTED, 11, True),
        (Action.QUARANTINED, Action.REPORTED, 10, False),
        (Action.QUARANTINED, Action.RESTORED, 11, False),
        (Action.REPORTED, Action.QUARANTINED, 11, False),
        (Action.RESTORED, Action.REPORTED, 11, True),
        (Action.RESTORED, Action.REPORTED, 0, False),
    ],
)
def test_what_comes_back_to_the_same_place_is_another_finding(
    known: Action, action: Action, seen: float, another: bool
) -> None:
    assert is_another(begun(known, at(0, 10), NOW + 20), action, at(seen, seen)) is another


# Numbers


def row(**changed: object) -> Sighting:
    base = Sighting("acme", "NL", "ams", "police", "e_1", S.REPORTED, False, False, NOW - 10, NOW - 5, None, None, "")
    return base._replace(**changed)


def gone(seconds: float, told: float | None = None, **more: object) -> Sighting:
    """Removed after so many seconds, and told ``told`` seconds after first sight."""
    begun_at = NOW - 10 * NORM
    told_at = begun_at + (seconds if told is None else told)
    return row(state=S.REMOVED, first_seen=begun_at, opened=told_at, removed=begun_at + seconds, removed_told=told_at, **more)


def test_nothing_is_nothing() -> None:
    nothing = total([], NOW)
    assert (nothing.findings, nothing.oldest_open, nothing.removals.median, nothing.removals.within_norm) == (
        0,
        None,
        None,
        None,
    )
    assert (groups([], lambda one: one.provider, NOW), spans([]), open_findings([], NOW)) == ((), (), ())


@pytest.mark.parametrize(
    ("values", "median", "p95"),
    [([5], 5, 5), ([1, 2], 1, 2), ([1, 2, 3], 2, 3), (list(range(1, 101)), 50, 95), (list(range(1, 22)), 11, 20)],
)
def test_percentiles_are_nearest_ranks(values: list[float], median: float, p95: float) -> None:
    assert (percentile(values, 50), percentile(values, 95)) == (median, p95)


def test_percentiles_agree_with_another_way_to_count_them() -> None:
    pick = random.Random(3)
    for _ in range(300):
        values = sorted(pick.randrange(1000) for _ in range(pick.randrange(1, 60)))
        low = percentile(values, 50)
        assert low == statistics.median_low(values)
        p95 = percentile(values, 95)
        assert p95 is not None
        assert sum(one <= p95 for one in values) >= 0.95 * len(values) > sum(one < p95 for one in values)


def test_the_share_within_the_norm_and_what_our_clock_proves_of_it() -> None:
    removals = total([gone(60), gone(NORM), gone(NORM + 1), gone(60, told=3 * NORM)], NOW).removals
    assert (removals.count, removals.within_norm, removals.proved) == (4, 0.75, 0.5)
    assert (removals.median, removals.p95) == (60, NORM + 1)


def test_doubtful_removals_improve_nothing() -> None:
    removals = total([gone(5 * NORM), gone(0, doubt="future"), gone(0, doubt="early")], NOW).removals
    assert (removals.count, removals.doubtful, removals.within_norm, removals.median) == (1, 2, 0.0, 5 * NORM)


@pytest.mark.parametrize(
    ("changed", "is_open", "is_overdue"),
    [
        ({"first_seen": NOW - NORM}, 1, 0),
        ({"first_seen": NOW - NORM - 1}, 1, 1),
        ({"first_seen": NOW - NORM - 1, "state": S.HELD}, 1, 1),
        ({"first_seen": NOW - NORM - 1, "state": S.FAILED}, 1, 1),
        ({"first_seen": NOW - NORM - 1, "disputed": True}, 1, 0),
        ({"first_seen": NOW - NORM - 1, "void": True}, 0, 0),
        ({"first_seen": NOW - NORM - 1, "state": S.REMOVED}, 0, 0),
        ({"first_seen": NOW - NORM - 1, "state": S.RESTORED}, 0, 0),
    ],
)
def test_what_is_open_and_overdue(changed: dict[str, object], is_open: int, is_overdue: int) -> None:
    found = total([row(**changed)], NOW)
    assert (found.open, found.overdue) == (is_open, is_overdue)
    assert len(open_findings([row(**changed)], NOW)) == is_open


def test_a_group_adds_up() -> None:
    rows = [
        row(),
        row(state=S.HELD, disputed=True),
        row(state=S.FAILED, first_seen=NOW - 3 * NORM),
        row(void=True),
        gone(60),
        gone(90),
    ]
    rows[-1] = rows[-1]._replace(state=S.RESTORED)
    found = total(rows, NOW)
    assert found.findings == 6 == found.open + found.void + found.removed + found.restored
    assert (found.open, found.reported, found.held, found.failed, found.disputed, found.overdue) == (3, 1, 1, 1, 1, 1)
    assert (found.void, found.removed, found.restored, found.oldest_open) == (1, 1, 1, 3 * NORM)
    assert found.removals.count == 2


def test_groups_are_ordered_by_what_is_overdue() -> None:
    late = NOW - 2 * NORM
    rows = [row(provider="c"), row(provider="b"), row(provider="b"), row(provider="a", first_seen=late), gone(1, provider="z")]
    assert [one.key for one in groups(rows, lambda one: one.provider, NOW)] == ["a", "b", "c", "z"]


def test_groups_together_are_the_total() -> None:
    pick = random.Random(5)
    rows = [
        (gone(pick.uniform(0, 3 * NORM)) if pick.random() < 0.5 else row(state=pick.choice(list(S)[:3])))._replace(
            provider=pick.choice("abcde"), void=pick.random() < 0.1, disputed=pick.random() < 0.1
        )
        for _ in range(2000)
    ]
    parts = groups(rows, lambda one: one.provider, NOW)
    for name in ("findings", "open", "overdue", "disputed", "reported", "held", "failed", "removed", "restored", "void"):
        assert sum(getattr(one, name) for one in parts) == getattr(total(rows, NOW), name), name


def test_days_and_weeks_have_no_gaps_and_lose_nothing() -> None:
    thursday = 20_000 * 86_400.0  # 2024-10-04 is day 20,000: a Friday
    rows = [row(opened=thursday), row(opened=thursday + 86_399), row(opened=thursday + 3 * 86_400)]
    rows.append(row(opened=thursday, removed=thursday, removed_told=thursday + 8 * 86_400, state=S.REMOVED))
    days = spans(rows)
    assert [(one.start, one.findings, one.removed) for one in days[:4]] == [
        ("2024-10-04", 3, 0), ("2024-10-05", 0, 0), ("2024-10-06", 0, 0), ("2024-10-07", 1, 0),
    ]  # fmt: skip
    assert len(days) == 9
    weeks = spans(rows, 7)
    assert [(one.start, one.findings, one.removed) for one in weeks] == [("2024-09-30", 3, 0), ("2024-10-07", 1, 1)]


def test_open_findings_are_told_overdue_first_and_bounded() -> None:
    rows = [
        row(entry="e_new"),
        row(entry="e_disputed", first_seen=NOW - 9 * NORM, disputed=True),
        row(entry="e_old", first_seen=NOW - 2 * NORM),
        row(entry="e_older", first_seen=NOW - 3 * NORM),
        gone(5),
    ]
    assert [one.entry for one in open_findings(rows, NOW)] == ["e_older", "e_old", "e_disputed", "e_new"]
    assert len(open_findings([row()] * 1500, NOW)) == figures.MAX_OPEN_SHOWN
    assert [one.age for one in open_findings([row(first_seen=NOW + 50)], NOW)] == [0.0]


def test_known_is_never_edited() -> None:
    known = begun(Action.REPORTED, at(0, 10), NOW)
    copy = replace(known)
    after(known, Action.QUARANTINED, at(0, 10), NOW)
    assert known == copy
