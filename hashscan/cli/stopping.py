"""Signals: the first SIGINT or SIGTERM asks a run to end in good order, SIGUSR1 lets a scan pause, SIGUSR2 lets it go on."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack, suppress
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
        if number == signal.SIGINT:
            _acknowledge()

    def _turned(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal interface
        self._wish = _WISHES[signal.Signals(number)]


def _acknowledge() -> None:
    """Say at the terminal that the key was heard: work at hand is brought to its end, and the service may take its time.

    A handler may come in the middle of any write, so this goes past the streams; the line of the progress is taken away first.
    """
    with suppress(OSError, ValueError):  # no terminal, a closed stream: nobody waits there
        number = sys.stderr.fileno()
        if os.isatty(number):
            start = b"\n" if os.environ.get("TERM") == "dumb" else b"\r\x1b[2K"
            os.write(number, start + b"stopping in good order; Ctrl-C once more ends it at once\n")
