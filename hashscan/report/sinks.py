"""The sinks of one command. rich is loaded where somebody is to read: it costs as much as all of ours together."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, cast

from hashscan.report.journal import JournalReporter, Marked, is_journal

if TYPE_CHECKING:  # status is asked every minute, and names few nouns
    from hashscan.ports import Reporter


@dataclass(frozen=True, slots=True)
class Readers:
    """How people are spoken to: ``text`` tells results and problems, ``progress`` draws a line on a terminal."""

    text: bool = True
    progress: bool = True
    quiet: bool = False
    verbose: bool = False


def for_people(stream: TextIO, how: Readers, stack: ExitStack) -> list[Reporter]:
    """What tells people on ``stream``, until ``stack`` is closed. Raises `IncompleteError` where the screen is gone."""
    if not how.text and not how.progress:
        return []
    from hashscan.report.console import open_console  # noqa: PLC0415 - brings rich
    from hashscan.report.text import TextReporter  # noqa: PLC0415 - brings rich

    if is_journal(stream, os.environ):
        marked = Marked(stream)
        journal = TextReporter(open_console(cast("TextIO", marked), color=False), quiet=how.quiet, verbose=how.verbose)
        return [JournalReporter(marked, journal)] if how.text else []
    console = open_console(stream)
    people: list[Reporter] = []
    if how.text:
        people.append(TextReporter(console, quiet=how.quiet, verbose=how.verbose))
    if how.progress:
        from hashscan.report.progress import ProgressReporter  # noqa: PLC0415 - brings rich

        people.append(stack.enter_context(ProgressReporter(console, time.monotonic)))
    return people
