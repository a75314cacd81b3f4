"""What may be a name: of a list, a provider, a source. Names become file names and parts of keys."""

from __future__ import annotations

import re

from hashscan.errors import UsageError

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


def is_name(text: str) -> bool:
    """Whether ``text`` is a name: 1 to 64 of a-z, 0-9 and -, not - at the start."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str, what: str) -> str:
    """``text`` if it is a name, else `UsageError`."""
    if not is_name(text):
        raise UsageError(f"{text!r} cannot be a {what}", hint="use 1 to 64 of a-z, 0-9 and -, not - at the start")
    return text


def check_text(text: str, what: str, most: int) -> str:
    """``text`` if it is 1 to ``most`` printable characters, else `UsageError`."""
    if not 0 < len(text) <= most or not text.isprintable():
        raise UsageError(f"a {what} has 1 to {most} printable characters")
    return text
