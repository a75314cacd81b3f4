"""JSON from outside: what is read, what is refused, and that it is refused fast."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.strict_json import MAX_DEPTH, Fields, StrictJsonError, parse_object

BIG = 20_000_000


def refused(data: bytes, max_bytes: int = BIG) -> str:
    started = time.monotonic()
    with pytest.raises(StrictJsonError) as caught:
        parse_object(data, max_bytes=max_bytes)
    assert time.monotonic() - started < 2
    return str(caught.value)


TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), TREES, max_size=5), st.booleans())
def test_what_json_writes_is_read(document: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(document, ensure_ascii=ascii_only, allow_nan=False)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    assert parse_object(data, max_bytes=len(data), max_depth=99) == document


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_refused(data: bytes) -> None:
    try:
        assert isinstance(parse_object(data, max_bytes=100), dict)
    except StrictJsonError:
        assert data != b"{}"


@pytest.mark.parametrize(
    "data",
    [b"", b" ", b"null", b"true", b"1", b'"x"', b"[]", b"[{}]", b"{", b"}", b"{}{}", b"{}x", b"\xef\xbb\xbf{}", b"\xff",
     b"{'a': 1}",
     b'{"a": 1,}', b'{"a": 01}', b'{"a": .5}', b'{"a": "\n"}', b'{"a": "\\x"}',
     '{"a": 1}'.encode("utf-16"), b'{"a": \x00}', b"{a: 1}"],
    ids=repr,
)  # fmt: skip
def test_what_is_no_object(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize(
    "number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 21, "-" + "9" * 20, "9" * 5000, "1e" + "9" * 99]
)
def test_numbers_that_are_none(number: str) -> None:
    assert "number" in refused(b'{"a": [' + number.encode() + b"]}")


@pytest.mark.parametrize("data", [b'{"a": 1, "a": 1}', b'{"x": {"a": 1, "b": 2, "a": 3}}', b'{"a": 1, "\\u0061": 2}'])
def test_a_key_twice(data: bytes) -> None:
    assert "twice" in refused(data)


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return b'{"a":' + opening * depth + b"0" * (opening != b"[") + closing * depth + b"}"


def test_depth() -> None:
    assert parse_object(nested(MAX_DEPTH - 1), max_bytes=BIG)
    assert parse_object(nested(MAX_DEPTH - 1, b'{"a":', b"}"), max_bytes=BIG)
    for depth in (MAX_DEPTH, 1000, 1_000_000):
        assert "deeper" in refused(nested(depth))
        assert "deeper" in refused(nested(depth, b'{"a":', b"}"))
    assert parse_object(b'{"a": "' + b"[" * 1000 + b'\\"{{{{"}', max_bytes=BIG), "brackets in a text are no depth"
    assert parse_object(b'{"a": [' + b"[]," * 1000 + b"[]]}", max_bytes=BIG), "many are not deep"
    for trick in (b"]" * 1000 + b"[" * 1000, b'{"a": "\\' + b"[" * 9999, b'{"' + b"[" * 99_999, b"\\" + b"[" * 99_999):
        refused(trick)


def test_bytes() -> None:
    data = b'{"a": 1}'
    assert parse_object(data, max_bytes=len(data))
    assert "longer" in refused(data, len(data) - 1)
    assert "longer" in refused(b" " * (BIG + 1))


# Fields.

FIELDS = Fields(
    {"text": "x", "empty": "", "int": 5, "float": 1.5, "true": True, "null": None, "list": [{"a": 1}], "texts": ["a"],
     "object": {"b": 2},
     "hex": "0af9", "long": "y" * 300},
    "it",
)  # fmt: skip


def test_fields_are_what_they_promise() -> None:
    assert FIELDS.text("text") == "x"
    assert FIELDS.text("empty", min_chars=0) == ""
    assert FIELDS.text("long", max_chars=300)
    assert FIELDS.hex("hex", digits=4) == "0af9"
    assert FIELDS.integer("int", low=5, high=5) == 5
    assert FIELDS.number("int") == 5.0
    assert isinstance(FIELDS.number("int"), float)
    assert FIELDS.number("float") == 1.5
    assert [one.integer("a") for one in FIELDS.objects("list", at_most=1)] == [1]
    assert FIELDS.texts("texts", at_most=1) == ["a"]
    assert FIELDS.object("object").integer("b") == 2
    assert FIELDS.is_null("null")
    assert FIELDS.is_null("missing")
    assert not FIELDS.is_null("empty")
    assert "hex" in FIELDS.names()


READERS: dict[str, tuple[Callable[[Fields, str], Any], set[str]]] = {
    "text": (lambda f, key: f.text(key), {"text"}),
    "hex": (lambda f, key: f.hex(key, digits=4), {"hex"}),
    "integer": (lambda f, key: f.integer(key), {"int"}),
    "number": (lambda f, key: f.number(key), {"int", "float"}),
    "objects": (lambda f, key: f.objects(key, at_most=1), {"list"}),
    "texts": (lambda f, key: f.texts(key, at_most=1), {"texts"}),
    "object": (lambda f, key: f.object(key), {"object"}),
}


@pytest.mark.parametrize("reader", READERS)
def test_every_other_type_is_refused_with_its_name(reader: str) -> None:
    read, good = READERS[reader]
    texts = {"text", "hex"} if reader == "text" else set()
    for key in (*FIELDS.names(), "missing"):
        if key in good | texts:
            read(FIELDS, key)
            continue
        with pytest.raises(StrictJsonError, match=f"it.*{key}"):
            read(FIELDS, key)


@pytest.mark.parametrize("text", ["\n", "a\0", "\x1b[31m", "\x7f", "\x9b31m", "\ud800", "a\udfff", "\r"])
def test_a_text_has_no_control_characters_and_can_be_written(text: str) -> None:
    with pytest.raises(StrictJsonError):
        Fields({"a": text}, "it").text("a")


@given(st.text(min_size=1, max_size=20))
def test_a_text_that_is_taken_can_be_written(text: str) -> None:
    try:
        taken = Fields({"a": text}, "it").text("a")
    except StrictJsonError:
        return
    assert taken.encode().decode() == text


@pytest.mark.parametrize("value", [-1, 2**63, -0.5, 2.6e11, math.inf, math.nan, True, "1", None, [1]])
def test_numbers_have_bounds(value: Any) -> None:
    with pytest.raises(StrictJsonError):
        Fields({"a": value}, "it").number("a")
    with pytest.raises(StrictJsonError):
        Fields({"a": value}, "it").integer("a", high=2**62)


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_what_is_no_object_has_no_fields(value: Any) -> None:
    with pytest.raises(StrictJsonError):
        Fields(value, "it")
