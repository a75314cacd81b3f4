"""Filling many bits at once sets the bits that pybloom sets, and a filter that was extended is the one built of everything."""

from __future__ import annotations

import io
import secrets

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pybloom_live import BloomFilter

from hashscan.errors import FilterError
from hashscan.known import bloom
from hashscan.known.container import FilterHeader
from hashscan.known.filling import CHUNK, fill
from hashscan.known.sizes import encode_sizes, extend_sizes
from hashscan.model import Algorithm, ListRef

KEY = b"k" * 32


def same_as_pybloom(capacity: int, error_rate: float, tokens: list[str]) -> bool:
    ours, theirs = BloomFilter(capacity, error_rate), BloomFilter(capacity, error_rate)
    assert fill(ours, tokens) == len(tokens)
    for one in tokens:
        theirs.add(one, skip_check=True)
    return bool(ours.bitarray == theirs.bitarray)


@pytest.mark.parametrize("exponent", range(3, 13))
@pytest.mark.parametrize("capacity", [3, 700, 30_000, 200_000])
def test_every_rate_and_word_size(exponent: int, capacity: int) -> None:
    # All of pybloom's hash functions and two of its three words; the third is for filters above 2^31 bits a slice.
    assert same_as_pybloom(capacity, 10.0**-exponent, [secrets.token_hex(32) for _ in range(min(capacity, 50))])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 5000), st.floats(1e-12, 1e-3), st.lists(st.text(max_size=70), max_size=40, unique=True))
def test_any_filter_and_any_text(capacity: int, error_rate: float, tokens: list[str]) -> None:
    assert same_as_pybloom(capacity, error_rate, tokens[:capacity])


def test_more_than_one_chunk() -> None:
    assert same_as_pybloom(2 * CHUNK + 5, 1e-3, [str(number) for number in range(2 * CHUNK + 5)])


def header(tokens: int, length: int, checksum: str) -> FilterHeader:
    return FilterHeader(ListRef("police", 1, 1), "acme", (Algorithm.SHA1,), 1.0, 5, tokens, 1e-6, length, checksum)


def test_extending_makes_the_file_that_building_makes() -> None:
    tokens = [secrets.token_hex(32) for _ in range(500)]
    sizes = [encode_sizes(KEY, range(n)) for n in (10, 20)]
    whole = bloom.build(header, KEY, tokens, capacity=600, error_rate=1e-6, sizes=sizes[1])
    begun = bloom.build(header, KEY, tokens[:400], capacity=600, error_rate=1e-6, sizes=sizes[0])
    assert bloom.extend(header, begun, tokens[400:], sizes=extend_sizes(sizes[0], KEY, range(5, 20))) == whole
    assert bloom.extend(header, whole, [], sizes=sizes[1]) == whole
    assert bloom.extend(header, begun, tokens[400:]) != whole, "control: the sizes count"
    with pytest.raises(FilterError, match="for a filter of"):
        bloom.extend(header, whole, [secrets.token_hex(32) for _ in range(101)])
    with pytest.raises(FilterError):
        bloom.extend(header, b"nothing", [])


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 2**40), min_size=1, max_size=40), st.sets(st.integers(0, 2**40), max_size=40))
def test_sizes_that_were_added_are_in_order_and_once(before: set[int], more: set[int]) -> None:
    assert extend_sizes(encode_sizes(KEY, before), KEY, more) == encode_sizes(KEY, before | more)


def test_a_body_is_pyblooms_own_file() -> None:
    data = bloom.build(header, KEY, ["a" * 64], capacity=50, error_rate=1e-6)
    made = BloomFilter(50 + bloom.CANARIES, 1e-6)
    for one in [*bloom.canaries(KEY), "a" * 64]:
        made.add(one)
    body = io.BytesIO()
    made.tofile(body)
    assert data.endswith(body.getvalue())
