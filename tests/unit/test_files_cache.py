"""The digest cache at work: what is remembered, when, for how long, and who may read it."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path

import pytest

from hashscan.files.cache import KEEP_DAYS, CacheOptions, DigestCache, NoCache
from hashscan.files.listing import WINDOW
from hashscan.files.looks import Looks, seen_of
from hashscan.files.rows import Row, block_of
from hashscan.files.verify import Verified, verify
from hashscan.model import Algorithm
from tests.support.caches import BOTH, TICK, assert_true, cache_in, lie, rewrite, rows_of, scan, singles_of, tree_in
from tests.support.sieves import FakeSieve
from tests.support.trees import flat, grow

TODAY = {"fingerprint": b"lists of today"}


def test_an_unchanged_tree_is_not_read_and_not_asked_about(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    grow(root, 300)
    sieve = FakeSieve(set(), BOTH, fingerprint=b"today")
    first = scan(cache_in(tmp_path), root, sieve)
    assert (first.scanned, first.cached, sieve.asked) == (300, 0, 300)
    second = scan(cache_in(tmp_path), root, sieve)
    assert (second.scanned, second.cached, second.bytes_hashed, sieve.asked) == (0, 300, 0, 300)
    assert (second.directories, second.seen) == (first.directories, first.seen)
    sieve = FakeSieve(set(), BOTH, fingerprint=b"tomorrow")
    assert scan(cache_in(tmp_path), root, sieve).cached == 300
    assert sieve.asked == 300
    assert scan(cache_in(tmp_path), root, sieve).cached == 300
    assert sieve.asked == 300, "the marks were renewed"


def edit(cache: DigestCache, statement: str) -> None:
    db = sqlite3.connect(cache.path)
    db.executescript(statement)
    db.close()


def test_a_mark_speaks_without_its_row(tmp_path: Path) -> None:
    """What makes a second scan fast: of an unchanged directory no row is read, so none needs to be there or to be whole."""
    root = tree_in(tmp_path)
    grow(root, 100)
    sieve = FakeSieve(set(), BOTH, **TODAY)  # type: ignore[arg-type]
    scan(cache_in(tmp_path), root, sieve)
    edit(cache_in(tmp_path), "UPDATE directory SET data = x'00'")
    assert scan(cache_in(tmp_path), root, sieve).cached == 100
    assert sieve.asked == 100
    assert scan(cache_in(tmp_path), root, FakeSieve(set(), BOTH, fingerprint=b"others")).scanned == 100, "the control"


@pytest.mark.parametrize("change", ["key", "host", "lists", "place"])
def test_a_mark_is_bound_to_key_lists_and_place(change: str, tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    (root / "a").mkdir()
    flat(root / "a", 5)
    sieve = FakeSieve(set(), BOTH, **TODAY)  # type: ignore[arg-type]
    scan(cache_in(tmp_path), root, sieve)
    again = sieve
    if change == "lists":
        again = FakeSieve(set(), BOTH, fingerprint=b"others")
    elif change == "place":
        (root / "a").rename(root / "b")
    else:
        value = f"'{'00' * 32}'" if change == "key" else "'short'"
        edit(cache_in(tmp_path), f"UPDATE meta SET value = {value} WHERE name = 'secret'")
    before = again.asked
    seen = scan(cache_in(tmp_path), root, again)
    assert again.asked - before == 5
    assert [one.message for one in seen.warnings] == (
        ["the digest cache was made anew: it has lost its key"] if change == "host" else []
    )


def test_a_row_that_is_written_loses_its_mark(tmp_path: Path) -> None:
    """A file that was swapped behind our back is found when it is read again, and from then on in every scan."""
    root = tree_in(tmp_path)
    flat(root, 10)
    good = FakeSieve(set(), BOTH, **TODAY)  # type: ignore[arg-type]
    scan(cache_in(tmp_path), root, good)
    rewrite(cache_in(tmp_path), lie)
    assert scan(cache_in(tmp_path), root, good).scanned == 0
    everything = FakeSieve(None, BOTH, **TODAY)  # type: ignore[arg-type]
    seen = scan(cache_in(tmp_path, reread=1), root, everything)
    assert (seen.scanned, len(seen.warnings)) == (10, 10)
    assert_true(seen, root)
    assert_true(scan(cache_in(tmp_path), root, everything), root)


def test_files_that_no_size_admits_are_counted_as_such_each_time(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    for size in range(10):
        (root / f"f{size}").write_bytes(bytes(size))
    sieve = FakeSieve(set(), BOTH, fingerprint=b"sized", admits=lambda size: size < 4)
    counts = [(seen.scanned, seen.cached, seen.by_size) for seen in (scan(cache_in(tmp_path), root, sieve) for _ in range(3))]
    assert counts == [(4, 0, 6), (0, 4, 6), (0, 4, 6)]
    assert sieve.asked == 4


def test_reading_again_forgets_what_cannot_be_read(tmp_path: Path) -> None:
    """Of a row that is read again whole, a file that is refused is not known any more; the others are."""
    root = tree_in(tmp_path)
    flat(root, 4)
    sieve = FakeSieve(set(), BOTH, **TODAY)  # type: ignore[arg-type]
    scan(cache_in(tmp_path), root, sieve)
    seen = scan(cache_in(tmp_path, reread=1), root, sieve, max_file_bytes=0)
    assert (seen.scanned, seen.cached, sum(seen.skipped.values())) == (0, 0, 4)
    assert scan(cache_in(tmp_path), root, sieve).scanned == 4


def test_a_look_says_what_a_row_remembers(tmp_path: Path) -> None:
    """Marks are made of rows and compared with looks: both must come to the same bytes, for all that stat can say."""
    names = [f"f{number}".encode() for number in range(40)]
    for number, name in enumerate(names):
        path = tmp_path / name.decode()
        path.write_bytes(b"x")
        os.truncate(path, number**5)
        os.utime(path, ns=(0, (number - 20) * 1_234_567_891))
    (tmp_path / "link").symlink_to("/dev/zero")
    names += [b"link", b"."]
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        looks = Looks(len(names))
        for some in (names, names[:1], names[7:9]):
            block = block_of([os.stat(name, dir_fd=fd, follow_symlinks=False) for name in some])
            assert looks.at(fd, some) == seen_of(block)
            assert len(seen_of(block)) == 48 * len(some)
        assert looks.at(fd, [*names[:3], b"not here"]) is None
        assert looks.at(fd, [*names, b"f1"]) is None, "one more than there is room for"
        assert looks.at(fd, []) is None
    finally:
        os.close(fd)


def test_a_sieve_without_a_name_is_asked_each_time(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    grow(root, 30)
    sieve = FakeSieve(set(), BOTH)
    for _ in range(3):
        scan(cache_in(tmp_path), root, sieve)
    assert sieve.asked == 90


def test_only_what_changed_is_read(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 200)
    cache = cache_in(tmp_path)
    scan(cache, root)
    (root / "f7").write_bytes(b"new")
    (root / "new").write_bytes(b"another")
    (root / "f9").unlink()
    seen = scan(cache, root)
    assert_true(seen, root)
    assert (seen.scanned, seen.cached) == (2, 198)
    assert scan(cache, root).cached == 200


@pytest.mark.parametrize("workers", [0, 3])
def test_a_big_directory_is_remembered_window_by_window(workers: int, tmp_path: Path) -> None:
    root, files = tree_in(tmp_path), 2 * WINDOW + 100
    flat(root, files)
    cache = cache_in(tmp_path)
    sieve = FakeSieve(set(), BOTH, **TODAY)  # type: ignore[arg-type]
    assert scan(cache, root, sieve, workers=workers).scanned == files
    assert scan(cache, root, sieve, workers=workers).cached == files
    assert singles_of(cache) == 0, "what another worker had learnt is in the rows now"
    (root / "new").write_bytes(b"moves all names behind it by one")
    for name in range(0, files, 500):
        (root / f"f{name}").unlink()
    gone = len(range(0, files, 500))
    seen = scan(cache, root, sieve, workers=workers)
    assert (seen.scanned, seen.cached) == (1, files - gone)


@pytest.mark.parametrize("workers", [0, 3])
def test_large_files_are_remembered_whoever_read_them(workers: int, tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    for number in range(4):
        (root / f"large{number}").write_bytes(os.urandom((9 << 20) + number))
    flat(root, 20)
    cache = cache_in(tmp_path)
    assert_true(scan(cache, root, workers=workers), root)
    seen = scan(cache, root, workers=workers)
    assert_true(seen, root)
    assert (seen.scanned, seen.cached) == (0, 24)
    assert singles_of(cache) == 0


def test_young_files_are_read_again(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 10)
    cache = cache_in(tmp_path, settle_seconds=CacheOptions().settle_seconds)
    scan(cache, root)
    assert scan(cache, root).cached == 0
    settled = cache_in(tmp_path, settle_seconds=0.5)
    time.sleep(0.6)
    scan(settled, root)
    assert scan(settled, root).cached == 10, "the control"


def test_where_times_cannot_be_believed_nothing_is_remembered(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 10)
    cache = cache_in(tmp_path, believed=frozenset({b"nfs-of-this-test"}))
    scan(cache, root)
    assert scan(cache, root).scanned == 10
    assert rows_of(cache) == []


def test_everything_is_read_again_once_in_a_round(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    grow(root, 400)
    cache = cache_in(tmp_path, reread=4)
    scan(cache, root)
    again = [scan(cache, root).scanned for _ in range(4)]
    assert sum(again) == 400
    assert max(again) < 250


def test_digests_that_lie_are_found_out(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 30)
    cache = cache_in(tmp_path)
    scan(cache, root)
    rewrite(cache, lie)
    believed = scan(cache, root)
    with pytest.raises(AssertionError):  # the control: this is what a wrong digest in a row that checks would do
        assert_true(believed, root)
    seen = scan(cache_in(tmp_path, reread=1), root)
    assert_true(seen, root)
    assert len(seen.warnings) == 30
    assert {warned.place.full for warned in seen.warnings if warned.place} == set(seen.paths)
    seen = scan(cache, root)
    assert_true(seen, root)
    assert seen.cached == 30


def test_verify_finds_wrong_digests_and_forgets_them(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 30)
    (root / "below").mkdir()
    (root / "below/f").write_bytes(b"x")
    cache = cache_in(tmp_path)
    scan(cache, root)
    assert last(cache).agreed == 31
    rewrite(cache, lambda row: lie(row) if row.path == b"below" else row)
    found = last(cache)
    assert (found.agreed, [place.path for place in found.wrong]) == (30, [b"below/f"])
    assert len(rows_of(cache)) == 1
    (root / "f3").write_bytes(b"changed since")
    assert (last(cache).agreed, last(cache).moved_on) == (29, 1)
    only = list(verify(cache, [os.fsencode(root / "nothing")], 1))[-1]
    assert only.rows == 0


def last(cache: DigestCache) -> Verified:
    return list(verify(cache, [], 1))[-1]


def test_a_directory_that_moved_is_known_at_its_new_place(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    (root / "old").mkdir()
    flat(root / "old", 5)
    cache = cache_in(tmp_path)
    scan(cache, root)
    (root / "old").rename(root / "new")
    assert scan(cache, root).cached == 5
    assert [row.path for row in rows_of(cache)] == [b"new"]


def test_sizes_that_no_list_has_are_counted_as_such(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    for number in range(20):
        (root / f"f{number}").write_bytes(b"x" * number)
    cache = cache_in(tmp_path)
    few = FakeSieve(set(), BOTH, fingerprint=b"few sizes", admits=lambda size: size < 5)
    for turn in range(3):
        seen = scan(cache, root, few)
        assert (seen.scanned + seen.cached, seen.by_size) == (5, 15)
        assert seen.cached == (5 if turn else 0)
    assert few.asked == 5
    every = FakeSieve(None, BOTH, fingerprint=b"all sizes")
    seen = scan(cache, root, every)
    assert_true(seen, root)
    assert (seen.scanned, seen.cached, seen.by_size) == (15, 5, 0)


def test_the_file_is_ours_alone(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 3)
    cache = cache_in(tmp_path)
    scan(cache, root)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "cache").iterdir()} == {0o600}
    for path, mode in ((tmp_path / "cache", 0o777), (cache.path, 0o644)):
        before = stat.S_IMODE(path.stat().st_mode)
        path.chmod(mode)
        seen = scan(cache_in(tmp_path), root)
        assert (seen.scanned, len(seen.warnings)) == (3, 1)
        path.chmod(before)
    assert scan(cache_in(tmp_path), root).cached == 3


def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 3)
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "target").write_bytes(b"precious")
    cache_in(tmp_path).path.symlink_to(tmp_path / "target")
    seen = scan(cache_in(tmp_path), root)
    assert (seen.scanned, len(seen.warnings)) == (3, 1)
    assert (tmp_path / "target").read_bytes() == b"precious"


def test_it_does_not_outgrow_its_bound(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    for number in range(500):
        (root / f"d{number}").mkdir()
        flat(root / f"d{number}", 10)
    bound = 20 * 16_384
    cache = cache_in(tmp_path, max_bytes=bound)
    for _ in range(3):
        seen = scan(cache, root, workers=2)
        assert_true(seen, root)
        assert cache.path.stat().st_size <= bound
    assert any("full" in one.message for one in seen.warnings)
    assert scan(cache_in(tmp_path, max_bytes=100 * bound), root).warnings == []


def test_rows_that_nothing_renews_are_swept(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    for name in ("stays", "goes"):
        (root / name).mkdir()
        flat(root / name, 5)
    now = [time.time()]
    cache = cache_in(tmp_path, reread=2, clock=lambda: now[0])
    scan(cache, root)
    assert len(rows_of(cache)) == 2
    for path in (root / "goes").iterdir():
        path.unlink()
    for _ in range(8):
        scan(cache, root)
    assert len(rows_of(cache)) == 2, "not yet old enough"
    now[0] += (KEEP_DAYS + 1) * 86_400
    for _ in range(8):
        scan(cache, root)
    assert [row.path for row in rows_of(cache)] == [b"stays"]


def test_other_hosts_and_other_formats_are_made_anew_once(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 10)
    here, there = tmp_path / "id1", tmp_path / "id2"
    here.write_text("one host\n")
    there.write_text("another host\n")
    scan(cache_in(tmp_path, machine_ids=(here,)), root)
    assert b"one host" not in cache_in(tmp_path).path.read_bytes()
    rewrite(cache_in(tmp_path), lie)  # what a copy from elsewhere amounts to: rows that check, about other files
    seen = scan(cache_in(tmp_path, machine_ids=(there,)), root)
    assert_true(seen, root)
    assert (seen.scanned, ["another host" in one.message for one in seen.warnings]) == (10, [True])
    seen = scan(cache_in(tmp_path, machine_ids=(there,)), root)
    assert (seen.cached, seen.warnings) == (10, [])


def test_a_host_without_an_id_gets_one(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 10)
    for turn in range(2):
        seen = scan(cache_in(tmp_path, machine_ids=(tmp_path / "none",)), root)
        assert (seen.cached, seen.warnings) == (10 if turn else 0, [])


def test_a_file_mounted_or_replaced_between_listing_and_reading_is_remembered_as_read(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    (root / "f").write_bytes(b"before")

    class Swapping(FakeSieve):
        """Is asked about the first directory when the second is still to be read."""

        def survivors(self, digests: object) -> list[int]:
            path = root / "d/f"
            if path.read_bytes() == b"before":
                path.unlink()
                path.write_bytes(b"after!")
                time.sleep(TICK)
            return []

    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"before")
    cache = cache_in(tmp_path)
    scan(cache, root, Swapping(set(), BOTH))
    assert_true(scan(cache, root), root)


def test_info_and_clear(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 10)
    cache = cache_in(tmp_path)
    assert cache.info() is None
    assert not cache.clear()
    for _ in range(2):
        scan(cache, root)
    info = cache.info()
    assert info is not None
    assert (info.directories, info.files, info.runs, info.scanned, info.cached) == (1, 0, 2, 0, 10)
    assert info.size == cache.path.stat().st_size
    assert cache.clear()
    assert not cache.path.exists()
    assert scan(cache, root).scanned == 10


def test_no_cache_leaves_no_trace(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 10)
    before = sorted(tmp_path.rglob("*"))
    for _ in range(2):
        assert scan(NoCache(), root).scanned == 10
    assert sorted(tmp_path.rglob("*")) == before


def test_an_audit_uses_what_is_there_and_makes_nothing(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 10)
    seen = scan(cache_in(tmp_path, make=False), root)
    assert (seen.scanned, seen.warnings, (tmp_path / "cache").exists()) == (10, [], False)
    scan(cache_in(tmp_path), root)
    assert scan(cache_in(tmp_path, make=False), root).cached == 10


def test_digests_of_other_algorithms_are_kept(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    flat(root, 10)
    cache = cache_in(tmp_path)
    counts = [
        scan(cache, root, FakeSieve(None, algorithms)).scanned
        for algorithms in [
            (Algorithm.MD5,),
            (Algorithm.SHA256,),
            (Algorithm.MD5,),
            (Algorithm.SHA256, Algorithm.MD5),
            BOTH,
            BOTH,
        ]
    ]
    assert counts == [10, 10, 0, 0, 10, 0]


def test_a_row_holds_what_the_documents_say(tmp_path: Path) -> None:
    root = tree_in(tmp_path)
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"x" * 100)
    cache = cache_in(tmp_path)
    scan(cache, root)
    (row,) = rows_of(cache)
    told = (root / "d/f").stat()
    assert isinstance(row, Row)
    assert (row.root, row.path, row.key.inode) == (os.fsencode(root), b"d", (root / "d").stat().st_ino)
    assert row.block == b"".join(
        number.to_bytes(8, "little") for number in (told.st_ino, told.st_size, told.st_mtime_ns, told.st_ctime_ns)
    )
