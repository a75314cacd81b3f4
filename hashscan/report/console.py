"""The one rich console: no markup, no highlighting, no emoji codes, so that a name is never an instruction."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from rich.console import Console
from rich.theme import Theme

from hashscan.errors import IncompleteError
from hashscan.report.palette import PALETTE

_THEME = Theme({f"{weight}{name}": f"{weight}color({number})" for name, number in PALETTE.items() for weight in ("", "bold ")})


class _Console(Console):
    def on_broken_pipe(self) -> None:
        # rich would exit the process with 1 here, which says "crash"; the job decides what a lost reader means.
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def open_console(stream: TextIO, *, color: bool | None = None) -> Console:
    """A console on ``stream``. ``color`` None lets rich decide (terminal, NO_COLOR, FORCE_COLOR); False means never."""
    if isinstance(stream, io.TextIOWrapper):
        try:
            stream.reconfigure(errors="backslashreplace")  # a name outside a latin-1 locale is shown escaped, not a crash
        except OSError as exc:  # it writes what waits, and asks where the stream stands
            raise IncompleteError(f"the screen cannot be written: {exc.strerror or exc}") from exc
    return _Console(
        file=stream,
        markup=False,
        highlight=False,
        emoji=False,
        no_color=color is False or None,
        force_terminal=color or None,
        theme=_THEME,
    )


@contextmanager
def guarded(console: Console) -> Iterator[None]:
    """Turns the failure of the console's stream into `IncompleteError`; nothing is written to it from then on."""
    if console.quiet or console.file.closed:
        raise IncompleteError("the screen is gone", hint="an earlier line could not be written")
    try:
        yield
    except OSError as exc:
        console.quiet = True  # rich keeps what it could not write and would try again with the next line
        with suppress(OSError):  # closed for the same reason as in ndjson: the interpreter's last flush would exit 120
            console.file.close()
        raise IncompleteError(f"the screen cannot be written: {exc.strerror or exc}", hint="check where stderr goes") from exc
