"""Programs of the operator that are told of findings and of the end of a run: an event as JSON on stdin, no shell.

The gate of subprocess for the agent. A program gets the argument list of the configuration word for word, an environment of
five variables, its own process group, and no descriptor of ours. One that takes too long is killed with all its children.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from hashscan.errors import IncompleteError
from hashscan.model import Event
from hashscan.report.escape import printable
from hashscan.report.minimal import Detail
from hashscan.report.ndjson import Envelope, line_of

FINDINGS_A_RUN = 100  # more are in the counts of the summary
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MOST_SAID = 300  # bytes of what a program that failed said
_GRACE_S = 2.0  # between SIGTERM and SIGKILL


@dataclass(frozen=True, slots=True)
class Hooks:
    """Argument lists (empty: no hook) and how many seconds one call may take."""

    on_finding: Sequence[str] = ()
    on_finish: Sequence[str] = ()
    timeout: float = 30.0


class HookSink:
    """Calls ``on_finding`` for findings, `FINDINGS_A_RUN` at most, and ``on_finish`` for the end of a run."""

    def __init__(self, hooks: Hooks, envelope: Envelope, detail: Detail) -> None:
        self._hooks = hooks
        self._envelope = envelope
        self._detail = detail
        self._findings = 0
        self._seq = 0

    def tell(self, event: Event) -> None:
        """Call the program that this event is for. Raises `IncompleteError` where it fails or takes too long."""
        self._findings += event.type == "finding"
        program = self._program(event)
        told = self._detail(event) if program else None
        if told is None:
            return
        line = line_of(self._envelope.around(told, self._seq)).encode("ascii")
        self._seq += 1
        call(program, line, {"HASHSCAN_EVENT": event.type, "HASHSCAN_RUN_ID": self._envelope.run_id}, self._hooks.timeout)

    def _program(self, event: Event) -> Sequence[str]:
        if event.type == "finding":
            return self._hooks.on_finding if self._findings <= FINDINGS_A_RUN else ()
        if event.type in ("summary", "exit_error"):
            return self._hooks.on_finish
        return (self._hooks.on_finish or self._hooks.on_finding) if event.type == "test" else ()


def call(program: Sequence[str], stdin: bytes, more: dict[str, str], timeout: float) -> None:
    """Run ``program`` to its end. Raises `IncompleteError` with what it said where it does not end well in time."""
    environment = {"PATH": _PATH, "LC_ALL": "C.UTF-8", "HOME": "/", **more}
    # Files, not pipes: a program that reads nothing or leaves a child behind that holds them open keeps nobody waiting.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(stdin)
        given.seek(0)
        try:
            child = subprocess.Popen(
                list(program),
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=said,
                cwd="/",
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise IncompleteError(f"{program[0]} cannot be started: {error.strerror}") from None
        try:
            code = child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise IncompleteError(f"{program[0]} took longer than {timeout:.0f} s and was killed") from None
        finally:
            if child.returncode is None:
                _end(child)
        said.seek(0)
        words = printable(said.read(_MOST_SAID).decode("utf-8", "replace").strip())
    if code:
        raise IncompleteError(f"{program[0]} ended with {code}{f': {words}' if words else ''}")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the whole group: first asked, then made to."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        if number == signal.SIGTERM:
            with suppress(subprocess.TimeoutExpired):
                child.wait(_GRACE_S)
    child.wait()
