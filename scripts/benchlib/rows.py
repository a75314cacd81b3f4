"""What is compared with what, and where we want to be: the targets are those of the project's design, for pure Python."""

from __future__ import annotations

import enum
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.benchlib.results import Unit


class Kind(enum.Enum):
    """How a row is measured."""

    PAIR = "alternating runs, page cache warm"
    COLD = "alternating runs, nothing in the page cache"
    CLAMAV = "like PAIR, against a database of hashes"
    RESCAN = "the second run of an unchanged tree"
    RECHECK = "a new filter against remembered digests"
    GROWTH = "what a cold run leaves in the page cache"
    SIEVE = "a list with sizes against the same list without"
    MEMORY = "all processes together"
    REACH = "how much of the tree is found"


@dataclass(frozen=True, slots=True)
class Row:
    """``service`` names the kind of list that is published for it; without one, a plain list of 100 random digests is used.

    ``at_once``: processes of the peer. The target of GROWTH is 0 in the design; 20 MB of 4,340 are its tolerance.
    """

    key: str
    work: str
    peer: str
    target: float
    kind: Kind
    corpus: str
    digests: tuple[str, ...]
    tool: str = ""
    at_once: int = 1
    service: str = ""
    unit: Unit = Unit.RATIO


_BOTH = ("md5", "sha1")
_SHA1 = ("sha1",)
_BLAKE3 = ("blake3",)

_MB = Unit.MEGABYTES

# fmt: off
ROWS = (
    Row("small-hashdeep", "SMALL, list of md5+sha1", "hashdeep", 0.25, Kind.PAIR, "small", _BOTH, "hashdeep", 2, "both"),
    Row("small-rhash", "SMALL, list of md5+sha1", "rhash, 2 at a time", 0.85, Kind.PAIR, "small", _BOTH, "rhash", 2, "both"),
    Row("mixed-rhash", "SMALL, some MD5 only", "rhash, 2 at a time", 0.85, Kind.PAIR, "small", _BOTH, "rhash", 2, "mixed"),
    Row("small-b3sum", "SMALL blake3", "b3sum, 2 at a time", 0.55, Kind.PAIR, "small", _BLAKE3, "b3sum", 2),
    Row("small-clamscan", "SMALL sha1 + filter", "clamscan, hashes only", 0.06, Kind.CLAMAV, "small", _SHA1, service="sha1"),
    Row("small-clamscan-shm", "SMALL sha1 + filter", "same, /tmp in memory", 0.06, Kind.CLAMAV, "small", _SHA1, service="sha1"),
    Row("mix-hashdeep", "MIX md5+sha1", "hashdeep", 0.45, Kind.PAIR, "mix", _BOTH, "hashdeep", 2),
    Row("mix-b3sum", "MIX blake3", "b3sum", 0.55, Kind.PAIR, "mix", _BLAKE3, "b3sum"),
    Row("large-rhash", "LARGE md5+sha1", "rhash, 2 at a time", 1.02, Kind.PAIR, "large", _BOTH, "rhash", 2),
    Row("large-b3sum", "LARGE blake3, no mmap", "b3sum", 1.25, Kind.PAIR, "large", _BLAKE3, "b3sum"),
    Row("rescan-find", "SMALL again, unchanged", "find -printf", 0.8, Kind.RESCAN, "small", _BOTH, service="both"),
    Row("rescan-million", "1 M again, unchanged", "find -printf", 0.8, Kind.RESCAN, "million", _BOTH, service="both"),
    Row("recheck", "new filter, 1 M digests", "-", 1.0, Kind.RECHECK, "million", _BOTH, service="both", unit=Unit.SECONDS),
    Row("cold-sha1sum", "cold SMALL sha1", "sha1sum, 2 at a time", 0.29, Kind.COLD, "small", _SHA1, "coreutils", 2),
    Row("cache-growth", "page cache growth, MIX", "sha1sum", 20.0, Kind.GROWTH, "mix", _SHA1, "coreutils", unit=_MB),
    Row("size-sieve", "MIX, list with sizes", "ours without the sieve", 0.5, Kind.SIEVE, "mix", _BOTH, service="sized"),
    Row("memory", "memory, 1 M files, 20 M entries", "-", 150.0, Kind.MEMORY, "million", _SHA1, service="wide", unit=_MB),
    Row("deep", "DEEP, files missed", "hashdeep", 0.0, Kind.REACH, "deep", ("md5",), "hashdeep", unit=Unit.FILES),
)
# fmt: on


def chosen(patterns: Sequence[str]) -> list[Row]:
    """The rows whose key fits a shell pattern; all where there is no pattern. Raises ValueError for one that fits nothing."""
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(row.key, pattern) for row in ROWS):
            raise ValueError(f"no row is called {pattern!r}: there are {', '.join(row.key for row in ROWS)}")
    return [row for row in ROWS if not patterns or any(fnmatch.fnmatchcase(row.key, one) for one in patterns)]
