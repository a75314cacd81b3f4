"""How fast a scan may read: bytes and operations a second over all workers together, and pauses.

The rule is that of a cell clock (GCRA, ITU-T I.371): everything read moves a common due time on by what it costs in seconds,
and a worker waits until its own last cost is paid. Time that nobody used is lost but for `BURST`. The due times of all
workers stand in one small file in memory, under a record lock, which the kernel lifts when its holder is killed.
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
_DUE = struct.Struct("=dd")


def next_due(due: float, now: float, cost: float) -> float:
    """When what has cost ``cost`` seconds of budget is paid, where everything before was due at ``due``."""
    return max(due, now - BURST) + cost


def step_names(cost_of_one: float) -> int:
    """How many files to read before looking at the clock again, where one has cost so many seconds on average."""
    return _MAX_STEP if cost_of_one <= BURST / _MAX_STEP else max(1, int(BURST / cost_of_one))


class Throttle:
    """Limits for a whole scan; 0 is no limit. An operation is a file or a directory.

    ``pause`` says for how many seconds everything should rest from now on, 0 for not at all; each worker asks it about once a
    `flow.BEAT`, so it must be quick. Made before the workers are forked. Raises `UsageError`.
    """

    def __init__(
        self, *, bytes_per_second: float = 0.0, files_per_second: float = 0.0, pause: Callable[[], float] | None = None
    ) -> None:
        if bytes_per_second < 0 or files_per_second < 0:
            raise UsageError("a limit below 0", hint="0 is no limit")
        self._per_byte = 1 / bytes_per_second if bytes_per_second else 0.0
        self._per_file = 1 / files_per_second if files_per_second else 0.0
        self.pause = pause
        self._fd = os.memfd_create("hashscan-throttle", os.MFD_CLOEXEC)
        os.pwrite(self._fd, _DUE.pack(0.0, 0.0), 0)

    def __del__(self) -> None:
        if hasattr(self, "_fd"):
            os.close(self._fd)

    def cost(self, count_bytes: int, files: int) -> float:
        """Seconds of budget."""
        return max(count_bytes * self._per_byte, files * self._per_file)

    def spend(self, count_bytes: int, files: int) -> float:
        """Enter what was read; the monotonic time at which it is paid for."""
        if not self._per_byte and not self._per_file:
            return 0.0
        fcntl.lockf(self._fd, fcntl.LOCK_EX)
        try:
            now = time.monotonic()
            due_bytes, due_files = _DUE.unpack(os.pread(self._fd, _DUE.size, 0))
            due_bytes = next_due(due_bytes, now, count_bytes * self._per_byte)
            due_files = next_due(due_files, now, files * self._per_file)
            os.pwrite(self._fd, _DUE.pack(due_bytes, due_files), 0)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN)
        return float(max(due_bytes, due_files))


class Pacer:
    """One worker under a throttle. It owes for what it has read, and pays before it reads on."""

    def __init__(self, throttle: Throttle, alive: Callable[[], None]) -> None:
        self._throttle, self._alive = throttle, alive
        self._due = self._ask_at = self._rest_until = 0.0
        self._entered = 0  # bytes of the file in hand that are entered already
        self.names = 1

    def ready(self, until: float) -> bool:
        """Wait until everything is paid and nothing pauses, but not beyond the monotonic time ``until``."""
        while True:
            now = time.monotonic()
            pause = self._throttle.pause
            if pause is not None and now >= self._ask_at:
                self._ask_at = now + BEAT
                self._rest_until = now + pause()
            due = max(self._due, self._rest_until)
            if due <= now:
                return True
            if now >= until:
                return False
            wake = min(due, until) if pause is None else min(due, until, self._ask_at)
            time.sleep(max(0.0, wake - now))

    def spent(self, count_bytes: int, files: int) -> None:
        """Enter what a step has read, less what `buffer_read` has entered."""
        self._due = self._throttle.spend(max(0, count_bytes - self._entered), files)
        self._entered = 0
        names = step_names(self._throttle.cost(count_bytes, files) / max(1, files))
        self.names = names if count_bytes else min(self.names, names)  # a directory says nothing of the files in it

    def buffer_read(self) -> None:
        """A full buffer of a longer file was read: pay for it at once, with signs of life."""
        self._entered += BUFFER
        self._due = self._throttle.spend(BUFFER, 0)
        self._alive()
        while not self.ready(time.monotonic() + BEAT / 2):
            self._alive()
