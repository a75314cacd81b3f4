"""The gate of pybloom_live: building filters, and opening them without trusting them.

A filter in force is mapped read-only, so all scanning processes share one copy of the bits (0.1 ms to open instead of 9 ms,
and no memory a worker). The answers are pybloom's own: its class does the asking, only its bits live in the map.
"""

from __future__ import annotations

import io
import mmap
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from struct import Struct, pack
from typing import Any

from bitarray import bitarray
from blake3 import blake3
from pybloom_live import BloomFilter

from hashscan.errors import FilterError
from hashscan.known import selftest
from hashscan.known.container import (
    BLOOM_HEADER,
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    FilterHeader,
    check_fill,
    check_shape,
    split,
)
from hashscan.known.filling import fill
from hashscan.known.keys import token
from hashscan.known.sizes import SizeSet
from hashscan.model import ListRef
from hashscan.strict_json import StrictJsonError

HeaderMaker = Callable[[int, int, str], FilterHeader]
CANARIES = 16
_ABSENT_PROBES = 64
_SYNC_AGAIN = "run 'hashscan sync' to fetch it again"


def canaries(filter_key: bytes) -> list[str]:
    """The tokens that every filter holds whatever is on its list; algorithm byte 00 keeps them apart from real tokens."""
    return [blake3(b"\0canary %d" % index, key=filter_key).hexdigest() for index in range(CANARIES)]


def build(
    header: HeaderMaker,
    filter_key: bytes,
    tokens: Iterable[str],
    *,
    capacity: int,
    error_rate: float,
    sizes: bytes = b"",
) -> bytes:
    """A filter file with ``tokens`` (at most ``capacity``, distinct) and the canaries.

    ``header(tokens, body_length, body_blake3)`` makes the header once these are known, ``sizes`` is what `sizes.encode_sizes`
    made where every entry has a size. About 2.5 us a token; the result is
    held in memory (5 MB for 1.4 M tokens at 1e-6). Raises `FilterError` where there are more tokens than capacity.
    """
    bloom = BloomFilter(capacity + CANARIES, error_rate)
    count = fill(bloom, chain(canaries(filter_key), tokens))
    return _packed(bloom, count, header, sizes)


def extend(header: HeaderMaker, old: bytes, tokens: Iterable[str], *, sizes: bytes = b"") -> bytes:
    """The filter file ``old``, a whole and undamaged one, with ``tokens`` more that are not in it yet.

    Everything else as in `build`: what comes out is the file that `build` would make of all tokens at that capacity. Raises
    `FilterError` where ``old`` is no filter file or has no room for them.
    """
    _, body, _ = split(memoryview(old), "the filter before")
    rate, slices, bits_per_slice, capacity, count = BLOOM_HEADER.unpack(body[: BLOOM_HEADER.size])
    bloom = BloomFilter(1)
    bloom._setup(rate, slices, bits_per_slice, capacity, count)  # noqa: SLF001 - as in `Bloom`
    bits: Any = bitarray(endian="little")
    bits.frombytes(bytes(body[BLOOM_HEADER.size :]))
    bloom.bitarray = bits[: slices * bits_per_slice]
    return _packed(bloom, count + fill(bloom, tokens), header, sizes)


def missing(data: bytes, tokens: Iterable[str]) -> list[str]:
    """Those of ``tokens`` that a filter file does not contain. Raises `FilterError` where it is none."""
    header, body, _ = split(memoryview(data), "the filter")
    try:
        bloom = Bloom(header, body)
    except StrictJsonError as error:
        raise FilterError(f"the filter is not to be trusted: {error}") from None
    return [one for one in tokens if one not in bloom]


def sizes_of(data: bytes) -> bytes:
    """The size section of a filter file, often empty. Raises `FilterError` where it is none."""
    return bytes(split(memoryview(data), "the filter")[2])


def _packed(bloom: BloomFilter, count: int, header: HeaderMaker, sizes: bytes) -> bytes:
    """The file around a filter that holds ``count`` tokens."""
    if count > bloom.capacity:
        raise FilterError(f"{count} tokens for a filter of {bloom.capacity}")
    bloom.count = count
    body = io.BytesIO()
    bloom.tofile(body)
    raw = body.getvalue()
    made = header(count, len(raw), blake3(raw).hexdigest())
    if sizes:
        made = replace(made, sizes_length=len(sizes), sizes_blake3=blake3(sizes).hexdigest())
    return made.encode() + raw + sizes


class Bloom:
    """One filter in force: ``token in bloom`` as pybloom answers it, `screen` for the cheap first look at many.

    Read-only and safe to share by fork. Sizes in bytes. ``sizes`` is there where every entry of the list has a size.
    """

    def __init__(self, header: FilterHeader, body: memoryview, sizes: SizeSet | None = None) -> None:
        shape = check_shape(body, header)
        self.header = header
        self.sizes = sizes
        bloom = BloomFilter(1)  # a shell; the real numbers and bits follow, as pybloom's own fromfile does it
        bloom._setup(shape.error_rate, shape.slices, shape.bits_per_slice, shape.capacity, shape.count)  # noqa: SLF001
        bits: Any = bitarray(buffer=body[BLOOM_HEADER.size :], endian="little")
        bloom.bitarray = bits
        check_fill(shape, bits.count())
        self._bloom = bloom
        self._bits = bits
        self._m = shape.bits_per_slice
        # The first of pybloom's salted hashes; see `screen`.
        self._salt = bloom.hashfn(bloom.hashfn(pack("I", 0)).digest())
        word = "Q" if self._m >= 1 << 31 else "I" if self._m >= 1 << 15 else "H"
        # Four words at least: the smallest hash that pybloom takes has 16 bytes, the longest word 8; it is SHA-512 by then.
        self._unpack = Struct(f"<4{word}").unpack_from

    def __contains__(self, element: str) -> bool:
        return element in self._bloom

    def __len__(self) -> int:
        return int(self._bloom.count)

    def screen(self, elements: Sequence[str]) -> list[int]:
        """The indices of those of ``elements`` (tokens) that four slices do not rule out: one in 16 of absent ones.

        pybloom's generator costs 1.3 us for an absent key, this 0.8: one salted hash has the words of the first slices. A
        property test holds it against pybloom itself.
        """
        salted, unpack, bits, m = self._salt.copy, self._unpack, self._bits, self._m
        second, third, fourth = m, 2 * m, 3 * m
        left = []
        for index, element in enumerate(elements):
            hashed = salted()
            hashed.update(element.encode())
            a, b, c, d = unpack(hashed.digest())
            if bits[a % m] and bits[second + b % m] and bits[third + c % m] and bits[fourth + d % m]:
                left.append(index)
        return left


def read_filter(path: Path) -> tuple[FilterHeader, memoryview, memoryview]:
    """Map the filter file read-only and check framing and checksums: header, body, size section. Raises `FilterError`."""
    if sys.byteorder != "little":
        raise FilterError("filters can be read on little-endian machines only", hint="pybloom writes machine words")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise FilterError(f"cannot open the filter {path}: {error.strerror}", hint=_SYNC_AGAIN) from None
    try:
        size = os.fstat(fd).st_size
        if not 0 < size <= MAX_BODY_BYTES + MAX_HEADER_BYTES + 64:
            raise FilterError(f"the filter {path} has {size} bytes", hint=_SYNC_AGAIN)
        data = memoryview(mmap.mmap(fd, size, prot=mmap.PROT_READ))
    except (OSError, ValueError) as error:  # a directory; or cut short between the two calls
        raise FilterError(f"cannot read the filter {path}: {error}", hint=_SYNC_AGAIN) from None
    finally:
        os.close(fd)
    header, body, sizes = split(data, str(path))
    holds = blake3(body).hexdigest() == header.body_blake3
    if not holds or (header.sizes_length and blake3(sizes).hexdigest() != header.sizes_blake3):
        raise FilterError(f"the filter {path} is damaged: its checksum does not hold", hint=_SYNC_AGAIN)
    return header, body, sizes


def open_filter(path: Path, expect: ListRef, filter_key: bytes) -> Bloom:
    """Open a filter file, check it as docs/formats.md says, and return it ready to be asked. Raises `FilterError`.

    ``expect`` is what the signed metadata says this file is.
    """
    header, body, sizes = read_filter(path)
    if header.list != expect:
        raise FilterError(f"the filter {path} is {header.list}, the signed metadata says {expect}", hint=_SYNC_AGAIN)
    try:
        bloom = Bloom(header, body, SizeSet(sizes, filter_key) if header.sizes_length else None)
        _check_answers(bloom, filter_key)
    except StrictJsonError as error:
        raise FilterError(f"the filter {path} is not to be trusted: {error}", hint=_SYNC_AGAIN) from None
    return bloom


def _check_answers(bloom: Bloom, key: bytes) -> None:
    """Ask what every filter must answer. Raises `StrictJsonError`."""
    if not all(element in bloom for element in canaries(key)):
        raise StrictJsonError("its canaries are missing; it was made with another provider key, or not by a publisher")
    for algorithm in bloom.header.algorithms:
        if token(key, algorithm, selftest.digest(algorithm, selftest.CONTENT)) not in bloom:
            raise StrictJsonError("the self-test file is missing")
    if bloom.sizes is not None and len(selftest.CONTENT) not in bloom.sizes:
        raise StrictJsonError("the size of the self-test file is missing")
    trivial = [
        token(key, algorithm, digest)
        for algorithm, digest in selftest.trivial_digests()
        if algorithm in bloom.header.algorithms
    ]
    if sum(element in bloom for element in trivial) > 0:
        raise StrictJsonError("it contains an empty or trivial file and would match everywhere")
    if sum(secrets.token_hex(32) in bloom for _ in range(_ABSENT_PROBES)) > 3:  # by chance once in a million, at 1e-3
        raise StrictJsonError("it contains random tokens")


def check_order(opened: Bloom, name: str) -> None:
    """The one check that is too slow for every scan: see `SizeSet.check_order`. Raises `FilterError`."""
    if opened.sizes is None:
        return
    try:
        opened.sizes.check_order()
    except StrictJsonError as error:
        raise FilterError(f"the filter {name} is not to be trusted: {error}", hint=_SYNC_AGAIN) from None
