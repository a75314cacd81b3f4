"""A line at the bottom of a terminal that says how far the run is. No thread: it is drawn when an event comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from hashscan.model import Event, Json
from hashscan.report.console import guarded
from hashscan.report.fields import number, size, table, text

_EVERY_S = 0.1  # draw at most this often
_ECHO = len("^C")  # the terminal writes it behind the line; in the next row it would keep the line from being taken away
_RATE_POINTS = 50  # rates are over the last 50 drawings, about 5 to 10 s


class ProgressReporter:
    """Shows the ``progress`` events between ``scan_start`` and the end of a run, on a capable terminal only.

    ``clock`` is monotonic seconds. Use it as a context manager, so that the cursor comes back after a crash. Share the console
    with the `TextReporter`: rich then prints findings above the line.
    """

    def __init__(self, console: Console, clock: Callable[[], float]) -> None:
        self._console = console
        self._clock = clock
        self._live: Live | None = None
        self._spinner = Spinner("dots")
        self._points: deque[tuple[float, int, int]] = deque(maxlen=_RATE_POINTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        if not self._console.quiet:
            self._stop()

    def tell(self, event: Event) -> None:
        """Draw, start or stop. Raises `IncompleteError` where the terminal is gone."""
        if not self._console.is_terminal or self._console.is_dumb_terminal:
            return
        with guarded(self._console):
            if event.type == "scan_start":
                self._start()
            elif event.type == "progress":
                self._draw(event.data)
            elif event.type in ("summary", "exit_error"):
                self._stop()

    def _start(self) -> None:
        self._stop()
        self._points.clear()
        self._live = Live(
            console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, data: Mapping[str, Json]) -> None:
        now = self._clock()
        if self._live is None or (self._points and now - self._points[-1][0] < _EVERY_S):
            return
        self._points.append((now, number(table(data, "paths"), "seen"), number(data, "bytes_hashed")))
        self._live.update(self._line(data), refresh=True)

    def _line(self, data: Mapping[str, Json]) -> Table:
        start, end = self._points[0], self._points[-1]
        elapsed = end[0] - start[0]
        told = f"{end[1]:,} files, {size(end[2])}"
        if elapsed > 0:
            told += f", {(end[1] - start[1]) / elapsed:,.0f}/s, {size((end[2] - start[2]) / elapsed)}/s"
        line = Table.grid(padding=(0, 1), expand=True)
        line.width = max(self._console.width - _ECHO - 1, 1)
        line.add_column(no_wrap=True)
        line.add_column(no_wrap=True)
        line.add_column(no_wrap=True, ratio=1, overflow="ellipsis")
        resting = text(data, "resting")
        where = Text(f"resting: {resting}", style="yellow") if resting else Text(text(data, "path"), style="dim")
        line.add_row(self._spinner, Text(told), where)
        return line
