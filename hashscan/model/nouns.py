"""From a file to a finding and the permit to move it: the nouns of a match."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from hashscan.model.words import Act, Algorithm, Grade, ListRef, Source, Standing


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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A hashed file whose token the filters of ``lists`` (sorted, at least one) contain. Nothing more: a filter errs by design.

    Issued by `known.sieve` and `known.exact` only, stored and read again by ``central.outbox``.
    """

    hashed: HashedFile
    lists: tuple[ListRef, ...]


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
