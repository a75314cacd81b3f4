"""List metadata: what is believed, what may take the place of what, and what a folder may hand over."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import FilterError, HashscanError
from hashscan.known import envelopes
from hashscan.known.trust import MAX_AHEAD, FolderFetcher, PinnedTrust, may_replace
from hashscan.model import ListRef
from hashscan.ports import Lists, Target
from tests.support.hotline import LIST, NOW, PROVIDER, Hotline, target_row

HOTLINE = Hotline()
ROW = target_row(LIST, b"x" * 100)
DOCUMENT: dict[str, Any] = {"provider": PROVIDER, "sequence": 12, "issued": NOW, "expires": NOW + 172_800, "lists": [ROW]}


def reopened(document: dict[str, Any] | bytes) -> Lists:
    return HOTLINE.trust.reopen(HOTLINE.seal(document, envelopes.LISTS))


def test_what_was_signed_is_what_is_read() -> None:
    envelope = HOTLINE.seal(DOCUMENT, envelopes.LISTS)
    lists = HOTLINE.trust.reopen(envelope)
    target = Target(LIST, "police-7-1.filter", 100, ROW["blake3"], NOW)
    assert lists == Lists(PROVIDER, NOW, NOW + 172_800, 12, (target,), envelope)


def test_the_name_is_never_the_one_from_outside() -> None:
    for name in ("../../etc/passwd", "/etc/passwd", "", None, 3, "x\0y"):
        lists = reopened({**DOCUMENT, "lists": [{**ROW, "name": name}]})
        assert lists.targets[0].name == "police-7-1.filter"


WRONG: dict[str, list[Any]] = {
    "provider": [None, "", "acme2", "ACME", 3, "x" * 300],
    "sequence": [None, 0, -1, 1.0, "12", True, 2**64],
    "issued": [None, -1, "x", NOW + 172_801, 1e300, True],
    "expires": [None, NOW, NOW - 1, NOW + 7 * 86_400 + 1, "x", 1e300],
    "lists": [None, {}, "x", [1], [[]], [ROW, ROW], [ROW, {**ROW, "version": 8}], [ROW] * 33],
}
WRONG_IN_ROW: dict[str, list[Any]] = {
    "id": [None, "", "x" * 65, "Police", "../x", "a/b", "a b", "p\u00f6", 3, "\u0661"],
    "version": [None, 0, -1, 1.0, "7", 2**53 + 1],
    "epoch": [None, 0, -1, 2**31 + 1, True],
    "length": [None, 0, -1, 2**31 + 1, 100.0],
    "blake3": [None, "", "0" * 63, "G" * 64, "A" * 64, 1],
    "created": [None, -1, "x", 1e300],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values], ids=str)
def test_wrong_metadata_is_refused(field: str, value: Any) -> None:
    with pytest.raises(FilterError):
        reopened({**DOCUMENT, field: value})
    with pytest.raises(FilterError):
        reopened({name: one for name, one in DOCUMENT.items() if name != field})


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG_IN_ROW.items() for value in values], ids=str
)
def test_a_wrong_row_is_refused(field: str, value: Any) -> None:
    with pytest.raises(FilterError):
        reopened({**DOCUMENT, "lists": [{**ROW, field: value}]})
    with pytest.raises(FilterError):
        reopened({**DOCUMENT, "lists": [{name: one for name, one in ROW.items() if name != field}]})


@pytest.mark.parametrize(
    "payload",
    [b"", b"[]", b"null", b"\xff", b'{"provider": "acme", "provider": "acme"}', b'{"sequence": NaN}', b"[" * 10_000],
    ids=lambda payload: repr(payload[:12]),
)
def test_a_payload_that_is_no_object(payload: bytes) -> None:
    with pytest.raises(FilterError):
        reopened(payload)


def test_a_verdict_is_no_metadata_and_another_key_is_not_ours() -> None:
    with pytest.raises(FilterError):
        HOTLINE.trust.reopen(HOTLINE.seal(DOCUMENT, envelopes.VERDICT))
    with pytest.raises(FilterError):
        HOTLINE.trust.reopen(Hotline().seal(DOCUMENT, envelopes.LISTS))
    with pytest.raises(FilterError):
        PinnedTrust(HOTLINE.signing.public_hex(), "other").reopen(HOTLINE.seal(DOCUMENT, envelopes.LISTS))


# Place in time.


def lists(sequence: int = 5, issued: float = NOW, lifetime: float = 100.0, *refs: ListRef) -> Lists:
    targets = tuple(Target(ref, "x", 1, "0" * 64, NOW) for ref in refs or (LIST,))
    return Lists(PROVIDER, issued, issued + lifetime, sequence, targets, b"")


def refusal(held: Lists | None, offered: Lists, now: float = NOW) -> str:
    try:
        may_replace(held, offered, now)
    except FilterError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("issued", "now", "word"),
    [
        (NOW, NOW, ""),
        (NOW, NOW + 99.9, ""),
        (NOW, NOW + 100, "expired"),
        (NOW, NOW + 10**6, "expired"),
        (NOW, NOW - MAX_AHEAD, ""),
        (NOW, NOW - MAX_AHEAD - 1, "future"),
    ],
)
@pytest.mark.parametrize("held", [None, lists(4)], ids=["fresh", "held"])
def test_expired_or_from_the_future(held: Lists | None, issued: float, now: float, word: str) -> None:
    said = refusal(held, lists(5, issued), now)
    assert word in said
    assert bool(said) == bool(word)


OLD = ListRef("police", 7, 2)


@pytest.mark.parametrize(
    ("new", "refused"),
    [
        (OLD, False),
        (ListRef("police", 8, 2), False),
        (ListRef("police", 8, 3), False),
        (ListRef("police", 7, 3), False),
        (ListRef("police", 6, 2), True),
        (ListRef("police", 6, 3), True),
        (ListRef("police", 7, 1), True),
        (ListRef("police", 8, 1), True),
        (ListRef("other", 1, 1), False),
    ],
    ids=str,
)
def test_no_list_falls_back(new: ListRef, refused: bool) -> None:
    held = lists(5, NOW, 100.0, ListRef("a", 1, 1), OLD)
    assert bool(refusal(held, lists(6, NOW, 100.0, new))) == refused
    assert bool(refusal(held, lists(6, NOW, 100.0, ListRef("z", 1, 1), new))) == refused


@given(st.integers(1, 9), st.integers(1, 9))
def test_the_sequence_never_falls_back(held: int, offered: int) -> None:
    assert bool(refusal(lists(held), lists(offered))) == (offered < held)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)), min_size=2, max_size=6))
def test_whatever_is_offered_nothing_in_force_ever_falls_back(offers: list[tuple[int, int, int]]) -> None:
    held: Lists | None = None
    for sequence, version, epoch in offers:
        offered = lists(sequence, NOW, 100.0, ListRef("police", version, epoch))
        if not refusal(held, offered):
            if held is not None:
                before, after = held.targets[0].list, offered.targets[0].list
                assert (sequence, after.version, after.epoch) >= (held.sequence, before.version, before.epoch)
                assert after.version >= before.version
                assert after.epoch >= before.epoch
            held = offered


def test_the_rules_read_only_what_they_are_given() -> None:
    held = lists(5)
    may_replace(held, dataclasses.replace(held, sequence=6), NOW)
    assert held.sequence == 5


# The folder of an air-gapped host.


def got(fetcher: FolderFetcher, name: str, max_bytes: int = 1000) -> bytes:
    return b"".join(fetcher.fetch(name, max_bytes=max_bytes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "stick").mkdir()
    (tmp_path / "stick" / "lists.json").write_bytes(b"x" * 1000)
    return tmp_path / "stick"


def test_a_folder_hands_over_its_files(folder: Path) -> None:
    assert got(FolderFetcher(folder), "lists.json") == b"x" * 1000
    (folder / "big").write_bytes(b"y" * 600_000)
    assert got(FolderFetcher(folder), "big", 600_000) == b"y" * 600_000


@pytest.mark.parametrize(
    "name",
    [
        "../outside",
        "..",
        ".",
        "",
        "/etc/passwd",
        "a/../../outside",
        "lists.json/",
        "x\0y",
        "\0",
        "missing",
        "\ud800",
        "x" * 300,
    ],
)
def test_only_plain_names_of_files_that_are_there(folder: Path, name: str) -> None:
    with pytest.raises(FilterError):
        got(FolderFetcher(folder), name)


def test_bounded_whatever_is_there(folder: Path) -> None:
    with pytest.raises(FilterError, match="longer"):
        got(FolderFetcher(folder), "lists.json", 999)
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "directory").mkdir()
    os.mkfifo(folder / "fifo")
    for name in ("zero", "directory", "fifo"):
        with pytest.raises(FilterError):
            got(FolderFetcher(folder), name)


def test_refresh_is_bounded_and_verified(folder: Path) -> None:
    for data in (b"", b"x" * 300_000, json.dumps(DOCUMENT).encode()):
        (folder / "lists.json").write_bytes(data)
        with pytest.raises(HashscanError):
            HOTLINE.trust.refresh(FolderFetcher(folder))
    (folder / "lists.json").write_bytes(HOTLINE.seal(DOCUMENT, envelopes.LISTS))
    assert HOTLINE.trust.refresh(FolderFetcher(folder)).sequence == 12
