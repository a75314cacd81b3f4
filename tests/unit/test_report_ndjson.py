"""One line an event, whatever is in it, and a truthful end when the stream is gone."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import IncompleteError
from hashscan.model import Event
from hashscan.report import events
from hashscan.report.ndjson import ENVELOPE, NdjsonReporter
from tests.support.telling import every_event


def reporter(stream: io.StringIO) -> NdjsonReporter:
    return NdjsonReporter(stream, "run-1", "web-17", lambda: 0.0)


def test_the_envelope() -> None:
    out = io.StringIO()
    sink = reporter(out)
    sink.tell(Event("check", {"candidate": False}))
    sink.tell(Event("check", {"candidate": True}))
    assert out.getvalue().splitlines()[0] == (
        '{"schema":"hashscan.event/1","type":"check","time":"1970-01-01T00:00:00.000Z","run_id":"run-1","seq":0,'
        '"host":"web-17","candidate":false}'
    )
    assert [json.loads(line)["seq"] for line in out.getvalue().splitlines()] == [0, 1]


@given(st.binary(max_size=200))
def test_no_name_breaks_a_line(name: bytes) -> None:
    out = io.StringIO()
    sink = reporter(out)
    told = every_event(name)
    for event in told:
        sink.tell(event)
    assert out.getvalue().isascii()
    assert len(out.getvalue().splitlines()) == len(told)
    assert [json.loads(line)["type"] for line in out.getvalue().splitlines()] == [event.type for event in told]


def test_raw_separators_in_a_status_do_not_break_a_line_either() -> None:
    out = io.StringIO()
    reporter(out).tell(events.status({"x": "a\u2028b\u0085c\nd\ud800"}))
    assert out.getvalue().count("\n") == 1
    assert len(out.getvalue().splitlines()) == 1


@pytest.mark.parametrize("key", sorted(ENVELOPE))
def test_data_cannot_overwrite_the_envelope(key: str) -> None:
    with pytest.raises(ValueError, match="envelope"):
        reporter(io.StringIO()).tell(Event("status", {key: 1}))


def test_what_is_not_json_is_a_bug() -> None:
    with pytest.raises(ValueError, match="JSON"):
        reporter(io.StringIO()).tell(Event("status", {"x": float("nan")}))
    with pytest.raises(TypeError, match="bytes"):
        reporter(io.StringIO()).tell(Event("status", {"x": b"y"}))  # type: ignore[dict-item]


def test_any_mapping_is_written() -> None:
    out = io.StringIO()
    reporter(out).tell(Event("status", {"x": MappingProxyType({"y": 1})}))
    assert json.loads(out.getvalue())["x"] == {"y": 1}


class _Full(io.StringIO):
    """A stream that takes ``room`` writes and then fails."""

    def __init__(self, code: int, room: int) -> None:
        super().__init__()
        self.code, self.room = code, room

    def flush(self) -> None:
        if self.room <= 0:
            raise OSError(self.code, "gone")
        self.room -= 1


@pytest.mark.parametrize("code", [errno.EPIPE, errno.ENOSPC, errno.EIO])
def test_a_stream_that_is_gone_makes_the_run_incomplete_for_good(code: int) -> None:
    sink = reporter(_Full(code, room=1))
    sink.tell(Event("status", {}))
    for _ in range(2):
        with pytest.raises(IncompleteError, match="gone"):
            sink.tell(Event("status", {}))


PROGRAM = """
import sys
from hashscan.errors import IncompleteError
from hashscan.model import Event
from hashscan.report.ndjson import NdjsonReporter
try:
    NdjsonReporter(sys.stdout, "r", "h", lambda: 0.0).tell(Event("status", {}))
except IncompleteError as exc:
    print(exc, file=sys.stderr)
    sys.exit(3)
"""


def _buffered() -> dict[str, str]:
    """The environment without what would make Python's streams unbuffered and the test blind."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_a_full_disk_does_not_turn_the_exit_code_into_120() -> None:
    with open("/dev/full", "w", encoding="ascii") as full:
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=_buffered())
    assert (done.returncode, done.stderr) == (3, "events cannot be written: No space left on device\n")


def test_a_closed_pipe_does_not_turn_the_exit_code_into_120() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()\n" + PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_buffered(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.close()
        process.stdin.write("go\n")
        process.stdin.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert (process.returncode, said) == (3, "events cannot be written: Broken pipe\n")


def test_json_under_cron_does_not_load_rich() -> None:
    code = "import hashscan.report.ndjson, hashscan.report.events, hashscan.report.fan, hashscan.report.schema, sys;"
    assert _loads_rich(code) == "False\n"
    assert _loads_rich("import hashscan.report.text, sys;") == "True\n", "the control"


def _loads_rich(code: str) -> str:
    command = [sys.executable, "-c", code + "print('rich' in sys.modules)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
