"""Candidates are read once more for the digests that only the answer needs; what has changed keeps what it was picked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashscan.files.completing import Completing, Picked
from hashscan.files.hashing import Hasher
from hashscan.model import Algorithm, Place
from tests.support.caches import cache_in, scan, tree_in
from tests.support.sieves import FakeSieve, digest

SHA1, MD5 = Algorithm.SHA1, Algorithm.MD5
DATA = b"as it was picked"


@pytest.fixture
def top(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "f").write_bytes(DATA)
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


def picked(folder: Path) -> Picked:
    return Picked("f", os.stat(folder / "f"), Place(os.fsencode(folder), b"f"), (digest(SHA1, DATA),))


def completing(spent: list[tuple[int, int]], also: tuple[Algorithm, ...] = (MD5,)) -> Completing:
    sieve = FakeSieve(None, (SHA1,), also=also)
    return Completing(sieve, lambda wanted: Hasher(wanted, None, lambda: None), lambda files, size: spent.append((files, size)))


def test_a_candidate_has_all_digests_and_what_it_cost_is_told(tmp_path: Path, top: int) -> None:
    spent: list[tuple[int, int]] = []
    (one,) = completing(spent).candidates(top, [picked(tmp_path)])
    assert one.hashed.digests == {name: digest(name, DATA).hex() for name in (MD5, SHA1)}
    assert spent == [(1, len(DATA))]


def test_nothing_is_read_where_nothing_is_missing(tmp_path: Path, top: int) -> None:
    spent: list[tuple[int, int]] = []
    (one,) = completing(spent, also=()).candidates(top, [picked(tmp_path)])
    assert one.hashed.digests == {SHA1: digest(SHA1, DATA).hex()}
    assert completing(spent).candidates(top, []) == []
    assert spent == []


def gone(file: Path) -> None:
    file.unlink()


def other_bytes(file: Path) -> None:
    file.write_bytes(DATA[::-1])


def another_file(file: Path) -> None:
    (file.parent / "other").write_bytes(DATA)
    (file.parent / "other").rename(file)


def a_link(file: Path) -> None:
    (file.parent / "other").write_bytes(DATA)
    file.unlink()
    file.symlink_to("other")


def a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("change", [gone, other_bytes, another_file, a_link, a_fifo])
def test_what_has_changed_keeps_the_digests_that_it_was_picked_for(
    tmp_path: Path, top: int, change: Callable[[Path], None]
) -> None:
    before = picked(tmp_path)
    change(tmp_path / "f")
    (one,) = completing([]).candidates(top, [before])
    assert one.hashed.digests == {SHA1: digest(SHA1, DATA).hex()}
    assert one.hashed.entry.inode == before.status.st_ino


def test_a_remembered_candidate_has_all_digests_too(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    (root / "f").write_bytes(DATA)
    (root / "g").write_bytes(b"innocent")
    cache = cache_in(tmp_path)
    assert scan(cache, root, FakeSieve(set(), (SHA1,), fingerprint=b"today")).scanned == 2
    seen = scan(cache, root, FakeSieve({digest(SHA1, DATA)}, (SHA1,), fingerprint=b"tomorrow", also=(MD5,)))
    assert (seen.scanned, seen.cached) == (0, 2)
    (one,) = seen.candidates
    assert one.hashed.digests == {name: digest(name, DATA).hex() for name in (MD5, SHA1)}
