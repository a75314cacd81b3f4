"""Sizes, durations, times and switches as people write them. Converters raise ValueError saying what is wanted."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

MAX_DURATION = 100 * 366 * 86_400.0  # seconds
_SIZES = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_TIMES = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_size(text: str) -> int:
    """Bytes from "20M", "1.5 GiB", "4096": units of 1024. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", text.strip().lower())
    if not match:
        raise ValueError('a size like "20M" or "1.5G"')
    return int(_bounded(float(match[1]) * _SIZES[match[2]], 2.0**63, "a size that a file can have"))


def parse_duration(text: str) -> float:
    """Seconds from "36h", "7d", "90": units s, m, h, d, w. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw]?)", text.strip().lower())
    if not match:
        raise ValueError('a duration like "36h" or "7d"')
    return _bounded(float(match[1]) * _TIMES[match[2]], MAX_DURATION, "a duration of at most a hundred years")


def counted(count: int, one: str, more: str = "") -> str:
    """ "1 case", "0 cases", "2,345 entries"; ``more`` where the plural is not ``one`` with an s."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def rfc3339(seconds: float) -> str:
    """Seconds since 1970 as RFC 3339 in UTC with milliseconds. For our own times: an mtime may be in the year 30000."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bounded(value: float, most: float, what: str) -> float:
    if not 0 <= value <= most:  # not a number is neither
        raise ValueError(what)
    return value


def as_size(value: Any) -> int:
    """Bytes from a number or a text."""
    return parse_size(str(value) if isinstance(value, int) and not isinstance(value, bool) else as_text(value))


def as_duration(value: Any) -> float:
    """Seconds from a number or a text."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(_bounded(value, MAX_DURATION, "a duration of at most a hundred years"))
    return parse_duration(as_text(value))


def as_text(value: Any) -> str:
    """A text without NUL."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("a text in quotes")
    return value


def as_flag(value: Any) -> bool:
    """True or false."""
    if isinstance(value, bool):
        return value
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if isinstance(value, str) and value.lower() in words:
        return words[value.lower()]
    raise ValueError("true or false")


def as_count(value: Any) -> int:
    """A whole number, 0 or more."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a whole number, 0 or more")
    return value


def as_names(value: Any) -> tuple[str, ...]:
    """Texts from a list, or from a text with commas."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise ValueError('a list of texts like ["a", "b"]')
    return tuple(part.strip() for part in parts if part.strip())


def one_of(*words: str) -> Callable[[Any], str]:
    """A converter that takes one of these words."""

    def choose(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(word or repr(word) for word in words)}")
        return str(value)

    choose.words = words  # type: ignore[attr-defined]
    return choose


def as_niceness(value: Any) -> int:
    """A whole number from 0 to 19."""
    number = as_count(value)
    if number > 19:
        raise ValueError("a niceness from 0 to 19")
    return number


def as_shard(value: Any) -> tuple[int, int]:
    """(i, n) from "i/n", i from 1 to n."""
    match = re.fullmatch(r"([0-9]{1,4})/([0-9]{1,4})", as_text(value).strip())
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError('a part like "2/5"')
    return int(match[1]), int(match[2])
