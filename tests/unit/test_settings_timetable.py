"""Rates by the clock on the wall, and windows: over midnight, over the nights in which summer time begins and ends."""

from __future__ import annotations

import calendar
import os
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.settings.timetable import DAY, as_timetable, as_window

MONDAY = 1_750_636_800  # 2025-06-23 00:00 UTC


@pytest.fixture
def amsterdam() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "CET-1CEST,M3.5.0,M10.5.0/3"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


@pytest.fixture
def utc() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "UTC0"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def at(hour: int, minute: int = 0, day: int = 0) -> float:
    return MONDAY + day * 86_400 + hour * 3600 + minute * 60


def test_one_rate_holds_always(utc: None) -> None:
    assert {as_timetable("20M").at(at(hour, day=day)) for hour in range(24) for day in range(7)} == {20 << 20}
    assert as_timetable("off").at(at(3)) == 0
    assert not as_timetable("off").limits
    assert not as_timetable("").limits


def test_rates_of_a_day(utc: None) -> None:
    table = as_timetable("08:00,10M 12:30,512k 22:00,off")
    for day in range(7):
        times = ((0, 0), (7, 59), (8, 0), (12, 29), (12, 30), (21, 59))
        rates = [table.at(at(hour, minute, day)) for hour, minute in times]
        assert rates == [0, 0, 10 << 20, 10 << 20, 512 << 10, 512 << 10]
        assert table.at(at(22, 0, day)) == 0
    assert table.limits


def test_rates_of_a_week(utc: None) -> None:
    table = as_timetable("Mon-09:00,1M Fri-18:00,off")
    assert table.at(at(8, 59)) == 0, "before the first one of the week the last one holds"
    assert table.at(at(9)) == 1 << 20
    assert table.at(at(17, 59, day=4)) == 1 << 20
    assert table.at(at(18, 0, day=4)) == table.at(at(23, 59, day=6)) == 0


def test_a_window_over_midnight(utc: None) -> None:
    window = as_window("22:00-06:00")
    assert [window.open_at(at(hour, minute)) for hour, minute in ((21, 59), (22, 0), (23, 59), (0, 0), (5, 59), (6, 0))] == [
        False, True, True, True, True, False,
    ]  # fmt: skip
    both = as_window("22:00-06:00, 12:00-13:00")
    assert both.open_at(at(12, 30))
    assert not both.open_at(at(13))
    assert as_window("").open_at(at(12))


def test_a_window_in_the_nights_when_the_clocks_change(amsterdam: None) -> None:
    """What the clock on the wall shows counts: the night of March has an hour less, that of October one more."""
    window = as_window("22:00-06:00")
    spring = calendar.timegm((2025, 3, 29, 12, 0, 0))
    autumn = calendar.timegm((2025, 10, 25, 12, 0, 0))
    usual = calendar.timegm((2025, 6, 21, 12, 0, 0))
    minutes = [sum(window.open_at(noon + 60 * minute) for minute in range(DAY)) for noon in (spring, usual, autumn)]
    assert minutes == [7 * 60, 8 * 60, 9 * 60]
    left_out = as_window("02:00-03:00")
    assert not any(left_out.open_at(spring + 60 * minute) for minute in range(DAY)), "an hour that does not come"
    assert sum(left_out.open_at(autumn + 60 * minute) for minute in range(DAY)) == 120


@given(st.text(alphabet="0123456789:,-MkoffTue ", max_size=30))
def test_any_text_is_a_timetable_or_an_error(text: str) -> None:
    for convert in (as_timetable, as_window):
        try:
            made = convert(text)
        except ValueError:
            continue
        assert convert(made.text) == made
