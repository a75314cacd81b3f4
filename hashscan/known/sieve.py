"""The sieve: which of many hashed files could be known? Filters in force, asked in batches, cheap questions first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from blake3 import blake3

from hashscan.known.bloom import Bloom
from hashscan.known.keys import token
from hashscan.model import Algorithm, Candidate, HashedFile, ListRef


@dataclass(frozen=True, slots=True)
class FilterInForce:
    """One list as this host can ask it: its filter, the key that its tokens are made with, and the algorithms it holds.

    ``also``: algorithms that its entries have besides; of candidates these digests are compared, too.
    """

    list: ListRef
    filter: Bloom
    filter_key: bytes
    algorithms: tuple[Algorithm, ...]
    also: tuple[Algorithm, ...] = ()

    def contains(self, hashed: HashedFile) -> bool:
        """Whether pybloom holds a token of the file."""
        return any(
            token(self.filter_key, algorithm, bytes.fromhex(hashed.digests[algorithm])) in self.filter
            for algorithm in self.algorithms
            if algorithm in hashed.digests
        )


def in_order(algorithms: Iterable[Algorithm]) -> tuple[Algorithm, ...]:
    """Each once, in the order of `Algorithm`."""
    found = frozenset(algorithms)
    return tuple(algorithm for algorithm in Algorithm if algorithm in found)


class FilterSieve:
    """A `ports.Sieve` over the filters in force. ``by_size`` lets it rule files out by size alone where the lists allow it."""

    def __init__(self, filters: Sequence[FilterInForce], *, by_size: bool = True) -> None:
        self._filters = tuple(filters)
        self._by_size = by_size
        self._algorithms = in_order(algorithm for one in filters for algorithm in one.algorithms)
        self._confirming = in_order(algorithm for one in filters for algorithm in (*one.algorithms, *one.also))

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """The digests that the lists in force need together."""
        return self._algorithms

    @property
    def confirming(self) -> tuple[Algorithm, ...]:
        """All digests that the entries of the lists in force have."""
        return self._confirming

    @property
    def admits_size(self) -> Callable[[int], bool] | None:
        """Whether a file of that many bytes can be known; None where some list does not state the sizes of all its entries."""
        sizes = [one.filter.sizes for one in self._filters]
        if not self._by_size or not sizes or any(one is None for one in sizes):
            return None
        if len(sizes) == 1 and sizes[0] is not None:
            return sizes[0].__contains__
        return lambda size: any(one is not None and size in one for one in sizes)

    @cached_property
    def fingerprint(self) -> bytes:
        """BLAKE3 over the lists in force, their filters' bodies, sizes and algorithms. 32 bytes."""
        headers = [(one.list, one.filter.header, one.algorithms) for one in self._filters]
        told = sorted((ref, header.body_blake3, header.sizes_blake3, names) for ref, header, names in headers)
        return blake3(repr((self._by_size, told)).encode()).digest()

    def survivors(self, digests: Sequence[tuple[bytes, ...]]) -> list[int]:
        """Rows that a filter contains: its first slices are asked for all rows, pybloom itself for what is left (one in 16).

        About 1.3 us a digest, of which 0.5 are its token.
        """
        alive: set[int] = set()
        for one in self._filters:
            for algorithm in one.algorithms:
                column = self._algorithms.index(algorithm)
                keyed = blake3(algorithm.code, key=one.filter_key).copy  # a copy is cheaper than keying anew
                elements = [keyed().update(row[column]).hexdigest() for row in digests]
                alive.update(index for index in one.filter.screen(elements) if elements[index] in one.filter)
        return sorted(alive)

    def candidates(self, hashed: Sequence[HashedFile]) -> list[Candidate]:
        """Those of ``hashed`` that pybloom itself says a filter contains, with the lists concerned."""
        found = []
        for file in hashed:
            lists = tuple(sorted(one.list for one in self._filters if one.contains(file)))
            if lists:
                found.append(Candidate(file, lists))
        return found
