"""The rule of the throttle alone; and real scans under it, whose time is what the limits say."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.errors import UsageError
from hashscan.files.engine import InProcessEngine, LocalEngine
from hashscan.files.throttle import BURST, Pacer, Throttle, next_due, step_names
from hashscan.files.walk import WalkOptions
from hashscan.flow import BEAT
from hashscan.model import Sifted
from tests.support import children as kids
from tests.support.sieves import FakeSieve
from tests.support.trees import total


def test_costs_add_up_and_unused_time_is_lost() -> None:
    due = 0.0
    for _ in range(1000):
        due = next_due(due, 50.0, 0.01)
    assert due == pytest.approx(50.0 - BURST + 10.0)
    assert next_due(due, 1000.0, 0.5) == pytest.approx(1000.0 - BURST + 0.5)


@pytest.mark.parametrize(
    ("cost", "names"), [(0.0, 256), (1e-9, 256), (BURST / 256, 256), (BURST / 10, 10), (BURST, 1), (9.0, 1)]
)
def test_a_step_costs_about_a_burst(cost: float, names: int) -> None:
    assert abs(step_names(cost) - names) <= 1
    assert step_names(cost) >= 1


def test_a_limit_below_zero_is_refused() -> None:
    with pytest.raises(UsageError):
        Throttle(bytes_per_second=-1)


def test_without_limits_nothing_is_ever_due() -> None:
    assert Throttle().spend(1 << 40, 1 << 20) == 0.0


def test_many_processes_spend_one_budget() -> None:
    """Each of four children spends 1/4 s worth 8 times; together that is 8 s, give or take the burst."""
    throttle = Throttle(bytes_per_second=1000)
    begin = time.monotonic()

    def spend() -> None:
        for _ in range(8):
            throttle.spend(250, 1)

    for child in [kids.start(spend) for _ in range(4)]:
        assert kids.end(child) == 0
    assert throttle.spend(0, 0) == pytest.approx(begin + 8.0, abs=BURST + (time.monotonic() - begin))


def test_a_holder_that_is_killed_does_not_keep_the_others_waiting() -> None:
    throttle = Throttle(files_per_second=1e9)

    def spend_for_ever() -> None:
        while True:
            throttle.spend(1, 1)

    for _ in range(20):
        child = kids.start(spend_for_ever)
        time.sleep(0.005)
        os.kill(child, signal.SIGKILL)
        kids.end(child)
        begin = time.monotonic()
        throttle.spend(1, 1)
        assert time.monotonic() - begin < 1.0


def test_a_step_is_as_long_as_the_files_before_were_dear() -> None:
    pacer = Pacer(Throttle(bytes_per_second=1000), lambda: None)
    assert pacer.names == 1
    pacer.spent(20, 2)
    assert pacer.names == 10
    pacer.spent(0, 1)  # a directory
    assert pacer.names == 10
    pacer.spent(5000, 1)
    assert pacer.names == 1


def test_a_pause_is_asked_about_once_a_beat_and_ends_when_it_says_so() -> None:
    asked: list[float] = []

    def pause() -> float:
        asked.append(time.monotonic())
        return 60.0 if len(asked) < 3 else 0.0

    pacer = Pacer(Throttle(pause=pause), lambda: None)
    begin = time.monotonic()
    assert not pacer.ready(begin)
    assert not pacer.ready(begin + BEAT / 2)
    assert pacer.ready(begin + 60)
    assert 2 * BEAT <= time.monotonic() - begin < 2 * BEAT + 1.0
    assert len(asked) == 3
    for _ in range(1000):
        assert pacer.ready(0.0) or len(asked) < 6
    assert len(asked) <= 4


Make = Callable[[WalkOptions], InProcessEngine | LocalEngine]


@pytest.fixture(params=["in-process", "1 worker", "3 workers"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "in-process":
        return InProcessEngine
    workers = int(request.param.split()[0])
    return lambda options: LocalEngine(options, workers)


def scan(make: Make, top: Path, throttle: Throttle) -> tuple[float, list[tuple[float, Sifted]]]:
    """How many seconds a scan takes, and when what came."""
    begin = time.monotonic()
    came = [
        (time.monotonic() - begin, one)
        for one in make(WalkOptions(throttle=throttle)).sift([os.fsencode(top)], FakeSieve(frozenset()))
    ]
    return time.monotonic() - begin, came


def test_bytes_a_second(make: Make, tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"d{number % 10}").mkdir(exist_ok=True)
        (tmp_path / f"d{number % 10}" / f"{number}").write_bytes(bytes(20_000))
    seconds, came = scan(make, tmp_path, Throttle(bytes_per_second=1_000_000))
    assert total(one for _, one in came).bytes_hashed == 2_000_000
    # The first burst is free, and nobody waits until the last step of each worker is paid.
    assert 2.0 - 5 * BURST - 0.1 <= seconds <= 2.0 * 1.05 + 0.5
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(came)]
    assert max(gaps) < 3 * BEAT, "signs of life come all the while"
    half = sum(one.bytes_hashed for when, one in came if when < 1.0)
    assert half < 1_500_000, "evenly, not at the end"


def test_files_a_second(make: Make, tmp_path: Path) -> None:
    for number in range(150):
        (tmp_path / f"{number}").write_bytes(b"x")
    seconds, came = scan(make, tmp_path, Throttle(files_per_second=100))
    assert total(one for _, one in came).scanned == 150
    assert 1.5 - 5 * BURST - 0.1 <= seconds <= 1.5 * 1.05 + 0.5


def test_one_large_file_is_read_slowly_and_is_no_hanging_one(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(12 << 20))
    options = WalkOptions(throttle=Throttle(bytes_per_second=6 << 20), file_deadline=0.8)
    begin = time.monotonic()
    seen = total(LocalEngine(options, 2).sift([os.fsencode(tmp_path)], FakeSieve(frozenset())))
    assert seen.scanned == 1
    assert 1.7 <= time.monotonic() - begin <= 3.0


def test_a_scan_that_pauses_finds_what_it_had_found_before(tmp_path: Path) -> None:
    """A candidate must not wait in a worker while everything rests."""
    for number in range(400):
        (tmp_path / f"{number}").write_bytes(b"x")
    begin = time.monotonic()
    throttle = Throttle(files_per_second=1000, pause=lambda: 5.0 if 0.1 < time.monotonic() - begin < 1.5 else 0.0)
    first, seen, candidates = 0.0, 0, 0
    for one in LocalEngine(WalkOptions(throttle=throttle, file_deadline=0.8), 2).sift([os.fsencode(tmp_path)], FakeSieve()):
        seen += one.seen
        candidates += len(one.candidates)
        first = first or (time.monotonic() - begin if one.candidates else 0.0)
    assert (seen, candidates) == (400, 400)
    assert first < 0.8
    assert time.monotonic() - begin >= 1.4
