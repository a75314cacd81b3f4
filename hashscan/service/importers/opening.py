"""Opening what is imported: a file, a pipe, either of them compressed with gzip."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashscan.service.importers.port import BrokenSource, PeekableStream

MAX_BYTES = 1 << 38  # of a source, uncompressed (256 GiB): 10 M entries of VICS JSON are some 10 GiB
_BUFFER_BYTES = 1 << 18
_GZIP_MAGIC = b"\x1f\x8b"


class _Bounded(io.RawIOBase):
    """At most ``most`` bytes of ``below``; the errors of its decompressor become ours."""

    def __init__(self, below: io.BufferedIOBase, most: int) -> None:
        self._below = below
        self._most = self._left = most

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        try:
            got = self._below.readinto1(buffer)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            what = "ends too early" if isinstance(error, EOFError) else "is damaged"
            raise BrokenSource(f"after byte {self._most - self._left}: the gzip data {what}") from None
        self._left -= got
        if self._left < 0:
            raise BrokenSource(f"it has more than {self._most} bytes")
        return got


@contextmanager
def open_source(path: Path, *, max_bytes: int = MAX_BYTES) -> Iterator[PeekableStream]:
    """The bytes of ``path``, uncompressed where they are gzip. Reading raises OSError, and `BrokenSource` for half a gzip."""
    with io.BufferedReader(io.FileIO(path), _BUFFER_BYTES) as raw:
        inner: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP_MAGIC else raw
        yield io.BufferedReader(_Bounded(inner, max_bytes), _BUFFER_BYTES)
