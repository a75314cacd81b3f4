"""Workers that are killed now and then, at a pace at which they can come to work here."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress

from tests.support import children
from tests.support.trees import forked_by


def start_of_a_worker() -> float:
    """Seconds, 10 ms at least: to fork a process as large as that of all tests takes long, the more so on a busy machine."""
    begin = time.monotonic()
    for _ in range(5):
        children.end(children.start(lambda: None))
    return max(0.01, (time.monotonic() - begin) / 5)


def kill_one_of(parent: int, rnd: random.Random) -> bool:
    """Kill a random forked child of ``parent``, not oneself; false where there is none, or it ended just then."""
    try:
        os.kill(rnd.choice(forked_by(parent)), signal.SIGKILL)
    except (IndexError, FileNotFoundError, ProcessLookupError):
        return False
    return True


def kill_now_and_then(parent: int, seed: int, tell: int, least: float) -> None:
    """Kill a random child of ``parent`` (not oneself) after ``least`` to six times as many seconds while the parent lives.

    Write a byte for each.
    """
    rnd = random.Random(seed)
    while os.getppid() == parent:
        time.sleep(rnd.uniform(least, 6 * least))
        if kill_one_of(parent, rnd):
            os.write(tell, b"x")


def told(reading: int) -> int:
    """How many bytes wait in a pipe that does not block."""
    count = 0
    with suppress(BlockingIOError):
        while more := os.read(reading, 10_000):
            count += len(more)
    return count
