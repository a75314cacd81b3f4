"""Exact sets: the answer without a filter, for plain local lists, very small lists and tests."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

from hashscan.errors import UsageError
from hashscan.known import selftest
from hashscan.known.hash_list import BadLine, read_list
from hashscan.model import Algorithm, Candidate, HashedFile, ListRef

MAX_NAMED_LINES = 10


class ExactSieve:
    """A `ports.Sieve` over a plain hash list: digests in memory (about 100 bytes each), no keys, no service.

    ``digests`` maps each algorithm that occurs to its raw digests.
    """

    def __init__(self, name: str, digests: dict[Algorithm, frozenset[bytes]]) -> None:
        self.list = ListRef(f"local:{name}", 0, 0)
        self._digests = {algorithm: digests[algorithm] for algorithm in Algorithm if digests.get(algorithm)}
        self._columns = tuple(self._digests.values())

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """The digests that the list needs."""
        return tuple(self._digests)

    @property
    def confirming(self) -> tuple[Algorithm, ...]:
        """The same: an exact set asks nobody."""
        return self.algorithms

    @property
    def admits_size(self) -> None:
        """A plain list does not state sizes."""

    @property
    def fingerprint(self) -> bytes:
        """None: to ask a set costs 0.1 us a digest, less than to look up that it need not be asked."""
        return b""

    def __len__(self) -> int:
        return sum(len(column) for column in self._columns)

    def survivors(self, digests: Sequence[tuple[bytes, ...]]) -> list[int]:
        """Rows of which at least one digest is on the list."""
        columns = self._columns
        if len(columns) == 1:
            (only,) = columns
            return [index for index, row in enumerate(digests) if row[0] in only]
        return [index for index, row in enumerate(digests) if any(map(frozenset.__contains__, columns, row))]

    def candidates(self, hashed: Sequence[HashedFile]) -> list[Candidate]:
        """Those of ``hashed`` of which at least one digest is on the list."""
        return [Candidate(one, (self.list,)) for one in hashed if self.agreeing(one)]

    def agreeing(self, hashed: HashedFile) -> tuple[Algorithm, ...]:
        """The algorithms under which the file is on the list."""
        return tuple(
            algorithm
            for algorithm, known in self._digests.items()
            if algorithm in hashed.digests and bytes.fromhex(hashed.digests[algorithm]) in known
        )


def load_local_list(path: Path) -> ExactSieve:
    """Read a plain hash list (bare digests, md5sum or BSD style). Raises `UsageError` naming file, lines and reasons.

    64 hex digits without a name of their algorithm may be SHA-256 or BLAKE3 and count as both. Digests of trivial contents are
    refused: an audit that reports every empty file helps nobody.
    """
    found: dict[Algorithm, set[bytes]] = {}
    bad: list[str] = []
    trivial = selftest.trivial_digests()
    try:
        if stat.S_ISCHR(path.stat().st_mode):
            raise UsageError(f"the list {path} is a device", hint="name a file")
        with path.open("rb") as stream:
            for number, line in read_list(stream):
                if isinstance(line, BadLine):
                    bad.append(f"line {number}: {line}")
                elif any((algorithm, line.digest) in trivial for algorithm in line.algorithms):
                    bad.append(f"line {number}: the digest of an empty or trivial file, which is everywhere")
                else:
                    for algorithm in line.algorithms:
                        found.setdefault(algorithm, set()).add(line.digest)
                if len(bad) > MAX_NAMED_LINES:
                    break
    except OSError as error:
        raise UsageError(f"cannot read the list {path}: {error.strerror}") from None
    if bad:
        shown = "; ".join(bad[:MAX_NAMED_LINES]) + (" ..." if len(bad) > MAX_NAMED_LINES else "")
        raise UsageError(
            f"the list {path} has bad lines: {shown}", hint="one digest a line, as md5sum, sha1sum or b3sum write it"
        )
    if not found:
        raise UsageError(f"the list {path} holds no digest", hint="one digest a line, as md5sum, sha1sum or b3sum write it")
    return ExactSieve(path.name, {algorithm: frozenset(digests) for algorithm, digests in found.items()})
