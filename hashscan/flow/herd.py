"""Processes that all do the same until they are told to stop: workers of a server, on one socket. One that dies is replaced.

The parent waits and does nothing else: it has no state that a worker could need, and one thread.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from hashscan.errors import HashscanError

Work = Callable[[Callable[[], None]], object]
"""What a worker does until SIGTERM; it calls its argument once, when it is ready. Raising ends it as a failure."""

MAX_WORKERS = 64
_AT_ONCE = 5  # workers that die one after the other before one of them was ready: then it is not chance
_PAUSE_SECONDS = 0.2  # before one that was never ready is replaced
_PR_SET_PDEATHSIG = 1


class Herd:
    """``count`` workers. ``patience``: seconds that they may take to stop, then they are killed."""

    def __init__(self, work: Work, count: int, *, patience: float) -> None:
        self._work, self._count, self._patience = work, count, patience
        self._waiting: dict[int, int] = {}  # pid to the pipe on which it says that it is ready
        self._working: set[int] = set()
        self._failed = 0
        self._wake = -1

    def run(self, ready: Callable[[], None], *, follow: int | None = None) -> None:
        """Until SIGTERM, SIGINT or the end of ``follow`` (a descriptor). ``ready`` is called once, when all workers are.

        Main thread only. Raises `HashscanError` where workers die before they are ready, and ends the others.
        """
        told = False
        with _woken() as (self._wake, stopped):
            try:
                while not stopped():
                    while len(self._waiting) + len(self._working) < self._count:
                        self._fork()
                    if self._wait(follow):
                        return
                    self._reap()
                    if not told and len(self._working) == self._count:
                        told = True
                        ready()
            finally:
                self._stop()

    def _fork(self) -> None:
        parent, (hear, say) = os.getpid(), os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self._live(parent, say)
        os.close(say)
        self._waiting[pid] = hear

    def _live(self, parent: int, say: int) -> None:
        """The whole life of a worker; never returns. It stops in order when its parent is gone, also where that was killed."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for all of the group: the parent passes it on
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            for fd in self._waiting.values():
                os.close(fd)
            if os.getppid() == parent:  # else it died before the line above
                self._work(lambda: _say(say))
            code = 0
        except HashscanError as error:
            os.write(2, f"{error}\n".encode())
        finally:
            os._exit(code)

    def _wait(self, follow: int | None) -> bool:
        """Wait for anything to happen; whether ``follow`` is at its end."""
        waiting = select.poll()
        for fd in (self._wake, *self._waiting.values(), *(() if follow is None else (follow,))):
            waiting.register(fd, select.POLLIN)
        happened = {fd for fd, _ in waiting.poll()}
        if self._wake in happened:
            os.read(self._wake, 512)
        for pid, fd in list(self._waiting.items()):
            if fd in happened and os.read(fd, 1):  # nothing to read: it died, and `_reap` hears of it
                os.close(self._waiting.pop(pid))
                self._working.add(pid)
                self._failed = 0
        return follow is not None and follow in happened

    def _reap(self) -> None:
        for pid in self._ended():
            if pid in self._working:
                self._working.remove(pid)
            elif pid in self._waiting:
                os.close(self._waiting.pop(pid))
                self._failed += 1
                if self._failed == _AT_ONCE:
                    raise HashscanError(f"{_AT_ONCE} workers died before they were ready", hint="what did they say?")
                time.sleep(_PAUSE_SECONDS)

    def _ended(self) -> Iterator[int]:
        for pid in (*self._waiting, *self._working):
            if os.waitpid(pid, os.WNOHANG)[0] == pid:
                yield pid

    def _stop(self) -> None:
        """Tell all, wait for all, kill the rest."""
        left = {*self._waiting, *self._working}
        for pid in left:
            os.kill(pid, signal.SIGTERM)
        until = time.monotonic() + self._patience
        while left and time.monotonic() < until:
            left = {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0] == 0}
            time.sleep(0.01)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        for fd in self._waiting.values():
            os.close(fd)


def _say(fd: int) -> None:
    os.write(fd, b".")
    os.close(fd)


@contextmanager
def _woken() -> Iterator[tuple[int, Callable[[], bool]]]:
    """A descriptor that can be read when a signal came, and whether one of them was to stop."""
    stop = False

    def handle(number: int, _frame: FrameType | None) -> None:
        nonlocal stop
        stop = stop or number != signal.SIGCHLD

    hear, say = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    old = signal.set_wakeup_fd(say, warn_on_full_buffer=False)
    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)}
    try:
        yield hear, lambda: stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(old)
        os.close(hear)
        os.close(say)
