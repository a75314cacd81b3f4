"""What is published for a provider, as its signed metadata states it."""

from __future__ import annotations

from dataclasses import dataclass

from hashscan.model.words import ListRef


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file that trusted metadata vouches for: its name at the service, ``length`` in bytes, ``sha256`` in hex."""

    name: str
    length: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Delta:
    """A published file that turns the filter of version ``old`` into that of the next version ``new``."""

    file: PublishedFile
    old: int
    new: int


@dataclass(frozen=True, slots=True)
class Target:
    """A list in force: its filter, the deltas that lead there from older versions, the tokens withdrawn from it.

    ``created`` in seconds since 1970. ``deltas`` are in ascending order; ``withdrawn`` is missing where nothing ever was.
    """

    list: ListRef
    filter: PublishedFile
    created: float
    deltas: tuple[Delta, ...] = ()
    withdrawn: PublishedFile | None = None


@dataclass(frozen=True, slots=True)
class VerdictKey:
    """An Ed25519 key that signs verdicts and receipts: ``public`` 64 hex digits, times in seconds since 1970.

    Envelopes issued before ``since`` or after ``until`` (None: no end yet) are not believed on its word.
    """

    public: str
    since: float
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Lists:
    """What is in force for this provider as the signed metadata states it. Times in seconds since 1970, waits in seconds.

    ``sequence`` is the version of the timestamp. ``wait`` is the least time between two syncs, ``jitter`` the most that an
    agent adds to it. ``proof`` is everything signed, from the pinned root on: `ports.Trust.reopen` makes the same of it years
    later.
    ``root`` is the version of the root, ``online`` names the keys that it appoints for the rest: counters begin anew with them.
    """

    provider: str
    issued: float
    expires: float
    sequence: int
    targets: tuple[Target, ...]
    verdict_keys: tuple[VerdictKey, ...]
    proof: bytes
    wait: float = 0.0
    jitter: float = 0.0
    root: int = 1
    online: str = ""
