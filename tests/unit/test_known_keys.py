"""Keys and tokens: fixed vectors that every publisher and agent in the field depends on."""

from __future__ import annotations

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import UsageError
from hashscan.known import selftest
from hashscan.known.bloom import canaries
from hashscan.known.keys import ProviderKey, token
from hashscan.model import Algorithm

KEY = ProviderKey(bytes(range(32)))


def test_known_answers() -> None:
    """Computed once from docs/wire.md; a change here makes every filter in the field useless."""
    assert KEY.filter_key("police", 1).hex() == "8ce805235dd7a46a703b1f796849b6323240e33118586a4d2dccf0e8583e1bfc"
    assert KEY.confirm_key("police", 1).hex() == "1c6b98f9d055e3f40d5d9655e86a7e5c222eed4c0d67da35a8d8f2ddc4d6d683"
    assert KEY.filter_key("police", 2**40).hex() == "83d78978c09f4abaa40107d4d3d3487ef43386175c05948b9becd35cfdbdbf3d"
    filter_key = KEY.filter_key("police", 1)
    assert token(filter_key, Algorithm.MD5, bytes(16)) == "a7876c633e84019b723d0846991174f118b59b8e2748322f49e2f3c8217c69c2"
    assert (
        token(filter_key, Algorithm.BLAKE3, b"\xff" * 32) == "3e84da7d2eb6ef6878f76e01a3209d4625bb9eeffb3b84ba88dc979193c44cc1"
    )
    assert canaries(filter_key)[0] == "18835f4baeb2cd126a60330fb53453ef8214aa81efc26beba6101f916245233c"
    assert canaries(filter_key)[15] == "1287cbf6bf87e24a1bd1331c0911bc7c16a728a9a39547f87ce8d66235ae7aae"
    assert selftest.digests()[Algorithm.SHA1] == "04d348332cf8cb204686de4889014beb092ab90f"
    assert selftest.digests()[Algorithm.MD5] == "c7830b30367fe5ec2bfcec88267da98b"


def test_the_vectors_follow_from_the_words_of_the_documentation() -> None:
    material = bytes(range(32)) + b"\x06\x00" + b"police" + b"\x01" + bytes(7)
    assert KEY.filter_key("police", 1) == blake3(material, derive_key_context="hashscan filter v1").digest()
    assert KEY.confirm_key("police", 1) == blake3(material, derive_key_context="hashscan confirm v1").digest()
    key = KEY.filter_key("police", 1)
    assert token(key, Algorithm.SHA1, bytes(20)) == blake3(b"\x02" + bytes(20), key=key).hexdigest()
    assert canaries(key)[3] == blake3(b"\x00canary 3", key=key).hexdigest()


def test_codes_are_never_reused() -> None:
    assert {one.value: one.code for one in Algorithm} == {"md5": b"\1", "sha1": b"\2", "sha256": b"\3", "blake3": b"\4"}


IDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=64)
EPOCHS = st.integers(1, 2**31)


@given(IDS, EPOCHS, IDS, EPOCHS)
def test_keys_differ_by_list_epoch_and_context(id1: str, epoch1: int, id2: str, epoch2: int) -> None:
    assert KEY.filter_key(id1, epoch1) != KEY.confirm_key(id2, epoch2)
    assert (KEY.filter_key(id1, epoch1) == KEY.filter_key(id2, epoch2)) == ((id1, epoch1) == (id2, epoch2))


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_keys_differ_by_provider(one: bytes, other: bytes) -> None:
    assert (ProviderKey(one).filter_key("a", 1) == ProviderKey(other).filter_key("a", 1)) == (one == other)


def test_equal_digests_of_two_algorithms_have_two_tokens() -> None:
    key = KEY.filter_key("police", 1)
    assert token(key, Algorithm.SHA256, bytes(32)) != token(key, Algorithm.BLAKE3, bytes(32))


def test_a_key_is_never_shown() -> None:
    key = ProviderKey.generate()
    for shown in (repr(key), str(key), f"{key}", repr([key])):
        assert key.hex() not in shown
        assert repr(key.raw)[2:-1] not in shown


def test_hex_round_trip() -> None:
    key = ProviderKey.generate()
    assert ProviderKey.from_hex(f"  {key.hex().upper()}\n") == key


@pytest.mark.parametrize("text", ["", "00", "g" * 64, "00" * 31, "00" * 33, "\N{DIGIT ONE}\u0661" * 32])
def test_what_is_no_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        ProviderKey.from_hex(text)
    assert not text or text not in str(caught.value) + caught.value.hint


def test_trivial_digests_cover_every_algorithm() -> None:
    trivial = selftest.trivial_digests()
    assert len(trivial) == len(Algorithm) * len(selftest.TRIVIAL)
    assert (Algorithm.MD5, bytes.fromhex("d41d8cd98f00b204e9800998ecf8427e")) in trivial
    assert (Algorithm.SHA1, bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709")) in trivial
    assert not {(algorithm, bytes.fromhex(digest)) for algorithm, digest in selftest.digests().items()} & trivial
