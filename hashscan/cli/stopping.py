"""SIGINT and SIGTERM: the first one asks a run to end in good order."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from types import FrameType


class Stop:
    """Whether somebody asked the run to end. Calling it answers."""

    def __init__(self, stack: ExitStack) -> None:
        """From now on, and until ``stack`` is closed, a first SIGINT or SIGTERM is a request, a second SIGINT ends at once."""
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, self._heard))

    def __call__(self) -> bool:
        return self._asked

    def _heard(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal interface
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True
