"""Signals: the first SIGINT or SIGTERM asks a run to end in good order, SIGUSR1 lets a scan pause, SIGUSR2 lets it go on."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from types import FrameType

from hashscan.jobs.running import GO_ON, PAUSE, STOP

_WISHES = {signal.SIGUSR1: PAUSE, signal.SIGUSR2: GO_ON}


class Stop:
    """Whether somebody asked the run to end. Calling it answers."""

    def __init__(self, stack: ExitStack, *, pausable: bool = False) -> None:
        """From now on, and until ``stack`` is closed, a first SIGINT or SIGTERM is a request, a second SIGINT ends at once."""
        self._asked = False
        self._wish = ""
        for number in (signal.SIGINT, signal.SIGTERM):
            stack.callback(signal.signal, number, signal.signal(number, self._heard))
        for number in _WISHES if pausable else ():
            # Afterwards they are ignored: a pause that comes a moment too late must not kill a scan that has just told its end.
            signal.signal(number, self._turned)
            stack.callback(signal.signal, number, signal.SIG_IGN)

    def __call__(self) -> bool:
        return self._asked

    def wish(self) -> str:
        """What was asked since the last look: "stop", "pause", "resume", or "" where nothing was."""
        wish, self._wish = self._wish, ""
        return STOP if self._asked else wish

    def _heard(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal interface
        if self._asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._asked = True

    def _turned(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal interface
        self._wish = _WISHES[signal.Signals(number)]
