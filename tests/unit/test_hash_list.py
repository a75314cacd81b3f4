"""Plain hash lists: every shape that the usual tools print, and what is refused with a reason."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.known.hash_list import BadLine, ParsedDigest, parse_line, read_lines, read_list
from hashscan.model import Algorithm

MD5, SHA1, S64 = "0123456789abcdef" * 2, "0123456789abcdef0123456789abcdef01234567", "0123456789abcdef" * 4
BOTH = (Algorithm.SHA256, Algorithm.BLAKE3)


@pytest.mark.parametrize(
    ("line", "algorithms"),
    [
        (MD5, (Algorithm.MD5,)),
        (SHA1, (Algorithm.SHA1,)),
        (S64, BOTH),
        (SHA1.upper(), (Algorithm.SHA1,)),
        (f"  {SHA1} \t", (Algorithm.SHA1,)),
        (f"{MD5}  a file.jpg", (Algorithm.MD5,)),
        (f"{MD5} *a file.jpg", (Algorithm.MD5,)),
        (f"{MD5}\ta.jpg", (Algorithm.MD5,)),
        (f"\\{MD5}  a\\nb.jpg", (Algorithm.MD5,)),
        (f"{S64}  b3.jpg", BOTH),
        (f"{MD5}  MD5 (x) = {MD5}", (Algorithm.MD5,)),
        (f"MD5 (a.jpg) = {MD5}", (Algorithm.MD5,)),
        (f"SHA1 (a (1).jpg) = {SHA1}", (Algorithm.SHA1,)),
        (f"SHA1(a.jpg)= {SHA1}", (Algorithm.SHA1,)),
        (f"SHA2-256(a.jpg)= {S64}", (Algorithm.SHA256,)),
        (f"SHA256 (x) = {S64}", (Algorithm.SHA256,)),
        (f"BLAKE3 (x) = {S64}", (Algorithm.BLAKE3,)),
        (f"\\SHA1 (a\\nb) = {SHA1}", (Algorithm.SHA1,)),
        (f"MD5 (x) = {MD5}) = {MD5}", (Algorithm.MD5,)),
    ],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_digest_is_read(line: str, algorithms: tuple[Algorithm, ...], end: str) -> None:
    parsed = parse_line((line + end).encode())
    assert parsed is not None
    assert parsed.algorithms == algorithms
    assert parsed.digest == bytes.fromhex(S64)[: algorithms[0].digest_size]


@pytest.mark.parametrize("line", [b"", b"\n", b"  \r\n", b"# made in 2019", b"  # " + MD5.encode()])
def test_nothing_is_nothing(line: bytes) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    ("line", "word"),
    [
        (MD5[:-1].encode(), "31 hex digits"),
        (b"0" * 128, "128 hex digits"),
        (b"deadbeef  crc.jpg", "8 hex digits"),
        (b"g" * 32, "does not begin with a digest"),
        (b"md5,sha1", "does not begin with a digest"),
        (b"<html>", "does not begin with a digest"),
        (f"SHA512 (x) = {S64}".encode(), "SHA512 are not supported"),
        (f"MD5 (x) = {SHA1}".encode(), "md5 has 32"),
        (f"\\{MD5}".encode(), "no file name"),
        (MD5.encode("utf-16-le"), "UTF-16"),
        (f"{MD5[:30]} {MD5[:1]}".encode(), "30 hex digits"),
    ],
)
def test_what_is_no_digest_is_said_without_repeating_it(line: bytes, word: str) -> None:
    with pytest.raises(BadLine, match=word) as caught:
        parse_line(line)
    assert MD5[:8] not in str(caught.value)


def test_sixty_four_digits_are_what_the_caller_says() -> None:
    for algorithm in BOTH:
        assert parse_line(S64.encode(), algorithm) == ParsedDigest(bytes.fromhex(S64), (algorithm,))
    assert parse_line(SHA1.encode(), Algorithm.BLAKE3) == ParsedDigest(bytes.fromhex(SHA1), (Algorithm.SHA1,))
    assert parse_line(f"SHA256 (x) = {S64}".encode(), Algorithm.BLAKE3) == ParsedDigest(bytes.fromhex(S64), (Algorithm.SHA256,))
    with pytest.raises(ValueError, match="cannot be md5"):
        parse_line(S64.encode(), Algorithm.MD5)


_DIGESTS = st.sampled_from([16, 20, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size))
_NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"\n" not in name and name.strip() and b"\0" not in name)


@given(_DIGESTS, _NAMES, st.sampled_from([b"  ", b" *"]), st.booleans())
def test_any_name_after_a_digest_is_read_over(digest: bytes, name: bytes, between: bytes, upper: bool) -> None:
    text = digest.hex().upper() if upper else digest.hex()
    parsed = parse_line(text.encode() + between + name)
    assert parsed is not None
    assert parsed.digest == digest


@given(st.binary(max_size=200))
def test_whatever_comes_is_a_digest_nothing_or_a_bad_line(line: bytes) -> None:
    try:
        parsed = parse_line(line)
    except BadLine:
        return
    assert parsed is None or {len(parsed.digest)} == {algorithm.digest_size for algorithm in parsed.algorithms}


@given(st.lists(st.one_of(_DIGESTS.map(lambda digest: digest.hex().encode()), st.just(b""), st.just(b"# x"), st.just(b"junk"))))
def test_line_numbers_are_those_of_an_editor(lines: list[bytes]) -> None:
    found = dict(read_list(io.BytesIO(b"\n".join(lines))))
    for number, line in enumerate(lines, 1):
        if line in (b"", b"# x"):
            assert number not in found
        elif line == b"junk":
            assert isinstance(found[number], BadLine)
        else:
            one = found[number]
            assert not isinstance(one, BadLine)
            assert one.digest.hex() == line.decode()


def test_a_byte_order_mark_is_read_over_once() -> None:
    found = list(read_list(io.BytesIO(b"\xef\xbb\xbf" + MD5.encode() + b"\r\n\xef\xbb\xbf" + MD5.encode())))
    assert not isinstance(found[0][1], BadLine)
    assert isinstance(found[1][1], BadLine)


class _Zeros(io.RawIOBase):
    """``size`` bytes of x without a line end, then a good line."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._tail = b"\n" + MD5.encode() + b"\n"

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self._left)
        if count:
            self._left -= count
            buffer[:count] = b"x" * count
            return count
        count = min(len(buffer), len(self._tail))
        buffer[:count] = self._tail[:count]
        self._tail = self._tail[count:]
        return count


def test_an_endless_line_is_one_bad_line_and_costs_no_memory() -> None:
    size = 64 * 2**20
    with io.BufferedReader(_Zeros(size)) as stream:
        tracemalloc.start()
        try:
            found = list(read_list(stream))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert [number for number, _ in found] == [1, 2]
    assert isinstance(found[0][1], BadLine)
    assert not isinstance(found[1][1], BadLine)
    assert peak < 2**20, f"{peak} bytes for a line of {size}"


def test_the_bound_of_a_line_is_exact() -> None:
    good = b"x" * 9 + b"\n"
    assert list(read_lines(io.BytesIO(b"x" * 10 + b"\n" + good), max_line_bytes=10)) == [(1, b"x" * 10 + b"\n"), (2, good)]
    (_, first), (number, second) = read_lines(io.BytesIO(b"x" * 11 + b"\n" + good), max_line_bytes=10)
    assert isinstance(first, BadLine)
    assert (number, second) == (2, good)
