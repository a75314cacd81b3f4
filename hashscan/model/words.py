"""What nouns are made of: algorithms, standings, acts, states, the name of one state of a list; and what is told, the event."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Json: TypeAlias = "str | int | float | bool | Mapping[str, Json] | list[Json] | tuple[Json, ...] | None"
"""What `json.dumps` writes; the values of an `Event`."""


class Algorithm(enum.StrEnum):
    """A hash function that a list may use. Names are lowercase, as in lists, filters and events."""

    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    BLAKE3 = "blake3"

    @property
    def code(self) -> bytes:
        """The algorithm byte of a token (docs/wire.md). Codes are never reused."""
        return _CODES[self]

    @property
    def digest_size(self) -> int:
        """Length of the raw digest in bytes."""
        return _SIZES[self]

    @property
    def collision_resistant(self) -> bool:
        """Whether an agreeing digest may by itself move a file: not MD5, with which a collision can be planted for cents."""
        return self is not Algorithm.MD5


_CODES = {Algorithm.MD5: b"\x01", Algorithm.SHA1: b"\x02", Algorithm.SHA256: b"\x03", Algorithm.BLAKE3: b"\x04"}
_SIZES = {Algorithm.MD5: 16, Algorithm.SHA1: 20, Algorithm.SHA256: 32, Algorithm.BLAKE3: 32}


@dataclass(frozen=True, slots=True, order=True)
class ListRef:
    """One published state of one hash list: ``version`` counts up with every publication, ``epoch`` with every key change."""

    id: str
    version: int
    epoch: int


class Standing(enum.StrEnum):
    """What the authority says of an entry today."""

    ACTIVE = "active"
    DISPUTED = "disputed"
    WITHDRAWN = "withdrawn"
    TEST = "test"


class Act(enum.StrEnum):
    """What the authority asks to be done with a file that is this entry."""

    QUARANTINE = "quarantine"
    REPORT = "report"


class Grade(enum.StrEnum):
    """How well a file agrees with an entry, decided on this host (`known.judge`)."""

    MATCH = "match"
    WEAK = "weak"


class Source(enum.StrEnum):
    """Who says so: the central service with a signature, or a plain hash list on this host."""

    SERVICE = "service"
    LOCAL = "local"


class CaseState(enum.StrEnum):
    """How far a case got (docs/quarantine.md). Each step is durable before the next begins.

    DAMAGED is never written: it is what a listing says of a case whose record cannot be read, so that it is not hidden. HELD:
    nothing was taken, a limit was reached and a person decides (RELEASED, DISMISSED). SETTLED: a person looked at an ORPHAN.
    """

    INTENT = "intent"
    COPIED = "copied"
    COMMITTED = "committed"
    DONE = "done"
    RESTORED = "restored"
    DROPPED = "dropped"
    ORPHAN = "orphan"
    DAMAGED = "damaged"
    HELD = "held"
    RELEASED = "released"
    DISMISSED = "dismissed"
    SETTLED = "settled"
    PURGED = "purged"


WITHDRAWABLE = frozenset({CaseState.DONE, CaseState.HELD})
"""Cases that are to be restored, or dismissed, where their entry was withdrawn."""


class Action(enum.StrEnum):
    """What was done about a finding."""

    QUARANTINED = "quarantined"
    REPORTED = "reported"
    RESTORED = "restored"
    FAILED = "failed"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing worth telling, made by a job, written by the sinks in `report`. ``data`` follows the event schema."""

    type: str
    data: Mapping[str, Json]
