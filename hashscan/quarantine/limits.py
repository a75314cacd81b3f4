"""The circuit breaker: how much may be removed before a person must look. Pure.

June 2021: the digests of stock images stood in a national database, and a host's program removed what thousands of customers
had. A list that is wrong about one file must not move more of them than somebody notices in time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

DAY = 86_400.0  # seconds; the days slide, midnight does not open the door again


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be removed: files in one run; within 24 hours files in all, files of one owner, and of one entry the files
    of so many owners. Beyond, all are held.

    An entry counts owners, not files: a wrong entry shows in what many customers have, and nobody can make an entry wait for
    all others by storing its file often.

    ``allow_hard_links``: also move a file that has other names, which may lie in another customer's tree; they stay.
    """

    per_run: int = 100
    per_day: int = 200
    per_entry: int = 20
    per_owner: int = 50
    allow_hard_links: bool = False


@dataclass(frozen=True, slots=True)
class Removed:
    """One removal that counts: when (seconds since 1970), of which entry, whose file."""

    at: float
    entry: str
    owner: str


class Counts:
    """The removals of this run, and of the last 24 hours before and during it."""

    def __init__(self, earlier: Iterable[Removed] = ()) -> None:
        self._earlier = list(earlier)
        self._run: list[Removed] = []

    def add(self, removed: Removed) -> None:
        """A file was removed just now."""
        self._run.append(removed)

    def reached(self, limits: Limits, *, entry: str, owner: str, now: float) -> str:
        """Which limit one more removal would pass, in words; "" where it may happen."""
        # A clock that was ahead left removals of the future: they count, or setting a clock would open the door.
        recent = [one for one in (*self._earlier, *self._run) if one.at > now - DAY]
        of_owner = Counter(one.owner for one in recent)
        owners = {one.owner for one in recent if one.entry == entry} - {owner}
        rules = (
            (len(self._run), limits.per_run, "in one run"),
            (len(recent), limits.per_day, "within 24 hours"),
            (of_owner[owner], limits.per_owner, f"of one owner ({owner.replace('/uid/', 'user id ')}) within 24 hours"),
        )
        if len(owners) >= limits.per_entry:
            return f"the limit of {limits.per_entry} owners of one entry within 24 hours is reached; is the list right?"
        return next((f"the limit of {limit} removals {what} is reached" for used, limit, what in rules if used >= limit), "")
