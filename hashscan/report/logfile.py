"""Events appended to a file, one a line, that may be rotated under our hands."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from hashscan.errors import IncompleteError
from hashscan.model import Event, Json
from hashscan.report.minimal import Detail
from hashscan.report.ndjson import Envelope, line_of

Mapper: TypeAlias = Callable[[Mapping[str, Json]], Mapping[str, Json]]
"""From a record of ours to one in the words of others."""

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def as_it_is(record: Mapping[str, Json]) -> Mapping[str, Json]:
    """Our own words."""
    return record


class FileSink:
    """Appends to ``path`` (mode 0600 where it is made here), each event with one write.

    Before each line it looks whether the name still leads to the open file: after a rotation the next line is in the new one.
    Not for a file in a folder where others can write: a link there is refused, a name in it may be anybody's.
    """

    def __init__(self, path: Path, envelope: Envelope, detail: Detail, mapper: Mapper = as_it_is) -> None:
        self._path = path
        self._envelope = envelope
        self._detail = detail
        self._mapper = mapper
        self._fd = -1
        self._seq = 0

    def tell(self, event: Event) -> None:
        """Append one line. Raises `IncompleteError`; a line that was cut short by a full disk gets its end before the next."""
        told = self._detail(event)
        if told is None:
            return
        line = line_of(self._mapper(self._envelope.around(told, self._seq))).encode("ascii")
        try:
            self._open()
            written = os.write(self._fd, line)
            if written != len(line):
                with suppress(OSError):
                    os.write(self._fd, b"\n")
                raise IncompleteError(f"{self._path}: the disk is full")
        except OSError as error:
            raise IncompleteError(f"{self._path} cannot be written: {error.strerror}") from None
        self._seq += 1

    def _open(self) -> None:
        if self._fd >= 0:
            with suppress(FileNotFoundError):
                here, there = os.fstat(self._fd), os.stat(self._path, follow_symlinks=False)
                if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                    return
            self.close()
        self._fd = os.open(self._path, _FLAGS, 0o600)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            self.close()
            raise IncompleteError(f"{self._path} is no file")

    def close(self) -> None:
        """Close the file; the next event opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
