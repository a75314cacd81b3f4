"""What every `ports.Reporter` promises: takes every event, lets no name act on the reader, and says when its sink is gone."""

from __future__ import annotations

import errno
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import TextIO

import pytest

from hashscan.errors import IncompleteError
from hashscan.model import Event
from hashscan.ports import Reporter
from hashscan.report.console import open_console
from hashscan.report.fan import Except, Reporters
from hashscan.report.ndjson import NdjsonReporter
from hashscan.report.progress import ProgressReporter
from hashscan.report.text import TextReporter
from tests.support.nouns import HOSTILE
from tests.support.telling import every_event

Make = Callable[[TextIO], Reporter]


def ndjson(stream: TextIO) -> Reporter:
    return NdjsonReporter(stream, "run", "host", lambda: 0.0)


def text(stream: TextIO) -> Reporter:
    return TextReporter(open_console(stream))


def quiet(stream: TextIO) -> Reporter:
    return TextReporter(open_console(stream), quiet=True)


def verbose(stream: TextIO) -> Reporter:
    return TextReporter(open_console(stream), verbose=True)


def progress(stream: TextIO) -> Reporter:
    return ProgressReporter(open_console(stream, color=True), lambda: 0.0)


def fan(stream: TextIO) -> Reporter:
    return Reporters([ndjson(stream), text(stream)])


def sparing(stream: TextIO) -> Reporter:
    return Except(ndjson(stream), {"skipped"})


ALL: list[Make] = [ndjson, text, quiet, verbose, progress, fan, sparing]
each = pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("FORCE_COLOR", raising=False)


@each
def test_takes_every_event_and_says_something(make: Make) -> None:
    out = io.StringIO()
    reporter = make(out)
    for event in every_event():
        reporter.tell(event)
    assert out.getvalue()


@each
def test_takes_an_event_that_it_does_not_know(make: Make) -> None:
    make(io.StringIO()).tell(Event("from_a_later_version", {}))


@each
def test_a_hostile_name_adds_no_line_and_no_control(make: Make) -> None:
    calm, wild = io.StringIO(), io.StringIO()
    for name, out in ((b"calm", calm), (HOSTILE, wild)):
        reporter = make(out)
        for event in every_event(name):
            reporter.tell(event)
    assert wild.getvalue().count("\n") == calm.getvalue().count("\n")
    assert _controls(wild.getvalue()) == _controls(calm.getvalue())
    assert _controls(wild.getvalue() + "\x1b[31m") != _controls(calm.getvalue()), "the control"


def _controls(said: str) -> list[str]:
    """ANSI sequences and unprintable characters, in order; rich's own cursor movements are the same for any name."""
    return [found for found in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|.", said, re.DOTALL) if not found.isprintable()]


class _Gone(io.StringIO):
    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def write(self, _: str) -> int:
        if self.closed:
            raise ValueError("I/O operation on closed file")  # as a real stream says
        raise OSError(self.code, "gone")


TEXT_PROGRAM = """
import sys
from hashscan.errors import IncompleteError
from hashscan.model import Event
from hashscan.report.console import open_console
from hashscan.report.text import TextReporter
try:
    TextReporter(open_console(sys.stdout)).tell(Event("check", {"path": "/a", "candidate": False}))
except IncompleteError as exc:
    print(exc, file=sys.stderr)
    sys.exit(3)
"""


def test_a_full_disk_under_the_text_does_not_turn_the_exit_code_into_120() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with open("/dev/full", "w", encoding="ascii") as full:
        command = [sys.executable, "-c", TEXT_PROGRAM]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (3, "the screen cannot be written: No space left on device\n")


@each
@pytest.mark.parametrize("code", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_a_sink_that_is_gone_is_incomplete_and_stays_so(make: Make, code: int) -> None:
    reporter = make(_Gone(code))
    heard = [event for event in every_event() if event.type in ("scan_start", "progress", "finding", "summary")]
    failures = 0
    for event in [*heard, *heard]:
        try:
            reporter.tell(event)
        except IncompleteError:
            failures += 1
    assert failures >= 2


class _Ear:
    def __init__(self, *, deaf: bool = False) -> None:
        self.heard: list[str] = []
        self.deaf = deaf

    def tell(self, event: Event) -> None:
        self.heard.append(event.type)
        if self.deaf:
            raise IncompleteError("deaf")


def test_one_that_is_gone_does_not_keep_the_others_from_hearing() -> None:
    ears = [_Ear(), _Ear(deaf=True), _Ear(), _Ear(deaf=True)]
    reporter = Reporters(ears)
    for kind in ("scan_start", "summary"):
        with pytest.raises(IncompleteError, match="deaf"):
            reporter.tell(Event(kind, {}))
    assert [ear.heard for ear in ears] == [["scan_start", "summary"]] * 4


def test_a_sparing_one_leaves_out_what_it_was_told_to() -> None:
    ear = _Ear()
    reporter = Except(ear, {"progress"})
    for kind in ("scan_start", "progress", "summary"):
        reporter.tell(Event(kind, {}))
    assert ear.heard == ["scan_start", "summary"]


def test_a_fan_of_none_is_silent() -> None:
    Reporters([]).tell(Event("status", {}))
