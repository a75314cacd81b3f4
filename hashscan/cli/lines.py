"""Lines of checks for people: a mark, a name, what was seen, and what to do; folded by words where the terminal is narrow.

click leaves colours out of pipes by itself; NO_COLOR and dumb terminals are looked at here.
"""

from __future__ import annotations

import os
import sys

import click

from hashscan.cli.folding import columns, say, wrapped
from hashscan.report.escape import printable
from hashscan.report.palette import PALETTE

OK, WARN, FAILED = "ok", "warn", "FAILED"
_COLORS = {OK: "green", WARN: "yellow", FAILED: "bold red"}
_MARK, _NAME = 6, 14  # columns


def check_line(mark: str, name: str, seen: str, advice: str = "") -> None:
    """Print one check. Raises `IncompleteError` where the screen is gone."""
    indent = _MARK + 1 + _NAME + 1
    width = columns(sys.stdout, told=True) - indent
    first, *rest = wrapped(printable(seen), width)
    say(f"{_colored(mark)} {name:<{_NAME}} {first}")
    for line in [*rest, *(wrapped(f"-> {printable(advice)}", width) if advice else [])]:
        say(f"{'':<{indent}}{line}")


def emphasised(text: str, color: str = "", *, err: bool = False) -> None:
    """Print a line that stands out: bold, or in a colour. Raises `IncompleteError` where the screen is gone."""
    say(styled(text, color or "bold"), err=err)


def _colored(mark: str) -> str:
    return styled(f"{mark:<{_MARK}}", _COLORS.get(mark, ""))


def styled(text: str, style: str) -> str:
    """``style`` is a colour, "bold", both, or "" for none."""
    if not style or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    color = style.removeprefix("bold").strip()
    return click.style(text, fg=PALETTE.get(color, color) or None, bold=style.startswith("bold") or None)
