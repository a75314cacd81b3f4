"""Times of day: rates that change with the clock on the wall (rclone's form), and the hours in which a scan may work.

Both ask what the local clock shows, and nothing else: in the night in which summer time begins or ends, an hour is left out or
comes twice, and a window is as much shorter or longer as the night is.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from hashscan.units import as_text, parse_size

DAY = 24 * 60  # minutes
WEEK = 7 * DAY
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_MAX_SLOTS = 100
_RATE = 'a rate with its unit like "20M" or "512k" (bytes a second), "off", or a timetable like "08:00,10M 22:00,off"'
_WINDOW = 'hours like "22:00-06:00", several with commas between them'


@dataclass(frozen=True, slots=True)
class Timetable:
    """Bytes a second by minute of the week (0 is Monday 00:00), sorted; 0 is no limit. Before the first one the last holds."""

    slots: tuple[tuple[int, int], ...] = ()
    text: str = ""

    def at(self, now: float) -> int:
        """The limit at ``now``, seconds since 1970."""
        if not self.slots:
            return 0
        minute = minute_of_week(now)
        return next((rate for begin, rate in reversed(self.slots) if begin <= minute), self.slots[-1][1])

    @property
    def limits(self) -> bool:
        """Whether there ever is a limit."""
        return any(rate for _, rate in self.slots)


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day as (begin, end) in minutes; a pair whose end is not after its beginning goes over midnight."""

    spans: tuple[tuple[int, int], ...] = ()
    text: str = ""

    def open_at(self, now: float) -> bool:
        """Whether a scan may work at ``now``, seconds since 1970. Always where no hours are named."""
        minute = minute_of_week(now) % DAY
        return not self.spans or any(_within(minute, begin, end) for begin, end in self.spans)


def _within(minute: int, begin: int, end: int) -> bool:
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def minute_of_week(now: float) -> int:
    """What the clock on the wall shows, as minutes since Monday 00:00."""
    local = time.localtime(now)
    return local.tm_wday * DAY + local.tm_hour * 60 + local.tm_min


def as_timetable(value: Any) -> Timetable:
    """A rate, "off" or a timetable. Raises ValueError saying what is wanted."""
    text = as_text(value).strip()
    parts = text.split()
    if len(parts) <= 1 and "," not in text:
        always = _rate(text) if text else 0
        return Timetable(((0, always),), text) if always else Timetable((), "off" if text else "")
    if len(parts) > _MAX_SLOTS:
        raise ValueError(f"a timetable of at most {_MAX_SLOTS} times")
    slots: dict[int, int] = {}
    for part in parts:
        when, comma, rate = part.partition(",")
        if not comma:
            raise ValueError(_RATE)
        for begin in _begins(when):
            if begin in slots:
                raise ValueError(f"a timetable in which no time stands twice ({when})")
            slots[begin] = _rate(rate)
    return Timetable(tuple(sorted(slots.items())), text)


def _begins(when: str) -> list[int]:
    """The minutes of the week that "08:00" (each day) or "Mon-08:00" names."""
    day, dash, clock = when.rpartition("-")
    if not dash:
        return [each * DAY + _clock(clock, _RATE) for each in range(7)]
    if day.lower()[:3] not in _DAYS or len(day) < 3:
        raise ValueError("a day like Mon, Tue, Wed, Thu, Fri, Sat or Sun before the dash")
    return [_DAYS.index(day.lower()[:3]) * DAY + _clock(clock, _RATE)]


def _clock(text: str, wanted: str) -> int:
    match = re.fullmatch(r"([01]?[0-9]|2[0-3]):([0-5][0-9])", text)
    if not match:
        raise ValueError(wanted)
    return int(match[1]) * 60 + int(match[2])


def _rate(text: str) -> int:
    if text.lower() == "off":
        return 0
    # A bare number is kibibytes for some programs and bytes for others: a factor of a thousand is no matter of taste.
    if not text.isascii() or text[-1:].isdigit() or not text:
        raise ValueError(_RATE)
    try:
        rate = parse_size(text)
    except ValueError:
        raise ValueError(_RATE) from None
    if not rate:
        raise ValueError('a rate above 0, or "off" for no limit')
    return rate


def as_window(value: Any) -> Window:
    """Hours of the day; "" is all of them. Raises ValueError saying what is wanted."""
    text = as_text(value).strip()
    spans = []
    for part in text.split(",") if text else ():
        begin, dash, end = part.strip().partition("-")
        if not dash:
            raise ValueError(_WINDOW)
        spans.append((_clock(begin.strip(), _WINDOW), _clock(end.strip(), _WINDOW)))
    if any(begin == end for begin, end in spans):
        raise ValueError(f"{_WINDOW}; one that ends when it begins is no window")
    return Window(tuple(spans), text)
