"""JSON from outside: bounded in bytes and depth, no key twice, no NaN, no surprise types.

``json.loads`` alone takes the last of two equal keys, reads NaN and Infinity, and recurses as deep as the input says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

MAX_DEPTH = 16
_MOST_SAID = 120  # characters of a key, which may be any name in a document, in a message
_NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class StrictJsonError(ValueError):
    """What is wrong with the document, in words that fit behind a colon. The caller names the source."""


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise StrictJsonError("a key occurs twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise StrictJsonError("a number is out of range")
    return value


def _short_int(text: str) -> int:
    if len(text) > 20:  # 2^64 has 20 digits
        raise StrictJsonError("a number is out of range")
    return int(text)


_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def _nesting(data: bytes) -> int:
    """The deepest nesting of brackets outside strings: counted before parsing, because the parser recurses."""
    depth = deepest = 0
    for byte in _STRING.sub(b"", data).translate(None, _NO_BRACKETS):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def parse_object(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> dict[str, Any]:
    """The JSON object in ``data``. Raises `StrictJsonError`."""
    if len(data) > max_bytes:
        raise StrictJsonError(f"longer than {max_bytes} bytes")
    # Cheap bound first: a document with few brackets cannot be deep, and the loop below costs 50 ns a byte.
    if data.count(b"[") + data.count(b"{") > max_depth and _nesting(data) > max_depth:
        raise StrictJsonError(f"nested deeper than {max_depth} levels")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_constant=_no_constant,
            parse_float=_finite,
            parse_int=_short_int,
        )
    except StrictJsonError:
        raise
    except (UnicodeDecodeError, ValueError) as error:
        raise StrictJsonError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise StrictJsonError("not a JSON object")
    return value


class Fields:
    """Typed reading of an object: each method returns a value of the promised type and range or raises `StrictJsonError`."""

    def __init__(self, data: Any, where: str) -> None:
        if not isinstance(data, dict):
            raise StrictJsonError(f"{where} is not an object")
        self._data: Mapping[str, Any] = data
        self._where = where

    def _value(self, key: str) -> Any:
        if key not in self._data:
            raise StrictJsonError(f"{self._where} has no {key!r}")
        return self._data[key]

    def _refuse(self, key: str, want: str) -> NoReturn:
        raise StrictJsonError(f"{self._where}: {key!r} is not {want}")

    def text(self, key: str, *, max_chars: int = 256, min_chars: int = 1) -> str:
        """A string of that many characters, without control characters and lone surrogates (no UTF-8 can write those)."""
        value = self._value(key)
        if not isinstance(value, str) or not min_chars <= len(value) <= max_chars or _NO_TEXT.search(value):
            self._refuse(key, f"a text of {min_chars} to {max_chars} characters")
        return value

    def hex(self, key: str, *, digits: int) -> str:
        """Exactly that many lowercase hex digits."""
        value = self._value(key)
        if not isinstance(value, str) or len(value) != digits or value.strip("0123456789abcdef"):
            self._refuse(key, f"{digits} lowercase hex digits")
        return value

    def integer(self, key: str, *, low: int = 0, high: int = 2**63 - 1) -> int:
        """An integer within the bounds."""
        value = self._value(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self._refuse(key, f"an integer from {low} to {high}")
        return value

    def number(self, key: str, *, low: float = 0.0, high: float = 2.5e11) -> float:
        """An integer or a float within the bounds; as seconds since 1970, 2.5e11 is the last that a calendar can show."""
        value = self._value(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            self._refuse(key, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, key: str) -> bool:
        """true or false."""
        value = self._value(key)
        if not isinstance(value, bool):
            self._refuse(key, "true or false")
        return value

    def objects(self, key: str, *, at_most: int) -> list[Fields]:
        """A list of at most that many objects."""
        value = self._value(key)
        if not isinstance(value, list) or len(value) > at_most:
            self._refuse(key, f"a list of at most {at_most} objects")
        return [Fields(item, f"{self._where}.{key}[{index}]") for index, item in enumerate(value)]

    def texts(self, key: str, *, at_most: int, max_chars: int = 256) -> list[str]:
        """A list of at most that many strings."""
        value = self._value(key)
        if not isinstance(value, list) or len(value) > at_most:
            self._refuse(key, f"a list of at most {at_most} texts")
        if not all(isinstance(item, str) and len(item) <= max_chars for item in value):
            self._refuse(key, f"a list of texts of at most {max_chars} characters")
        return list(value)

    def object(self, key: str) -> Fields:
        """An object."""
        return Fields(self._value(key), f"{self._where}.{key[:_MOST_SAID]}")

    def names(self) -> tuple[str, ...]:
        """The keys that are there."""
        return tuple(self._data)

    def is_null(self, key: str) -> bool:
        """Whether the key holds null or is missing."""
        return self._data.get(key) is None
