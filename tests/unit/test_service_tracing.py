"""A leaked filter is told by its bits, whatever somebody did to the file around them."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashscan.errors import UsageError
from hashscan.known.container import BLOOM_HEADER, split
from hashscan.model import ListRef
from hashscan.service import admin
from hashscan.service.batches import Terms
from hashscan.service.tracing import SameFile, Trace
from tests.support.service import LIST, enrol, load, make, sha1

NAMES = ("acme", "beta", "gamma")


@dataclass(frozen=True)
class Leaks:
    """A service with three providers, two lists and (of beta) two epochs; files that leak are written to ``home``."""

    data: Path
    home: Path

    def published(self, provider: str, list_id: str = LIST, version: int = 1, epoch: int = 1) -> bytes:
        return (self.data / "published" / provider / f"{list_id}-{version}-{epoch}.filter").read_bytes()

    def trace(self, content: bytes) -> Trace:
        path = self.home / f"leak-{os.urandom(6).hex()}"
        path.write_bytes(content)
        return admin.trace(self.data, path)

    def owners(self, content: bytes) -> list[tuple[str, str, int]]:
        return [(one.provider, one.list, one.epoch) for one in self.trace(content).matches]


@pytest.fixture(scope="module")
def leaks(tmp_path_factory: pytest.TempPathFactory) -> Leaks:
    home = tmp_path_factory.mktemp("leaks")
    data = make(home)
    for name in NAMES:
        enrol(data, name)
    load(data, "\n".join(sha1(str(number)) for number in range(4000)))
    load(data, sha1("alone"), list_id="tiny")
    admin.publish(data)
    admin.rotate_provider_key(data, "beta", revoke_old=True)
    load(data, sha1("new"))
    load(data, sha1("new here"), list_id="tiny")
    admin.publish(data)
    return Leaks(data, home)


def test_a_whole_file_is_told_to_the_version(leaks: Leaks) -> None:
    found = leaks.trace(leaks.published("acme", version=2))
    assert [(one.provider, one.list, one.epoch) for one in found.matches] == [("acme", LIST, 1)]
    assert found.matches[0].digits > 50
    assert found.same == SameFile("acme", LIST, 2, 1, f"{LIST}-2-1.filter")
    assert found.claims is not None
    assert found.claims.provider == "acme"
    assert found.tried == 3, "list and epoch that it claims were tried first, and were enough"


@pytest.mark.parametrize("list_id", [LIST, "tiny"])
@pytest.mark.parametrize("name", NAMES)
def test_every_provider_and_list_is_told_apart(leaks: Leaks, name: str, list_id: str) -> None:
    assert leaks.owners(leaks.published(name, list_id)) == [(name, list_id, 1)]


def test_epochs_are_told_apart_and_revoked_keys_still_known(leaks: Leaks) -> None:
    assert leaks.owners(leaks.published("beta", epoch=1)) == [("beta", LIST, 1)]
    assert leaks.owners(leaks.published("beta", version=2, epoch=2)) == [("beta", LIST, 2)]


def body(content: bytes) -> bytes:
    return bytes(split(memoryview(content), "x")[1])


def _lie(content: bytes) -> bytes:
    header, rest, sizes = split(memoryview(content), "x")
    lied = replace(header, provider="beta", list=ListRef("tiny", 99, 2))
    return lied.encode() + bytes(rest) + bytes(sizes)


def _nameless(content: bytes) -> bytes:
    length = struct.unpack_from("<I", content, 10)[0]
    text = content[14 : 14 + length].replace(b'"provider":"acme",', b"")
    return content[:10] + struct.pack("<I", len(text)) + text + content[14 + length :]


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "the header lies": _lie,
    "without the provider's name": _nameless,
    "without the magic": lambda content: content[8:],
    "header overwritten with zeros": lambda content: bytes(len(content) - len(body(content))) + body(content),
    "header overwritten with noise": lambda content: (
        random.Random(1).randbytes(len(content) - len(body(content))) + body(content)
    ),
    "the raw body": body,
    "the raw body with something behind it": lambda content: body(content) + b"\0" * 1000,
    "in another container": lambda content: b"XX" * 5000 + body(content),
    "the second half is missing": lambda content: content[: len(content) // 2],
    "element count set to zero": lambda content: body(content)[:32] + bytes(8) + body(content)[40:],
    "one bit in ten is random": lambda content: _noisy(content, 0.1),
    "a fifth of the bits set is cleared": lambda content: _cleared(content, 0.2),
}


def _noisy(content: bytes, share: float) -> bytes:
    bits = bytearray(body(content))
    noise = random.Random(2)
    for place in range(8 * BLOOM_HEADER.size, 8 * len(bits)):
        if noise.random() < share:
            bits[place >> 3] ^= noise.getrandbits(1) << (place & 7)
    return bytes(bits)


def _cleared(content: bytes, share: float) -> bytes:
    bits = bytearray(body(content))
    noise = random.Random(3)
    for place in range(8 * BLOOM_HEADER.size, 8 * len(bits)):
        if noise.random() < share:
            bits[place >> 3] &= ~(1 << (place & 7))
    return bytes(bits)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_file_that_was_changed_is_told_all_the_same(leaks: Leaks, change: Callable[[bytes], bytes]) -> None:
    content = change(leaks.published("acme"))
    assert content != leaks.published("acme")
    found = leaks.trace(content)
    assert [(one.provider, one.list, one.epoch) for one in found.matches] == [("acme", LIST, 1)]
    assert found.same is None


def test_two_filters_that_were_mixed_name_both(leaks: Leaks) -> None:
    one, two = body(leaks.published("acme")), body(leaks.published("gamma"))
    mixed = one[:40] + bytes(a | b for a, b in zip(one[40:], two[40:], strict=True))
    assert sorted(leaks.owners(mixed)) == [("acme", LIST, 1), ("gamma", LIST, 1)]


def test_a_delta_is_known_by_its_bytes(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data)
    load(data, "\n".join(sha1(str(number)) for number in range(2000)))
    admin.publish(data)
    admin.publish(data, terms=Terms(anew=True))
    found = admin.trace(data, data / "published" / "acme" / "police-1-2-1.delta")
    assert found.same == SameFile("acme", LIST, 2, 1, "police-1-2-1.delta")


# What is nobody's.


def test_nothing_is_told_from_bits_that_say_nothing(leaks: Leaks, tmp_path: Path) -> None:
    whole = body(leaks.published("acme"))
    noise = random.Random(4).randbytes(len(whole) - 40)
    strangers = make(tmp_path)
    enrol(strangers, "acme")
    load(strangers, "\n".join(sha1(str(number)) for number in range(4000)))
    admin.publish(strangers)
    stranger = (strangers / "published" / "acme" / "police-1-1.filter").read_bytes()
    for content in (
        whole[:40] + b"\xff" * len(noise),
        whole[:40] + bytes(len(noise)),
        whole[:40] + noise,
        whole[:40],
        stranger,
    ):
        found = leaks.trace(content)
        assert found.is_filter
        assert (found.matches, found.same) == ((), None)
        assert found.tried == 2 * 3 + 2, "two lists of three providers, and the second epoch of one"


@pytest.mark.parametrize("content", [b"x", b"\0" * 100_000, b"HSFILTER" + b"\xff" * 200, bytes(range(256)) * 600])
def test_what_is_no_filter_is_said(leaks: Leaks, content: bytes) -> None:
    found = leaks.trace(content)
    assert (found.is_filter, found.matches, found.tried) == (False, (), 0)


def test_files_that_cannot_be_looked_at(leaks: Leaks, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    os.mkfifo(tmp_path / "fifo")
    sparse = tmp_path / "sparse"
    sparse.touch()
    os.truncate(sparse, 2**32 + 1)
    for name in ("empty", "fifo", "sparse", "none", "."):
        with pytest.raises(UsageError):
            admin.trace(leaks.data, tmp_path / name)


def test_headers_that_want_too_much(leaks: Leaks) -> None:
    """Shapes that would make the reader work or allocate, and claims that would make it derive keys without an end."""
    for error_rate, slices, bits, capacity in (
        (1e-6, 0, 0, 0), (1e-6, 2**40, 1, 1), (1e-6, 20, 2**63, 2**62), (float("nan"), 20, 10, 10), (float("inf"), 1, 1, 1),
        (0.0, 1, 1, 1), (-1e-6, 20, 29, 20), (1e-300, 1000, 10, 10),
    ):  # fmt: skip
        content = BLOOM_HEADER.pack(error_rate, slices, bits, capacity, 1) + b"\xff" * 100
        assert not leaks.trace(content).is_filter
    header, rest, sizes = split(memoryview(leaks.published("acme")), "x")
    greedy = replace(header, list=ListRef("../../etc", 2**53, 2**31)).encode()
    assert leaks.owners(greedy + bytes(rest) + bytes(sizes)) == [("acme", LIST, 1)]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_no_change_breaks_it_or_names_another(leaks: Leaks, data: st.DataObject) -> None:
    content = bytearray(leaks.published("gamma"))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, min(len(content), 400) - 1))
        content[place : place + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=8))
    assert set(leaks.owners(bytes(content))) <= {("gamma", LIST, 1)}
