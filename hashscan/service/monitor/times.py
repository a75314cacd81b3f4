"""Whether the times that an agent tells are believed. Pure.

An agent's clock may be wrong, or lie. Our clock says when the outcome came in, and nothing can have happened after that, or
before the provider was admitted. What an agent claims within these bounds cannot be checked: figures therefore tell the share
that our own clock proves beside the share that agents tell.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

TOLERANCE = 300.0  # seconds that a host's clock may be wrong, as in answers to questions
LATE = 86_400.0  # seconds between an act and its telling, from which on the told time proves nothing about the 24-hour norm


class Doubt(enum.StrEnum):
    """What is wrong. FUTURE: after it came in. EARLY: before the provider was admitted. ORDER: done before it was seen.

    LATE: told a day or more after it was done.
    """

    FUTURE = "future"
    EARLY = "early"
    ORDER = "order"
    LATE = "late"


@dataclass(frozen=True, slots=True)
class Times:
    """``first_seen`` and ``acted_at`` within the bounds, in seconds since 1970; ``doubt`` as text, "" for none."""

    first_seen: float
    acted_at: float
    doubt: str


def checked(first_seen: float, acted_at: float, *, received: float, admitted: float) -> Times:
    """The times that figures count with: ours in the place of each that cannot be true."""
    doubts: set[Doubt] = set()
    seen, acted = (_bounded(told, received, admitted, doubts) for told in (first_seen, acted_at))
    if acted_at < first_seen - TOLERANCE:
        doubts.add(Doubt.ORDER)
    if received - acted_at >= LATE:
        doubts.add(Doubt.LATE)
    return Times(seen, max(seen, acted), ",".join(one for one in Doubt if one in doubts))


def _bounded(told: float, received: float, admitted: float, doubts: set[Doubt]) -> float:
    if told > received + TOLERANCE:
        doubts.add(Doubt.FUTURE)
        return received
    if told < admitted - TOLERANCE:
        doubts.add(Doubt.EARLY)
        return received
    return min(told, received)


def joined(old: str, new: str) -> str:
    """The doubts of both."""
    there = {*old.split(","), *new.split(",")}
    return ",".join(one for one in Doubt if one in there)
