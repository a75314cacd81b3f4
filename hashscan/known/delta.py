"""Deltas: what turns the filter file of one version into that of the next (docs/formats.md, "The delta").

Toggled bits and not added ones, because a withdrawn entry takes its bits out again. A delta is believed about nothing: what
`apply` makes of it is a proposal until its SHA-256 is the one that the signed metadata states for the full file.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from operator import itemgetter

from hashscan.errors import FilterError
from hashscan.known.container import BLOOM_HEADER, MAX_BODY_BYTES, MAX_ENTRIES, MAX_HEADER_BYTES, FilterHeader, split
from hashscan.model import Delta, Target

MAGIC = b"HSDELTA1"
MAX_CHAIN = 16  # deltas that are applied one after another; a host that was away for longer fetches the full filter
MAX_DELTA_BYTES = MAX_BODY_BYTES // 2
_LENGTHS = struct.Struct("<8sIQQQ")  # magic; then in bytes: head, gaps of bits, gaps of removed sizes, inserted sizes
_MAX_HEAD_BYTES = 14 + MAX_HEADER_BYTES + BLOOM_HEADER.size
_MAX_GAP_BYTES = 5  # of a LEB128 number: 2^35 bits are 4 GiB of filter
_CHANGED = re.compile(rb"[^\0]")
_RUN = 64  # size tokens compared at once
_CANARIES = 16  # that `bloom.build` adds to the capacity it is asked for
_SMALLEST = 1024 - _CANARIES  # the capacity up to which `container.check_shape` takes any number of tokens


@dataclass(frozen=True, slots=True)
class _Layout:
    """A filter file in its parts: ``head`` is everything before the bits, pybloom's own header included."""

    header: FilterHeader
    head: bytes
    bits: memoryview
    sizes: memoryview

    @property
    def shape(self) -> tuple[float, int, int, int]:
        """Error rate, slices, bits a slice and capacity: where these differ, bits mean different things."""
        rate, slices, bits, capacity, _ = BLOOM_HEADER.unpack(self.head[-BLOOM_HEADER.size :])
        return rate, slices, bits, capacity


def _layout(data: bytes | bytearray | memoryview, where: str) -> _Layout:
    view = memoryview(data)
    header, body, sizes = split(view, where)
    start = len(view) - len(body) - len(sizes) + BLOOM_HEADER.size
    return _Layout(header, bytes(view[:start]), body[BLOOM_HEADER.size :], sizes)


def make(old: bytes, new: bytes) -> bytes | None:
    """What turns ``old`` into ``new``, both whole filter files.

    None where that would not be worth it: another list, epoch or shape, or half as long as ``new`` or longer. Both files and
    the difference of their bits are in memory. Raises `FilterError` where one of them is no filter file.
    """
    before, after = _layout(old, "the old filter"), _layout(new, "the new filter")
    same_list = (before.header.list.id, before.header.list.epoch) == (after.header.list.id, after.header.list.epoch)
    if not same_list or before.shape != after.shape or len(before.bits) != len(after.bits):
        return None
    removed, inserted = _changed_sizes(before.sizes, after.sizes)
    bits, sizes = _gaps(_toggled(before.bits, after.bits)), _gaps(removed)
    made = b"".join(
        (_LENGTHS.pack(MAGIC, len(after.head), len(bits), len(sizes), len(inserted)), after.head, bits, sizes, inserted)
    )
    return made if 2 * len(made) < len(new) else None


def _toggled(old: memoryview, new: memoryview) -> Iterator[int]:
    """The positions of the bits that differ, ascending; bit 0 is the lowest of the first byte."""
    changes = (int.from_bytes(old, "little") ^ int.from_bytes(new, "little")).to_bytes(len(old), "little")
    for match in _CHANGED.finditer(changes):
        at = match.start()
        yield from (8 * at + bit for bit in range(8) if changes[at] >> bit & 1)


def _changed_sizes(old: memoryview, new: memoryview) -> tuple[list[int], bytes]:
    """Indices of the tokens that are no longer there, and the tokens that are new; both sections are in ascending order."""
    before, after = old.cast("Q"), new.cast("Q")
    removed, inserted = [], bytearray()
    i = j = 0
    while i < len(before) or j < len(after):
        if old[8 * i : 8 * (i + _RUN)] == new[8 * j : 8 * (j + _RUN)]:  # nearly always
            i, j = i + _RUN, j + _RUN
        elif j >= len(after) or (i < len(before) and before[i] < after[j]):
            removed.append(i)
            i += 1
        elif i >= len(before) or after[j] < before[i]:
            inserted += new[8 * j : 8 * (j + 1)]
            j += 1
        else:
            i, j = i + 1, j + 1
    return removed, bytes(inserted)


def _gaps(positions: Iterable[int]) -> bytes:
    """Ascending positions as LEB128: how many others lie before each, since the one before it.

    At +0.1 % two bytes a position. Rice coding would take 17 % less (measured) and a decoder by the bit; it was left out.
    """
    written = bytearray()
    before = -1
    for position in positions:
        gap, before = position - before - 1, position
        while gap >= 0x80:
            written.append(gap & 0x7F | 0x80)
            gap >>= 7
        written.append(gap)
    return bytes(written)


def _positions(gaps: bytes, end: int) -> Iterator[int]:
    """The positions back again, ascending and below ``end``. Raises `FilterError`."""
    position, value, shift = -1, 0, 0
    for byte in gaps:
        value |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            if shift >= 7 * _MAX_GAP_BYTES:
                raise FilterError("the delta has a number that is too long")
            continue
        position += value + 1
        if position >= end:
            raise FilterError("the delta changes what lies beyond the end")
        yield position
        value = shift = 0
    if shift:
        raise FilterError("the delta ends within a number")


def apply(old: bytes | bytearray | memoryview, delta: bytes) -> bytes:
    """The new filter file that ``delta`` makes of ``old``: a proposal until its SHA-256 is that of the full target.

    Never longer than ``old`` and ``delta`` together; both and the result are in memory. Raises `FilterError`.
    """
    before = _layout(old, "the filter in force")
    head, gaps, removed, inserted = _sections(delta)
    if len(head) < BLOOM_HEADER.size or BLOOM_HEADER.unpack(head[-BLOOM_HEADER.size :])[:4] != before.shape:
        raise FilterError("the delta is for a filter of another shape")
    bits = bytearray(before.bits)
    for position in _positions(gaps, 8 * len(bits)):
        bits[position >> 3] ^= 1 << (position & 7)
    return b"".join((head, bits, *_new_sizes(before.sizes, removed, inserted)))


def _sections(delta: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Head, gaps of bits, gaps of removed sizes, inserted sizes. Raises `FilterError`."""
    if not _LENGTHS.size <= len(delta) <= MAX_DELTA_BYTES:
        raise FilterError(f"a delta cannot have {len(delta)} bytes")
    magic, *lengths = _LENGTHS.unpack_from(delta)
    if magic != MAGIC:
        raise FilterError("it does not begin like a delta")
    if _LENGTHS.size + sum(lengths) != len(delta):
        raise FilterError("the delta is not as long as its parts")
    if lengths[0] > _MAX_HEAD_BYTES or lengths[3] > 8 * MAX_ENTRIES or lengths[3] % 8:
        raise FilterError("a part of the delta is longer than it may be, or broken off")
    parts, at = [], _LENGTHS.size
    for length in lengths:
        parts.append(delta[at : at + length])
        at += length
    return parts[0], parts[1], parts[2], parts[3]


def _new_sizes(old: memoryview, removed: bytes, inserted: bytes) -> Iterator[memoryview | bytes]:
    """The pieces of the new size section: what is kept of the old, and the inserted tokens where they belong in its order."""
    tokens = old.cast("Q")
    removals = ((index, 1, b"") for index in _positions(removed, len(tokens)))
    here = 0
    for place, removal, token in merge(_insertions(tokens, inserted), removals, key=itemgetter(0, 1)):
        if place > here:
            yield old[8 * here : 8 * place]
            here = place
        if removal:
            here = place + 1
        else:
            yield token
    yield old[8 * here :]


def _insertions(tokens: memoryview, inserted: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where each inserted token goes, as the index of the token that it stands before. Raises `FilterError`."""
    last = -1
    for at in range(0, len(inserted), 8):
        raw = inserted[at : at + 8]
        token = int.from_bytes(raw, "little")
        if token <= last:
            raise FilterError("the inserted sizes of the delta are not in order")
        last = token
        yield bisect_left(tokens, token), 0, raw


def chain(held: Target | None, offered: Target) -> tuple[Delta, ...]:
    """The deltas that lead from the filter in force to the offered one; none where the full filter is to be fetched.

    At most `MAX_CHAIN` of them, together shorter than the full filter. The longest step first: versions count up, so it ends.
    """
    if held is None or (held.list.id, held.list.epoch) != (offered.list.id, offered.list.epoch):
        return ()
    steps: list[Delta] = []
    here = held.list.version
    while here < offered.list.version and len(steps) < MAX_CHAIN:
        onward = [one for one in offered.deltas if one.old == here < one.new <= offered.list.version]
        if not onward:
            return ()
        steps.append(max(onward, key=lambda one: one.new))
        here = steps[-1].new
    length = sum(one.file.length for one in steps)
    return tuple(steps) if here == offered.list.version and length < offered.filter.length else ()


def capacity_of(data: bytes | bytearray | memoryview) -> int:
    """The capacity that a filter file was built with, as `bloom.build` and `stable_capacity` count it. Raises `FilterError`."""
    return int(_layout(data, "the filter").shape[3]) - _CANARIES


def stable_capacity(tokens: int, previous: int | None) -> int:
    """The capacity for the next version of a filter with ``tokens`` tokens, the canaries not counted on either side.

    The ``previous`` one as long as the tokens fit and agents accept it (`container.check_shape`), for only then a delta is
    possible. Else one with 4 to 12 % of room: a list that grows by 0.1 % a day keeps it for 40 days at least.
    """
    if previous is not None and tokens <= previous <= max(2 * tokens + _CANARIES, _SMALLEST):
        return previous
    step = 1 << max(tokens.bit_length() - 5, 0)  # from 1/32 to 1/16 of the tokens
    roomy = tokens + max(tokens // 24, 1)
    return max(-(-roomy // step) * step, _SMALLEST)
