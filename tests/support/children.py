"""Children that may be killed: forked, without a parent's cleanup, judged by how they ended."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Callable


def start(body: Callable[[], object]) -> int:
    """Fork and run ``body``; the child ends with 0, or with 1 and a traceback on stderr."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        body()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def end(child: int) -> int:
    """Wait for it: its exit code, or the negative number of the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run(body: Callable[[], object]) -> int:
    return end(start(body))


class Death:
    """A step hook that kills its own process at the ``moment``-th call (from 0); counts the calls in ``steps``."""

    def __init__(self, moment: int) -> None:
        self.moment = moment
        self.steps = 0

    def __call__(self, name: str) -> None:
        if self.steps == self.moment:
            os.kill(os.getpid(), signal.SIGKILL)
        self.steps += 1


class Stopped(BaseException):
    """What `Stopping` raises: nobody catches it by mistake."""


class Stopping:
    """A step hook like `Death` that ends the work in hand only, by `Stopped`."""

    def __init__(self, moment: int) -> None:
        self._left = moment

    def __call__(self, name: str) -> None:
        if not self._left:
            raise Stopped
        self._left -= 1


NEVER = -1
