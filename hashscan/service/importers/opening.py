"""Opening what is imported: a file, a pipe, either of them compressed with gzip."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hashscan.service.importers.port import BrokenSource, PeekableStream

MAX_LINE_BYTES = (
    16 << 20
)  # a longer line is none of a list; the rest of it is not worth reading (a file of zeros may have 4 GB)
MAX_BYTES = 1 << 38  # of a source, uncompressed (256 GiB): 10 M entries of VICS JSON are some 10 GiB
_BUFFER_BYTES = 1 << 18
_PIECE_BYTES = 1 << 16  # what `hash_list.read_lines` takes of a long line
_GZIP_MAGIC = b"\x1f\x8b"


class _Bounded(io.RawIOBase):
    """At most ``most`` bytes of ``below``; the errors of its decompressor become ours."""

    def __init__(self, below: io.BufferedIOBase, most: int) -> None:
        self._below = below
        self._most = self._left = most

    @property
    def given(self) -> int:
        """The bytes that were read."""
        return self._most - self._left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        try:
            got = self._below.readinto1(buffer)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            what = "ends too early" if isinstance(error, EOFError) else "is damaged"
            raise BrokenSource(f"after byte {self.given}: the gzip data {what}") from None
        self._left -= got
        if self._left < 0:
            raise BrokenSource(f"it has more than {self._most} bytes")
        return got


class _Source(io.BufferedReader):
    """What readers read; a line that does not end ends the import."""

    def __init__(self, below: _Bounded) -> None:
        super().__init__(below, _BUFFER_BYTES)
        self._below = below
        self._length = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """As a file does it. Raises `BrokenSource`."""
        piece = super().readline(size)
        if len(piece) < _PIECE_BYTES:
            self._length = 0
            return piece
        self._length += len(piece)
        if self._length > MAX_LINE_BYTES:
            raise BrokenSource(f"before byte {self._below.given}: a line has more than {MAX_LINE_BYTES} bytes")
        return piece


@contextmanager
def open_source(path: Path, *, max_bytes: int = MAX_BYTES) -> Iterator[PeekableStream]:
    """The bytes of ``path``, uncompressed where they are gzip. Reading raises OSError, and `BrokenSource` for half a gzip."""
    with io.BufferedReader(io.FileIO(path), _BUFFER_BYTES) as raw:
        inner: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if raw.peek(2)[:2] == _GZIP_MAGIC else raw
        yield _Source(_Bounded(inner, max_bytes))
