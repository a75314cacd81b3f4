"""Lines for people: folded by words where a terminal is narrow, whole where a program reads. Light: the front door needs it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

import click

from hashscan.errors import IncompleteError

_NARROWEST, _WIDEST = 40, 120
_NEVER = 1 << 30
_UNITS = frozenset({"s", "min", "h", "d", "days", "%", "B", "kB", "MB", "GB"})


def columns(stream: TextIO | None, *, told: bool = False) -> int:
    """How wide lines on ``stream`` may be; without an end where it is no terminal (nor ``told``, and COLUMNS says a width)."""
    try:
        terminal = stream is not None and stream.isatty()
    except ValueError:  # closed
        terminal = False
    if not terminal and not (told and os.environ.get("COLUMNS")):
        return _NEVER
    return max(min(shutil.get_terminal_size().columns, _WIDEST), _NARROWEST)


def wrapped(said: str, width: int, first: int | None = None) -> list[str]:
    """By words; one that is longer than a line stays whole, so that it can be copied. ``first``: width of the first line."""
    lines = [""]
    for word in _words(said):
        most = first if first is not None and len(lines) == 1 else width
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return lines


def _words(said: str) -> Iterator[str]:
    """What a line may not be broken within: a number stays with its unit."""
    before = ""
    for word in said.split(" "):
        if before[-1:].isdigit() and word.rstrip(",;.:)") in _UNITS:
            before += f" {word}"
            continue
        if before:
            yield before
        before = word
        if not word:  # one of two blanks
            yield word
    if before:
        yield before


def page(lines: Iterable[str], stream: TextIO | None) -> str:
    """Lines that keep their own indentation."""
    told = ((line.lstrip(" "), len(line) - len(line.lstrip(" "))) for line in lines)
    return "\n".join(folded(said, stream, blanks + 2, blanks) for said, blanks in told)


def folded(said: str, stream: TextIO | None, indent: int = 2, first: int = 0) -> str:
    """``said`` for ``stream``; lines after the first are indented by ``indent`` blanks, that one by ``first``."""
    width = columns(stream)
    if first + len(said) <= width:
        return " " * first + said
    lines = wrapped(said, width - indent, width - first)
    return "\n".join([" " * first + lines[0], *(" " * indent + line for line in lines[1:])])


def speak(said: str, *, err: bool = False) -> None:
    """Sentences for people, on stdout or stderr. Raises `IncompleteError` where the screen is gone: what was done is done."""
    say(page(said.split("\n"), sys.stderr if err else sys.stdout), err=err)


def say(said: str, *, err: bool = False) -> None:
    """The same as it is: for programs, and for what is copied, like a secret. Raises `IncompleteError`."""
    try:
        click.echo(said, err=err)
    except OSError as error:
        raise IncompleteError(f"the screen cannot be written: {error.strerror}", hint="check where the output goes") from error
