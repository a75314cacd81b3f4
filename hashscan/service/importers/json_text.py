"""JSON of any length, read value by value with the decoder of the standard library: only the value in hand is in memory.

Why not a library: docs/decisions/0025-vics-with-the-standard-library.md.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from typing import Any, NoReturn

from hashscan.service.importers.port import BrokenSource, PeekableStream

MAX_VALUE = 1 << 20  # characters of one value; a record with its file names has some hundreds
MAX_MEMBERS = 1000  # of an object that is walked
_CHUNK_BYTES = 1 << 18
_MOST_DIGITS = 19
_MOST_FLOAT = 64  # characters
_SPACE = " \t\n\r"
_MAY_GO_ON = 2  # characters behind a number that may belong to it: "1" of "1e+5"
_CUT_OFF = 16  # characters: a value that is merely cut off fails no further from the end, but for strings

TWICE = object()
"""The key of an object in which another key occurs twice."""

HUGE = object()
"""The value of a number with more digits than any that we have use for."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = dict(pairs)
    if len(found) != len(pairs):
        found[TWICE] = True
    return found


def _integer(text: str) -> Any:
    return int(text) if len(text) <= _MOST_DIGITS else HUGE


def _float(text: str) -> Any:
    return float(text) if len(text) <= _MOST_FLOAT else HUGE


_DECODER = json.JSONDecoder(
    object_pairs_hook=_pairs, parse_int=_integer, parse_float=_float, parse_constant=lambda _: HUGE, strict=False
)


def encoding_of(head: bytes) -> tuple[str, int]:
    """The encoding that a JSON text begins in, and the bytes of its byte order mark (RFC 4627, 3)."""
    for mark, name in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if head.startswith(mark):
            return name, len(mark)
    if head[1:2] == b"\0" and head[:1] != b"\0":
        return "utf-16-le", 0
    return ("utf-16-be", 0) if head[:1] == b"\0" and head[1:2] not in (b"", b"\0") else ("utf-8", 0)


class JsonText:
    """A position in a JSON text. Everything raises `BrokenSource` with the byte where the text is wrong."""

    def __init__(self, stream: PeekableStream) -> None:
        self._encoding, mark = encoding_of(stream.peek(4)[:4])
        self._stream = stream
        self._decode = codecs.getincrementaldecoder(self._encoding)()
        self._text, self._at = "", 0
        self._fed = self._base = len(stream.read(mark)) if mark else 0  # bytes given to the decoder, bytes before `_text`
        self._ended = False

    @property
    def byte(self) -> int:
        """The position in bytes."""
        return self._byte_at(self._at)

    def _byte_at(self, index: int) -> int:
        return self._base + len(self._text[:index].encode(self._encoding, "surrogatepass"))

    def _fill(self) -> bool:
        """Read on; False at the end. What was consumed is forgotten."""
        if self._ended:
            return False
        self._base = self.byte
        left = self._text[self._at :]
        data = self._stream.read(max(_CHUNK_BYTES, len(left)))
        held = len(self._decode.getstate()[0])
        try:
            more = self._decode.decode(data, final=not data)
        except UnicodeDecodeError as error:
            where = self._fed - held + error.start
            raise BrokenSource(f"byte {where}: it is not {self._encoding.upper()}") from None
        self._fed += len(data)
        self._text, self._at, self._ended = left + more, 0, not data
        return True

    def peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            text, at = self._text, self._at
            while at < len(text) and text[at] in _SPACE:
                at += 1
            self._at = at
            if at < len(text):
                return text[at]
            if not self._fill():
                return ""

    def take(self) -> str:
        """The same, and go past it."""
        found = self.peek()
        self._at += len(found)
        return found

    def expect(self, wanted: str) -> None:
        """Go past ``wanted``, one character."""
        if self.peek() != wanted:
            self._wrong(f"{wanted!r} is missing" if self.peek() else "the text ends too early")
        self._at += 1

    def value(self) -> Any:
        """The value that comes, of at most `MAX_VALUE` characters; see `TWICE`, `HUGE`."""
        if not self.peek():
            self._wrong("the text ends too early")
        while True:
            try:
                found, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError:
                self._wrong("it is nested too deeply")
            except json.JSONDecodeError as error:
                self._read_on(error)
                continue
            if len(self._text) - end <= _MAY_GO_ON and self._fill():
                continue
            self._at = end
            return found

    def _read_on(self, error: json.JSONDecodeError) -> None:
        """Make more of a value that cannot be decoded readable, unless more would not help."""
        cut_off = error.msg.startswith("Unterminated string") or len(self._text) - error.pos <= _CUT_OFF
        if len(self._text) - self._at > MAX_VALUE:
            self._wrong(f"a value has more than {MAX_VALUE} characters")
        if not cut_off or not self._fill():
            raise BrokenSource(f"byte {self._byte_at(error.pos)}: it is not JSON: {error.msg}")

    def members(self) -> Iterator[str]:
        """The keys of an object; whoever takes one must read its value before the next."""
        self.expect("{")
        seen: set[str] = set()
        if self.peek() == "}":
            self._at += 1
            return
        while True:
            if self.peek() != '"':
                self._wrong("a key is missing")
            key = self.value()
            if key in seen or len(seen) == MAX_MEMBERS:
                self._wrong("a key occurs twice" if key in seen else f"an object has more than {MAX_MEMBERS} keys")
            seen.add(key)
            self.expect(":")
            yield key
            if self._closes("}"):
                return

    def elements(self) -> Iterator[None]:
        """Once for each element of an array; whoever takes one must read it before the next."""
        self.expect("[")
        if self.peek() == "]":
            self._at += 1
            return
        while True:
            yield None
            if self._closes("]"):
                return

    def _closes(self, bracket: str) -> bool:
        found = self.peek()
        if found not in (bracket, ",") or not found:
            self._wrong(f"',' or {bracket!r} is missing" if found else "the text ends too early")
        self._at += 1
        return found == bracket

    def end(self) -> None:
        """Nothing but white space may follow."""
        if self.peek():
            self._wrong("something follows the end")

    def _wrong(self, what: str) -> NoReturn:
        raise BrokenSource(f"byte {self.byte}: {what}")
