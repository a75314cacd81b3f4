"""Numbers become plots: where a column ends, what is beyond the line, and that words and tables say the same."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hashscan.service.monitor.figures import NORM, Sighting
from hashscan.service.monitor.findings import FindingState
from hashscan.service.monitor.spread import EDGES
from hashscan.service.web import drawing, rendering
from hashscan.service.web.choosing import chosen
from hashscan.service.web.drawing import DESK, PHONE, Mark, Pair
from tests.support.figures_by_hand import spread


def removed_after(seconds: float, doubt: str = "") -> Sighting:
    return Sighting(
        "acme", "NL", "", "police", "e_1", FindingState.REMOVED, False, False, 0.0, 10.0, seconds, seconds + 5, doubt
    )  # fmt: skip


def test_removals_are_counted_between_the_edges_and_24_hours_are_within_the_norm() -> None:
    counted = spread([removed_after(one) for one in (0, 60, 61, NORM - 1, NORM, NORM + 1, 1e9)])
    assert sum(counted.counts) == 7
    assert (counted.counts[0], counted.counts[1], counted.counts[-1]) == (2, 1, 1)
    norm = EDGES.index(NORM)
    assert (counted.counts[norm], counted.counts[norm + 1]) == (2, 1)


def test_removals_with_doubtful_times_are_not_counted() -> None:
    assert sum(spread([removed_after(5, "future"), removed_after(5)]).counts) == 1


@pytest.mark.parametrize("most", [0, 1, 2, 4, 5, 7, 10, 11, 19, 20, 49, 50, 99, 100, 101, 999, 1000, 12345, 10**7])
def test_an_axis_is_long_enough_and_has_few_steps(most: int) -> None:
    top, step = drawing.nice_ceiling(most)
    assert top >= most
    assert top % step == 0
    assert 1 <= top // step <= 5
    assert top <= max(1, most) * 2.1


@pytest.mark.parametrize("width", [DESK, PHONE])
def test_nothing_is_drawn_outside(width: int) -> None:
    counts = [3, 0, 1, 500, 2, 7, 1, 9, 4, 0, 6]
    marks = [Mark(1.0, "median 1 s"), Mark(30 * 86_400.0, "95 % within a very long time")]
    plots = [
        drawing.removals(EDGES, counts, marks, width),
        drawing.paired([Pair(f"{day} Jan", day * 13, day) for day in range(1, 46)], width, "per day"),
        drawing.paired([], width, "per day"),
    ]
    for plot in plots:
        for rect in plot.rects:
            assert 0 <= rect.x <= rect.x + rect.width <= plot.width
            assert 0 <= rect.y <= rect.y + rect.height <= plot.height
        for line in plot.lines:
            assert max(line.x1, line.x2) <= plot.width
        for text in plot.texts:
            wide = len(text.text) * 6.6 * {"start": 1, "middle": 0.5, "end": 0}[text.anchor]
            assert text.x + wide <= plot.width + 8, text
    assert len(plots[0].rects) == 9
    assert [one.kind for one in plots[0].rects].count("after") == 3, "what took longer than 24 hours has another colour"
    assert {round(one.height) for one in plots[0].rects} >= {1}, "one removal beside 500 is seen"


def test_where_a_time_is_on_the_axis() -> None:
    edges = (60.0, 3600.0, NORM)
    assert drawing.place(1, edges) == 0.5
    assert drawing.place(60, edges) == 1
    assert drawing.place(60 * 60**0.5, edges) == pytest.approx(1.5)
    assert drawing.place(NORM, edges) == 3
    assert drawing.place(NORM + 1, edges) == 3.5


def test_labels_do_not_run_into_each_other() -> None:
    plot = drawing.paired([Pair(f"{day} Nov", 1, 1) for day in range(10, 55)], PHONE, "per day")
    below = sorted(one.x for one in plot.texts if "Nov" in one.text)
    assert len(below) > 3
    assert min(after - one for one, after in pairwise(below)) > 6 * 6.6


def test_bars_in_tables_are_shares_of_the_longest() -> None:
    bar = drawing.share_bar([("in-time", 5), ("waiting", 0), ("after", 5)], 20)
    assert [(one.x, one.width, one.kind) for one in bar] == [(0, 25, "in-time"), (25, 25, "after")]
    assert drawing.share_bar([("in-time", 5)], 0) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, rendering.NOTHING), (-5, "0 s"), (0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3599, "1 h"), (3600, "1 h"),
        (5000, "1 h 23 min"), (40_000, "11 h"), (86_400, "24 h"), (170_000, "47 h"), (190_000, "2 d 5 h"),
        (86_400 * 20, "20 d"),
    ],
)  # fmt: skip
def test_spans_of_time_in_words(seconds: float | None, words: str) -> None:
    assert rendering.duration(seconds) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(None, rendering.NOTHING), (0.0, "0 %"), (1.0, "100 %"), (0.9999, "99.9 %"), (0.93, "93 %"), (0.004, "0.4 %")],
)
def test_a_share_is_never_rounded_up_to_all(share: float | None, words: str) -> None:
    assert rendering.percent(share) == words


def test_what_is_no_choice_is_as_if_it_were_not_there() -> None:
    bad = {"period": "9" * 99, "list": "../x", "provider": "<b>", "country": "nl", "names": "yes", "open": "1"}
    assert chosen(bad, may_see_names=False) == chosen({}, may_see_names=False)
    good = {"period": "7", "list": "police", "provider": "p_0123456789ab", "country": "NL", "names": "yes"}
    choice = chosen(good, may_see_names=True)
    assert choice.query() == "period=7&list=police&provider=p_0123456789ab&country=NL&names=yes"
    assert choice.query(provider="") == "period=7&list=police&country=NL&names=yes"
    now = 20_000 * 86_400.0 + 5
    assert choice.selection(now).since == (20_000 - 6) * 86_400.0
    assert choice.selection(now, always=True).since is None
