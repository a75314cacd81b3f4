"""Which list metadata may take the place of which, and what a folder may hand over."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import FilterError, NotPublishedError
from hashscan.known.trust import MAX_AHEAD, FolderFetcher, may_replace
from hashscan.model import ListRef, Lists, PublishedFile, Target
from tests.support.hotline import LIST, NOW, PROVIDER, Hotline

# Place in time.


def lists(sequence: int = 5, issued: float = NOW, lifetime: float = 100.0, *refs: ListRef) -> Lists:
    targets = tuple(Target(ref, PublishedFile("x", 1, "0" * 64), NOW) for ref in refs or (LIST,))
    return Lists(PROVIDER, issued, issued + lifetime, sequence, targets, (), b"", root=3, online="a")


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


@pytest.mark.parametrize("newer", [{"sequence": 6}, {"sequence": 5}])
@pytest.mark.parametrize(
    ("root", "online", "said"),
    [
        (3, "a", ""),
        (4, "a", ""),
        (4, "b", ""),
        (9, "b", ""),
        (2, "a", "older than 3"),
        (2, "b", "older than 3"),
        (1, "b", "older than 3"),
    ],
)
def test_the_root_never_falls_back(root: int, online: str, said: str, newer: dict[str, Any]) -> None:
    refused = refusal(lists(5), dataclasses.replace(lists(5), root=root, online=online, **newer))
    assert said in refused
    assert bool(refused) == bool(said)


@pytest.mark.parametrize(
    ("root", "online", "anew"), [(3, "a", False), (3, "b", False), (4, "a", False), (4, "b", True), (7, "b", True)]
)
@pytest.mark.parametrize(
    "lower", [(1, ListRef("police", 9, 9)), (6, ListRef("police", 1, 9)), (6, ListRef("police", 9, 1))], ids=str
)
def test_counts_begin_anew_with_new_online_keys_of_a_newer_root_only(
    root: int, online: str, anew: bool, lower: tuple[int, ListRef]
) -> None:
    """A root of the same version with other keys cannot be: it would be signed twice."""
    held = lists(5, NOW, 100.0, ListRef("police", 7, 7))
    offered = dataclasses.replace(lists(lower[0], NOW, 100.0, lower[1]), root=root, online=online)
    assert (refusal(held, offered) == "") == anew
    assert "expired" in refusal(held, offered, NOW + 100), "age is judged all the same"


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.sampled_from("ab"), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
        min_size=2,
        max_size=8,
    )
)
def test_whatever_is_offered_under_one_set_of_keys_nothing_falls_back(offers: list[tuple[int, str, int, int, int]]) -> None:
    held: Lists | None = None
    for root, online, sequence, version, epoch in offers:
        offered = dataclasses.replace(lists(sequence, NOW, 100.0, ListRef("police", version, epoch)), root=root, online=online)
        if refusal(held, offered):
            continue
        if held is not None:
            assert offered.root >= held.root
            if offered.root == held.root or offered.online == held.online:
                before, after = held.targets[0].list, offered.targets[0].list
                assert offered.sequence >= held.sequence
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
    (tmp_path / "stick" / "timestamp.json").write_bytes(b"x" * 1000)
    return tmp_path / "stick"


def test_a_folder_hands_over_its_files(folder: Path) -> None:
    assert got(FolderFetcher(folder), "timestamp.json") == b"x" * 1000
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
        "timestamp.json/",
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
        got(FolderFetcher(folder), "timestamp.json", 999)
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "directory").mkdir()
    os.mkfifo(folder / "fifo")
    for name in ("zero", "directory", "fifo"):
        with pytest.raises(FilterError):
            got(FolderFetcher(folder), name)


def test_missing_is_not_published_and_wrong_is_something_else(folder: Path) -> None:
    with pytest.raises(NotPublishedError):
        got(FolderFetcher(folder), "missing")
    (folder / "directory").mkdir()
    for name in ("directory", "../outside", "x" * 300):
        with pytest.raises(FilterError) as caught:
            got(FolderFetcher(folder), name)
        assert type(caught.value) is FilterError


def test_lists_from_a_stick(tmp_path: Path) -> None:
    hotline = Hotline()
    hotline.publish()
    for name, data in hotline.files.items():
        (tmp_path / name).write_bytes(data)
    offered = hotline.trust(tmp_path / "tuf").refresh(FolderFetcher(tmp_path))
    assert offered == hotline.trust(tmp_path / "other").refresh(hotline)
    assert [target.list for target in offered.targets] == [LIST]
