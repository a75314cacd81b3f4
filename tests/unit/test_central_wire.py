"""What goes out: prefixes and sizes, no path, no name, no whole digest. And when it goes out again."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.central.client import Link
from hashscan.central.retry import Backoff, Quiet, retry_after
from hashscan.central.wire import (
    MAX_ITEMS,
    MAX_QUESTION_BYTES,
    PREFIX_DIGITS,
    chunks,
    encode_outcomes,
    encode_question,
    question,
)
from hashscan.errors import UsageError
from hashscan.model import Action, Algorithm, Candidate, ListRef, Outcome
from tests.support.hotline import LIST, NOW, candidate, hashed

ALL = tuple(Algorithm)


def test_a_question_names_prefixes_and_sizes_only() -> None:
    one = Candidate(hashed(b"harmless", b"customer/secret name.jpg", ALL, uid=4242, inode=987_654), (LIST,))
    asked = question(LIST, [one])
    body = encode_question(asked)
    assert json.loads(body) == {
        "list": {"id": "police", "version": 7, "epoch": 1},
        "nonce": asked.nonce,
        "items": [{"i": 0, "prefixes": {a.value: one.hashed.digests[a][:8] for a in ALL}, "size": 8}],
    }
    for secret in (
        b"secret",
        b"customer",
        b"srv",
        b"4242",
        b"987654",
        *(digest.encode() for digest in one.hashed.digests.values()),
    ):
        assert secret not in body
    assert PREFIX_DIGITS == 8


def test_nonces_are_fresh() -> None:
    nonces = {question(LIST, [candidate(b"x")]).nonce for _ in range(200)}
    assert len(nonces) == 200
    assert {len(nonce) for nonce in nonces} == {43}


def test_the_bounds_of_a_question() -> None:
    many = [Candidate(hashed(b"x", b"%d" % number, ALL, size=2**63 - 1), (LIST,)) for number in range(MAX_ITEMS)]
    longest = ListRef("x" * 64, 2**53, 2**31)
    assert len(encode_question(question(longest, many))) <= MAX_QUESTION_BYTES
    for wrong in ([], [*many, many[0]]):
        with pytest.raises(ValueError, match="1 to 100 items"):
            question(LIST, wrong)


@given(st.integers(0, 350))
def test_chunks_hold_everything_once_in_order(number: int) -> None:
    many = [candidate(b"", b"%d" % index) for index in range(number)]
    parts = list(chunks(many))
    assert list(itertools.chain(*parts)) == many
    assert all(0 < len(part) <= MAX_ITEMS for part in parts)


def test_outcomes_as_the_documentation_says() -> None:
    outcome = Outcome("o_1", "e_1", "police", "ab" * 32, Action.HELD, 1.5, 2.0)
    assert json.loads(encode_outcomes([outcome])) == {
        "outcomes": [
            {
                "id": "o_1",
                "entry": "e_1",
                "list": "police",
                "verdict": "ab" * 32,
                "action": "held",
                "first_seen": 1.5,
                "acted_at": 2.0,
            }
        ]
    }


# The address and the key.


@pytest.mark.parametrize(
    "url", ["https://h.example", "https://h.example:8443/base/", "http://127.0.0.1:8000", "http://localhost", "http://[::1]:1"]
)
def test_addresses(url: str) -> None:
    assert Link(url, "hsk_x").url == url


@pytest.mark.parametrize(
    "url",
    ["", "h.example", "ftp://h.example", "https://", "https:///x", "//h", "file:///etc/passwd", "http://h.example",
     "http://127.0.0.1.example.org", "http://2130706433", "http://localhost.example.org", "http://[::2]", "https://[::1",
     "https://h:99999", "https://h:x", "https://h:0", "https://user:secret@h.example", "https://user@h.example",
     "http://127.0.0.1@evil.example", "https://h.example?x=1", "https://h.example/#x", "http://0.0.0.0"],
)  # fmt: skip
def test_what_is_no_address_or_not_encrypted(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Link(url, "hsk_x")
    assert "secret" not in str(caught.value) + caught.value.hint


@pytest.mark.parametrize("key", ["", "a b", "a\nX: y", "a\r\n", "caf\u00e9", "\0", " a", "x" * 513])
def test_what_is_no_key_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(UsageError) as caught:
        Link("https://h.example", key)
    assert not key.strip() or key not in str(caught.value)


def test_a_link_shows_no_secret(tmp_path: Path) -> None:
    link = Link("https://h.example", "hsk_abc", tmp_path, "http://user:hidden@proxy:1")
    assert "hsk_abc" not in repr(link)
    assert "hidden" not in repr(link)


# Again.


@given(st.floats(0, 1), st.integers(1, 8))
def test_waits_double_up_to_the_most(jitter: float, attempts: int) -> None:
    waits = list(Backoff(first=0.5, most=8.0, attempts=attempts).waits(jitter))
    assert len(waits) == attempts - 1
    assert all(0.5 <= wait <= 12.0 for wait in waits)
    assert waits == sorted(waits)


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{1,5} \d\d:\d\d:\d\d [+-]?[0-9A-Z]{1,30}"))
def test_any_header_is_a_bounded_wait_or_none(header: str) -> None:
    wait = retry_after(header, NOW)
    assert wait is None or 0.0 <= wait <= 3600.0


@pytest.mark.parametrize(
    ("header", "wait"),
    [(None, None), ("", None), (" 5 ", 5.0), ("00000000000120", 120.0), ("9" * 5000, 3600.0), ("\u0665", None),
     ("-0", None), ("1e3", None),
     ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("Thu, 01 Jan 1970 00:00:00", 0.0), ("Fri, 31 Dec 9999 23:59:59 -2359", 3600.0)],
    ids=lambda one: str(one)[:30],
)  # fmt: skip
def test_retry_after(header: str | None, wait: float | None) -> None:
    assert retry_after(header, NOW) == wait


def test_quiet_doubles_until_a_success() -> None:
    quiet = Quiet(first=30.0, most=100.0)
    now, pauses = 0.0, []
    for _ in range(4):
        assert quiet.asks(now)
        quiet.failed(now, None)
        pause = next(step for step in range(1000) if quiet.asks(now + step))
        assert not quiet.asks(now + pause - 1)
        pauses.append(pause)
        now += pause
    assert pauses == [30, 60, 100, 100]
    quiet.failed(now, 500.0)
    assert not quiet.asks(now + 499)
    assert quiet.asks(now + 500)
    quiet.succeeded()
    quiet.failed(now, 0.0)
    assert quiet.asks(now + 30)
