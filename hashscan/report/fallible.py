"""Sinks that may fail: a run goes on without them, says so, and counts what they could not tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from hashscan.errors import HashscanError, IncompleteError
from hashscan.model import Event, Warned
from hashscan.ports import Reporter
from hashscan.report import events

GIVE_UP_AFTER = 5  # failures of one sink in one run: a dead receiver must not cost its time-out for every finding
_ENDS = ("summary", "exit_error")


@dataclass(frozen=True, slots=True)
class Sink:
    """A reporter by the name that people know it by: its settings begin with ``alerts.`` and that name."""

    name: str
    reporter: Reporter


class Sinks:
    """Tells ``main``, whose failure is the run's, and ``sinks``, whose failures are only told.

    The end of a run is told to the sinks first, so that the summary, the last line of ``main``, knows of all failures;
    ``record`` hears that very summary and is told just before ``main``.
    """

    def __init__(self, main: Reporter, sinks: Sequence[Sink], record: Sink | None = None) -> None:
        self._main = main
        self._sinks = tuple(sinks)
        self._record = record
        self._failures: Counter[str] = Counter()

    def tell(self, event: Event) -> None:
        """Tell everybody. Raises what ``main`` raises, after all have been told."""
        if event.type in _ENDS:
            self._tell_sinks(event)
            self._tell_record(self._counted(event))
            self._main.tell(self._counted(event))
            return
        failure = None
        try:
            self._main.tell(event)
        except IncompleteError as error:
            failure = error
        self._tell_sinks(event)
        self._tell_record(event)
        if failure is not None:
            raise failure

    def told_elsewhere(self, event: Event) -> None:
        """Tell the sinks and the record only: ``main`` hears of it by others."""
        self._tell_sinks(event)
        self._tell_record(event)

    def _counted(self, event: Event) -> Event:
        if event.type != "summary":
            return event
        return Event(event.type, {**event.data, "sink_failures": dict(self._failures)})

    def _tell_sinks(self, event: Event) -> None:
        for sink in self._sinks:
            if event.type in _ENDS or self._failures[sink.name] < GIVE_UP_AFTER:
                self._try(sink, event)

    def _tell_record(self, event: Event) -> None:
        if self._record is not None and self._failures[self._record.name] < GIVE_UP_AFTER:
            self._try(self._record, event)

    def _try(self, sink: Sink, event: Event) -> None:
        try:
            sink.reporter.tell(event)
        except HashscanError as error:
            self._failures[sink.name] += 1
            self._say(f"{sink.name}: {error}")
            if self._failures[sink.name] == GIVE_UP_AFTER:
                self._say(f"{sink.name}: left alone until the end of this run")

    def _say(self, message: str) -> None:
        """To ``main`` alone: the others would fail for the same reason. Where that is gone, its own failure is told instead."""
        try:
            self._main.tell(events.warning(Warned(message)))
        except IncompleteError:
            return
