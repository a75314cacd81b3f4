"""The file of withdrawn entries: read strictly, bounded, and asked by entry and by digests."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashscan.errors import FilterError
from hashscan.known.keys import KeyRing, ProviderKey, token
from hashscan.known.withdrawn import MAX_WITHDRAWALS, Withdrawal, Withdrawn, decode, encode
from hashscan.model import Algorithm, ListRef
from tests.support.budget import attempts
from tests.support.hotline import raw

LIST = ListRef("police", 7, 2)
RING = KeyRing({1: ProviderKey(bytes(32)), 2: ProviderKey(bytes(range(32)))})
TOKEN = "ab" * 32


def tokens(content: bytes, *algorithms: Algorithm, ref: ListRef = LIST) -> tuple[str, ...]:
    key = RING.filter_key(ref.id, ref.epoch)
    return tuple(token(key, one, raw(one, content)) for one in algorithms)


def digests(content: bytes, *algorithms: Algorithm) -> dict[Algorithm, str]:
    return {one: raw(one, content).hex() for one in algorithms or tuple(Algorithm)}


BOTH = (Algorithm.MD5, Algorithm.SHA1)
MISTAKE = Withdrawal("e_1", tokens(b"harmless", *BOTH), 5.0)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text("abc123_", min_size=1, max_size=10), st.integers(0, 4), max_size=5), st.floats(0, 1e9))
def test_what_was_written_is_read(entries: dict[str, int], at: float) -> None:
    rows = tuple(Withdrawal(entry, (TOKEN,) * count, at) for entry, count in entries.items())
    assert decode(encode(LIST, rows), LIST) == rows


def document(**changes: Any) -> bytes:
    told = {"format": 1, "list": "police", "version": 7, "epoch": 2, **changes}
    told.setdefault("withdrawn", [{"entry": "e_1", "tokens": [TOKEN], "at": 1.0}])
    return json.dumps({key: value for key, value in told.items() if value is not None}).encode()


def row(**changes: Any) -> list[dict[str, Any]]:
    return [{"entry": "e_1", "tokens": [TOKEN], "at": 1.0, **changes}]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        document()[:-1],
        document(format=2),
        document(format=None),
        document(list="hotline"),
        document(list="../police"),
        document(version=6),
        document(epoch=1),
        document(withdrawn=None),
        document(withdrawn={}),
        document(withdrawn=row() + row()),
        document(withdrawn=row(entry="")),
        document(withdrawn=row(entry="x" * 65)),
        document(withdrawn=row(entry="\u001b")),
        document(withdrawn=row(tokens=[TOKEN[:-1]])),
        document(withdrawn=row(tokens=[TOKEN.upper()])),
        document(withdrawn=row(tokens=[TOKEN] * 5)),
        document(withdrawn=row(tokens="ab")),
        document(withdrawn=row(at=-1)),
        document(withdrawn=row(at="1")),
        document().replace(b"1.0", b"NaN"),
        document().replace(b'"format": 1', b'"format": 1, "format": 1'),
        b'{"a":' * 1000,
    ],
)
def test_what_is_no_list_of_withdrawn_entries_is_refused(data: bytes) -> None:
    with pytest.raises(FilterError, match="police"):
        decode(data, LIST)


def test_control_what_the_refusals_are_made_of_is_read() -> None:
    (one,) = decode(document() + b" ", LIST)
    assert one == Withdrawal("e_1", (TOKEN,), 1.0)
    assert decode(document(withdrawn=row(), other=1), LIST) == (one,), "a later version may say more"


def test_more_than_there_may_be_is_neither_written_nor_read() -> None:
    rows = [{"entry": f"e_{number}", "tokens": [], "at": 0} for number in range(MAX_WITHDRAWALS + 1)]
    assert len(decode(document(withdrawn=rows[:-1]), LIST)) == MAX_WITHDRAWALS
    with pytest.raises(FilterError):
        decode(document(withdrawn=rows), LIST)
    with pytest.raises(FilterError):
        encode(LIST, (Withdrawal(f"e_{number}", (), 0.0) for number in range(MAX_WITHDRAWALS + 1)))
    with pytest.raises(FilterError):
        decode(document() + b" " * (16 * 2**20), LIST)


@settings(max_examples=attempts(300), deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_whatever_comes_is_read_or_refused(data: bytes, at: int, byte: int) -> None:
    flipped = bytearray(document())
    flipped[at % len(flipped)] = byte
    for one in (data, bytes(flipped), document()[: at % 100] + data):
        try:
            rows = decode(one, LIST)
        except FilterError:
            continue
        assert all(len(each) == 64 for each_row in rows for each in each_row.tokens)


def test_asked_by_entry_and_by_digests() -> None:
    asked = Withdrawn({LIST: [MISTAKE]}, RING)
    assert len(asked) == 1
    assert list(asked) == [(LIST, MISTAKE)]
    assert asked.entry("police", "e_1") is MISTAKE
    assert asked.entry("police", "e_2") is None
    assert asked.entry("hotline", "e_1") is None
    assert asked.covers("police", digests(b"harmless")) is MISTAKE
    assert asked.covers("police", digests(b"harmless", Algorithm.SHA1)) is MISTAKE
    assert asked.covers("police", digests(b"other")) is None
    assert asked.covers("hotline", digests(b"harmless")) is None
    assert Withdrawn({ListRef("police", 8, 1): [MISTAKE]}, RING).covers("police", digests(b"harmless")) is None, "another epoch"
    assert len(Withdrawn({}, RING)) == 0


def test_a_collision_of_md5_frees_no_file() -> None:
    """Who can make a file with the MD5 of a withdrawn one has not withdrawn it."""
    asked = Withdrawn({LIST: [MISTAKE]}, RING)
    planted = {**digests(b"harmless", Algorithm.MD5), **digests(b"listed", Algorithm.SHA1)}
    assert asked.covers("police", planted) is None
    only = Withdrawal("e_2", tokens(b"harmless", Algorithm.MD5), 5.0)
    assert Withdrawn({LIST: [only]}, RING).covers("police", planted) is only, "where there is nothing stronger"
