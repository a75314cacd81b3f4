"""From a file to a finding and the permit to move it: the nouns of a match."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where a file is: a configured root (absolute, normalised), the path below it (b"" for the root); bytes of the kernel."""

    root: bytes
    path: bytes

    @property
    def full(self) -> bytes:
        """The absolute path, for display and for records; never for opening (`fsops` opens by directory descriptor)."""
        return os.path.join(self.root, self.path) if self.path else self.root


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A regular file as the walk saw it. Sizes in bytes, times in nanoseconds since 1970."""

    place: Place
    device: int
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int
    mode: int
    uid: int
    gid: int
    links: int


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file and the digests (lowercase hex) of one read of its bytes."""

    entry: FileEntry
    digests: Mapping[Algorithm, str]


@dataclass(frozen=True, slots=True, order=True)
class ListRef:
    """One published state of one hash list: ``version`` counts up with every publication, ``epoch`` with every key change."""

    id: str
    version: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hashed file whose token the filters of ``lists`` (sorted, at least one) contain. Nothing more: a filter errs by design.

    Issued by `known.sieve` and `known.exact` only, stored and read again by ``central.outbox``.
    """

    hashed: HashedFile
    lists: tuple[ListRef, ...]


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


@dataclass(frozen=True, slots=True)
class Tagged:
    """One entry as the service hands it out: tags (hex tokens under K_confirm), never digests."""

    entry: str
    tags: Mapping[Algorithm, str]
    size: int | None
    standing: Standing
    category: str
    sources: int
    act: Act


@dataclass(frozen=True, slots=True)
class Verdict:
    """The service's signed answer to one question, its signature, nonce, provider, list and age already checked.

    Issued by `known.verdicts` only. ``answers[i]`` holds the entries whose prefixes agree with item i of the question, often
    none. ``envelope`` is the signed original, kept with the case as evidence; ``id`` is its BLAKE3 in hex. Times in seconds.
    """

    id: str
    provider: str
    list: ListRef
    issued: float
    ttl: float
    answers: tuple[tuple[Tagged, ...], ...]
    envelope: bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """A candidate with a verdict that says match (or, by grade, weak match). Issued by `known.judge` only.

    ``verdict_id`` and ``envelope`` are empty where the source is a local list. ``act`` is what list, standing and grade allow
    together; anything but a full match of an active entry is `Act.REPORT`.
    """

    candidate: Candidate
    source: Source
    list: ListRef
    entry: str
    grade: Grade
    standing: Standing
    category: str
    act: Act
    reason: str
    verdict_id: str = ""
    envelope: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Removal:
    """A finding that the policy of this host allows to be moved. Issued by `quarantine.policy` only."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class Event:
    """One thing worth telling, made by a job, written by the sinks in `report`. ``data`` follows the event schema."""

    type: str
    data: Mapping[str, Json]
