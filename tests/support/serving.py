"""``hashscan service serve`` as a process group of its own, on a port that stays: to be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

START_SECONDS = 240.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


class Running:
    """A service with ``workers`` processes; at its end the group is killed."""

    def __init__(self, data: Path, workers: int) -> None:
        self._data, self._workers = data, workers
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed at its end
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        arguments = ["--data", str(self._data), "serve", "--port", str(self.port), "--workers", str(self._workers)]
        arguments += ["--rate", "0", "--no-log"]
        self._said.seek(0)
        self._said.truncate()
        process = subprocess.Popen(
            [sys.executable, "-m", "hashscan", "service", *arguments], stderr=self._said, start_new_session=True
        )
        until = time.monotonic() + START_SECONDS
        while b"answering on" not in self.said():
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                process.wait()
                raise AssertionError(f"it does not start: {self.said()!r}")
            time.sleep(0.02)
        return process

    def said(self) -> bytes:
        return os.pread(self._said.fileno(), 1 << 16, 0)

    def workers(self) -> list[int]:
        """Their process ids."""
        return [int(one) for one in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()]

    def kill(self) -> None:
        """All of it at once, as a power cut would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def again(self) -> None:
        self.process = self._start()

    def stop(self) -> int:
        """In order; the exit code."""
        self.process.terminate()
        return self.process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.kill()
        self._said.close()
