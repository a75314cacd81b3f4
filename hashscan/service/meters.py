"""Numbers that grow while the service runs: counted by each process for itself, added up when somebody asks.

Each process that answers has one file in a folder that they share, mapped into its memory: counting is an addition in memory,
without lock or system call. A line of the file is the name of a number and the number; a process writes its own only, all
are read. A process that died leaves its file, so that sums do not fall; the folder is new with each start of the service.
Without a folder the numbers are in memory, for one process.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

_LINE = struct.Struct("<H118sd")  # length of the name, the name, the number: 128 bytes
_NUMBER = struct.Struct("<d")
_NUMBER_AT = _LINE.size - _NUMBER.size
MAX_LINES = 2048  # names of one process; what comes after is not counted
_SUFFIX = ".count"


class Meters:
    """The numbers of one process, and the sums over all. Names are at most 118 bytes; labels are part of a name."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._lines: dict[str, int] = {}
        self._file = _new_file(folder)

    def add(self, name: str, amount: float = 1.0) -> None:
        """Add to a number. Threads that add to the same one at the same moment may lose an addition: these are statistics."""
        at = self._lines.get(name)
        if at is None:
            at = self._new_line(name)
            if at is None:
                return
        (value,) = _NUMBER.unpack_from(self._file, at + _NUMBER_AT)
        _NUMBER.pack_into(self._file, at + _NUMBER_AT, value + amount)

    def _new_line(self, name: str) -> int | None:
        raw = name.encode()
        if len(self._lines) >= MAX_LINES or len(raw) > 118:
            return None
        at = len(self._lines) * _LINE.size
        self._lines[name] = at
        _LINE.pack_into(self._file, at, len(raw), raw, 0.0)
        return at

    def sums(self) -> Mapping[str, float]:
        """Every number, over all processes that there were since the start."""
        found: Counter[str] = Counter()
        for data in self._all():
            for name, value in _read(data):
                found[name] += value  # type: ignore[assignment]  # a Counter of floats
        return found

    def _all(self) -> Iterator[bytes]:
        if self._folder is None:
            yield self._file[:]
            return
        for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
            with contextlib.suppress(FileNotFoundError):
                yield path.read_bytes()


def _new_file(folder: Path | None) -> mmap.mmap:
    size = MAX_LINES * _LINE.size
    if folder is None:
        return mmap.mmap(-1, size)
    path = folder / f"{os.getpid()}-{secrets.token_hex(4)}{_SUFFIX}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, size)
        return mmap.mmap(fd, size)
    finally:
        os.close(fd)


def _read(data: bytes) -> Iterator[tuple[str, float]]:
    for length, raw, value in _LINE.iter_unpack(data):
        if not 0 < length <= len(raw):
            return
        yield raw[:length].decode("utf-8", "replace"), value
