"""What a walk met, and why a path was not hashed."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from hashscan.model.nouns import Candidate, Place


class Reason(enum.StrEnum):
    """Why a path was not hashed. Every path ends as scanned, cached, skipped with one of these, or error with an errno."""

    SYMLINK = "symlink"
    SPECIAL = "special"
    MOUNT = "mount"
    NETWORK = "network"
    TOO_LARGE = "too_large"
    EXCLUDED = "excluded"
    OWN = "own"
    CHANGED = "changed"
    VANISHED = "vanished"
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path that was not hashed, and why. ``errno`` is the symbolic name ("EACCES") where the reason is ERROR, else empty."""

    place: Place
    reason: Reason
    errno: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Warned:
    """Something to know that ended no path: the digest cache was damaged, bytes changed without a trace."""

    message: str
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Sifted:
    """What one worker learnt from a stretch of the walk; may be empty, as a sign of life. Sizes in bytes.

    The counts are about this stretch only. ``seen`` = scanned + cached + by_size + all skipped + all errors of names met, so
    that a sum over all stretches accounts for every path. ``notes`` are the skipped paths worth naming (never plain symlinks).
    """

    directories: int = 0
    seen: int = 0
    scanned: int = 0
    cached: int = 0
    by_size: int = 0
    bytes_hashed: int = 0
    skipped: Mapping[Reason, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[Skipped, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    at: bytes = b""
    warnings: tuple[Warned, ...] = ()
