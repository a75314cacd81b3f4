"""A delta turns one filter file into exactly the next one, or is refused; it never grows beyond what it was made of."""

from __future__ import annotations

import hashlib
import struct
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashscan.errors import FilterError
from hashscan.known import bloom, delta, selftest
from hashscan.known.container import BLOOM_HEADER, FilterHeader
from hashscan.known.keys import token
from hashscan.known.sizes import encode_sizes
from hashscan.model import Algorithm, ListRef
from tests.support.budget import attempts

KEY = bytes(range(32))


def tokens(numbers: Sequence[int]) -> list[str]:
    made = [token(KEY, Algorithm.SHA1, hashlib.sha1(b"harmless %d" % number).digest()) for number in numbers]
    return [*made, token(KEY, Algorithm.SHA1, selftest.digest(Algorithm.SHA1, selftest.CONTENT))]


def filter_file(
    numbers: Sequence[int], version: int = 1, *, capacity: int = 3000, sizes: Sequence[int] = (), epoch: int = 1
) -> bytes:
    def header(count: int, length: int, digest: str) -> FilterHeader:
        ref = ListRef("police", version, epoch)
        return FilterHeader(ref, "acme", (Algorithm.SHA1,), float(version), len(numbers), count, 1e-6, length, digest)

    section = encode_sizes(KEY, [len(selftest.CONTENT), *sizes]) if sizes else b""
    return bloom.build(header, KEY, tokens(numbers), capacity=capacity, error_rate=1e-6, sizes=section)


OLD = filter_file(range(2000), sizes=range(5000, 7000))
NEW = filter_file(range(10, 2010), 2, sizes=range(5003, 7009))
MADE = delta.make(OLD, NEW) or b""


@settings(max_examples=25, deadline=None)
@given(st.sets(st.integers(0, 1999), max_size=20), st.integers(0, 20), st.sets(st.integers(4000, 7000), max_size=30))
def test_what_it_makes_of_the_old_is_the_new_byte_for_byte(taken: set[int], added: int, toggled_sizes: set[int]) -> None:
    numbers = [number for number in range(2000 + added) if number not in taken]
    sizes = sorted(set(range(5000, 6500)) ^ toggled_sizes)
    new = filter_file(numbers, 2, sizes=sizes)
    made = delta.make(OLD, new)
    assert made is not None
    assert len(made) * 2 < len(new)
    assert delta.apply(OLD, made) == new
    assert delta.apply(memoryview(OLD), made) == new


def test_a_withdrawal_takes_bits_out() -> None:
    new = filter_file(range(1, 2000), 2)
    made = delta.make(filter_file(range(2000)), new)
    assert made is not None
    assert len(made) < 700, "one token is at most 20 bits, and a header"
    assert delta.apply(filter_file(range(2000)), made) == new


def test_the_new_file_opens_as_the_published_one_would(tmp_path: Path) -> None:
    path = tmp_path / "filter"
    path.write_bytes(delta.apply(OLD, MADE))
    opened = bloom.open_filter(path, ListRef("police", 2, 1), KEY)
    bloom.check_order(opened, "filter")
    gone, come = tokens([0])[0], tokens([2005])[0]
    assert (gone in opened, come in opened) == (False, True)
    assert opened.sizes is not None
    assert (5000 in opened.sizes, 7008 in opened.sizes) == (False, True)


def test_sizes_may_come_and_go_altogether() -> None:
    """An entry without a size takes the section away for all."""
    few = filter_file(range(2000), sizes=[1, 2, 3])
    none = filter_file(range(2001), 2)
    for old, new in ((few, none), (none, few)):
        made = delta.make(old, new)
        assert made is not None
        assert delta.apply(old, made) == new


@pytest.mark.parametrize(
    "new",
    [
        filter_file(range(2000), 2, capacity=3100),
        filter_file(range(2000), 2, epoch=2),
        filter_file(range(10_000, 12_000), 2),
        filter_file(range(2000), 2, sizes=range(20_000, 30_000)),
    ],
    ids=["another shape", "another epoch", "all bits differ", "all sizes differ"],
)
def test_there_is_none_where_it_would_not_be_worth_it(new: bytes) -> None:
    assert delta.make(OLD, new) is None


def test_there_is_one_where_the_case_is_the_same_and_only_the_reason_for_none_is_missing() -> None:
    assert delta.make(OLD, NEW) == MADE != b""


def test_another_filter_than_the_one_it_was_made_from_gives_another_file() -> None:
    """Why the digest decides: a delta fits every filter of its shape."""
    other = filter_file(range(5, 2005), sizes=range(5000, 7000))
    assert delta.apply(other, MADE) != NEW
    with pytest.raises(FilterError, match="another shape"):
        delta.apply(filter_file(range(2000), capacity=3100), MADE)
    with pytest.raises(FilterError, match="filter in force"):
        delta.apply(b"nothing", MADE)


def parts(*, head: bytes | None = None, bits: bytes = b"", removed: bytes = b"", inserted: bytes = b"") -> bytes:
    """A delta with these parts; the head is that of a true one unless told."""
    length = struct.unpack_from("<I", MADE, 8)[0]
    top = MADE[36 : 36 + length] if head is None else head
    sections = (top, bits, removed, inserted)
    return struct.pack("<8sIQQQ", delta.MAGIC, *map(len, sections)) + b"".join(sections)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 bytes"),
        (MADE[:35], "35 bytes"),
        (b"HSDELTA2" + MADE[8:], "begin like"),
        (MADE[:-1], "as long as"),
        (MADE + b"\0", "as long as"),
        (struct.pack("<8sIQQQ", delta.MAGIC, 0, 2**64 - 1, 0, 0) + MADE[36:], "as long as"),
        (parts(head=b"x" * 80_000), "longer than it may be"),
        (parts(head=b"x" * 100), "another shape"),
        (parts(head=b""), "another shape"),
        (parts(inserted=b"1234567"), "broken off"),
        (parts(inserted=b"bbbbbbbbaaaaaaaa"), "not in order"),
        (parts(inserted=b"aaaaaaaaaaaaaaaa"), "not in order"),
        (parts(bits=b"\x80"), "within a number"),
        (parts(bits=b"\x80\x80\x80\x80\x80\x01"), "too long"),
        (parts(bits=b"\xff\xff\xff\xff\x0f"), "beyond the end"),
        (parts(removed=b"\xff\xff\x7f"), "beyond the end"),
        (parts(removed=b"\x00" * 3000), "beyond the end"),
    ],
)
def test_what_is_no_delta_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(FilterError, match=why):
        delta.apply(OLD, data)


def test_the_parts_that_the_refusals_are_made_of_would_do_otherwise() -> None:
    assert len(delta.apply(OLD, parts(bits=b"\0\x7f", removed=b"\0", inserted=b"aaaaaaaabbbbbbbb"))) > 0


@settings(max_examples=attempts(400), deadline=None)
@given(st.data())
def test_whatever_comes_is_refused_or_bounded(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["bytes", "parts", "flip", "cut"]))
    if kind == "bytes":
        made = delta.MAGIC + data.draw(st.binary(max_size=300))
    elif kind == "parts":
        made = parts(**{name: data.draw(st.binary(max_size=200)) for name in ("bits", "removed", "inserted")})
    elif kind == "flip":
        at = data.draw(st.integers(0, len(MADE) - 1))
        made = MADE[:at] + bytes([MADE[at] ^ data.draw(st.integers(1, 255))]) + MADE[at + 1 :]
    else:
        made = MADE[: data.draw(st.integers(0, len(MADE)))]
    try:
        result = delta.apply(OLD, made)
    except FilterError:
        return
    assert len(result) <= len(OLD) + len(made)
    assert result != NEW or made == MADE or kind == "flip"


def test_a_hostile_delta_costs_no_more_memory_than_filter_and_delta() -> None:
    hostile = parts(
        bits=b"\0" * 40_000, removed=b"\0" * 2000, inserted=b"".join(n.to_bytes(8, "little") for n in range(50_000))
    )
    tracemalloc.start()
    delta.apply(OLD, hostile)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * (len(OLD) + len(hostile)), "small objects of one pass at most"


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**8), st.integers(0, 2 * 10**8) | st.none())
def test_the_capacity_is_one_that_agents_accept(count: int, previous: int | None) -> None:
    chosen = delta.stable_capacity(count, previous)
    assert count <= chosen
    assert chosen + bloom.CANARIES <= max(2 * (count + bloom.CANARIES), 1024)
    assert delta.stable_capacity(count, chosen) == chosen
    if previous is not None and count <= previous and previous + bloom.CANARIES <= 2 * (count + bloom.CANARIES):
        assert chosen == previous
    elif count > 1024:
        assert count * 1.04 < chosen < count * 1.13


def test_a_growing_list_keeps_its_capacity_for_weeks() -> None:
    count, capacity, changes = 1_400_000, None, 0
    for _ in range(365):
        chosen = delta.stable_capacity(int(count), capacity)
        changes += chosen != capacity
        capacity = chosen
        count *= 1.001
    assert changes <= 10


def test_the_capacity_of_a_published_filter_can_be_read_back() -> None:
    assert delta.capacity_of(OLD) == 3000
    rate, _, _, capacity, _ = BLOOM_HEADER.unpack(bytes(bloom_header(OLD)))
    assert (rate, capacity) == (1e-6, 3000 + bloom.CANARIES)


def bloom_header(data: bytes) -> bytes:
    length = struct.unpack_from("<I", data, 10)[0]
    return data[14 + length : 14 + length + BLOOM_HEADER.size]
