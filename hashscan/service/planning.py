"""Whether a filter is left as it is, gets the change added, or is built from nothing: rules, nothing is touched here.

Bits cannot be taken out of a Bloom filter: other tokens share them. What leaves a list **lingers** in filters that were only
added to, until they are built from nothing. Nothing follows from that but questions: an answer says `withdrawn`, and agents
are told of withdrawn entries by a file of their own with the next publication. How much may linger for how long is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from hashscan.known import delta
from hashscan.known.bloom import CANARIES


@dataclass(frozen=True, slots=True)
class Limits:
    """``quick``: up to so many tokens a filter is built from nothing as soon as anything left: it takes a second.

    ``share``: at most one lingering token in so many. ``seconds``: for how long at most, counted from the last build.
    """

    quick: int = 100_000
    share: int = 100
    seconds: float = 30 * 86_400.0


LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Before:
    """The newest publication of one list for one provider; ``base_created`` is when its base was built."""

    version: int
    epoch: int
    file_name: str
    sha256: str
    content: str
    withdrawn: str
    base: int
    base_created: float
    error_rate: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be published: ids of content and of what was withdrawn, tokens of the content, canaries counted."""

    epoch: int
    error_rate: float
    content: str
    withdrawn: str
    tokens: int
    now: float
    limits: Limits = LIMITS


def is_in_force(before: Before | None, wanted: Wanted) -> bool:
    """Whether there is nothing to publish: the filter in force says all that a new one would."""
    if before is None or (before.content, before.withdrawn) != (wanted.content, wanted.withdrawn):
        return False
    if (before.epoch, before.error_rate) != (wanted.epoch, wanted.error_rate):
        return False
    return not too_much(before, wanted, before.tokens - wanted.tokens)


def too_much(before: Before, wanted: Wanted, lingering: int) -> str:
    """Why a filter with so many lingering tokens is built from nothing; empty where it is not."""
    limits = wanted.limits
    if lingering <= 0:
        return ""
    if wanted.tokens <= limits.quick:
        return "entries left a small list"
    if lingering * limits.share > wanted.tokens:
        return "many entries left the list"
    if not 0 <= wanted.now - before.base_created <= limits.seconds:
        return "entries left the list some time ago"
    return ""


def why_anew(before: Before | None, wanted: Wanted, known: str, *, added: int, capacity: int | None) -> str:
    """Why the filter is built from nothing; empty where ``added`` tokens are added to the one before.

    ``known`` is the id of the content that the change leads from, ``capacity`` that of the file before, None where it is gone.
    """
    if before is None:
        return "the first of this provider"
    tokens = before.tokens + added
    reasons = (
        (before.epoch != wanted.epoch, "a new provider key"),
        (before.error_rate != wanted.error_rate, "another error rate"),
        (not known or before.content != known, "much has changed, or nothing is known of the one before"),
        (capacity is None, "the file before is gone or damaged"),
        (tokens < wanted.tokens, "the one before has fewer tokens than it should"),
        (delta.stable_capacity(tokens - CANARIES, capacity) != capacity, "another capacity"),
    )
    return next((why for holds, why in reasons if holds), "") or too_much(before, wanted, tokens - wanted.tokens)
