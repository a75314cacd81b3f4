"""NCMEC Hash Sharing v2: pages of XML with entries that members share, vote about, and delete again.

A page lists what has changed: entries in their latest state, and tombstones of deleted ones. Other states of an entry are never
told. docs/service.md says what of the format is known and what is inferred.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError  # types only: what parses is defusedxml's

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from hashscan.known.hash_list import BadLine
from hashscan.model import Act, Algorithm
from hashscan.service.importers.port import BrokenSource, Named, PeekableStream, Shape, digest_of, is_category
from hashscan.service.merging import Row

NAMESPACE = "https://hashsharing.ncmec.org/hashsharing/v2"
UNCLASSIFIED = "unclassified"
"""The category of an entry to which its member has given no classification."""

MAX_NEXT = 2000  # characters of the address of the next page
_ENTRY_BYTES = 1 << 18  # of one entry with its votes and categorisations
_READ_BYTES = 1 << 16  # that the parser takes at a time, at most
_DEPTH = 24
_NS = f"{{{NAMESPACE}}}"
_KINDS = {"image": False, "video": False, "deletedImage": True, "deletedVideo": True}  # whether it is a tombstone
_PARENTS = ("images", "videos")
_FINGERPRINTS = {"md5": Algorithm.MD5, "sha1": Algorithm.SHA1}
_VOTES = {"affirmativeFeedback": 1, "negativeFeedback": -1}
_MEMBER = re.compile("[0-9]{1,10}")
_ID = re.compile("[!-~]{1,128}")
_NEXT = re.compile(r"/v2/entries\?[!-~]+")


class _Metered:
    """The stream as the parser reads it; between two `reset` it gives out a bounded number of bytes.

    Expat holds a name, a text or an attribute in memory until it ends, and the tree holds an entry.
    """

    def __init__(self, stream: PeekableStream) -> None:
        self._stream = stream
        self._left = _ENTRY_BYTES
        self.given = 0

    def read(self, size: int = -1) -> bytes:
        """As a file does it. Raises `BrokenSource` where an entry does not end."""
        if self._left <= 0:
            raise BrokenSource(f"before byte {self.given}: an entry has more than {_ENTRY_BYTES} bytes")
        data = self._stream.read(_READ_BYTES if size < 0 else min(size, _READ_BYTES))
        self._left -= len(data)
        self.given += len(data)
        return data

    def reset(self) -> None:
        """An entry has ended."""
        self._left = _ENTRY_BYTES


def looks_like_ncmec(head: bytes) -> bool:
    """Whether a text that begins with ``head`` is a page."""
    return b"queryResult" in head[:1024] and NAMESPACE.encode() in head[:1024]


def read(stream: PeekableStream, shape: Shape) -> Iterator[tuple[int, Named | BadLine]]:
    """Every entry and tombstone with its number. Raises `BrokenSource`."""
    number = 0
    for parent, element in _elements(stream):
        if parent in _PARENTS:
            number += 1
            try:
                yield number, _entry(element, shape)
            except BadLine as error:
                yield number, error


def next_page(stream: PeekableStream) -> str:
    """The address of the page after this one, below the address of the service; "" after the last. Raises `BrokenSource`."""
    found = ""
    for parent, element in _elements(stream):
        if (parent, element.tag) == ("paging", f"{_NS}next"):
            found = (element.text or "").strip()
            if found and (not _NEXT.fullmatch(found) or len(found) > MAX_NEXT):
                raise BrokenSource("the address of its next page is none below /v2/entries")
    return found


def _elements(stream: PeekableStream) -> Iterator[tuple[str, Element]]:
    """What stands two levels below the root, each with the name of its parent; then it is forgotten."""
    metered = _Metered(stream)
    try:
        yield from _walk(metered)
    except ParseError as error:
        line, column = error.position
        raise BrokenSource(f"line {line}, column {column}: it is not well-formed XML ({_words(error)})") from None
    except DefusedXmlException as error:
        what = f"it has a document type or entities ({type(error).__name__})"
        raise BrokenSource(f"before byte {metered.given}: {what}") from None
    except BrokenSource:
        raise
    except (LookupError, ValueError):  # what expat makes of an encoding that it does not know
        raise BrokenSource(f"before byte {metered.given}: its encoding is not known") from None


def _walk(metered: _Metered) -> Iterator[tuple[str, Element]]:
    path: list[Element] = []
    for event, element in iterparse(metered, events=("start", "end"), forbid_dtd=True):
        if event == "start":
            path.append(element)
            if len(path) == 1 and element.tag != f"{_NS}queryResult":
                raise BrokenSource("its root is no queryResult of Hash Sharing v2")
            if len(path) > _DEPTH:
                raise BrokenSource(f"before byte {metered.given}: it is nested deeper than {_DEPTH} levels")
            continue
        path.pop()
        if len(path) == 2:
            yield path[1].tag.removeprefix(_NS), element
            metered.reset()
        if 1 <= len(path) <= 2:
            path[-1].clear()


def _words(error: ParseError) -> str:
    return str(error).partition(":")[0][:80]


def _entry(element: Element, shape: Shape) -> Named:
    kind = element.tag.removeprefix(_NS)
    if kind not in _KINDS:
        raise BadLine("it is neither an image nor a video, nor a deleted one")
    member, name = element.find(f"{_NS}member"), _text(element, "id")
    number = member.get("id", "") if member is not None else ""
    if not _MEMBER.fullmatch(number) or not _ID.fullmatch(name):
        raise BadLine("it has no id, or no member with an id")
    ref, at = f"{number}/{name}", _time(_text(element, "timestamp"))
    if _KINDS[kind]:
        return Named(ref, None, at)
    category = _text(element, "classification") or UNCLASSIFIED
    if not is_category(category):
        raise BadLine("its classification cannot be stored")
    if category not in shape.categories:
        return Named(ref, None, at, why="other_category")
    digests = _digests(element)
    if not digests:
        return Named(ref, None, at, why="no_digest")
    up, down = _votes(element)
    act = Act.REPORT if down and down >= up else shape.act
    return Named(ref, Row(digests, None, category, act), at, up=up, down=down)


def _text(element: Element, name: str) -> str:
    return (element.findtext(f"{_NS}{name}") or "").strip()


def _time(text: str) -> float:
    """Seconds since 1970. Raises `BadLine`."""
    try:
        at = datetime.fromisoformat(text)
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadLine("its timestamp is not one") from None
    if not math.isfinite(seconds) or not 0 <= seconds < 2.5e11:
        raise BadLine("its timestamp is out of bounds")
    return seconds


def _digests(element: Element) -> dict[Algorithm, bytes]:
    digests: dict[Algorithm, bytes] = {}
    for one in element.iterfind(f"{_NS}fingerprints/*"):
        algorithm = _FINGERPRINTS.get(one.tag.removeprefix(_NS))
        text = (one.text or "").strip()
        if algorithm is not None and text:
            digest = digest_of(text, algorithm)
            if digests.setdefault(algorithm, digest) != digest:
                raise BadLine(f"it states two different {algorithm}")
    return digests


def _votes(element: Element) -> tuple[int, int]:
    """How many members voted for a digest of it, and against one."""
    members: dict[int, set[Any]] = {1: set(), -1: set()}
    for one in element.iterfind(f"{_NS}feedback/*"):
        vote = _VOTES.get(one.tag.removeprefix(_NS))
        if vote is not None and one.get("type", "").lower() in _FINGERPRINTS:
            members[vote].update(member.get("id") for member in one.iter(f"{_NS}member"))
    return len(members[1]), len(members[-1])
