"""The size sieve never rules out a known size, and is there only where every entry has one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashscan.errors import FilterError
from hashscan.known import bloom, selftest
from hashscan.known.container import FilterHeader
from hashscan.known.keys import token
from hashscan.known.sieve import FilterInForce, FilterSieve
from hashscan.known.sizes import SizeSet, encode_sizes, size_token
from hashscan.model import Algorithm, ListRef
from hashscan.strict_json import StrictJsonError

KEY = bytes(range(32))
LIST = ListRef("police", 3, 1)
SIZES = st.integers(min_value=0, max_value=2**63 - 1)


def filter_file(sizes: bytes = b"") -> bytes:
    def header(tokens: int, length: int, digest: str) -> FilterHeader:
        return FilterHeader(LIST, "acme", (Algorithm.SHA1,), 1.0, 3, tokens, 1e-6, length, digest)

    contents = [selftest.CONTENT, b"one", b"two"]
    tokens = [token(KEY, Algorithm.SHA1, hashlib.sha1(content).digest()) for content in contents]
    return bloom.build(header, KEY, tokens, capacity=100, error_rate=1e-6, sizes=sizes)


def in_force(path: Path, data: bytes) -> FilterInForce:
    path.write_bytes(data)
    return FilterInForce(LIST, bloom.open_filter(path, LIST, KEY), KEY, (Algorithm.SHA1,))


@settings(max_examples=200, deadline=None)
@given(st.sets(SIZES, min_size=1, max_size=60), st.lists(SIZES, max_size=60))
def test_a_known_size_is_always_admitted_and_another_never(known: set[int], asked: list[int]) -> None:
    sizes = SizeSet(memoryview(encode_sizes(KEY, known)), KEY)
    assert all(size in sizes for size in known)
    # A collision of 64-bit tokens would admit a stranger, which costs a read and nothing else; none of these collides.
    assert [size in sizes for size in asked] == [size in known for size in asked]
    assert [size in sizes for size in asked] == [size in known for size in asked], "the remembered answers differ"
    assert len(sizes) == len(known)
    sizes.check_order()


def test_the_tokens_are_keyed() -> None:
    assert size_token(KEY, 4096) != size_token(KEY[::-1], 4096)
    assert size_token(KEY, 4096) != size_token(KEY, 4097)
    assert 4096 not in SizeSet(memoryview(encode_sizes(KEY, [4096])), KEY[::-1])


def test_a_section_out_of_order_or_cut_is_refused() -> None:
    section = encode_sizes(KEY, range(100))
    with pytest.raises(StrictJsonError, match="order"):
        SizeSet(memoryview(section[8:16] + section[:8] + section[16:]), KEY).check_order()
    with pytest.raises(StrictJsonError, match="order"):
        SizeSet(memoryview(section[:8] + section), KEY).check_order()
    with pytest.raises(StrictJsonError, match="whole"):
        SizeSet(memoryview(section[:-1]), KEY)
    with pytest.raises(ValueError, match="single size"):
        encode_sizes(KEY, [])


def test_a_filter_file_brings_its_sizes(tmp_path: Path) -> None:
    sized = in_force(tmp_path / "sized", filter_file(encode_sizes(KEY, [len(selftest.CONTENT), 3])))
    plain = in_force(tmp_path / "plain", filter_file())
    admits = FilterSieve([sized]).admits_size
    assert admits is not None
    assert [admits(size) for size in (3, 4, len(selftest.CONTENT))] == [True, False, True]
    assert FilterSieve([sized], by_size=False).admits_size is None
    assert FilterSieve([plain]).admits_size is None
    assert FilterSieve([sized, plain]).admits_size is None, "a list without sizes needs every file"


def test_two_lists_with_sizes_admit_what_either_has(tmp_path: Path) -> None:
    first = in_force(tmp_path / "first", filter_file(encode_sizes(KEY, [len(selftest.CONTENT), 10])))
    second = in_force(tmp_path / "second", filter_file(encode_sizes(KEY, [len(selftest.CONTENT), 20])))
    admits = FilterSieve([first, second]).admits_size
    assert admits is not None
    assert [admits(size) for size in (10, 20, 30)] == [True, True, False]


def test_damage_in_the_size_section_is_noticed(tmp_path: Path) -> None:
    data = bytearray(filter_file(encode_sizes(KEY, [len(selftest.CONTENT), 3])))
    data[-5] ^= 1
    with pytest.raises(FilterError, match="checksum"):
        in_force(tmp_path / "flipped", bytes(data))
    with pytest.raises(FilterError, match="body and sizes"):
        in_force(tmp_path / "cut", bytes(data[:-8]))


def test_sizes_without_the_self_test_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FilterError, match="size of the self-test file"):
        in_force(tmp_path / "without", filter_file(encode_sizes(KEY, [3])))
