"""How fast a scan may read: bytes and operations a second over all workers together.

The rule is that of a cell clock (GCRA, ITU-T I.371): everything read moves a common due time on by what it costs in seconds,
and a worker waits until its own last cost is paid. Time that nobody used is lost but for `BURST`. The due times of all
workers stand in one small file in memory, under a record lock, which the kernel lifts when its holder is killed.

Resting (a person, other people's pressure) is no business of the throttle: see `flow.Staff`.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable

from hashscan.errors import UsageError
from hashscan.files.hashing import BUFFER
from hashscan.flow import BEAT

BURST = 0.1  # seconds of unused budget that may be used later; also what one step of a worker may cost before it looks again
_MAX_STEP = 256  # names; as `sifter.STEP_NAMES`
OVERDRAFT = 0.5  # seconds of budget that one step may cost where its files are larger than those before
_DUE = struct.Struct("=dd")


def next_due(due: float, now: float, cost: float) -> float:
    """When what has cost ``cost`` seconds of budget is paid, where everything before was due at ``due``."""
    return max(due, now - BURST) + cost


def step_names(cost_of_one: float) -> int:
    """How many files to read before looking at the clock again, where one has cost so many seconds on average."""
    return _MAX_STEP if cost_of_one <= BURST / _MAX_STEP else max(1, int(BURST / cost_of_one))


class Clock:
    """Monotonic seconds, and waiting for some of them."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Let them pass."""
        time.sleep(seconds)


class Throttle:
    """Limits for a whole scan; 0 is no limit. An operation is a file, a directory, or a full buffer of a longer file.

    ``schedule`` says what the limit of bytes is now, where it changes with the time of day; each worker asks it about once a
    `flow.BEAT`. Made before the workers are forked. Raises `UsageError`.
    """

    def __init__(
        self,
        *,
        bytes_per_second: float = 0.0,
        operations_per_second: float = 0.0,
        schedule: Callable[[], float] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if bytes_per_second < 0 or operations_per_second < 0:
            raise UsageError("a limit below 0", hint="0 is no limit")
        self._per_byte = 1 / bytes_per_second if bytes_per_second else 0.0
        self._per_operation = 1 / operations_per_second if operations_per_second else 0.0
        self._schedule, self.clock = schedule, clock or Clock()
        self._fd = os.memfd_create("hashscan-throttle", os.MFD_CLOEXEC)
        os.pwrite(self._fd, _DUE.pack(0.0, 0.0), 0)
        self.look()

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def look(self) -> None:
        """Ask what the limit is now."""
        if self._schedule is not None:
            rate = self._schedule()
            self._per_byte = 1 / rate if rate else 0.0

    @property
    def changes(self) -> bool:
        """Whether `look` may find another limit."""
        return self._schedule is not None

    def cost(self, count_bytes: int, operations: int) -> float:
        """Seconds of budget."""
        return max(count_bytes * self._per_byte, operations * self._per_operation)

    @property
    def most_names(self) -> int:
        """How many files a step may have whatever they are: one that is longer than a buffer pays while it is read."""
        return max(1, int(OVERDRAFT / (BUFFER * self._per_byte))) if self._per_byte else _MAX_STEP

    def spend(self, count_bytes: int, operations: int) -> float:
        """Enter what was read; the time on the clock at which it is paid for."""
        if not self._per_byte and not self._per_operation:
            return 0.0
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            now = self.clock.now()
            due_bytes, due_operations = _DUE.unpack(os.pread(self._fd, _DUE.size, 0))
            due_bytes = next_due(due_bytes, now, count_bytes * self._per_byte)
            due_operations = next_due(due_operations, now, operations * self._per_operation)
            os.pwrite(self._fd, _DUE.pack(due_bytes, due_operations), 0)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
        return float(max(due_bytes, due_operations))


class Pacer:
    """One worker under a throttle. It owes for what it has read, and pays before it reads on."""

    def __init__(self, throttle: Throttle, alive: Callable[[], None]) -> None:
        self._throttle, self._alive, self._clock = throttle, alive, throttle.clock
        self._due = self._look_at = 0.0
        self._entered = 0  # bytes of the file in hand that are entered already
        self.names = 1

    def ready(self, until: float) -> bool:
        """Wait until everything is paid, but not beyond the time ``until``."""
        while True:
            now = self._clock.now()
            if self._throttle.changes and now >= self._look_at:
                self._look_at = now + BEAT
                self._throttle.look()
            if self._due <= now:
                return True
            if now >= until:
                return False
            self._clock.sleep(max(0.0, min(self._due, until) - now))

    def spent(self, count_bytes: int, operations: int) -> None:
        """Enter what a step has read, less what `buffer_read` has entered."""
        self._due = self._throttle.spend(max(0, count_bytes - self._entered), operations)
        self._entered = 0
        names = step_names(self._throttle.cost(count_bytes, operations) / max(1, operations))
        if not count_bytes:  # a directory says nothing of the files in it
            names = min(self.names, names)
        self.names = min(names, self._throttle.most_names)

    def buffer_read(self) -> None:
        """A full buffer of a longer file was read: pay for it at once, with signs of life."""
        self._entered += BUFFER
        self._due = self._throttle.spend(BUFFER, 1)
        self._alive()
        while not self.ready(self._clock.now() + BEAT / 2):
            self._alive()
