"""What follows from complaints and opinions. Pure: no database, no clock."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hashscan.errors import UsageError
from hashscan.model import Standing

NEEDED = 2  # people who agree
MAX_REASON = 1000  # characters
MAX_OPEN = 25  # complaints of one provider that are not decided: its word does stop its own agents
MAX_A_DAY = 100  # complaints of one provider in 24 hours, decided or not
DAY = 86_400.0  # seconds
OVERRULED_FOR = 90 * DAY  # after a decision against it, a provider's repeated complaint stops nothing for so long
DUE = 3 * DAY  # a dispute that is open for longer is overdue


class DisputeState(enum.StrEnum):
    """How a dispute stands. CONFIRMED: the entry stays in force. WITHDRAWN: it was wrong."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"


class Opinion(enum.StrEnum):
    """What somebody thinks of an entry."""

    CONFIRM = "confirm"
    WITHDRAW = "withdraw"


class NoSuchDisputeError(UsageError):
    """There is no such dispute, or none that this actor may know of."""


class DecidedError(UsageError):
    """The dispute is decided; a new one can be opened."""


class TooManyError(UsageError):
    """A provider disputes more than it may; ``retry_after`` seconds until it may again, None: decisions must come first."""

    def __init__(self, message: str, retry_after: float | None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Voice:
    """One opinion as it was given; ``person`` as in `actors.person`, ``by`` for people, ``at`` in seconds since 1970."""

    person: str
    by: str
    opinion: Opinion
    reason: str
    at: float


STATE_OF = {Opinion.CONFIRM: DisputeState.CONFIRMED, Opinion.WITHDRAW: DisputeState.WITHDRAWN}
STANDING_OF = {Opinion.CONFIRM: Standing.ACTIVE, Opinion.WITHDRAW: Standing.WITHDRAWN}


def counting(voices: Sequence[Voice]) -> dict[str, Voice]:
    """Of each person the last opinion, in the order of ``voices`` (oldest first)."""
    return {voice.person: voice for voice in voices}


def decision(voices: Sequence[Voice]) -> Opinion | None:
    """What at least `NEEDED` different people agree on; None while there is no such thing.

    Where two agree on one and two on the other, nothing is decided: that cannot come about one opinion at a time, because the
    first two that agree decide.
    """
    said = [voice.opinion for voice in counting(voices).values()]
    agreed = [one for one in Opinion if said.count(one) >= NEEDED]
    return agreed[0] if len(agreed) == 1 else None


def missing(voices: Sequence[Voice], opinion: Opinion) -> int:
    """How many more people must be of that opinion."""
    return max(0, NEEDED - sum(voice.opinion is opinion for voice in counting(voices).values()))


def disarmed(standing: Standing) -> Standing:
    """The standing of an entry once a person of the hotline disputes it: what is withdrawn stays so."""
    return Standing.DISPUTED if standing is Standing.ACTIVE else standing


def answered(standing: Standing, *, paused: bool) -> Standing:
    """The standing that a provider is told, whose own complaint about the entry pauses it or not."""
    return disarmed(standing) if paused else standing


def pauses(overruled: Iterable[float], now: float) -> bool:
    """Whether a provider's new complaint pauses the entry for it.

    ``overruled`` are the times at which two people confirmed the entry against its earlier complaints.
    """
    return all(now - at >= OVERRULED_FOR for at in overruled)


def check_room(open_now: int, last_day: Sequence[float], now: float) -> None:
    """Raises `TooManyError` where a provider has complained enough. ``last_day``: times of its complaints in 24 hours."""
    if open_now >= MAX_OPEN:
        raise TooManyError(f"{open_now} disputes of this provider are open; wait until some are decided", None)
    if len(last_day) >= MAX_A_DAY:
        raise TooManyError(f"this provider has disputed {len(last_day)} times in 24 hours", max(1.0, min(last_day) + DAY - now))
