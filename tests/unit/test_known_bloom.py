"""Filter files: what a publisher makes is opened, what an attacker makes is refused, and fast. Answers are pybloom's own."""

from __future__ import annotations

import io
import json
import math
import random
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from pybloom_live import BloomFilter

from hashscan.errors import FilterError
from hashscan.known import selftest
from hashscan.known.bloom import Bloom, canaries, open_filter
from hashscan.known.container import BLOOM_HEADER, FilterHeader, Shape, check_fill, check_shape, split
from hashscan.known.keys import ProviderKey, token
from hashscan.model import Algorithm, ListRef
from hashscan.strict_json import StrictJsonError
from tests.support.budget import attempts
from tests.support.hotline import BOTH, LIST, NOW, PROVIDER, build_filter, raw

KEY = ProviderKey(bytes(range(32)))
FILTER_KEY = KEY.filter_key(LIST.id, LIST.epoch)
CONTENTS = [selftest.CONTENT, *(b"harmless %d" % number for number in range(40))]
GOOD = build_filter(KEY, LIST, CONTENTS)
PREFIX = struct.Struct("<8sHI")
QUICK = 0.5  # seconds; a refusal takes far less, pybloom's own loader 20 s for k = 2^40


def pieces(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Header and body, read the plain way."""
    _, _, length = PREFIX.unpack(data[: PREFIX.size])
    return json.loads(data[PREFIX.size : PREFIX.size + length]), data[PREFIX.size + length :]


def joined(header: dict[str, Any] | bytes, body: bytes, *, magic: bytes = b"HSFILTER", form: int = 1) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return PREFIX.pack(magic, form, len(text)) + text + body


def forged(body: bytes, **changes: Any) -> bytes:
    """A file whose checksum and length the attacker has made right again."""
    header, _ = pieces(GOOD)
    return joined({**header, "body_length": len(body), "body_blake3": blake3(body).hexdigest(), **changes}, body)


def opened(tmp_path: Path, data: bytes, expect: ListRef = LIST, key: bytes = FILTER_KEY) -> Bloom:
    path = tmp_path / "one.filter"
    path.write_bytes(data)
    return open_filter(path, expect, key)


def refused(tmp_path: Path, data: bytes, key: bytes = FILTER_KEY) -> str:
    started = time.monotonic()
    with pytest.raises(FilterError) as caught:
        opened(tmp_path, data, key=key)
    assert time.monotonic() - started < QUICK
    assert caught.value.hint
    return str(caught.value)


def test_control_what_a_publisher_makes_is_opened(tmp_path: Path) -> None:
    bloom = opened(tmp_path, GOOD)
    assert len(bloom) == 2 * len(CONTENTS) + 16
    assert bloom.header.provider == PROVIDER
    assert bloom.header.created == NOW
    assert opened(tmp_path, forged(pieces(GOOD)[1])), "the forger's tools make a good file where nothing is changed"


@pytest.mark.parametrize("sizes", [(), (1, 2, 3000)], ids=["no sizes", "sizes"])
def test_the_header_round_trips(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    data = build_filter(KEY, LIST, CONTENTS, sizes=[*sizes, len(selftest.CONTENT)] if sizes else ())
    header, body, section = split(memoryview(data), "x")
    assert header.encode() + body + section == data
    assert bool(section) == bool(sizes)
    assert opened(tmp_path, data)


# The header.

WRONG_VALUES: dict[str, list[Any]] = {
    "list": [None, "", "x" * 65, "Police", "a/b", "..\n", 3, "p\u00f6lice", "other"],
    "version": [None, 0, -1, 2**53 + 1, 7.0, "7", True, 6, 8],
    "epoch": [None, 0, -1, 2**31 + 1, 1.0, "1", True, 2],
    "provider": [None, "", "x" * 65, 3, "a\nb"],
    "algorithms": [None, [], ["md5", "md5"], ["sha512"], "md5", [1], ["md5", "sha1", "sha256", "blake3", "md5"], {"md5": 1}],
    "created": [None, -1, "1", True, 1e13, [1]],
    "entries": [None, -1, 10**8 + 1, 1.5, "3"],
    "tokens": [None, 0, -1, 4 * 10**8 + 17, 1, 97, 99, 98.0, "98"],
    "error_rate": [None, 0, -1, 1, 0.5, 1e-13, "1e-6", 2e-6, 1e-5],
    "body_length": [None, 0, 40, 2**31 + 1, 1, 1e3, "9"],
    "body_blake3": [None, "", "0" * 64, "0" * 63, 5, "Z" * 64],
}


def test_the_table_of_wrong_values_names_every_field() -> None:
    assert set(WRONG_VALUES) == set(pieces(GOOD)[0])


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG_VALUES.items() for value in values])
def test_no_field_of_the_header_is_believed(tmp_path: Path, field: str, value: Any) -> None:
    header, body = pieces(GOOD)
    refused(tmp_path, joined({**header, field: value}, body))
    without = {name: one for name, one in header.items() if name != field}
    refused(tmp_path, joined(without, body))


@pytest.mark.parametrize(
    "head",
    [
        b"[1]",
        b"",
        b"{",
        b'{"list": "police", "list": "police"}',
        b'{"created": NaN}',
        b'{"created": 1e999}',
        b"[" * 60_000,
        b'{"a":' * 30 + b"1" + b"}" * 30,
        b"\xff\xfe",
        b'{"entries": ' + b"9" * 60_000 + b"}",
    ],
    ids=lambda head: repr(head[:20]),
)
def test_a_header_that_is_no_object(tmp_path: Path, head: bytes) -> None:
    refused(tmp_path, joined(head, pieces(GOOD)[1]))


@pytest.mark.parametrize(("magic", "form"), [(b"HSFILTES", 1), (b"\0" * 8, 1), (b"HSFILTER", 0), (b"HSFILTER", 2)])
def test_magic_and_format(tmp_path: Path, magic: bytes, form: int) -> None:
    header, body = pieces(GOOD)
    refused(tmp_path, joined(header, body, magic=magic, form=form))


@pytest.mark.parametrize("length", [0, 1, 65_537, 2**31, 2**32 - 1, len(GOOD)])
def test_the_length_of_the_header_is_not_believed(tmp_path: Path, length: int) -> None:
    refused(tmp_path, PREFIX.pack(b"HSFILTER", 1, length) + GOOD[PREFIX.size :])


def test_unknown_keys_may_be_added(tmp_path: Path) -> None:
    header, body = pieces(GOOD)
    assert opened(tmp_path, joined({**header, "later": [1, {"x": 2}]}, body))


# Damage.


def test_truncated_anywhere_or_longer(tmp_path: Path) -> None:
    header_end = len(GOOD) - len(pieces(GOOD)[1])
    lengths = {*range(PREFIX.size + 2), *range(PREFIX.size, header_end, 7), *range(header_end - 2, header_end + 43)}
    lengths |= {*range(header_end, len(GOOD), 11), len(GOOD) - 1}
    for length in sorted(lengths):
        refused(tmp_path, GOOD[:length])
    refused(tmp_path, GOOD + b"\0")
    refused(tmp_path, GOOD * 2)


def test_a_flipped_bit_anywhere(tmp_path: Path) -> None:
    """A flip in the header may leave a header that says the same (a space, a digit of ``created``): then it is no lie."""
    harmless, count = 0, 0
    picked = random.Random(1)
    header_end = len(GOOD) - len(pieces(GOOD)[1])
    places = [*range(header_end), *(picked.randrange(header_end, len(GOOD)) for _ in range(attempts(300)))]
    for place in places:
        damaged = bytearray(GOOD)
        damaged[place] ^= 1 << picked.randrange(8)
        count += 1
        if place >= header_end:
            refused(tmp_path, bytes(damaged))
            continue
        try:
            opened(tmp_path, bytes(damaged))
        except FilterError:
            continue
        changed = {name for name, value in pieces(bytes(damaged))[0].items() if pieces(GOOD)[0].get(name) != value}
        assert changed <= {"created", "entries", "provider"}, "what nothing depends on and the metadata's checksum covers"
        harmless += 1
    print(f"{count} flips, {harmless} without consequence")


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_bytes(b""), lambda path: None])
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.filter")
    with pytest.raises(FilterError, match=r"x\.filter"):
        open_filter(tmp_path / "x.filter", LIST, FILTER_KEY)


# Bodies by an attacker who makes the checksums right.


def shaped(**changes: Any) -> bytes:
    """The body with another pybloom header; bits as they are."""
    body = pieces(GOOD)[1]
    names = ("error_rate", "slices", "bits", "capacity", "count")
    fields = dict(zip(names, BLOOM_HEADER.unpack(body[: BLOOM_HEADER.size]), strict=True))
    return BLOOM_HEADER.pack(*{**fields, **changes}.values()) + body[BLOOM_HEADER.size :]


@pytest.mark.parametrize(
    "changes",
    [
        {"slices": 0},
        {"slices": 2**40},
        {"slices": 2**64 - 1},
        {"slices": 1},
        {"slices": 19},
        {"bits": 0},
        {"bits": 1},
        {"bits": 2**63},
        {"slices": 0, "bits": 0},
        {"capacity": 0},
        {"capacity": 97},
        {"capacity": 2**60},
        {"count": 0},
        {"count": 97},
        {"count": 2**60},
        {"error_rate": math.nan},
        {"error_rate": 0.0},
        {"error_rate": 1.0},
        {"error_rate": -1e-6},
        {"error_rate": math.inf},
    ],
    ids=str,
)
def test_the_numbers_of_the_body_are_not_believed(tmp_path: Path, changes: dict[str, Any]) -> None:
    refused(tmp_path, forged(shaped(**changes)))


def test_a_header_that_agrees_with_a_false_body_does_not_help(tmp_path: Path) -> None:
    for slices, bits in [(0, 0), (0, 2**40), (2**40, 0), (1, 8)]:
        body = BLOOM_HEADER.pack(1e-6, slices, bits, 98, 98) + bytes((slices * bits + 7) // 8 or 1)
        refused(tmp_path, forged(body, tokens=98))


def bits_of(byte: Callable[[], int]) -> bytes:
    body = pieces(GOOD)[1]
    return body[: BLOOM_HEADER.size] + bytes(byte() for _ in range(len(body) - BLOOM_HEADER.size))


@pytest.mark.parametrize("value", [0, 0xFF, 0xFE, 0xEE, 0x55, 0x01])
def test_a_body_of_one_byte_over_and_over(tmp_path: Path, value: int) -> None:
    refused(tmp_path, forged(bits_of(lambda: value)))


def test_a_body_of_noise_with_the_right_fill(tmp_path: Path) -> None:
    noise = random.Random(2)
    assert "canaries" in refused(tmp_path, forged(bits_of(lambda: noise.getrandbits(8))))


def test_a_filter_of_another_provider_list_or_epoch(tmp_path: Path) -> None:
    others = [ProviderKey(bytes(32)).filter_key(LIST.id, LIST.epoch), KEY.filter_key("b", 1), KEY.filter_key(LIST.id, 2)]
    for key in [*others, KEY.confirm_key(LIST.id, LIST.epoch)]:
        assert "canaries" in refused(tmp_path, GOOD, key)
    for expect in [ListRef("b", 7, 1), ListRef("police", 8, 1), ListRef("police", 7, 2)]:
        with pytest.raises(FilterError, match="signed metadata"):
            opened(tmp_path, GOOD, expect)


def test_without_the_self_test_file(tmp_path: Path) -> None:
    assert "self-test" in refused(tmp_path, build_filter(KEY, LIST, CONTENTS[1:]))


@pytest.mark.parametrize("algorithms", [BOTH, (Algorithm.SHA256,), tuple(Algorithm)], ids=str)
@pytest.mark.parametrize("content", selftest.TRIVIAL, ids=repr)
def test_a_trivial_content_is_refused(tmp_path: Path, content: bytes, algorithms: tuple[Algorithm, ...]) -> None:
    assert "trivial" in refused(tmp_path, build_filter(KEY, LIST, [*CONTENTS, content], algorithms))


def test_the_size_section_is_checked(tmp_path: Path) -> None:
    sizes = [1, 2, 3, len(selftest.CONTENT)]
    good = build_filter(KEY, LIST, CONTENTS, sizes=sizes)
    assert opened(tmp_path, good).sizes is not None
    refused(tmp_path, good[:-8])
    refused(tmp_path, good[:-1])
    refused(tmp_path, good[:-1] + bytes([good[-1] ^ 1]))
    header, rest = pieces(good)
    wrong: dict[str, list[Any]] = {"sizes_length": [0, 7, -8, 12, 2**40, "8", True], "sizes_blake3": [None, "", "0" * 64, 3]}
    for name, values in wrong.items():
        for value in values:
            refused(tmp_path, joined({**header, name: value}, rest))


# Answers.


def pybloom(data: bytes) -> BloomFilter:
    header, body = pieces(data)
    return BloomFilter.fromfile(io.BytesIO(body[: header["body_length"]]))


@pytest.mark.parametrize("error_rate", [1e-3, 1e-6, 1e-9, 1e-12])
@pytest.mark.parametrize("number", [1, 30, 3_000])
def test_answers_are_those_of_pybloom(tmp_path: Path, error_rate: float, number: int) -> None:
    contents = [selftest.CONTENT, *(b"harmless %d" % one for one in range(number))]
    data = build_filter(KEY, LIST, contents, error_rate=error_rate, capacity=3 * number + 10)
    bloom, plain = opened(tmp_path, data), pybloom(data)
    present = [token(FILTER_KEY, algorithm, raw(algorithm, content)) for content in contents for algorithm in BOTH]
    absent = [blake3(b"%d" % one).hexdigest() for one in range(attempts(20_000 if error_rate == 1e-3 else 3_000))]
    assert all(element in bloom and bloom.screen([element]) for element in present)
    yes = sum(element in plain for element in absent)
    for element in absent:
        assert (element in bloom) == (element in plain)
        assert bloom.screen([element]) or element not in plain
    first_look = len(bloom.screen(absent))
    assert yes <= first_look < len(absent) / 8, "the first look must say no to most"


@pytest.mark.parametrize(
    ("error_rate", "capacity"),
    [(1e-6, 17), (1e-6, 22_700), (1e-6, 22_800), (1e-3, 22_700), (1e-3, 23_000), (1e-12, 22_700), (0.9e-3, 46_000)],
)
def test_the_first_look_follows_pybloom_where_its_words_grow(error_rate: float, capacity: int) -> None:
    """pybloom takes wider words from 32,768 bits a slice on, and another hash function by the number of slices."""
    plain = BloomFilter(capacity, error_rate)
    elements = [blake3(b"%d" % one).hexdigest() for one in range(capacity)]
    for element in elements:
        plain.add(element, skip_check=True)
    out = io.BytesIO()
    plain.tofile(out)
    body = out.getvalue()
    header = FilterHeader(LIST, PROVIDER, BOTH, NOW, 1, capacity, error_rate, len(body), "")
    bloom = Bloom(header, memoryview(body))
    assert all(element in bloom and bloom.screen([element]) for element in elements)
    for one in range(3_000):
        element = blake3(b"other %d" % one).hexdigest()
        assert (element in bloom) == (element in plain)
        assert bloom.screen([element]) or element not in plain


@settings(max_examples=attempts(60), deadline=None)
@given(st.sets(st.binary(max_size=8), min_size=1, max_size=60), st.floats(1e-12, 1e-3), st.integers(0, 50))
def test_never_a_false_negative(contents: set[bytes], error_rate: float, room: int) -> None:
    data = build_filter(KEY, LIST, contents, error_rate=error_rate, capacity=2 * len(contents) + room)
    header, body, _ = split(memoryview(data), "x")
    bloom = Bloom(header, body)
    for content in contents:
        for algorithm in BOTH:
            element = token(FILTER_KEY, algorithm, raw(algorithm, content))
            assert element in bloom
            assert bloom.screen([element])
    assert all(element in bloom for element in canaries(FILTER_KEY))


@pytest.mark.parametrize("error_rate", [*(2.0**-bits for bits in range(10, 40)), 1e-3, 1e-4, 1e-7, 1.1e-12])
def test_the_shape_is_the_one_that_pybloom_makes(error_rate: float) -> None:
    """Powers of two too, where rounding decides the number of slices (29 is one, by pybloom's own formula)."""
    for capacity in (17, 100, 1_023, 65_536):
        plain = BloomFilter(capacity, error_rate)
        length = BLOOM_HEADER.size + (plain.num_bits + 7) // 8
        header = FilterHeader(LIST, PROVIDER, BOTH, NOW, 1, capacity, error_rate, length, "")
        body = BLOOM_HEADER.pack(error_rate, plain.num_slices, plain.bits_per_slice, capacity, capacity)
        body += bytes(length - BLOOM_HEADER.size)
        assert check_shape(memoryview(body), header).slices == plain.num_slices


# Chance: a good filter must not be refused.


def tiny_filters(number: int) -> Iterator[tuple[bytes, bytes]]:
    picked = random.Random(4)
    for _ in range(number):
        key = ProviderKey(picked.randbytes(32))
        contents = [selftest.CONTENT, *(picked.randbytes(6) for _ in range(picked.randint(0, 24)))]
        rate = picked.choice([1e-6, 1e-6, 1e-4, 1e-9])
        room = 2 * len(contents) + picked.choice([0, 0, 5, 200])
        yield build_filter(key, LIST, contents, error_rate=rate, capacity=room), key.filter_key(LIST.id, LIST.epoch)


def test_tiny_filters_are_not_refused_by_chance(tmp_path: Path) -> None:
    """1 to 50 tokens and the canaries. The publisher opens what it made and makes it again where an agent would refuse it."""
    total, refusals = attempts(2_000), []
    for data, key in tiny_filters(total):
        try:
            opened(tmp_path, data, key=key)
        except FilterError as error:
            refusals.append(str(error))
    print(f"{total} tiny filters, refused: {len(refusals)}")
    assert not [one for one in refusals if "bits are set" in one], "the share of bits must never refuse a good one"
    assert len(refusals) <= 2 + total / 1_000, refusals  # at 1e-4, 16 trivial tokens: one in 600


def test_the_same_file_is_never_refused_by_chance(tmp_path: Path) -> None:
    """An agent opens it each night; only the random probes differ from one time to the next. 1e-3 is the worst rate allowed."""
    data = build_filter(KEY, LIST, CONTENTS, error_rate=1e-3)
    for number in range(1, 60):  # the trivial tokens decide the fate of one key; find one that is fine
        key = ProviderKey(bytes([number]) * 32)
        data = build_filter(key, LIST, CONTENTS, error_rate=1e-3)
        filter_key = key.filter_key(LIST.id, LIST.epoch)
        path = tmp_path / "x.filter"
        path.write_bytes(data)
        try:
            open_filter(path, LIST, filter_key)
            break
        except FilterError:
            continue
    else:
        pytest.fail("no key made a good filter")
    for _ in range(attempts(1_000)):
        open_filter(path, LIST, filter_key)


@given(st.integers(17, 100_000), st.floats(1e-12, 1e-3))
def test_the_fill_of_a_forged_body_is_noticed(count: int, error_rate: float) -> None:
    slices = math.ceil(math.log2(1 / error_rate))
    bits = math.ceil(count * abs(math.log(error_rate)) / (slices * math.log(2) ** 2))
    shape = Shape(error_rate, slices, bits, count, count)
    # pybloom takes words modulo m: with 16-bit words the first bits of a slice are hit more often
    words = 65_536 if bits < 32_768 else 2**32
    hit_more = words % bits
    chances = [(hit_more, (words // bits + 1) / words), (bits - hit_more, (words // bits) / words)]
    check_fill(shape, round(slices * sum(number * (1 - (1 - chance) ** count) for number, chance in chances)))
    for bad in (slices * bits, 0, round(slices * bits * 0.95)):
        with pytest.raises(StrictJsonError):
            check_fill(shape, bad)


def test_further_algorithms_are_read_back_and_bad_ones_refused() -> None:
    header = FilterHeader(LIST, PROVIDER, (Algorithm.SHA1,), NOW, 1, 17, 1e-6, 1000, "0" * 64, also=(Algorithm.MD5,))
    body = bytes(1000)
    read, _, _ = split(memoryview(header.encode() + body), "f")
    assert read == header
    without = FilterHeader(LIST, PROVIDER, (Algorithm.SHA1,), NOW, 1, 17, 1e-6, 1000, "0" * 64)
    assert split(memoryview(without.encode() + body), "f")[0].also == ()
    assert b'"also"' not in without.encode()
    for bad in (b'["md4"]', b"[]", b'["md5","md5"]', b'"md5"'):
        text = header.encode()[14:].replace(b'["md5"]', bad)
        prefix = header.encode()[:10] + len(text).to_bytes(4, "little")
        with pytest.raises(FilterError, match=r"algorithm|also"):
            split(memoryview(prefix + text + body), "f")
