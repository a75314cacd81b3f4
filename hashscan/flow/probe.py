"""Looks that may never return, taken by a child: whoever asks a filesystem whose server is silent cannot even be killed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable

from hashscan.flow.worker import let_go, live

_PATIENCE = 1.0  # seconds that a child is waited for at its end; one that the kernel does not let go is left to it
_READ = 1 << 16


def unanswered(count: int, look: Callable[[int], object], seconds: float) -> list[int]:
    """Which of the looks 0 to ``count`` - 1 do not come back within ``seconds`` each, or kill who takes them.

    ``look`` runs in a forked child and raises nothing. Raises OSError where the host lets us have no child.
    """
    silent = []
    begin = 0
    while begin < count:
        begin = _answered(begin, count, look, seconds)
        if begin < count:
            silent.append(begin)
            begin += 1
    return silent


def _answered(begin: int, count: int, look: Callable[[int], object], seconds: float) -> int:
    """How far one child comes from ``begin``."""
    results, told = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        live(parent, lambda: _look(range(begin, count), look, told))
    os.close(told)
    try:
        waiting = select.poll()
        waiting.register(results, select.POLLIN)
        while begin < count and waiting.poll(seconds * 1000):
            data = os.read(results, _READ)
            if not data:
                break
            begin += len(data)
        return begin
    finally:
        os.close(results)
        _end(pid)


def _look(numbers: range, look: Callable[[int], object], told: int) -> None:
    let_go(told)
    for number in numbers:
        look(number)
        os.write(told, b".")


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + _PATIENCE
    while os.waitpid(pid, os.WNOHANG)[0] == 0 and time.monotonic() < until:
        time.sleep(0.0005)
