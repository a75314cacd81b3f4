"""The rule of the throttle alone; and real scans under it, whose time is what the limits say."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.errors import UsageError
from hashscan.files.engine import InProcessEngine, LocalEngine
from hashscan.files.throttle import BURST, Clock, Pacer, Throttle, next_due, step_names
from hashscan.files.walk import WalkOptions
from hashscan.flow import BEAT
from hashscan.model import Sifted
from hashscan.settings.timetable import Timetable
from tests.support import children as kids
from tests.support.sieves import FakeSieve
from tests.support.trees import total

MONDAY = 1_750_636_800  # 2025-06-23 00:00 UTC


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
    throttle = Throttle(operations_per_second=1e9)

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
    pacer = Pacer(Throttle(operations_per_second=100), lambda: None)
    assert pacer.names == 1
    pacer.spent(20, 2)
    assert pacer.names == 10
    pacer.spent(0, 1)  # a directory
    assert pacer.names == 10
    pacer = Pacer(Throttle(bytes_per_second=1000), lambda: None)
    pacer.spent(20, 2)
    assert pacer.names == 1


class FakeClock(Clock):
    """Time that passes when somebody sleeps or works."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.time += seconds


MEGABYTE = 1 << 20


def read_for(
    seconds: float, clock: FakeClock, pacers: list[Pacer], throttle: Throttle, rnd: random.Random
) -> list[tuple[float, int]]:
    """Workers that take turns in reading files of very different sizes from a fast disk: when how many bytes were read."""
    read: list[tuple[float, int]] = []
    until = clock.now() + seconds
    while clock.now() < until:
        pacer = rnd.choice(pacers)
        if not pacer.ready(clock.now() + BEAT):
            continue
        size = rnd.choice([300, 5_000, 200_000, 900_000, 30 * MEGABYTE])
        count = 1 if size > MEGABYTE else pacer.names
        for _ in range(size // MEGABYTE if size > MEGABYTE else 0):
            clock.time += MEGABYTE / 2e9
            read.append((clock.now(), MEGABYTE))
            pacer.buffer_read()
        if size <= MEGABYTE:
            clock.time += count * 1e-5
            read.append((clock.now(), count * size))
        pacer.spent(count * size, count)
    return read


def test_a_minute_under_a_limit_is_a_minute_of_that_rate() -> None:
    """With a clock of its own: over each minute of ten, 20 MiB/s give or take 5 %, whatever the files are like."""
    clock = FakeClock()
    throttle = Throttle(bytes_per_second=20 * MEGABYTE, clock=clock)
    read = read_for(600, clock, [Pacer(throttle, lambda: None) for _ in range(4)], throttle, random.Random(4))
    begin = read[0][0]
    for minute in range(9):
        came = sum(size for when, size in read if begin + 60 * minute <= when < begin + 60 * (minute + 1))
        assert came / (60 * 20 * MEGABYTE) == pytest.approx(1.0, abs=0.05)


def test_control_without_the_limit_it_is_far_more() -> None:
    clock = FakeClock()
    throttle = Throttle(clock=clock)
    read = read_for(1, clock, [Pacer(throttle, lambda: None)], throttle, random.Random(4))
    assert sum(size for _, size in read) > 10 * 20 * MEGABYTE


def test_the_limit_changes_with_the_time_of_day() -> None:
    clock = FakeClock()
    table = Timetable(((0, 10 * MEGABYTE), (1, MEGABYTE), (2, 0)))
    throttle = Throttle(schedule=lambda: table.at(MONDAY + clock.now() - 1000.0), clock=clock)
    read = read_for(121, clock, [Pacer(throttle, lambda: None) for _ in range(2)], throttle, random.Random(5))
    came = [sum(size for when, size in read if 1000 + 60 * at <= when < 1060 + 60 * at) for at in range(3)]
    assert came[0] / (600 * MEGABYTE) == pytest.approx(1.0, abs=0.1)
    assert came[1] / (60 * MEGABYTE) == pytest.approx(1.0, abs=0.1)
    assert came[2] > 100 * MEGABYTE, "off: as fast as it goes, within one second"


def test_no_step_overdraws_much() -> None:
    throttle = Throttle(bytes_per_second=20 * MEGABYTE)
    pacer = Pacer(throttle, lambda: None)
    pacer.spent(10, 10)
    assert pacer.names == 10, "256 files of a megabyte each would be a quarter of a minute's budget at once"


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
    seconds, came = scan(make, tmp_path, Throttle(operations_per_second=100))
    assert total(one for _, one in came).scanned == 150
    assert 1.5 - 5 * BURST - 0.1 <= seconds <= 1.5 * 1.05 + 0.5


def test_one_large_file_is_read_slowly_and_is_no_hanging_one(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(12 << 20))
    options = WalkOptions(throttle=Throttle(bytes_per_second=6 << 20), file_deadline=0.8)
    begin = time.monotonic()
    seen = total(LocalEngine(options, 2).sift([os.fsencode(tmp_path)], FakeSieve(frozenset())))
    assert seen.scanned == 1
    assert 1.7 <= time.monotonic() - begin <= 3.0


def test_a_scan_that_rests_has_told_what_it_had_found(tmp_path: Path) -> None:
    """A candidate must not wait in a worker while everything rests; and resting is no hanging."""
    for number in range(400):
        (tmp_path / f"{number}").write_bytes(b"x")
    (tmp_path / "large").write_bytes(bytes(12 << 20))
    begin = time.monotonic()
    rested: list[float] = []

    def rest() -> bool:
        rested.append(time.monotonic() - begin)
        return 0.1 < rested[-1] < 2.0

    options = WalkOptions(throttle=Throttle(operations_per_second=1000), file_deadline=0.8)
    came = [
        (time.monotonic() - begin, one) for one in LocalEngine(options, 2, rest=rest).sift([os.fsencode(tmp_path)], FakeSieve())
    ]
    seen = total(one for _, one in came)
    assert (seen.seen, len(seen.candidates)) == (401, 401)
    assert not [when for when, one in came if one.seen and 0.1 + 4 * BEAT < when < 2.0], "nothing is read while all rest"
    assert max(after - before for (before, _), (after, _) in itertools.pairwise(came)) < 5 * BEAT, "signs of life come"
    assert came[-1][0] >= 2.0
    assert max(after - before for before, after in itertools.pairwise(rested)) < 5 * BEAT
