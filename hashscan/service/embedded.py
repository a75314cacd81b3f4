"""A service for the demo and for tests: a child process on a free loopback port that ends with its parent."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hashscan.errors import HashscanError

START_SECONDS = 30.0
STOP_SECONDS = 15.0
_POLL_SECONDS = 0.02
_MAX_READY_BYTES = 1024
_MAX_COMPLAINT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class EmbeddedService:
    """A running service: where it answers, and its process id."""

    url: str
    pid: int


@contextmanager
def start_embedded(data: Path, *, tls: Sequence[Path] = ()) -> Iterator[EmbeddedService]:
    """Serve ``data`` on 127.0.0.1 for the time of the block.

    With ``tls``, PEM files of a certificate chain and its key, and of the authority of agents' certificates where they must
    show one, it is served over TLS. Raises `HashscanError`, in the child's words, where it does not start.
    """
    package_root = str(Path(__file__).resolve().parents[2])
    python_path = os.pathsep.join(part for part in (package_root, os.environ.get("PYTHONPATH")) if part)
    with tempfile.TemporaryFile() as complaints:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "hashscan.service.run", str(data), *map(str, tls)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, "PYTHONPATH": python_path},
            start_new_session=True,  # Ctrl-C is for the parent, which then ends the child in order
        )
        with child:
            try:
                yield EmbeddedService(_await_ready(child, complaints), child.pid)
            finally:
                _stop(child)


def _await_ready(child: subprocess.Popen[bytes], complaints: IO[bytes]) -> str:
    """The URL of the child's ready line."""
    assert child.stdout is not None  # noqa: S101 - for the type checker; it is a pipe
    out = child.stdout.fileno()
    os.set_blocking(out, False)
    line = b""
    deadline = time.monotonic() + START_SECONDS
    while not line.endswith(b"\n") and len(line) < _MAX_READY_BYTES:
        try:
            piece = os.read(out, _MAX_READY_BYTES)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise HashscanError(f"the service did not start within {START_SECONDS:.0f} seconds") from None
            time.sleep(_POLL_SECONDS)
            continue
        if not piece:
            complaints.seek(0)
            said = complaints.read(_MAX_COMPLAINT_BYTES).decode("utf-8", "replace").strip()
            raise HashscanError(f"the service did not start: {said}")
        line += piece
    word, _, url = line.decode("ascii", "replace").strip().partition(" ")
    if word != "ready" or not url:
        raise HashscanError("the service did not say that it is ready")
    return url


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End of stdin means stop; a child that does not is killed."""
    assert child.stdin is not None  # noqa: S101 - for the type checker; it is a pipe
    child.stdin.close()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
