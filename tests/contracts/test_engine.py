"""What every engine promises: each path once, each count true, whatever does the work."""

from __future__ import annotations

import os
import random
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hashscan.errors import FilterError, UsageError
from hashscan.files.engine import InProcessEngine, LocalEngine
from hashscan.files.excludes import Excludes
from hashscan.files.hashing import LARGE
from hashscan.files.shards import Shard
from hashscan.files.walk import WalkOptions
from hashscan.model import Algorithm, Reason
from tests.support.sieves import FakeSieve, digest
from tests.support.trees import HOSTILE_NAMES, Seen, children, descriptors, find, grow, total

Make = Callable[[WalkOptions], InProcessEngine | LocalEngine]


@pytest.fixture(params=["in-process", "1 worker", "2 workers", "5 workers"])
def make(request: pytest.FixtureRequest) -> Make:
    if request.param == "in-process":
        return InProcessEngine
    workers = int(request.param.split()[0])
    return lambda options: LocalEngine(options, workers)


def scan(make: Make, *roots: Path | bytes, sieve: FakeSieve | None = None, options: WalkOptions | None = None) -> Seen:
    engine = make(options or WalkOptions())
    return total(engine.sift([os.fsencode(root) for root in roots], sieve or FakeSieve()))


def test_every_file_is_hashed_once_and_every_name_counted(make: Make, tmp_path: Path) -> None:
    grow(tmp_path, 800)
    seen = scan(make, tmp_path)
    assert seen.paths == find(tmp_path, "-type", "f")
    assert seen.scanned == 800
    assert seen.directories == len(find(tmp_path, "-type", "d"))
    assert seen.directories + seen.seen == len(find(tmp_path))
    assert seen.bytes_hashed == sum(os.stat(path).st_size for path in seen.paths)
    for one in seen.candidates:
        data = Path(os.fsdecode(one.hashed.entry.place.full)).read_bytes()
        assert one.hashed.digests == {name: digest(name, data).hex() for name in (Algorithm.MD5, Algorithm.SHA1)}


def test_candidates_get_the_digests_that_only_the_answer_needs(make: Make, tmp_path: Path) -> None:
    grow(tmp_path, 300)
    (tmp_path / "long").write_bytes(b"x" * (LARGE + 5))
    chosen = [os.fsencode(tmp_path / "long"), *find(tmp_path, "-type", "f", "-size", "-100k")[:3]]
    known = {digest(Algorithm.SHA1, Path(os.fsdecode(path)).read_bytes()) for path in chosen}
    seen = scan(make, tmp_path, sieve=FakeSieve(known, (Algorithm.SHA1,), also=(Algorithm.MD5, Algorithm.BLAKE3)))
    assert set(chosen) <= set(seen.paths)
    for one in seen.candidates:
        data = Path(os.fsdecode(one.hashed.entry.place.full)).read_bytes()
        wanted = (Algorithm.MD5, Algorithm.SHA1, Algorithm.BLAKE3)
        assert one.hashed.digests == {name: digest(name, data).hex() for name in wanted}
    assert seen.bytes_hashed == sum(os.stat(path).st_size for path in find(tmp_path, "-type", "f")), "counted once"


def test_a_root_that_is_a_file_gets_them_too(make: Make, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"one file")
    (one,) = scan(make, tmp_path / "f", sieve=FakeSieve(None, (Algorithm.SHA1,), also=(Algorithm.MD5,))).candidates
    assert one.hashed.digests == {name: digest(name, b"one file").hex() for name in (Algorithm.MD5, Algorithm.SHA1)}


@pytest.mark.parametrize("seed", range(3))
def test_known_files_are_found_and_no_others(make: Make, tmp_path: Path, seed: int) -> None:
    grow(tmp_path, 300, seed=seed)
    chosen = random.Random(seed).sample(find(tmp_path, "-type", "f", "-size", "+0"), 7)
    known = {digest(Algorithm.SHA1, Path(os.fsdecode(path)).read_bytes()) for path in chosen}
    seen = scan(make, tmp_path, sieve=FakeSieve(known, (Algorithm.SHA1,)))
    assert seen.paths == sorted(chosen)
    assert seen.scanned == 300


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_digests_come_in_the_order_that_the_sieve_asks_for(make: Make, tmp_path: Path, count: int) -> None:
    data = {"empty": b"", "small": b"x" * 4600, "buffer": b"y" * (1 << 20), "large": random.Random(1).randbytes((9 << 20) + 1)}
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
    algorithms = (Algorithm.BLAKE3, Algorithm.MD5, Algorithm.SHA256, Algorithm.SHA1)[:count]
    seen = scan(make, tmp_path, sieve=FakeSieve(None, algorithms))
    assert len(seen.candidates) == 4
    for one in seen.candidates:
        content = data[os.path.basename(one.hashed.entry.place.path).decode()]
        assert list(one.hashed.digests.items()) == [(name, digest(name, content).hex()) for name in algorithms]


def test_a_candidate_holds_what_stat_says(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "d/e/f"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"abc")
    os.link(file, tmp_path / "d/g")
    file.chmod(0o640)
    first, second = sorted(scan(make, tmp_path).candidates, key=lambda one: one.hashed.entry.place.path)
    status = file.stat()
    for one, path in ((first, b"d/e/f"), (second, b"d/g")):
        entry = one.hashed.entry
        assert (entry.place.root, entry.place.path) == (os.fsencode(tmp_path), path)
        assert (entry.device, entry.inode, entry.size, entry.mode) == (
            status.st_dev,
            status.st_ino,
            status.st_size,
            status.st_mode,
        )
        assert (entry.mtime_ns, entry.ctime_ns, entry.links) == (status.st_mtime_ns, status.st_ctime_ns, 2)
        assert (entry.uid, entry.gid) == (status.st_uid, status.st_gid)


def test_names_are_bytes(make: Make, tmp_path: Path) -> None:
    top = os.fsencode(tmp_path)
    for name in HOSTILE_NAMES:
        os.mkdir(os.path.join(top, name))
        for inner in HOSTILE_NAMES:
            with open(os.path.join(top, name, inner), "wb") as stream:
                stream.write(name + inner)
    seen = scan(make, tmp_path)
    assert seen.paths == find(tmp_path, "-type", "f")
    assert len(seen.paths) == len(HOSTILE_NAMES) ** 2


def test_what_is_no_file_is_counted_and_not_opened(make: Make, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "up").symlink_to("..")
    (tmp_path / "to file").symlink_to("f")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.fsencode(tmp_path / "s"))
        seen = scan(make, tmp_path)
    assert seen.skipped == {Reason.SYMLINK: 4, Reason.SPECIAL: 2}
    assert seen.paths == [os.fsencode(tmp_path / "f")]
    assert not seen.notes
    assert seen.directories + seen.seen == len(find(tmp_path))


def test_over_sized_files_are_named_and_not_read(make: Make, tmp_path: Path) -> None:
    (tmp_path / "fits").write_bytes(b"x" * 100)
    (tmp_path / "over").write_bytes(b"x" * 101)
    with (tmp_path / "huge").open("wb") as stream:
        stream.truncate(1 << 40)
    seen = scan(make, tmp_path, options=WalkOptions(max_file_bytes=100))
    assert seen.named == {os.fsencode(tmp_path / name): Reason.TOO_LARGE for name in ("over", "huge")}
    assert seen.skipped == {Reason.TOO_LARGE: 2}
    assert seen.paths == [os.fsencode(tmp_path / "fits")]


def test_our_own_directories_are_not_entered(make: Make, tmp_path: Path) -> None:
    for name in ("vault", "a/.holding", "b/.holding", "c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "f").write_bytes(b"x")
    (tmp_path / "a/.holding").chmod(0o700)
    (tmp_path / "b/.holding").chmod(0o755)  # a tenant can take the name, and hides nothing by that
    (tmp_path / "c/.holding").write_bytes(b"a file")
    status = (tmp_path / "vault").stat()
    options = WalkOptions(own=frozenset({(status.st_dev, status.st_ino)}), own_names=frozenset({b".holding"}))
    seen = scan(make, tmp_path, options=options)
    assert seen.named == {os.fsencode(tmp_path / name): Reason.OWN for name in ("vault", "a/.holding")}
    assert seen.paths == [os.fsencode(tmp_path / name) for name in ("b/.holding/f", "c/.holding", "c/f")]
    assert scan(make, tmp_path / "vault", options=options).skipped == {Reason.OWN: 1}


def test_excluded_paths_are_counted_and_not_entered(make: Make, tmp_path: Path) -> None:
    for name in ("keep/f", "cache/f", "keep/cache/f", "keep/g.iso"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    top = os.fsencode(tmp_path)
    options = WalkOptions(exclude=Excludes([f"{tmp_path}/cache/", "*.iso"]))
    seen = scan(make, tmp_path, options=options)
    assert seen.skipped == {Reason.EXCLUDED: 2}
    assert seen.paths == [top + b"/keep/cache/f", top + b"/keep/f"]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_shards_together_are_everything(make: Make, tmp_path: Path, count: int) -> None:
    """Every path is counted, and every file read, by exactly one of them; the sums are those of one scan of everything."""
    grow(tmp_path, 200)
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "x.iso").write_bytes(b"x")
    exclude = Excludes(["*.iso", "d1*/"])
    whole = scan(make, tmp_path, options=WalkOptions(exclude=exclude))
    parts = [
        scan(make, tmp_path, options=WalkOptions(exclude=exclude, shard=Shard(number, count))) for number in range(1, count + 1)
    ]
    assert sorted(path for part in parts for path in part.paths) == whole.paths
    assert whole.skipped[Reason.EXCLUDED] > 1
    for count_of in ("directories", "seen", "scanned", "bytes_hashed"):
        assert sum(getattr(part, count_of) for part in parts) == getattr(whole, count_of)
    assert sum((part.skipped for part in parts), Counter()) == whole.skipped
    owners = {
        number for path in whole.paths for number in range(1, count + 1) if Shard(number, count).owns(os.path.dirname(path))
    }
    assert {number for number, part in enumerate(parts, 1) if part.scanned} == owners
    alone = tmp_path / "fifo"
    alone.unlink()
    alone.write_bytes(b"a root that is a file")
    parts = [scan(make, alone, options=WalkOptions(shard=Shard(number, count))) for number in range(1, count + 1)]
    assert sum(part.scanned for part in parts) == 1


def test_roots_may_be_files_links_and_overlap(make: Make, tmp_path: Path) -> None:
    grow(tmp_path, 40)
    below = min(path for path in tmp_path.iterdir() if path.is_dir())
    link = tmp_path.with_name(tmp_path.name + "-link")
    link.symlink_to(tmp_path)
    alone = tmp_path.with_name(tmp_path.name + "-file")
    alone.write_bytes(b"z" * ((9 << 20) + 1))
    file_link = tmp_path.with_name(tmp_path.name + "-filelink")
    file_link.symlink_to(alone)
    assert scan(make, link).scanned == 40
    assert scan(make, below, tmp_path, tmp_path, next(tmp_path.glob("f*"))).scanned == 40
    assert scan(make, tmp_path, link).scanned == 40
    seen = scan(make, tmp_path, alone, file_link)
    assert seen.scanned == 41
    assert len({os.fsencode(alone), os.fsencode(file_link)} & set(seen.paths)) == 1
    assert scan(make, file_link).paths == [os.fsencode(file_link)]


def test_a_special_root_is_not_opened(make: Make, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert scan(make, tmp_path / "fifo").skipped == {Reason.SPECIAL: 1}


@pytest.mark.parametrize("root", [b"relative", b"/missing-root", b"/etc/../etc", b"/dev/null/x", b""])
def test_a_wrong_root_is_a_usage_error_at_once(make: Make, root: bytes) -> None:
    with pytest.raises(UsageError):
        make(WalkOptions()).sift([root], FakeSieve())


def test_no_roots_and_empty_roots_are_fine(make: Make, tmp_path: Path) -> None:
    assert scan(make).seen == 0
    seen = scan(make, tmp_path)
    assert (seen.directories, seen.seen) == (1, 0)


def test_a_failing_sieve_is_told_as_it_is(make: Make, tmp_path: Path) -> None:
    grow(tmp_path, 5)
    with pytest.raises(FilterError, match="torn") as caught:
        scan(make, tmp_path, sieve=FakeSieve(error=FilterError("torn", hint="sync again")))
    assert caught.value.hint == "sync again"
    with pytest.raises((RuntimeError, KeyError), match="a bug"):
        scan(make, tmp_path, sieve=FakeSieve(error=KeyError("a bug")))
    assert children() == []


def test_closing_stops_everything(make: Make, tmp_path: Path) -> None:
    grow(tmp_path, 2000)
    before = descriptors()
    for _ in range(5):
        with closing(make(WalkOptions()).sift([os.fsencode(tmp_path)], FakeSieve())) as stretches:
            next(stretches)
        assert children() == []
    assert descriptors() == before


class SlowSieve(FakeSieve):
    """Takes a second for every answer."""

    def survivors(self, digests: object) -> list[int]:
        time.sleep(1.0)
        return []


def test_signs_of_life_come_while_workers_are_busy(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    last, gaps = time.monotonic(), []
    for _ in LocalEngine(WalkOptions(), 2).sift([os.fsencode(tmp_path)], SlowSieve()):
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
    assert len(gaps) >= 4
    assert max(gaps) < 0.7


def test_both_engines_count_the_same(tmp_path: Path) -> None:
    grow(tmp_path, 500, seed=9)
    os.mkfifo(tmp_path / "fifo")
    one, other = scan(InProcessEngine, tmp_path), scan(lambda options: LocalEngine(options, 3), tmp_path)
    assert Counter(one.paths) == Counter(other.paths)
    assert (one.seen, one.directories, one.bytes_hashed, one.skipped) == (
        other.seen,
        other.directories,
        other.bytes_hashed,
        other.skipped,
    )


def test_the_size_sieve_rules_out_without_reading(make: Make, tmp_path: Path) -> None:
    for size in range(40):
        (tmp_path / f"file-{size}").write_bytes(b"x" * size)
    seen = scan(make, tmp_path, sieve=FakeSieve(admits=lambda size: size in {3, 30}))
    assert (seen.scanned, seen.by_size, seen.seen) == (2, 38, 40)
    assert seen.bytes_hashed == 33
