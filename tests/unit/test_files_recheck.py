"""Recheck: new lists meet remembered digests, and no file is read."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from hashscan.central.forgetful import Forgetful
from hashscan.errors import IncompleteError
from hashscan.files.cache import DigestCache
from hashscan.files.recheck import STRETCH, RecheckEngine
from hashscan.jobs.conclude import ActTools
from hashscan.jobs.confirm import LocalConfirmer
from hashscan.jobs.recheck import recheck
from hashscan.jobs.scan import ScanTools
from hashscan.known.exact import ExactSieve
from hashscan.model import Algorithm, Event, Reason
from hashscan.quarantine.report_only import ReportOnly
from hashscan.report.tally import Tally
from tests.support.caches import BOTH, assert_true, cache_in, rewrite, scan, tree_in
from tests.support.sieves import FakeSieve, digest
from tests.support.trees import Seen, grow, total

KNOWN = b"known tomorrow"


def resift(cache: DigestCache, sieve: FakeSieve, *roots: Path, workers: int = 2) -> Seen:
    seen = total(RecheckEngine(cache, workers, 20.0).sift([os.fsencode(root) for root in roots], sieve))
    assert (seen.scanned, seen.bytes_hashed) == (0, 0)
    return seen


def tomorrow(algorithms: tuple[Algorithm, ...] = BOTH) -> FakeSieve:
    return FakeSieve({digest(algorithms[0], KNOWN)}, algorithms, fingerprint=b"tomorrow")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tree_in(tmp_path)
    grow(root, 700)
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/known\xff").write_bytes(KNOWN)
    return root


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_all_that_is_remembered_is_asked_about_once(root: Path, tmp_path: Path, workers: int) -> None:
    cache = cache_in(tmp_path)
    scan(cache, root, FakeSieve(set(), BOTH, fingerprint=b"today"), workers=2)
    seen = resift(cache, FakeSieve(None, BOTH), workers=workers)
    assert_true(seen, root)
    assert (seen.cached, seen.seen, seen.warnings) == (701, 701, [])
    assert sum(path.is_dir() for path in root.rglob("*")) > STRETCH


def test_a_new_list_finds_an_old_file_and_leaves_marks(root: Path, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    scan(cache, root, FakeSieve(set(), BOTH, fingerprint=b"today"))
    assert not resift(cache, FakeSieve(set(), BOTH, fingerprint=b"today")).candidates
    for _ in range(2):
        assert resift(cache, tomorrow()).paths == [os.fsencode(root / "a/b/known\xff")]
    sieve = tomorrow()
    assert scan(cache, root, sieve).cached == 701
    assert sieve.asked == 1, "only the directory with the candidate is asked about again"


def test_files_are_found_under_new_names_and_lost_ones_are_told(root: Path, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    scan(cache, root)
    before = root / "a/b/known\xff"
    os.link(before, root / "a/b/beside")  # the link changes the ctime: it may be another file for all we know
    seen = resift(cache, tomorrow())
    assert (seen.candidates, seen.skipped) == ([], {Reason.CHANGED: 1})
    scan(cache, root)
    assert len(resift(cache, tomorrow()).candidates) == 2
    for name in ("beside", "known\xff"):
        (root / "a/b" / name).unlink()
    (root / "a/b").rmdir()
    seen = resift(cache, tomorrow())
    assert (seen.candidates, seen.skipped) == ([], {Reason.VANISHED: 2})
    assert [warned.place.path for warned in seen.warnings if warned.place] == [b"a/b"]


def test_a_stranger_in_the_place_of_a_file_is_no_candidate(root: Path, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    scan(cache, root)
    (root / "a/b/known\xff").unlink()
    (root / "a/b/known\xff").write_bytes(b"x" * len(KNOWN))
    assert resift(cache, tomorrow()).candidates == []
    (root / "a/b").rename(root / "a/c")
    (root / "a/b").symlink_to("/")
    assert resift(cache, tomorrow()).candidates == []


def test_it_can_be_limited_to_paths(root: Path, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    scan(cache, root)
    assert resift(cache, FakeSieve(None, BOTH), root / "a").paths == [os.fsencode(root / "a/b/known\xff")]
    assert resift(cache, FakeSieve(None, BOTH), root / "a/").cached == 1
    assert resift(cache, FakeSieve(None, BOTH), root.parent / "tre").cached == 0


def test_digests_that_were_never_made_are_told(root: Path, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    scan(cache, root)
    seen = resift(cache, tomorrow((Algorithm.SHA256,)))
    assert (seen.errors, seen.cached, len(seen.warnings)) == ({"ENODATA": 701}, 0, 1)


def test_large_files_on_their_own_are_met_too(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    for number in range(6):
        (root / f"large{number}").write_bytes(os.urandom(9 << 20))
    cache = cache_in(tmp_path)
    scan(cache, root, workers=3)
    assert_true(resift(cache, FakeSieve(None, BOTH)), root)


def test_without_memory_there_is_nothing_to_recheck(root: Path, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    with pytest.raises(IncompleteError, match="nothing is remembered"):
        RecheckEngine(cache, 1, 20.0).sift([], tomorrow())
    scan(cache, root)
    cache.path.write_bytes(b"damaged" * 5000)
    with pytest.raises(IncompleteError, match="cannot be used"):
        RecheckEngine(cache, 1, 20.0).sift([], tomorrow())


def test_no_row_is_no_work(tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    scan(cache, tree_in(tmp_path))
    assert resift(cache, tomorrow()).seen == 0


def test_damage_on_the_way_makes_it_incomplete(root: Path, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    scan(cache, root)
    data = bytearray(cache.path.read_bytes())
    for page in range(8, len(data) // 16_384, 3):
        data[page * 16_384 : page * 16_384 + 100] = bytes(100)
    cache.path.write_bytes(data)
    try:
        seen = resift(cache, FakeSieve(None, BOTH))
    except IncompleteError:
        return  # met while the rows were counted
    assert seen.errors["EIO"]
    assert {one.hashed.digests[Algorithm.MD5] for one in seen.candidates} <= {
        digest(Algorithm.MD5, path.read_bytes()).hex() for path in root.rglob("*") if path.is_file()
    }
    assert scan(cache, root).scanned == 701, "the next scan makes it anew"


class Noting:
    """A reporter that keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)


def test_the_job_goes_the_way_of_a_scan(root: Path, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    scan(cache, root)
    sieve = ExactSieve("plain", {Algorithm.SHA1: frozenset({digest(Algorithm.SHA1, KNOWN)})})
    noting, tally = Noting(), Tally()
    act = ActTools(LocalConfirmer(sieve), Forgetful(time.time), ReportOnly(), noting)
    tools = ScanTools(RecheckEngine(cache, 2, 20.0), sieve, act, time.monotonic, lambda: False)
    recheck(tools, [], tally)
    assert [event.type for event in noting.events if event.type != "progress"] == ["finding", "action"]
    assert (tally.findings, tally.cached, int(tally.exit_code), tally.adds_up()) == (1, 701, 10, True)


def test_rows_about_other_filesystems_are_not_located(root: Path, tmp_path: Path) -> None:
    cache = cache_in(tmp_path)
    scan(cache, root)

    def elsewhere(row):  # type: ignore[no-untyped-def]
        row.key = row.key._replace(device=row.key.device ^ 1)
        return row

    rewrite(cache, elsewhere)
    seen = resift(cache, tomorrow())
    assert len(seen.candidates) == 1, "the true row is still there"
    assert seen.skipped == {Reason.VANISHED: 1}
