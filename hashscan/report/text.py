"""Events for people: findings and actions as they come, problems, and a summary whose counts add up."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from hashscan.model import Event, Json
from hashscan.report import wording
from hashscan.report.console import guarded
from hashscan.report.fields import number, text
from hashscan.report.table import summary_table
from hashscan.report.tally import INCOMPLETE_REASONS

PROBLEM_LINES = 50  # a tree full of unreadable files must not bury the findings; --verbose names them all

INDENT = " " * wording.LABEL_WIDTH
_RESULTS = frozenset({"check", "case", "status"})
_LOUD = _RESULTS | {"finding", "pending", "action", "exit_error", "recovered", "warning", "withdrawn"}
_NORMAL = _LOUD | {"scan_start", "error", "skipped", "sync", "sync_wait"}


class TextReporter:
    """Writes to ``console`` (from `report.console.open_console`, on stderr for a scan).

    Quiet: findings, actions, pending and errors that end the run, and the summary unless all is well; a clean run prints
    nothing. Normal: also the start, lists, and up to `PROBLEM_LINES` paths that were not looked at. Verbose: everything but
    progress. Results that a command was asked for (``check``, ``case``, ``status``) are always shown.
    """

    def __init__(self, console: Console, *, quiet: bool = False, verbose: bool = False) -> None:
        self._console = console
        self._quiet = quiet
        self._verbose = verbose
        self._problems = 0

    def tell(self, event: Event) -> None:
        """Show one event, or leave it out. Raises `IncompleteError` where the screen is gone."""
        if event.type == "summary":
            self._summary(event.data)
        elif self._wanted(event):
            self._lines(event)

    def _wanted(self, event: Event) -> bool:
        if event.type in ("error", "skipped"):
            return self._problem(event)
        if self._verbose:
            return event.type != "progress"
        return event.type in (_LOUD if self._quiet else _NORMAL)

    def _problem(self, event: Event) -> bool:
        if self._verbose:
            return True
        if self._quiet or (event.type == "skipped" and text(event.data, "reason") not in INCOMPLETE_REASONS):
            return False
        self._problems += 1
        return self._problems <= PROBLEM_LINES

    def _lines(self, event: Event) -> None:
        named = event.type == "case" and self._verbose
        lines = wording.case_with_name(event.data) if named else wording.lines(event.type, event.data)
        with guarded(self._console):
            for line in lines:
                self._print(line)

    def _print(self, line: Text) -> None:
        """A name stays one line, to be copied and searched for; on a terminal all else is wrapped by words beside its label."""
        if self._console.is_terminal and line.style == "dim" and line.plain.startswith(INDENT):
            self._console.print(Padding(Text(line.plain[len(INDENT) :], style="dim"), (0, 0, 0, len(INDENT))))
        elif self._console.is_terminal and line.overflow == "fold":
            beside = Table.grid()
            beside.add_row(line[: wording.LABEL_WIDTH], line[wording.LABEL_WIDTH :])
            self._console.print(beside)
        else:
            self._console.print(line, soft_wrap=True)

    def _summary(self, data: Mapping[str, Json]) -> None:
        if self._quiet and number(data, "exit_code") == 0 and data.get("complete") is True:
            return
        hidden = self._problems - PROBLEM_LINES
        with guarded(self._console):
            if hidden > 0:
                self._console.print(f"... and {hidden:,} more paths not looked at; --verbose names them all")
            if not self._quiet:
                self._console.print()
            self._console.print(wording.headline(data))
            if data.get("complete") is not True:
                self._console.print("not everything that was asked for was looked at", style="yellow")
            for line in wording.rests(data):
                self._console.print(line, style="yellow")
            if data.get("stale") is True:
                self._console.print("the hash lists are stale: run 'hashscan sync'", style="yellow")
            self._console.print(summary_table(data))
