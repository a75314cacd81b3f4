"""A row of the digest cache in the making: one window of a directory, filled as its files are hashed. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from hashscan.files.rows import BIT, IDENTITY, Key, Row, identity_fields, is_known, slots
from hashscan.model import Algorithm

Digests = dict[Algorithm, bytes]


class Window:
    """The files of ``block`` and what is known of them. ``needed`` are the algorithms that the sieve asks for, in its order.

    ``missing`` maps the names that are still to be hashed to their index. ``barred`` says that the row must not be marked: a
    file is a candidate, or nothing is known of it.
    """

    def __init__(self, key: Key, where: tuple[bytes, bytes], block: bytes, needed: Sequence[Algorithm]) -> None:
        self.key, self.where, self.needed = key, where, needed
        self._block = bytearray(block)
        self._columns: dict[Algorithm, bytearray] = {}
        self._promised: dict[int, Digests] = {}
        self._expected: list[tuple[bytes, ...]] = []
        self.missing: dict[str, int] = {}
        self.absorbed: list[int] = []
        self.barred = self.any_known = False
        for algorithm in needed:
            self._column(algorithm)

    def __len__(self) -> int:
        return len(self._block) // IDENTITY.size

    def _column(self, algorithm: Algorithm) -> bytearray:
        if algorithm not in self._columns:
            self._columns[algorithm] = bytearray(len(self) * algorithm.digest_size)
        return self._columns[algorithm]

    def identity(self, index: int) -> bytes:
        """The identity of one file."""
        return bytes(self._block[index * IDENTITY.size : (index + 1) * IDENTITY.size])

    def adopt(self, index: int, digests: Digests) -> bool:
        """Take over what was remembered of one file; whether that is all that is needed."""
        self._enter(index, digests)
        return all(algorithm in digests for algorithm in self.needed)

    def promise(self, index: int, digests: Digests) -> None:
        """What was remembered of a file that is read again all the same."""
        self._promised[index] = digests

    def expect(self, row: Row, names: Iterable[str]) -> None:
        """Promise all of ``row``, which has these very files and every digest that is needed; all of ``names`` are read again.

        What `promise` does file by file, in a third of the time.
        """
        self._columns = {algorithm: bytearray(column) for algorithm, column in row.columns.items()}
        self._expected = row.rows(self.needed)
        self.missing = {name: index for index, name in enumerate(names)}
        self.any_known = True

    def _known_at(self, index: int) -> Digests:
        columns = self._columns.items()
        found = {one: bytes(column[index * one.digest_size : (index + 1) * one.digest_size]) for one, column in columns}
        return {algorithm: digest for algorithm, digest in found.items() if is_known(digest)}

    def _enter(self, index: int, digests: Mapping[Algorithm, bytes]) -> None:
        self.any_known = self.any_known or bool(digests)
        for algorithm, digest in digests.items():
            size = algorithm.digest_size
            self._column(algorithm)[index * size : (index + 1) * size] = digest

    def _forget(self, index: int) -> None:
        for algorithm, column in self._columns.items():
            size = algorithm.digest_size
            column[index * size : (index + 1) * size] = bytes(size)

    def fill(self, name: str, status: os.stat_result, digests: Sequence[bytes], *, settled: bool) -> bool:
        """A file was hashed; ``status`` is from before. False where not these bytes were promised under this identity."""
        index = self.missing.pop(name)
        identity = IDENTITY.pack(*identity_fields(status))
        if self._expected:
            if self._expected[index] == digests and identity == self.identity(index):
                return True
            self._promised[index] = self._known_at(index)
            self._forget(index)
        found = dict(zip(self.needed, digests, strict=True))
        promised = self._promised.pop(index, {})
        if identity != self.identity(index):
            self._block[index * IDENTITY.size : (index + 1) * IDENTITY.size] = identity
            promised = {}
            self._forget(index)
        honest = all(promised.get(algorithm, digest) == digest for algorithm, digest in found.items())
        if settled:
            self._enter(index, {**promised, **found} if honest else found)
        else:
            self.barred = True
        return honest

    def give_up(self, name: str) -> None:
        """A file was not hashed."""
        index = self.missing.pop(name, None)
        if index is not None:
            if self._expected:
                self._forget(index)
            self.barred = True

    def known(self, indices: Iterable[int]) -> list[tuple[bytes, ...]]:
        """The needed digests of some files."""
        columns = [(one.digest_size, self._columns[one]) for one in self.needed]
        return [tuple([bytes(column[at * size : (at + 1) * size]) for size, column in columns]) for at in indices]

    def row(self, run: int) -> Row:
        """The row as it stands; what was expected of files that are missing still is not known any more."""
        for index in self.missing.values() if self._expected else ():
            self._forget(index)
        return Row(self.key, run, self.where, bytes(self._block), {one: bytes(column) for one, column in self._columns.items()})


class Memo:
    """What older rows of a directory say of its files, by identity."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._found: dict[bytes, tuple[Row, int]] = {}
        for row in rows:
            for at in range(0, len(row.block), IDENTITY.size):
                self._found.setdefault(row.block[at : at + IDENTITY.size], (row, at // IDENTITY.size))

    def get(self, identity: bytes) -> Digests:
        """The digests that are known of that very file; empty for a stranger."""
        if (found := self._found.get(identity)) is None:
            return {}
        row, index = found
        digests = {}
        for algorithm, column in row.columns.items():
            digest = column[index * algorithm.digest_size : (index + 1) * algorithm.digest_size]
            if is_known(digest):
                digests[algorithm] = digest
        return digests


def unknown_in(row: Row, needed: Sequence[Algorithm]) -> int:
    """How many files of a row lack a digest that is needed."""
    lacking = [one for one in needed if not row.complete & BIT[one]]
    if any(one not in row.columns for one in lacking):
        return len(row)
    columns = [map(is_known, slots(one, row.columns[one])) for one in lacking]
    return sum(not all(known) for known in zip(*columns, strict=True)) if columns else 0
