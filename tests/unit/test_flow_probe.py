"""Looks that never return do not keep the one who wants to know."""

from __future__ import annotations

import os
import signal
import time

from hashscan.flow import unanswered
from tests.support.trees import children, descriptors


def test_all_answer() -> None:
    assert unanswered(0, lambda _: None, 1.0) == []
    assert unanswered(2000, lambda _: None, 30.0) == []


def test_those_that_hang_or_kill_are_told_and_the_others_are_looked_at() -> None:
    def look(number: int) -> None:
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        if number in (0, 4, 9):
            time.sleep(1000)

    before, begun = descriptors(), time.monotonic()
    assert unanswered(10, look, 0.3) == [0, 3, 4, 9]
    assert time.monotonic() - begun < 30
    assert descriptors() == before
    assert children() == []


def test_the_time_is_for_one_look() -> None:
    assert unanswered(8, lambda _: time.sleep(0.25), 1.5) == []
