"""Trees of a tenant who hides files, moves them while we look, or wants us to hang; and workers that are killed on the way."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hashscan.files.engine import InProcessEngine, LocalEngine
from hashscan.files.sifter import Sifter
from hashscan.files.walk import WalkOptions
from hashscan.flow import Commit
from hashscan.model import Algorithm, HashedFile, Reason
from hashscan.ports import Engine
from tests.support import children as kids
from tests.support.budget import attempts
from tests.support.killing import kill_now_and_then, start_of_a_worker, told
from tests.support.mounts import with_own_mounts
from tests.support.sieves import FakeSieve, digest
from tests.support.trees import Seen, chain, children, descriptors, find, flat, grow, total

ENGINES: list[Engine] = [InProcessEngine(WalkOptions()), LocalEngine(WalkOptions(), 3)]
_BIND = 4096


@pytest.fixture(params=ENGINES, ids=["in-process", "3 workers"])
def engine(request: pytest.FixtureRequest) -> Engine:
    found: Engine = request.param
    return found


@pytest.fixture
def tenant(tmp_path: Path) -> Iterator[Path]:
    """A directory of a tenant. Removed by rm(1): what is in it may be too deep for others."""
    home = tmp_path / "tenant"
    home.mkdir()
    yield home
    subprocess.run(["rm", "-rf", "--", home], check=True)


def scan(engine: Engine, root: Path, sieve: FakeSieve | None = None) -> Seen:
    return total(engine.sift([os.fsencode(root)], sieve or FakeSieve()))


@pytest.mark.parametrize("siblings", [False, True])
def test_a_tree_of_10000_levels_is_found_completely(engine: Engine, tenant: Path, *, siblings: bool) -> None:
    made = chain(tenant, 10_000, b"d", siblings=siblings)
    before = descriptors()
    seen = scan(engine, tenant)
    assert seen.scanned == 100
    assert seen.paths == find(tenant, "-type", "f")
    assert seen.directories + seen.seen == made + 1
    assert descriptors() == before


def test_a_path_of_more_than_60_kb_is_found(engine: Engine, tenant: Path) -> None:
    made = chain(tenant, 300, b"n" * 255, siblings=True)
    seen = scan(engine, tenant)
    assert seen.paths == find(tenant, "-type", "f")
    assert len(seen.paths[0]) > 60_000 or len(seen.paths[-1]) > 60_000
    assert seen.directories + seen.seen == made + 1


def test_a_chain_with_siblings_costs_no_quadratic_memory(tenant: Path) -> None:
    """5,000 directories that wait, with paths of 50 kB on average: 250 MB if each were written out."""
    chain(tenant, 5_000, b"m" * 20, siblings=True)
    tracemalloc.start()
    try:
        assert scan(ENGINES[0], tenant).directories == 10_001
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()


def test_many_names_in_one_directory(engine: Engine, tenant: Path) -> None:
    count = attempts(20_000)
    flat(tenant, count)
    for number in range(3000):
        (tenant / f"sub{number}").mkdir()
    seen = scan(engine, tenant)
    assert (seen.scanned, seen.directories) == (count, 3001)
    assert seen.paths == find(tenant, "-type", "f")


def test_waiting_names_cost_their_characters() -> None:
    """A million subdirectories that wait; here 20,000, which need less than a fiftieth of 100 MB."""
    root = Path(tempfile.mkdtemp(prefix="hashscan-test-"))
    try:
        for number in range(20_000):
            (root / f"subdirectory-{number:06d}").mkdir()
        sifter = Sifter(WalkOptions(), FakeSieve(), [os.fsencode(root)], (), lambda: None)
        sifter.load([(0, -1, b"", 0, 0, b"0")], careful=False)
        tracemalloc.start()
        sifter.advance(0.0, lambda: False)
        commit = sifter.commit(give=False)
        size, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        sifter.close()
        assert sum(one[5].count(b"\0") + 1 for one in commit.pushed) == 20_000
        assert size < 1_200_000
        assert peak < 2_000_000
    finally:
        subprocess.run(["rm", "-rf", "--", root], check=True)


class Between(FakeSieve):
    """Lets the tenant act between two stretches of the walk."""

    def __init__(self, act: Callable[[], None]) -> None:
        super().__init__()
        self._act: Callable[[], None] | None = act

    def candidates(self, hashed: object) -> list:  # type: ignore[type-arg]
        act, self._act = self._act, None
        if act is not None:
            act()
        return super().candidates(hashed)  # type: ignore[arg-type]


def test_a_directory_that_moves_while_it_is_open_is_still_read(tenant: Path) -> None:
    (tenant / "a/b").mkdir(parents=True)
    (tenant / "a/f").write_bytes(b"f")
    (tenant / "a/b/g").write_bytes(b"g")
    seen = scan(ENGINES[0], tenant, Between(lambda: (tenant / "a").rename(tenant.with_name("elsewhere"))))
    assert seen.scanned == 2
    assert len(seen.candidates) == 2


def test_names_of_a_directory_that_moved_away_while_closed_are_told(tenant: Path) -> None:
    """As happens when a stack goes to another worker: its directories are opened by path, and must be the ones listed."""
    (tenant / "a/b").mkdir(parents=True)
    for name in ("a/b/f", "a/b/g", "a/h"):
        (tenant / name).write_bytes(b"x")
    for impostor in (False, True):
        sifter = Sifter(WalkOptions(), FakeSieve(), [os.fsencode(tenant)], (), lambda: None)
        status = (tenant / "a/b").stat()
        (tenant / "a/b").rename(tenant / "moved")
        if impostor:
            (tenant / "a/b").symlink_to("..")
        stack = [(1, 0, b"a", *ident(tenant / "a"), b"missing"), (2, 0, b"b", status.st_dev, status.st_ino, b"f\0g")]
        sifter.load(stack, careful=False)
        while not sifter.idle():
            sifter.advance(0.0, lambda: False)
        seen = total([result_of(sifter.commit(give=False))])
        assert seen.skipped == {Reason.CHANGED: 2, Reason.VANISHED: 1}
        assert seen.named == {os.fsencode(tenant / "a/b"): Reason.CHANGED}
        assert (seen.scanned, seen.seen) == (0, 3)
        sifter.close()
        with suppress(FileNotFoundError):
            (tenant / "a/b").unlink()
        (tenant / "moved").rename(tenant / "a/b")


def ident(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def result_of(commit: Commit) -> object:  # type: ignore[type-arg]
    return commit.result


def shuffle(home: Path, outside: Path, inside: list[int], seed: int) -> None:
    """What a tenant can do to names, for ever: swap files and directories for links and FIFOs, rename, remove, make anew.

    By the descriptors ``inside``, so that it does not itself move something from outside into the tree.
    """
    rnd = random.Random(seed)
    while True:
        number = rnd.randrange(40)
        name, here, there = f"f{number}", inside[number % 8], rnd.choice(inside)
        directory = home / f"d{number % 8}"
        with suppress(OSError):
            match rnd.randrange(6):
                case 0:
                    os.rename(name, f"spare{number}", src_dir_fd=here, dst_dir_fd=here)
                    os.symlink(outside / "secret", name, dir_fd=here)
                case 1:
                    os.unlink(name, dir_fd=here)
                    os.mkfifo(name, dir_fd=here)
                case 2:
                    os.unlink(name, dir_fd=here)
                    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, dir_fd=here))
                case 3:
                    directory.rename(home / f"{directory.name}.away")
                    directory.symlink_to(outside)
                case 4:
                    directory.unlink()
                    (home / f"{directory.name}.away").rename(directory)
                case _:
                    os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)


def test_a_tree_that_changes_all_the_time_leads_nowhere_else(engine: Engine, tenant: Path, tmp_path: Path) -> None:
    """Never a file outside the root, never a wait for a FIFO, every stretch adds up; and the races did happen."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    for number in range(40):
        (outside / f"f{number}").write_bytes(b"secret")
        (tenant / f"d{number % 8}").mkdir(exist_ok=True)
        (tenant / f"d{number % 8}/f{number}").write_bytes(b"file")
    inside = [os.open(tenant / f"d{number}", os.O_RDONLY | os.O_DIRECTORY) for number in range(8)]
    attackers = [kids.start(lambda seed=seed: shuffle(tenant, outside, inside, seed)) for seed in range(2)]
    raced: Counter[Reason] = Counter()
    scans = 0
    try:
        until = time.monotonic() + 1.5 * attempts(1)
        while time.monotonic() < until:
            seen = scan(engine, tenant, FakeSieve({digest(Algorithm.MD5, b"secret")}))
            assert seen.paths == []
            raced += seen.skipped
            scans += 1
    finally:
        for child in attackers:
            os.kill(child, signal.SIGKILL)
            kids.end(child)
        for fd in inside:
            os.close(fd)
    print(f"{scans} scans, {dict(raced)}")
    assert raced[Reason.VANISHED] > 0
    assert raced[Reason.CHANGED] > 0


def test_a_growing_file_is_read_to_an_end(engine: Engine, tenant: Path) -> None:
    path = tenant / "log"
    path.write_bytes(b"x" * 2_000_000)

    def append() -> None:
        with path.open("ab") as stream:
            while True:
                stream.write(b"y" * 10_000)
                time.sleep(0.001)

    writer = kids.start(append)
    try:
        assert scan(engine, tenant).scanned == 1
    finally:
        os.kill(writer, signal.SIGKILL)
        kids.end(writer)


def test_a_sparse_file_that_would_take_days_is_named(tenant: Path) -> None:
    with (tenant / "huge").open("wb") as stream:
        stream.truncate(10 << 40)
    (tenant / "f").write_bytes(b"x")
    seen = scan(LocalEngine(WalkOptions(max_file_bytes=1 << 30), 2), tenant)
    assert seen.named == {os.fsencode(tenant / "huge"): Reason.TOO_LARGE}
    assert seen.scanned == 1


def as_nobody(body: Callable[[], None]) -> None:
    """Run ``body`` without root's rights."""

    def dropped() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
        body()

    assert kids.run(dropped) == 0


@pytest.mark.parametrize("workers", [0, 2])
def test_what_may_not_be_read_is_an_error_with_its_name(workers: int) -> None:
    root = Path(tempfile.mkdtemp(prefix="hashscan-test-"))
    try:
        for name in ("open", "closed", "listed"):
            (root / name).mkdir()
            (root / name / "f").write_bytes(b"x")
        (root / "secret").write_bytes(b"x")
        (root / "secret").chmod(0o000)
        (root / "closed").chmod(0o000)
        (root / "listed").chmod(0o744)  # its names can be listed, its files not opened
        root.chmod(0o755)

        def body() -> None:
            engine = LocalEngine(WalkOptions(), workers) if workers else InProcessEngine(WalkOptions())
            seen = scan(engine, root)
            assert seen.errors == {"EACCES": 3}, seen
            assert seen.named == {os.fsencode(root / name): Reason.ERROR for name in ("secret", "closed", "listed/f")}
            assert {note.errno for note in seen.notes} == {"EACCES"}
            assert seen.paths == [os.fsencode(root / "open/f")]
            assert seen.directories + seen.seen == 8 - 1  # find would list closed/f too, as root

        as_nobody(body)
    finally:
        for name in ("closed", "listed"):
            (root / name).chmod(0o700)
        shutil.rmtree(root)


def bind(source: Path, target: Path) -> None:
    if ctypes.CDLL(None, use_errno=True).mount(os.fsencode(source), os.fsencode(target), None, _BIND, None) != 0:
        raise OSError(ctypes.get_errno(), "mount")


def test_mounts_are_not_entered_unless_named(tenant: Path) -> None:
    """A bind mount of the tree in itself, which has the same device number, and one from elsewhere."""
    elsewhere = tenant.with_name("elsewhere")
    for directory in (tenant / "loop", tenant / "d/other", elsewhere / "deep"):
        directory.mkdir(parents=True)
    for file in (tenant / "f", tenant / "d/g", elsewhere / "h", elsewhere / "deep/i"):
        file.write_bytes(b"x")

    def body() -> None:
        bind(tenant, tenant / "loop")
        bind(elsewhere, tenant / "d/other")
        for engine in ENGINES:
            seen = scan(engine, tenant)
            assert seen.paths == [os.fsencode(tenant / name) for name in ("d/g", "f")]
            assert seen.named == {os.fsencode(tenant / name): Reason.MOUNT for name in ("loop", "d/other")}
            assert seen.directories + seen.seen == 6  # the root, f, d, d/g, and the two mount points
            both = total(engine.sift([os.fsencode(tenant), os.fsencode(tenant / "d/other")], FakeSieve()))
            assert both.paths == [os.fsencode(tenant / name) for name in ("d/g", "d/other/deep/i", "d/other/h", "f")]
            assert both.named == {os.fsencode(tenant / "loop"): Reason.MOUNT}

    with_own_mounts(body)


class Deadly(FakeSieve):
    """Kills, or hangs, the worker that brings certain contents."""

    def __init__(self, contents: list[bytes], act: Callable[[], None]) -> None:
        super().__init__()
        self._contents, self._act = {digest(Algorithm.MD5, one) for one in contents}, act

    def survivors(self, digests: object) -> list[int]:
        if any(row[0] in self._contents for row in digests):  # type: ignore[attr-defined]
            self._act()
        return super().survivors(digests)  # type: ignore[arg-type]


def test_a_file_that_kills_its_workers_is_named_and_the_rest_is_scanned(tenant: Path) -> None:
    grow(tenant, 400)
    (tenant / "deadly").write_bytes(b"deadly")
    seen = scan(LocalEngine(WalkOptions(), 2), tenant, Deadly([b"deadly"], lambda: os.kill(os.getpid(), signal.SIGKILL)))
    assert seen.errors == {"ENOTRECOVERABLE": 1}
    assert seen.named == {os.fsencode(tenant / "deadly"): Reason.ERROR}
    assert seen.paths == [path for path in find(tenant, "-type", "f") if not path.endswith(b"deadly")]
    assert seen.directories + seen.seen == len(find(tenant))


def test_a_file_that_hangs_is_named_and_the_rest_is_scanned(tenant: Path) -> None:
    grow(tenant, 400)
    for number in range(2):
        (tenant / f"hangs{number}").write_bytes(b"hangs %d" % number)
    sieve = Deadly([b"hangs 0", b"hangs 1"], lambda: time.sleep(1000))
    seen = scan(LocalEngine(WalkOptions(file_deadline=0.5), 2), tenant, sieve)
    assert seen.skipped == {Reason.TIMEOUT: 2}
    assert seen.named == {os.fsencode(tenant / f"hangs{number}"): Reason.TIMEOUT for number in range(2)}
    assert seen.paths == [path for path in find(tenant, "-type", "f") if b"/hangs" not in path]
    assert seen.directories + seen.seen == len(find(tenant))


class Unhurried(FakeSieve):
    """Takes a moment, so that there is time to be killed."""

    def candidates(self, hashed: object) -> list:  # type: ignore[type-arg]
        time.sleep(0.002)
        return super().candidates(hashed)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_of_workers_loses_and_repeats_nothing(tenant: Path, seed: int) -> None:
    """Every path once, every count exact, however many workers die. What was in hand at three deaths is named as an error."""
    grow(tenant, 700, seed=seed)
    truth, names = find(tenant, "-type", "f"), len(find(tenant))
    reading, writing = os.pipe2(os.O_NONBLOCK)
    parent, least, kills, given_up, scans = os.getpid(), start_of_a_worker(), 0, 0, 0
    killer = kids.start(lambda: kill_now_and_then(parent, seed, writing, least))
    try:
        while scans < attempts(3) or kills <= 10:
            seen = scan(LocalEngine(WalkOptions(), 3), tenant, Unhurried())
            assert sorted([*seen.paths, *seen.named]) == truth
            assert seen.directories + seen.seen == names
            given_up += len(seen.named)
            kills += told(reading)
            scans += 1
            assert scans < 100, "nobody is killed"
    finally:
        os.kill(killer, signal.SIGKILL)
        kids.end(killer)
        os.close(writing)
        os.close(reading)
    print(f"{kills} workers killed, {given_up} files given up")
    assert given_up <= 1 + kills // 20
    assert children() == []


def test_hashed_files_are_made_for_survivors_only(tenant: Path) -> None:
    grow(tenant, 300)
    asked: list[HashedFile] = []

    class Asking(FakeSieve):
        def candidates(self, hashed: list[HashedFile]) -> list:  # type: ignore[type-arg, override]
            asked.extend(hashed)
            return []

    one = find(tenant, "-type", "f", "-size", "+0")[5]
    known = {digest(Algorithm.MD5, Path(os.fsdecode(one)).read_bytes())}
    assert scan(ENGINES[0], tenant, Asking(known)).scanned == 300
    assert [each.entry.place.full for each in asked] == [one]
