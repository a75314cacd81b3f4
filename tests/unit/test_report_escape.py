"""Names for terminals: printable, one line, and the same bytes back."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hashscan.errors import UsageError
from hashscan.report.escape import escape, printable, unescape
from tests.support.nouns import HOSTILE


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"", ""),
        (b"plain name.jpg", "plain name.jpg"),
        ("café 日本".encode(), "café 日本"),
        (b"a\nb\tc\rd", r"a\nb\tc\rd"),
        (b"back\\slash", r"back\\slash"),
        (rb"\n", r"\\n"),
        (b"\x1b[31m\x07\x7f\x00", r"\x1b[31m\x07\x7f\x00"),
        (b"\xff\x80", r"\xff\x80"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80"),  # a surrogate in UTF-8 is not UTF-8
        ("\u0085".encode(), r"\u0085"),  # C1: next line
        ("\u202e\u2066\u200f".encode(), r"\u202e\u2066\u200f"),  # bidi
        ("\u2028\u2029\u00a0".encode(), r"\u2028\u2029\u00a0"),
        ("\U000e0001".encode(), r"\U000e0001"),  # a tag character: Cf beyond the basic plane
        ("\ufeff\u200b".encode(), r"\ufeff\u200b"),
    ],
)
def test_escape_shows_names_so(name: bytes, shown: str) -> None:
    assert escape(name) == shown
    assert unescape(shown) == name


@given(st.binary(max_size=300))
@example(HOSTILE)
@example(b"\\x41\\u0041\\")
def test_any_bytes_come_back(name: bytes) -> None:
    shown = escape(name)
    assert shown.isprintable()
    assert unescape(shown) == name


@given(st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")))
def test_any_text_comes_back(name: bytes) -> None:
    assert escape(name).isprintable()
    assert unescape(escape(name)) == name


def test_two_names_never_look_the_same() -> None:
    names = [b"\n", rb"\n", rb"\\n", b"\xff", rb"\xff", "\u00ff".encode(), rb"\u00ff", "\u202e".encode(), rb"\u202e"]
    assert len({escape(name) for name in names}) == len(names)


@pytest.mark.parametrize("text", ["\\", "a\\q", "\\x4", "\\xAB", "\\u12", "\\ud800", "\\U00110000", "\ud800", "\\x"])
def test_unescape_refuses_what_escape_never_writes(text: str) -> None:
    with pytest.raises(UsageError):
        unescape(text)


def test_a_path_of_60_kb_is_no_trouble() -> None:
    name = b"\xff/" * 30_000
    assert unescape(escape(name)) == name


@given(st.text(max_size=200))
@example("a\udcffb\ud800")
def test_printable_is_printable_and_settled(text: str) -> None:
    once = printable(text)
    assert once.isprintable()
    assert printable(once) == once


def test_printable_leaves_backslashes() -> None:
    assert printable("C:\\x\n\x1b\udcff\ud800\u202e") == r"C:\x" + r"\n\x1b\xff\ud800\u202e"
