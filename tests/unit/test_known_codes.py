"""The enrolment code: what is typed well is read, and what is not is told without repeating it."""

from __future__ import annotations

import base64
import binascii
import random
import resource
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import UsageError
from hashscan.known.codes import ALPHABET, GROUP, MAX_TYPED, Code, pin_of, read_code
from tests.support.budget import attempts

ROOT = b'{"signed": "a root"}'
CODES = st.builds(
    Code, st.binary(min_size=8, max_size=8), st.binary(min_size=16, max_size=16), st.binary(min_size=16, max_size=16)
)


@given(CODES)
def test_every_code_is_read_as_it_was_written(code: Code) -> None:
    text = code.text()
    assert len(text) == 85
    assert text.startswith("hse1-")
    assert read_code(text) == code


@given(CODES, st.randoms(use_true_random=False))
def test_case_dashes_and_white_space_do_not_matter(code: Code, rng: random.Random) -> None:
    plain = code.text().replace("-", "")
    typed = "".join(rng.choice((one, one.upper())) + rng.choice(("", "", "-", " ", "\t", "\u2013", "\u00ad")) for one in plain)
    assert read_code(f"\n {typed[: MAX_TYPED - 4]} ") == code


def test_a_code_pins_one_root_and_hides_its_secret() -> None:
    code = Code.generate(ROOT)
    assert code.pins(ROOT)
    assert not code.pins(ROOT + b" ")
    assert code.pin == pin_of(ROOT)
    assert code.secret.hex() not in repr(code)
    assert str(code.secret) not in repr(code)
    assert len({Code.generate(ROOT).text() for _ in range(20)}) == 20


def test_every_wrong_character_and_every_swap_is_noticed_and_located() -> None:
    code = Code.generate(ROOT)
    plain = code.text().removeprefix("hse1-").replace("-", "")
    wrong = [plain[:at] + one + plain[at + 1 :] for at in range(len(plain)) for one in ALPHABET if one != plain[at]]
    wrong += [
        plain[:at] + plain[at + 1] + plain[at] + plain[at + 2 :] for at in range(len(plain) - 1) if plain[at] != plain[at + 1]
    ]
    located = 0
    for text in wrong:
        with pytest.raises(UsageError, match="typing error") as caught:
            read_code(f"hse1{text}")
        located += "most likely in group" in str(caught.value)
    assert located > 0.9 * len(wrong)
    print(f"{len(wrong)} typing errors, {located} located")


def test_the_group_with_the_error_is_named_and_the_code_is_not_repeated() -> None:
    code = Code(bytes(8), bytes(16), bytes(16))
    groups = code.text().split("-")
    groups[4] = "ab" + groups[4][2:]
    with pytest.raises(UsageError) as caught:
        read_code("-".join(groups))
    assert "group 4" in str(caught.value) or "typing error" in str(caught.value)
    assert groups[5] not in str(caught.value)


@given(CODES, st.integers(0, 68), st.sampled_from("0189!_é%"))
def test_a_character_that_no_code_has_is_named_with_its_place(code: Code, at: int, one: str) -> None:
    plain = code.text().removeprefix("hse1-").replace("-", "")
    with pytest.raises(UsageError) as caught:
        read_code("hse1" + plain[:at] + one + plain[at + 1 :])
    assert f"character {at % GROUP + 1} of group {at // GROUP + 1} is {one!a}" in str(caught.value)
    assert str(caught.value).isascii()


@pytest.mark.parametrize(("missing", "words"), [(1, "1 too few"), (68, "68 too few"), (-2, "2 too many")])
def test_the_length_is_told(missing: int, words: str) -> None:
    text = Code.generate(ROOT).text().replace("-", "")
    text = text[:-missing] if missing > 0 else text + "a" * -missing
    with pytest.raises(UsageError, match=words):
        read_code(text)


@pytest.mark.parametrize("typed", ["", "-", "https://hashes.example.org", "hsk_" + "a" * 43, "hse2-aaaaaa", "\x00", "\udcff"])
def test_what_is_no_code_is_told_so(typed: str) -> None:
    with pytest.raises(UsageError, match="begins with 'hse1'"):
        read_code(typed)


def test_a_long_one_is_not_looked_at() -> None:
    with pytest.raises(UsageError, match="fewer than 256"):
        read_code("hse1" + "a" * 10_000_000)


def test_the_spare_bit_is_zero() -> None:
    text = Code.generate(ROOT).text()
    last = ALPHABET[ALPHABET.index(text[-1]) | 1]
    with pytest.raises(UsageError, match="typing error"):
        read_code(text[:-1] + last)


def test_another_format_is_told() -> None:
    body = b"\x02" + bytes(40)
    packed = body + binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    with pytest.raises(UsageError, match="format 2"):
        read_code("hse1" + base64.b32encode(packed).decode().lower().rstrip("="))


@given(st.text(max_size=300))
def test_whatever_is_typed_ends_with_a_code_or_a_usage_error(typed: str) -> None:
    for text in (typed, "hse1" + typed):
        with suppress(UsageError):
            assert read_code(text) == read_code(read_code(text).text())


def test_a_fuzzer_finds_no_other_end_and_no_code_that_was_not_made() -> None:
    """HASHSCAN_BUDGET=50 is a million attempts."""
    rng, plain = random.Random(5), Code.generate(ROOT).text()
    count, read = attempts(20_000), 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(count):
        typed = list(plain)
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(typed))
            typed[at : at + rng.randrange(3)] = rng.choices(ALPHABET + "-0189 \x00\xad\u2014\udcff", k=rng.randrange(4))
        with suppress(UsageError):
            read += read_code("".join(typed)).text() == plain
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 50_000  # KiB
    print(f"{count} attempts, {read} of them the code itself, {grown} KiB more memory")
