"""When to ask again: pure rules, no clock and no network of their own. All times in seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER = 3600.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts: ``first``, then doubling up to ``most``, each stretched by up to ``jitter`` (a share)."""

    first: float = 0.5
    most: float = 8.0
    attempts: int = 3
    jitter: float = 0.5

    def waits(self, random: float) -> Iterator[float]:
        """The waits between `attempts` attempts; ``random`` (0 to 1) spreads the agents that failed together."""
        wait = self.first
        for _ in range(self.attempts - 1):
            yield min(wait, self.most) * (1 + self.jitter * random)
            wait *= 2


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds to wait by a Retry-After header: a number or a date (RFC 9110, 10.2.3), bounded; None where it says nothing."""
    if not header:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return min(float(text), MAX_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the latter for a time zone of many digits
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return min(max((when - datetime.fromtimestamp(now, UTC)).total_seconds(), 0.0), MAX_RETRY_AFTER)


class Quiet:
    """After a failure, when may the service be asked again? Doubles from ``first`` to ``most`` seconds until a success."""

    def __init__(self, *, first: float = 30.0, most: float = 600.0) -> None:
        self._first, self._most = first, most
        self._step = first
        self._until = float("-inf")

    def asks(self, now: float) -> bool:
        """Whether it is time to ask."""
        return now >= self._until

    def failed(self, now: float, named: float | None) -> None:
        """A failure at ``now``; ``named`` is the wait that the service asked for, if any."""
        self._until = now + max(named or 0.0, self._step)
        self._step = min(self._step * 2, self._most)

    def succeeded(self) -> None:
        """An answer came."""
        self._step, self._until = self._first, float("-inf")
