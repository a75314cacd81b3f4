"""The Bloom filter file of DCSO's `bloom` (version 1), which flor, hashlookup and MISP read too.

Six little-endian words of eight bytes: version 1, capacity n, false-positive rate p (a double), hashes k, bits m, elements N;
then the bits in words of 64, the lowest first. An element's first hash is FNV-1 of 64 bits, each further one the product of the
one before with a fixed factor, all modulo the largest prime below 2^64. Known from the published sources of `bloom` and `flor`.
"""

from __future__ import annotations

import hashlib
import math
import struct
from pathlib import Path

from hashscan.atomic import replace_file
from hashscan.service.exporters.port import Stock, Wish, Written

_PRIME = 18446744073709551557
_FACTOR = 18446744073709550147
_MASK = (1 << 64) - 1
_FNV_START, _FNV_FACTOR = 0xCBF29CE484222325, 0x100000001B3
_HEAD = struct.Struct("<QQdQQQ")


class Filter:
    """A filter in memory: ``capacity`` elements at ``error_rate``. 2.8 M elements at 1e-6 are 10 MB, about 15 us each."""

    def __init__(self, capacity: int, error_rate: float) -> None:
        self.capacity, self.error_rate, self.count = capacity, error_rate, 0
        self.bits = int(abs(math.ceil(capacity * math.log(error_rate) / math.log(2.0) ** 2)))
        self.hashes = math.ceil(math.log(2.0) * self.bits / capacity)
        self._data = bytearray(8 * math.ceil(self.bits / 64))

    def add(self, element: bytes) -> None:
        """Put ``element`` in. It counts where it changes a bit, as `bloom` counts."""
        value = _FNV_START
        for byte in element:
            value = (value * _FNV_FACTOR & _MASK) ^ byte
        value %= _PRIME
        data, changed = self._data, False
        for _ in range(self.hashes):
            value = (value * _FACTOR & _MASK) % _PRIME
            index, bit = divmod(value % self.bits, 8)
            if not data[index] >> bit & 1:
                data[index] |= 1 << bit
                changed = True
        self.count += changed

    def encode(self) -> bytes:
        """The file."""
        return _HEAD.pack(1, self.capacity, self.error_rate, self.hashes, self.bits, self.count) + self._data


def write(path: Path, stock: Stock, wish: Wish) -> Written:
    """A filter of the hex digests of all the algorithms, in lowercase unless ``wish.upper``."""
    made = Filter(stock.most + 1, wish.error_rate)  # flor calls a filter full that has as many elements as its capacity
    entries = digests = 0
    for sheet in stock.sheets():
        entries += 1
        for digest in sheet.digests.values():
            text = digest.hex()
            made.add((text.upper() if wish.upper else text).encode())
            digests += 1
    data = made.encode()
    with replace_file(path) as stream:
        stream.write(data)
    return Written(entries, digests, 0, hashlib.sha256(data).hexdigest())
