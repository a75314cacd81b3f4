"""What every format's reader gives: items with their places, one after the other, nothing in memory but one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine, LineStream
from hashscan.model import Act, Algorithm
from hashscan.service.merging import Row

FIELDS = (*(algorithm.value for algorithm in Algorithm), "size", "category", "act")
MAX_CATEGORY = 64  # characters
MAX_SIZE_DIGITS = 18  # of a number of bytes: below 2^63
DELETED = "deleted"


class PeekableStream(LineStream, Protocol):
    """A stream that can be looked into without reading: `io.BufferedReader`, also over a pipe."""

    def peek(self, size: int, /) -> bytes:
        """Some of the bytes to come; at least one unless the stream is at its end."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; empty at the end."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How to read a list. ``format`` is a name from `formats.FORMATS` or auto.

    ``columns`` maps our field names to the names in a CSV header; ``algorithm`` says what 64 hex digits are in a plain list;
    ``category`` and ``act`` hold where a row says nothing; ``categories`` are those that are taken from a source that sorts its
    entries (VICS, NCMEC). Which are right is the operator's decision: nothing is guessed.
    """

    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    algorithm: Algorithm | None = None
    category: str = "unspecified"
    act: Act = Act.QUARANTINE
    categories: frozenset[str] = frozenset()


class LeftOut(NamedTuple):
    """A record that is well and not wanted: it counts under ``reason`` and fails nothing."""

    reason: str
    text: str


class Named(NamedTuple):
    """A row that its source can take back by name. ``row`` None is a tombstone: the source has deleted it.

    ``at`` is when it changed there, in seconds since 1970: an older state never replaces a newer one. ``up`` and ``down`` count
    the members of the source who voted for it and against it. ``why`` there is no row: it was deleted, or is not one that was
    asked for (any more).
    """

    ref: str
    row: Row | None
    at: float
    up: int = 0
    down: int = 0
    why: str = DELETED


Item = Row | Named | LeftOut | BadLine
Reader = Callable[[PeekableStream, Shape], Iterator[tuple[int, Item]]]


class BrokenSource(ValueError):
    """The source cannot be read on: what is wrong and where, in words without any of its contents."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format. ``unit`` is what its places count: a line, a record.

    ``categories`` says whether the operator must name the categories that are taken. ``known_good`` formats may feed the
    known-good list, ``lists`` formats a hash list.
    """

    name: str
    unit: str
    read: Reader
    lists: bool = True
    known_good: bool = False
    categories: bool = False


def check(shape: Shape) -> None:
    """Raises `UsageError` for a shape that makes no sense in any format."""
    if shape.algorithm not in (None, Algorithm.SHA256, Algorithm.BLAKE3):
        raise UsageError(f"64 hex digits are sha256 or blake3, not {shape.algorithm}")
    if unknown := set(shape.columns) - set(FIELDS):
        raise UsageError(f"no field {', '.join(sorted(unknown))}", hint=f"fields are {', '.join(FIELDS)}")
    if not all(map(is_category, (shape.category, *shape.categories))):
        raise UsageError(f"a category has 1 to {MAX_CATEGORY} printable characters")


def is_category(text: str) -> bool:
    """Whether ``text`` can be stored as a category."""
    return 0 < len(text) <= MAX_CATEGORY and text.isprintable()


def digest_of(text: str, algorithm: Algorithm) -> bytes:
    """The raw digest that ``text`` is in hex. Raises `BadLine`."""
    if len(text) == 2 * algorithm.digest_size:
        try:
            digest = bytes.fromhex(text)
        except ValueError:
            raise BadLine(f"its {algorithm} is not hex") from None
        if len(digest) == algorithm.digest_size:  # fromhex skips spaces
            return digest
    raise BadLine(f"its {algorithm} is not {2 * algorithm.digest_size} hex digits")


def size_of(text: str) -> int | None:
    """A number of bytes in decimal, None where ``text`` is empty. Raises `BadLine`."""
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_SIZE_DIGITS):
        raise BadLine("its size is not a number of bytes")
    return int(text)
