"""A filter that turned up somewhere: found in bytes of which nothing is believed, and asked whose canaries it holds.

Every filter holds canaries that follow from its key (`bloom.canaries`). A key that is not the filter's meets bits that are
set as often as all others; the right one meets set bits only, or nearly so where somebody has tampered with them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from bitarray import bitarray
from pybloom_live import BloomFilter

from hashscan.errors import FilterError
from hashscan.known.bloom import canaries
from hashscan.known.container import (
    BLOOM_HEADER,
    MAX_ENTRIES,
    MAX_ERROR_RATE,
    MAX_HEADER_BYTES,
    MIN_ERROR_RATE,
    FilterHeader,
    Shape,
    dimensions,
    split,
)

MAX_CAPACITY = 8 * MAX_ENTRIES + 1024  # tokens
_FRAME_BYTES = 64  # magic and lengths before our header, and room for somebody else's
_FIRST_LOOK = 4  # canaries; most wrong keys are told by them
_HOPELESS = 2.0  # digits after the first look


def claimed(data: memoryview) -> FilterHeader | None:
    """What the file says of itself, if it can be read: a hint, nothing more."""
    try:
        return split(data, "this file")[0]
    except FilterError:
        return None


class Leaked:
    """The bits of a filter, perhaps cut short or tampered with. ``at`` is where pybloom's header begins, in bytes."""

    def __init__(self, data: memoryview, at: int, shape: Shape) -> None:
        begin = at + BLOOM_HEADER.size
        bits: Any = bitarray(buffer=data[begin : begin + shape.body_length - BLOOM_HEADER.size], endian="little")
        shell = BloomFilter(1)
        shell._setup(shape.error_rate, shape.slices, shape.bits_per_slice, shape.capacity, 0)  # noqa: SLF001 - as in `bloom`
        self.at = at
        self.shape = shape
        self._bits = bits
        self._hashes = shell.make_hashes
        # Never 0 or 1: the logarithms below are taken of it.
        self._share = min(max(bits.count() / max(len(bits), 1), 1e-9), 1 - 1e-9)

    @classmethod
    def find(cls, data: memoryview) -> Leaked | None:
        """The first place near the start that begins like a filter of pybloom, whatever stands before it.

        Tried at every byte: our header may be gone, altered, or replaced. 30 ms where nothing is found.
        """
        for at in range(min(len(data) - BLOOM_HEADER.size, MAX_HEADER_BYTES + _FRAME_BYTES) + 1):
            shape = Shape(*BLOOM_HEADER.unpack_from(data, at))
            if MIN_ERROR_RATE <= shape.error_rate <= MAX_ERROR_RATE and _is_plausible(shape):
                return cls(data, at, shape)
        return None

    def certainty(self, filter_key: bytes) -> float:
        """How many digits the odds against a chance agreement with the canaries of this key have; 96 for a whole filter."""
        tokens = canaries(filter_key)
        first = self._digits(tokens[:_FIRST_LOOK])
        return first if first < _HOPELESS else self._digits(tokens)

    def _digits(self, tokens: Iterable[str]) -> float:
        """Chernoff's bound: n places of which a share a is set come by chance with at most exp(-n KL(a, p))."""
        places = [slice_ * self.shape.bits_per_slice + here for one in tokens for slice_, here in enumerate(self._hashes(one))]
        there = [place for place in places if place < len(self._bits)]  # the rest was cut off
        if not there:
            return 0.0
        agreeing, p = sum(map(self._is_set, there)) / len(there), self._share
        if agreeing <= p:
            return 0.0
        nats = agreeing * math.log(agreeing / p)
        if agreeing < 1.0:
            nats += (1.0 - agreeing) * math.log((1.0 - agreeing) / (1.0 - p))
        return len(there) * nats / math.log(10)

    def _is_set(self, place: int) -> bool:
        return bool(self._bits[place])


def _is_plausible(shape: Shape) -> bool:
    """Whether slices and bits follow from capacity and error rate: by chance once in 2^64 places."""
    return 1 <= shape.capacity <= MAX_CAPACITY and (shape.slices, shape.bits_per_slice) == dimensions(
        shape.capacity, shape.error_rate
    )
