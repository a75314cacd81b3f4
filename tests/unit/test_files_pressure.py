"""When a scan rests for others: the rule with a simulated host, and what is read of the kernel's files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.files.pressure import FIRST_DOUBT, LEAST_WORK, LONGEST_REST, Neighbours, Sample, read_sample
from hashscan.settings.pressure import PressureLimits, as_pressure

LIMITS = PressureLimits(io=0.3)


class Host:
    """A host on which tasks wait: a share of the time by the clock, and more of it while we work ourselves."""

    def __init__(self, others: Callable[[float], float], ours: float) -> None:
        self.others, self.ours, self.now, self.stalled = others, ours, 0.0, 0.0
        self.rests: list[tuple[float, float]] = []

    def scan(self, rule: Neighbours, seconds: float) -> float:
        """Scan for so many seconds; how many of them were work."""
        work, began = 0.0, -1.0
        look_at = 0.0
        while self.now < seconds:
            if self.now >= look_at:
                before = rule.resting
                after = rule.look(self.now, Sample({"io": self.stalled}))
                look_at = self.now + rule.every
                if after and not before:
                    began = self.now
                elif before and not after:
                    self.rests.append((began, self.now))
            self.now += 0.1
            work += 0.0 if rule.resting else 0.1
            self.stalled += 0.1 * max(self.others(self.now), 0.0 if rule.resting else self.ours)
        return work


def test_alone_it_listens_now_and_then_and_works_on() -> None:
    """Our own waiting is no reason: a cold disk that we alone use costs a few per cent."""
    host = Host(lambda now: 0.05, ours=0.95)
    assert host.scan(Neighbours(LIMITS), 1800) > 0.95 * 1800
    assert 5 < len(host.rests) < 25
    assert all(end - begin < 3 for begin, end in host.rests)


def test_it_backs_off_and_comes_back() -> None:
    host = Host(lambda now: 0.9 if 100 <= now < 160 else 0.0, ours=0.1)
    host.scan(Neighbours(LIMITS), 300)
    ((begin, end),) = host.rests
    assert 100 <= begin <= 105
    assert 160 <= end <= 167


def test_between_half_and_whole_it_neither_begins_nor_ends() -> None:
    assert not Host(lambda now: 0.25, ours=0.0).scan(Neighbours(LIMITS), 100) < 99
    host = Host(lambda now: 0.5 if now < 20 else 0.2, ours=0.0)
    rule = Neighbours(LIMITS)
    host.scan(rule, 60)
    assert rule.resting
    assert rule.reason.startswith("io pressure ")


def test_a_host_that_is_always_busy_is_scanned_slowly() -> None:
    host = Host(lambda now: 1.0, ours=1.0)
    work = host.scan(Neighbours(LIMITS), 10 * (LONGEST_REST + LEAST_WORK))
    assert work >= 9 * LEAST_WORK
    assert max(end - begin for begin, end in host.rests) <= LONGEST_REST + 2


def test_a_resource_that_is_not_asked_about_is_none_of_our_business() -> None:
    rule = Neighbours(PressureLimits(cpu=0.6))
    assert Host(lambda now: 1.0, ours=1.0).scan(rule, 60) > 59


def test_the_first_look_says_nothing() -> None:
    assert not Neighbours(LIMITS).look(5.0, Sample({"io": 1e9}))


def test_the_load_where_there_is_no_pressure() -> None:
    rule = Neighbours(LIMITS, ours=1.0)
    assert not rule.look(0.0, Sample({}, 2.4))
    assert not rule.look(2.0, Sample({}, 2.4)), "one of it is ours"
    assert rule.look(4.0, Sample({}, 2.6))
    assert "load 2.6" in rule.reason
    for now in range(6, 30):
        assert rule.look(float(now), Sample({}, 1.1)), "not before it is below one"
    for now in range(30, 33):
        rule.look(float(now), Sample({}, 0.9))
    assert not rule.resting
    assert not Neighbours(LIMITS).look(1.0, Sample({}))
    assert FIRST_DOUBT > 0


def psi(folder: Path, **totals: int) -> Path:
    (folder / "pressure").mkdir(exist_ok=True)
    for name, total in totals.items():
        line = f"avg10=0.00 avg60=0.00 avg300=0.00 total={total}"
        (folder / "pressure" / name).write_text(f"some {line}\nfull {line.replace(str(total), '7')}\n")
    (folder / "loadavg").write_text("3.50 2.00 1.00 1/100 12345\n")
    return folder


def test_what_the_kernel_says(tmp_path: Path) -> None:
    sample = read_sample(psi(tmp_path, io=1_500_000, cpu=2_000_000))
    assert sample.stalled == {"io": 1.5, "cpu": 2.0}
    assert sample.load > 0
    (tmp_path / "pressure/io").write_text("")
    (tmp_path / "pressure/cpu").write_text("some avg10=x total=-1\n")
    (tmp_path / "loadavg").write_text("high")
    assert read_sample(tmp_path) == Sample({})
    assert read_sample(tmp_path / "none") == Sample({})
    assert read_sample().load >= 0, "this very host"


@pytest.mark.parametrize("text", ["on", "io=5", "io=5, cpu=100%", "off"])
def test_limits_as_people_write_them(text: str) -> None:
    assert as_pressure(text).on is (text != "off")
