"""A sieve that is an exact set, for tests of what stands before it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence

from blake3 import blake3

from hashscan.model import Algorithm, Candidate, HashedFile, ListRef

LIST = ListRef("test", 1, 1)


def digest(algorithm: Algorithm, data: bytes) -> bytes:
    """The raw digest, made the plain way."""
    if algorithm is Algorithm.BLAKE3:
        return blake3(data).digest()
    return hashlib.new(algorithm.value, data).digest()


class FakeSieve:
    """Knows raw digests of its first algorithm; None knows everything. ``error`` is raised instead of an answer.

    ``asked`` counts the rows that it was asked about in this process.
    """

    def __init__(
        self,
        known: Collection[bytes] | None = None,
        algorithms: tuple[Algorithm, ...] = (Algorithm.MD5, Algorithm.SHA1),
        *,
        error: Exception | None = None,
        fingerprint: bytes = b"",
        admits: Callable[[int], bool] | None = None,
        also: tuple[Algorithm, ...] = (),
    ) -> None:
        self._also = also
        self.admits_size = admits
        self._known, self._algorithms, self._error, self._fingerprint = known, algorithms, error, fingerprint
        self.asked = 0

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        return self._algorithms

    @property
    def confirming(self) -> tuple[Algorithm, ...]:
        return tuple(name for name in Algorithm if name in (*self._algorithms, *self._also))

    @property
    def fingerprint(self) -> bytes:
        return self._fingerprint

    def survivors(self, digests: Sequence[tuple[bytes, ...]]) -> list[int]:
        self.asked += len(digests)
        if self._error is not None:
            raise self._error
        assert all(len(one) == name.digest_size for row in digests for one, name in zip(row, self._algorithms, strict=True))
        return [index for index, row in enumerate(digests) if self._known is None or row[0] in self._known]

    def candidates(self, hashed: Sequence[HashedFile]) -> list[Candidate]:
        first = self._algorithms[0]
        return [
            Candidate(one, (LIST,)) for one in hashed if self._known is None or bytes.fromhex(one.digests[first]) in self._known
        ]
