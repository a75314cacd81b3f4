"""What hears a run beside the screen and the NDJSON on stdout: the history of runs, and a page where one was asked for."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashscan.cli import basics
from hashscan.cli.report import rendered, save
from hashscan.errors import HashscanError, UsageError
from hashscan.model import Json
from hashscan.ports import Reporter
from hashscan.report import document, events
from hashscan.report.fallible import Sink, Sinks
from hashscan.report.recorder import Recorder, RunHead
from hashscan.settings import Settings


@dataclass(frozen=True, slots=True)
class Run:
    """Which run is heard: its command, whether it leaves nothing behind (an audit), and where its page shall be written."""

    command: str
    audit: bool = False
    page: Path | None = None


@contextmanager
def heard(chosen: Settings, talk: basics.Talk, reporter: Reporter, run: Run) -> Iterator[Reporter]:
    """A reporter that tells the one of the conversation and all that hear this run, until the block ends.

    Raises `UsageError` where the page could not be written: hours later it would be too late to say so.
    """
    if run.page is not None and not os.access(run.page.absolute().parent, os.W_OK | os.X_OK):
        raise UsageError(f"the page {run.page} cannot be written there", hint="--html names a file in a folder of yours")
    everybody = Sinks(reporter, [], _record(chosen, talk, run))
    try:
        yield everybody
    except HashscanError as error:
        everybody.told_elsewhere(events.exit_error(error))  # the conversation tells it to everybody else
        raise


def _record(chosen: Settings, talk: basics.Talk, run: Run) -> Sink | None:
    history = None if run.audit else basics.history(chosen)
    if history is None and run.page is None:
        return None

    def keep(told: Mapping[str, Json]) -> None:
        if history is not None:
            history.keep(told)
        if run.page is not None and told["exit_code"] is not None:
            save(run.page, rendered(document.disclosed(told, names=False), "html", []))

    head = RunHead(talk.run_id, socket.gethostname(), run.command, time.time())
    return Sink("report", Recorder(head, time.time, keep))
