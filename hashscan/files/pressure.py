"""Whether others wait for the machine while we scan: pressure stall information (PSI), or the load average where there is none.

PSI counts our own waiting too: a scan of a cold disk alone makes it high, and one that obeyed it would rest on an idle host.
So above the limits it first falls silent for `LISTEN` seconds. What is stalled then is not ours. Where others wait still, it
goes on resting, until their waiting falls below half of the limit (hysteresis); where nobody does, it goes on, and does not ask
again for a while. A rest ends after `LONGEST_REST`, and between two rests of that kind there is work: a busy host is scanned
slowly, but it is scanned.

Source: Documentation/accounting/psi.rst of the kernel; ``total`` is microseconds in which at least one task was stalled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from hashscan.settings.pressure import PressureLimits

PROC = Path("/proc")
EVERY = 2.0  # seconds between two looks while there is work
EVERY_RESTING = 1.0
LISTEN = 1.5  # seconds of silence after which waiting is not ours; what we have asked of the disk is done by then
CALM = 3  # looks in a row at which others must not wait before we go on
HIGH_LOAD, LOW_LOAD = 1.5, 1.0  # tasks for each processor, where there is no PSI
LONGEST_REST = 600.0
LEAST_WORK = 60.0  # seconds of work after a rest that others would have made longer
FIRST_DOUBT, MOST_DOUBT = 10.0, 160.0  # seconds in which we do not ask again after the waiting was our own; doubling
_MAX_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds since the start in which tasks waited, by resource; and the load for each processor (-1: not known)."""

    stalled: Mapping[str, float]
    load: float = -1.0


def read_sample(proc: Path = PROC) -> Sample:
    """What the kernel says now. A resource that it does not say is missing."""
    stalled = {}
    for one in fields(PressureLimits):
        some = next((line for line in _lines(proc / "pressure" / one.name) if line.startswith("some ")), "")
        total = some.rpartition("total=")[2]
        if total.isdigit():
            stalled[one.name] = int(total) / 1e6
    load = next(iter(_lines(proc / "loadavg")), "").partition(" ")[0]
    try:
        return Sample(stalled, float(load) / (os.cpu_count() or 1))
    except ValueError:
        return Sample(stalled)


def _lines(path: Path) -> list[str]:
    try:
        with path.open(encoding="ascii", errors="replace") as stream:
            return stream.read(_MAX_BYTES).splitlines()
    except OSError:  # no such kernel, or one that was told to keep no such account (EOPNOTSUPP)
        return []


class Neighbours:
    """The rule. `look` is told the time and a sample every now and then, and says whether to rest. Touches nothing.

    ``ours`` is what our own workers add to the load of each processor.
    """

    def __init__(self, limits: PressureLimits, ours: float = 0.0) -> None:
        self._limits = {one.name: getattr(limits, one.name) for one in fields(limits) if getattr(limits, one.name)}
        self._ours = ours
        self._before: tuple[float, Sample] | None = None
        self._since = -1.0  # when the rest began
        self._others = False  # whether somebody waited in our silence
        self._calm = 0  # looks in a row at which nobody did
        self._deaf_until, self._doubt = 0.0, FIRST_DOUBT
        self.reason = ""

    @property
    def resting(self) -> bool:
        """Whether to rest from now on."""
        return self._since >= 0

    @property
    def every(self) -> float:
        """Seconds until the next look."""
        return EVERY_RESTING if self.resting else EVERY

    def look(self, now: float, sample: Sample) -> bool:
        """Whether to rest, at the monotonic time ``now``."""
        before, self._before = self._before, (now, sample)
        if before is not None and now > before[0]:
            high = self._high(before, now, sample)
            if self.resting:
                self._listen(now, high)
            elif high and now >= self._deaf_until:
                self._since, self._others, self._calm, self.reason = now, False, 0, high
        return self.resting

    def _listen(self, now: float, high: str) -> None:
        if now - self._since < LISTEN:
            return
        if now - self._since >= LONGEST_REST:
            self._end(now, LEAST_WORK)
        elif high:
            self._others, self._calm, self.reason = True, 0, high
        elif not self._others:
            # Nobody else waited: we were the cause, and asking again at once would make a scan of ours stutter.
            self._end(now, self._doubt)
            self._doubt = min(MOST_DOUBT, 2 * self._doubt)
        else:
            self._calm += 1
            if self._calm >= CALM:
                self._doubt = FIRST_DOUBT
                self._end(now, EVERY)

    def _end(self, now: float, deaf: float) -> None:
        self._since, self._deaf_until, self.reason = -1.0, now + deaf, ""

    def _high(self, before: tuple[float, Sample], now: float, sample: Sample) -> str:
        """What is above its limit, in words; "" where nothing is. While resting, half of the limit is enough."""
        factor = 0.5 if self.resting else 1.0
        then, old = before
        for name, limit in self._limits.items():
            if name in sample.stalled and name in old.stalled:
                share = (sample.stalled[name] - old.stalled[name]) / (now - then)
                if share > limit * factor:
                    return f"{name} pressure {min(100, round(100 * share))} %"
        if not sample.stalled and sample.load >= 0:
            load = sample.load - (0.0 if self.resting else self._ours)
            if load > (LOW_LOAD if self.resting else HIGH_LOAD):
                return f"load {sample.load:.1f} for each processor"
        return ""
