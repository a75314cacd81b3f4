"""Reading, copying and digesting in one pass, so that what was digested is what was kept."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from blake3 import blake3

from hashscan.model import Algorithm

_CHUNK_BYTES = 1 << 20


class _Hasher(Protocol):
    def update(self, data: bytes, /) -> object: ...

    def hexdigest(self) -> str: ...


def _hasher(algorithm: Algorithm) -> _Hasher:
    if algorithm is Algorithm.BLAKE3:
        return blake3()
    return hashlib.new(algorithm.value, usedforsecurity=False)


class Digester:
    """Several digests and the length of one stream of bytes."""

    def __init__(self, algorithms: Iterable[Algorithm]) -> None:
        self._hashers = {algorithm: _hasher(algorithm) for algorithm in algorithms}
        self.size = 0

    def update(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.size += len(data)
        for hasher in self._hashers.values():
            hasher.update(data)

    def digests(self) -> dict[Algorithm, str]:
        """Lowercase hex by algorithm."""
        return {algorithm: hasher.hexdigest() for algorithm, hasher in self._hashers.items()}


def read_chunks(fd: int, size: int) -> Iterator[bytes]:
    """The bytes of a file from its start, at most one more than ``size``: a file that grows is noticed and not followed."""
    offset = 0
    while offset <= size:
        chunk = os.pread(fd, min(_CHUNK_BYTES, size + 1 - offset), offset)
        if not chunk:
            return
        yield chunk
        offset += len(chunk)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte; ``write`` may take fewer. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def agrees(fd: int, size: int, digests: Mapping[Algorithm, str]) -> bool:
    """Whether the file has exactly this size and all these digests; no digests at all agree with nothing. Raises OSError."""
    digester = Digester(digests)
    for chunk in read_chunks(fd, size):
        digester.update(chunk)
    return bool(digests) and digester.size == size and digester.digests() == dict(digests)
