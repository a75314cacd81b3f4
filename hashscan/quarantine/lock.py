"""One run at a time. The lock file is never unlinked: a waiter would then lock a file that has no name any more."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from hashscan.atomic import make_private_directory
from hashscan.errors import LockedError, StateError

_MAX_OWNER_BYTES = 300
_MAX_COMMAND = 200  # characters


class RunLock:
    """Holds an flock on ``path`` while the block runs; the kernel lets go of it however the process ends.

    Raises `LockedError`, which names the owner, where another run holds it, and `StateError` where the file cannot be
    made or opened.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, command: str = "") -> None:
        self._path = path
        self._clock = clock
        # Printable ASCII: it is shown to somebody else.
        self._command = "".join(one if " " <= one <= "~" else "?" for one in command)[:_MAX_COMMAND]
        self._fd: int  # while the block runs

    def __enter__(self) -> Self:
        try:
            make_private_directory(self._path.parent)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StateError(f"the lock file {self._path} cannot be opened: {error.strerror}") from error
        try:
            self._claim(fd)
        except BaseException:
            os.close(fd)
            raise
        self._fd = fd
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        with suppress(OSError):  # whatever close says, Linux has let go of it, and the run is over
            os.close(self._fd)

    def _claim(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(fd, _MAX_OWNER_BYTES, 0).decode("ascii", "replace").strip() or "an unnamed process"
            hint = "wait for it to end, or stop it: a scan with 'hashscan stop'"
            raise LockedError(f"another run holds {self._path}: {owner}", hint=hint) from error
        except OSError as error:
            raise StateError(f"the lock file {self._path} cannot be locked: {error.strerror}") from error
        since = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"pid {os.getpid()} since {since}{self._command and f': {self._command}'}\n".encode(), 0)
        except OSError as error:
            raise StateError(f"the lock file {self._path} cannot be written: {error.strerror}") from error
