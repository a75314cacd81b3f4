"""What every digest cache promises: a scan with it tells what a scan without it tells, only sooner."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.files.cache import Cache, NoCache
from hashscan.model import Algorithm
from tests.support.caches import BOTH, TICK, assert_true, cache_in, scan, tree_in
from tests.support.sieves import FakeSieve, digest
from tests.support.trees import grow

Make = Callable[[Path], Cache]

MAKERS: dict[str, Make] = {
    "no cache": lambda _: NoCache(),
    "digest cache": cache_in,
    "digest cache, all read again": lambda folder: cache_in(folder, reread=1),
    "digest cache, half read again": lambda folder: cache_in(folder, reread=2),
    "digest cache, too small": lambda folder: cache_in(folder, max_bytes=16 * 16_384),
    "digest cache, nothing settled": lambda folder: cache_in(folder, settle_seconds=3600.0),
    "digest cache, nothing believed": lambda folder: cache_in(folder, believed=frozenset()),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Make:
    return MAKERS[request.param]


@pytest.fixture(params=[0, 1, 3])
def workers(request: pytest.FixtureRequest) -> int:
    count: int = request.param
    return count


def test_three_scans_of_one_tree_tell_the_same(make: Make, workers: int, tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    grow(root, 400)
    for _ in range(3):
        seen = scan(make(tmp_path), root, workers=workers)
        assert_true(seen, root)
        assert seen.scanned + seen.cached == seen.seen == 400
        assert not seen.skipped
        assert not seen.errors


def change(root: Path, rnd: random.Random) -> None:
    """One thing that tenants do, keeping what is easy to mistake for no change: name, size, mtime."""
    files = [path for path in root.rglob("*") if path.is_file()]
    folders = [root, *(path for path in root.rglob("*") if path.is_dir())]
    one, other = rnd.choice(files), rnd.choice(files)
    status = one.stat()
    kind = rnd.randrange(8)
    if kind == 0:  # another content of the same size, the old mtime put back
        one.write_bytes(rnd.randbytes(status.st_size))
        os.utime(one, ns=(status.st_atime_ns, status.st_mtime_ns))
    elif kind == 1:
        os.rename(one, other)
    elif kind == 2:
        one.unlink()
        one.write_bytes(rnd.randbytes(status.st_size))
    elif kind == 3:
        (rnd.choice(folders) / f"n{rnd.random()}").write_bytes(rnd.randbytes(rnd.randrange(3000)))
    elif kind == 4 and one != other:
        other.unlink()
        os.link(one, other)
    elif kind == 5:
        with one.open("r+b") as stream:
            stream.write(rnd.randbytes(1))
    elif kind == 6:
        os.truncate(one, rnd.randrange(status.st_size + 1))
    elif len(folders) > 1:
        os.rename(rnd.choice(folders[1:]), root / f"moved{rnd.random()}")


@pytest.mark.parametrize("seed", range(2))
def test_changes_are_never_missed(make: Make, seed: int, tmp_path: Path) -> None:
    root, rnd = tree_in(tmp_path), random.Random(seed)
    grow(root, 120, seed=seed)
    cache = make(tmp_path)
    for turn in range(8):
        assert_true(scan(cache, root, workers=2 if turn % 4 == 3 else 0), root)
        for _ in range(rnd.randrange(4)):
            change(root, rnd)
            time.sleep(TICK)


def test_known_files_are_found_again_and_again(make: Make, workers: int, tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    grow(root, 200)
    (root / "known").write_bytes(b"a known content")
    known = {digest(Algorithm.MD5, b"a known content")}
    for _ in range(3):
        seen = scan(make(tmp_path), root, FakeSieve(known, BOTH, fingerprint=b"lists of today"), workers=workers)
        assert seen.paths == [os.fsencode(root / "known")]


def test_a_new_list_is_asked_about_old_files(make: Make, workers: int, tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    grow(root, 200)
    (root / "known").write_bytes(b"known tomorrow")
    cache = make(tmp_path)
    for _ in range(2):
        assert not scan(cache, root, FakeSieve(set(), BOTH, fingerprint=b"today"), workers=workers).candidates
    known = {digest(Algorithm.MD5, b"known tomorrow")}
    assert len(scan(cache, root, FakeSieve(known, BOTH, fingerprint=b"tomorrow"), workers=workers).candidates) == 1


def test_other_algorithms_are_not_made_up(make: Make, tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    grow(root, 60)
    cache = make(tmp_path)
    orders = [(Algorithm.SHA1,), BOTH, (Algorithm.SHA256, Algorithm.MD5), tuple(Algorithm), (Algorithm.SHA1,), BOTH]
    for algorithms in orders:
        seen = scan(cache, root, FakeSieve(None, algorithms))
        assert_true(seen, root)
        assert all(tuple(one.hashed.digests) == algorithms for one in seen.candidates)


def test_an_unusable_folder_costs_time_only(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    grow(root, 50)
    (tmp_path / "cache").write_bytes(b"a file")
    seen = scan(cache_in(tmp_path), root, workers=2)
    assert_true(seen, root)
    assert seen.scanned == 50
    assert len(seen.warnings) == 1
