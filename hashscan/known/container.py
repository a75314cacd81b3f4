"""The filter file around pybloom's bytes: reading with suspicion, writing with care (docs/formats.md).

Sizes in bytes. Everything here is about bytes and header fields; what the bits mean is `known.bloom`.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from hashscan.errors import FilterError
from hashscan.model import Algorithm, Json, ListRef
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MAGIC = b"HSFILTER"
FORMAT = 1
_PREFIX = struct.Struct("<8sHI")
BLOOM_HEADER = struct.Struct("<dQQQQ")
MAX_HEADER_BYTES = 65_536
MAX_BODY_BYTES = 2**31  # 64 times a list of 20 M entries at 1e-6
MAX_ENTRIES = 100_000_000
MIN_ERROR_RATE, MAX_ERROR_RATE = 1e-12, 1e-3


@dataclass(frozen=True, slots=True)
class FilterHeader:
    """What a filter file says of itself. ``entries`` known files, ``tokens`` elements of the filter, ``created`` in seconds.

    ``algorithms`` are those of its tokens: what agents compute of every file. ``also`` are further ones that entries have: what
    agents compute of candidates, because the service's answer is compared with them.
    ``sizes_length`` is 0 unless every entry of the list has a size; then it is the length of the size section (`known.sizes`).
    """

    list: ListRef
    provider: str
    algorithms: tuple[Algorithm, ...]
    created: float
    entries: int
    tokens: int
    error_rate: float
    body_length: int
    body_blake3: str
    sizes_length: int = 0
    sizes_blake3: str = ""
    also: tuple[Algorithm, ...] = ()

    def encode(self) -> bytes:
        """Magic, format id, length and header: everything before the body."""
        data: Mapping[str, Json] = {
            "list": self.list.id,
            "version": self.list.version,
            "epoch": self.list.epoch,
            "provider": self.provider,
            "algorithms": [algorithm.value for algorithm in self.algorithms],
            "created": self.created,
            "entries": self.entries,
            "tokens": self.tokens,
            "error_rate": self.error_rate,
            "body_length": self.body_length,
            "body_blake3": self.body_blake3,
        }
        if self.also:
            data = {**data, "also": [algorithm.value for algorithm in self.also]}
        if self.sizes_length:
            data = {**data, "sizes_length": self.sizes_length, "sizes_blake3": self.sizes_blake3}
        text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
        return _PREFIX.pack(MAGIC, FORMAT, len(text)) + text


def split(data: memoryview, where: str) -> tuple[FilterHeader, memoryview, memoryview]:
    """Header, body and size section (often empty) of a filter file; checksums are not checked here. Raises `FilterError`."""
    try:
        return _split(data)
    except StrictJsonError as error:
        raise FilterError(f"{where} is not a usable filter: {error}", hint="run 'hashscan sync' to fetch it again") from None


def _split(data: memoryview) -> tuple[FilterHeader, memoryview, memoryview]:
    if len(data) < _PREFIX.size:
        raise StrictJsonError(f"only {len(data)} bytes long")
    magic, format_id, length = _PREFIX.unpack(data[: _PREFIX.size])
    if magic != MAGIC:
        raise StrictJsonError("it does not begin like a filter file")
    if format_id != FORMAT:
        raise StrictJsonError(f"format {format_id}, this version reads format {FORMAT}")
    if length > MAX_HEADER_BYTES or _PREFIX.size + length > len(data):
        raise StrictJsonError("the header is longer than it may be")
    text, rest = bytes(data[_PREFIX.size : _PREFIX.size + length]), data[_PREFIX.size + length :]
    header = _header(Fields(parse_object(text, max_bytes=MAX_HEADER_BYTES), "header"))
    if header.sizes_length % 8:
        raise StrictJsonError("the size section is not made of whole tokens")
    promised = header.body_length + header.sizes_length
    if len(rest) != promised:
        raise StrictJsonError(f"body and sizes have {len(rest)} bytes, the header says {promised}")
    return header, rest[: header.body_length], rest[header.body_length :]


def _header(fields: Fields) -> FilterHeader:
    return FilterHeader(
        list=list_ref(fields, "list"),
        provider=fields.text("provider", max_chars=64),
        algorithms=algorithms_of(fields, "algorithms"),
        also=() if fields.is_null("also") else algorithms_of(fields, "also"),
        created=fields.number("created"),
        entries=fields.integer("entries", high=MAX_ENTRIES),
        tokens=fields.integer("tokens", low=1, high=4 * MAX_ENTRIES + 16),
        error_rate=fields.number("error_rate", low=MIN_ERROR_RATE, high=MAX_ERROR_RATE),
        body_length=fields.integer("body_length", low=BLOOM_HEADER.size + 1, high=MAX_BODY_BYTES),
        body_blake3=fields.hex("body_blake3", digits=64),
        sizes_length=0 if fields.is_null("sizes_length") else fields.integer("sizes_length", low=8, high=8 * MAX_ENTRIES),
        sizes_blake3="" if fields.is_null("sizes_length") else fields.hex("sizes_blake3", digits=64),
    )


def list_ref(fields: Fields, id_key: str) -> ListRef:
    """List id, version and epoch, side by side in one object. Raises `StrictJsonError`."""
    name = fields.text(id_key, max_chars=64)
    if name.strip("abcdefghijklmnopqrstuvwxyz0123456789-_."):
        raise StrictJsonError("a list id has only lowercase letters, digits, '-', '_' and '.'")
    return ListRef(name, fields.integer("version", low=1, high=2**53), fields.integer("epoch", low=1, high=2**31))


def algorithms_of(fields: Fields, key: str) -> tuple[Algorithm, ...]:
    """The algorithms that a field names: at least one known name, none twice, in the order of `Algorithm`."""
    names = fields.texts(key, at_most=len(Algorithm))
    try:
        found = {Algorithm(name) for name in names}
    except ValueError:
        raise StrictJsonError(f"an algorithm is none of {', '.join(Algorithm)}") from None
    if not found or len(found) != len(names):
        raise StrictJsonError("algorithms must be named once each, at least one")
    return tuple(algorithm for algorithm in Algorithm if algorithm in found)


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers of a Bloom filter: slices k, bits a slice m, capacity, count; ``error_rate`` as a probability."""

    error_rate: float
    slices: int
    bits_per_slice: int
    capacity: int
    count: int

    @property
    def body_length(self) -> int:
        """Bytes of header and bits as pybloom writes them."""
        return BLOOM_HEADER.size + (self.slices * self.bits_per_slice + 7) // 8


def dimensions(capacity: int, error_rate: float) -> tuple[int, int]:
    """Slices and bits a slice as pybloom computes them."""
    # Not log2, which rounds otherwise: at 2^-29, 2^-31 and 2^-39 pybloom makes a slice more.
    slices = math.ceil(math.log(1.0 / error_rate, 2))  # noqa: FURB163
    return slices, math.ceil(capacity * abs(math.log(error_rate)) / (slices * math.log(2) ** 2))


def check_shape(body: memoryview, header: FilterHeader) -> Shape:
    """The shape in pybloom's own header, checked against pybloom's formula and our header. Raises `StrictJsonError`.

    pybloom's loader trusts these numbers: with k = 0 everything matches, with k = 2^40 it stalls for 20 s (measured).
    """
    shape = Shape(*BLOOM_HEADER.unpack(body[: BLOOM_HEADER.size]))
    if shape.error_rate != header.error_rate:
        raise StrictJsonError("two error rates")
    if not header.tokens <= shape.capacity <= max(2 * header.tokens, 1024):
        raise StrictJsonError("the capacity does not fit the number of tokens")
    if (shape.slices, shape.bits_per_slice) != dimensions(shape.capacity, shape.error_rate):
        raise StrictJsonError("slices and bits do not follow from capacity and error rate")
    if shape.body_length != len(body):
        raise StrictJsonError("the body is not as long as its bits")
    if shape.count != header.tokens:
        raise StrictJsonError(f"{shape.count} elements, the header says {header.tokens} tokens")
    return shape


def check_fill(shape: Shape, bits_set: int) -> None:
    """Whether the share of bits set fits the number of elements. Raises `StrictJsonError`.

    A bit that one element hits with probability p stays empty with (1 - p)^n. The spread of the whole is far below one percent
    for all but tiny filters, so six standard deviations and one bit a slice leave no room for a forged body.
    """
    m, n = shape.bits_per_slice, shape.count
    # pybloom takes a word of 16, 32 or 64 bits modulo m, so the first bits of a slice are hit more often than the last. With
    # m just below 2^15 that matters: without it, true filters of 18,000 to 20,000 tokens would be refused.
    words = 1 << (64 if m >= 1 << 31 else 32 if m >= 1 << 15 else 16)
    share, more = divmod(words, m)
    groups = [(more, (1.0 - (share + 1) / words) ** n), (m - more, (1.0 - share / words) ** n)]
    expected = shape.slices * sum(bits * (1.0 - empty) for bits, empty in groups)
    spread = math.sqrt(shape.slices * sum(bits * empty * (1.0 - empty) for bits, empty in groups))
    if abs(bits_set - expected) > 6 * spread + shape.slices:
        raise StrictJsonError(f"{bits_set} bits are set where about {expected:.0f} belong")
