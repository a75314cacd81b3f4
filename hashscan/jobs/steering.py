"""Whether a running scan shall rest or stop, and why. Asked several times a second, from the loop of the parent process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hashscan.files.pressure import Neighbours, Sample
from hashscan.jobs.running import PAUSE, STOP, Word
from hashscan.report.tally import Tally
from hashscan.settings.timetable import Window

PAUSED, PRESSURE = "paused", "pressure"
_LONGEST_GAP = 5.0  # seconds between two questions that may be a rest: beyond, the machine slept


def nothing() -> str:
    """Nobody sent a signal."""
    return ""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a scan is to heed. ``signalled`` says a wish that came by signal, once; ``max_duration`` in seconds, 0: no limit."""

    signalled: Callable[[], str] = nothing
    word: Word | None = None
    neighbours: Neighbours | None = None
    sample: Callable[[], Sample] | None = None
    window: Window = Window()  # noqa: RUF009 - frozen
    max_duration: float = 0.0


class Steering:
    """The answers to "rest?" and "stop?", noted in ``tally``. ``clock`` is monotonic, ``wall`` seconds since 1970."""

    def __init__(
        self,
        orders: Orders,
        tally: Tally,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._orders, self._tally, self._clock, self._wall = orders, tally, clock, wall
        self._begin = self._asked_at = clock()
        self._look_at = 0.0
        self._cause = self._wish = self._wished_by = ""

    def rest(self) -> bool:
        """Whether the workers shall rest from now on."""
        now = self._clock()
        if self._cause and now - self._asked_at < _LONGEST_GAP:
            self._tally.rested[self._cause] = self._tally.rested.get(self._cause, 0.0) + now - self._asked_at
        self._asked_at = now
        self._cause, self._tally.resting = self._why(now)
        if self._orders.word is not None:
            state = "stopping" if self._tally.stopped else self._cause or "scanning"
            self._orders.word.say(state, self._tally.resting, self._tally.seen, self._tally.findings)
        return bool(self._cause)

    def _why(self, now: float) -> tuple[str, str]:
        orders = self._orders
        self._hear()
        if self._wish == PAUSE:
            return PAUSED, "paused"
        if orders.neighbours is not None and orders.sample is not None:
            if now >= self._look_at:
                orders.neighbours.look(now, orders.sample())
                self._look_at = now + orders.neighbours.every
            if orders.neighbours.resting:
                return PRESSURE, orders.neighbours.reason
        return "", ""

    def _hear(self) -> None:
        """Signals and commands say the same, and the last one counts; nothing undoes a stop."""
        for source, wish in (
            ("signal", self._orders.signalled()),
            ("asked", self._orders.word.take() if self._orders.word else ""),
        ):
            if wish and self._wish != STOP:
                self._wish, self._wished_by = wish, source

    def stop(self) -> bool:
        """Whether the scan shall stop; once it shall, it shall for good."""
        if not self._tally.stopped_by:
            self._tally.stopped_by = self._reason()
        return bool(self._tally.stopped_by)

    def _reason(self) -> str:
        orders = self._orders
        self._hear()
        if self._wish == STOP:
            return self._wished_by
        if not orders.window.open_at(self._wall()):
            return "window"
        if orders.max_duration and self._clock() - self._begin >= orders.max_duration:
            return "max_duration"
        return ""
