"""kill -9 at every system call of a sync: the old lists are in force or the new ones, whole, and the next sync goes through.

The calls that change something are all met, of the others (reading, memory, clocks) a share; HASHSCAN_BUDGET=8 meets all. A
naive writer runs in the same harness and must be caught.
"""

from __future__ import annotations

import itertools
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import copytree, rmtree

import pytest

from hashscan.errors import FilterError
from hashscan.jobs.selftest import require_self_test
from hashscan.jobs.sync import SyncTools, sync
from hashscan.known import delta
from hashscan.known.chain import unpack
from hashscan.known.shelf import IN_FORCE, Shelf
from hashscan.known.trust import FolderFetcher
from hashscan.model import ListRef
from tests.support.acting import Told
from tests.support.budget import attempts
from tests.support.hotline import NOW, Known, hashed
from tests.support.syncing import OLD, Roomy
from tests.support.tracing import killed_at, numbered, system_calls

pytestmark = [pytest.mark.slow, pytest.mark.optional("strace")]

_CHANGING = """write pwrite64 rename renameat renameat2 unlink unlinkat mkdir mkdirat symlink symlinkat rmdir
    fsync fdatasync ftruncate link linkat chmod fchmod utimensat openat close"""
CHANGING = frozenset(_CHANGING.split())
OTHERS = 16  # one of so many calls that change nothing is met, divided by the budget

A1, A2, B1 = ListRef("a", 1, 1), ListRef("a", 2, 1), ListRef("b", 1, 1)
BEFORE, AFTER = {A1}, {A2, B1}
MANY = [Known(b"harmless %d" % number) for number in range(600)]
Sync = Callable[[SyncTools], object]


class Place:
    """A host with version 1 of list a; version 2 (by a delta), a list b and withdrawn entries are published in a folder."""

    def __init__(self, top: Path) -> None:
        self.top, self.published = top, top / "published"
        self.hotline = Roomy(lists={A1: [OLD, *MANY]})
        old = self.hotline.filter(A1)
        self._publish()
        self.start = top / "start"
        sync(self.tools(self.start))
        self.hotline.lists = {A2: [OLD, *MANY[1:]], B1: [OLD]}
        self.hotline.withdrawn = {"a": MANY[:1]}
        made = delta.make(old, self.hotline.filter(A2))
        assert made is not None
        self.hotline.extra["a-1-2-1.delta"] = (made, {"kind": "delta", "list": "a", "version": 2, "epoch": 1, "from": 1})
        self._publish()

    def _publish(self) -> None:
        self.hotline.publish()
        self.published.mkdir(exist_ok=True)
        for name, data in self.hotline.files.items():
            (self.published / name).write_bytes(data)

    def tools(self, folder: Path) -> SyncTools:
        trust = self.hotline.trust(folder / "tuf")
        shelf = Shelf(folder, trust, self.hotline.key)
        return SyncTools(trust, FolderFetcher(self.published), shelf, Told(), lambda: NOW)

    def host(self) -> Path:
        folder = self.top / "host"
        rmtree(folder, ignore_errors=True)
        copytree(self.start, folder, symlinks=True)
        return folder

    def in_force(self, folder: Path) -> set[ListRef]:
        """The lists in force, each asked as a scan would ask it. Raises `FilterError` where there are none, or torn ones."""
        shelf = self.tools(folder).shelf
        lists = shelf.view(NOW, max_age=1e9).lists
        sieve = shelf.sieve(lists)
        require_self_test(sieve)
        found = {target.list for target in lists.targets}
        (old,) = sieve.candidates([hashed(OLD.content)])
        assert set(old.lists) == found
        assert bool(sieve.candidates([hashed(MANY[0].content)])) == (found == BEFORE)
        assert len(shelf.withdrawn(lists)) == (found == AFTER)
        return found


@pytest.fixture
def place() -> Iterator[Place]:
    """In memory where there is such a place: fsync takes nine tenths of the time elsewhere."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as top:
        yield Place(Path(top))


Moment = tuple[str, int]


def moments(calls: list[str]) -> list[Moment]:
    """The calls to be killed at."""
    stride = max(1, OTHERS // attempts(1))
    others = itertools.count()
    return [one for one in numbered(calls) if one[0] in CHANGING or next(others) % stride == 0]


def wrong_end(place: Place, folder: Path) -> str:
    """What is wrong after a kill, or ""; the next sync is part of it."""
    try:
        found = place.in_force(folder)
        if found not in (BEFORE, AFTER):
            return f"{found} are in force"
        for _ in range(2):
            sync(place.tools(folder))
            if place.in_force(folder) != AFTER:
                return "the next sync did not heal it"
    except (FilterError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"
    names = {path.name for path in folder.iterdir()}
    left = names - {IN_FORCE, "clock", "tuf", "a-2-1.filter", "b-1-1.filter", "a-2-1.withdrawn"}
    return f"left lying about: {left}" if left else ""


def kill_everywhere(
    place: Place, work: Sync, wanted: Callable[[list[str]], list[Moment]]
) -> tuple[Counter[str], list[str], int]:
    """Kills by kind of call, what was wrong after them, and how often the new lists were in force already."""
    folder = place.host()
    calls = system_calls(lambda: work(place.tools(folder)), place.top / "log")
    kills, wrong, new = Counter[str](), [], 0
    for call, number in wanted(calls):
        folder = place.host()
        if not killed_at(lambda folder=folder: work(place.tools(folder)), call, number):  # type: ignore[misc]
            continue  # some calls are fewer than in the first run: memory is not asked for equally often
        kills[call] += 1
        new += b'"a-2-1.filter"' in targets_in_force(folder)
        if bad := wrong_end(place, folder):
            wrong.append(f"at {call} {number}: {bad}")
    return kills, wrong, new


def targets_in_force(folder: Path) -> bytes:
    """The signed targets of the proof in force, as they are written there."""
    try:
        return unpack((folder / IN_FORCE).read_bytes()).targets
    except (FilterError, FileNotFoundError):
        return b""


def test_killed_at_every_system_call(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    kills, wrong, new = kill_everywhere(place, sync, moments)
    with capsys.disabled():
        share = kills.total() - sum(kills[call] for call in CHANGING)
        print(f"\n  sync: {kills.total()} kills, {share} of them at calls that change nothing; ", end="")
        print(f"new lists in force {new} times, {len(wrong)} bad")
    assert wrong == []
    assert set(kills) >= {"write", "rename", "unlink", "fsync", "openat", "close"}
    assert 0 < new < kills.total(), "kills fell on both sides of the moment when the new lists come into force"


def test_killed_again_while_it_heals(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    rng, kills = random.Random(4), 0
    folder = place.host()
    calls = numbered(system_calls(lambda: sync(place.tools(folder)), place.top / "log"))
    for _ in range(attempts(40)):
        folder = place.host()
        for _ in range(3):
            call, number = rng.choice(calls)
            kills += killed_at(lambda folder=folder: sync(place.tools(folder)), call, number)  # type: ignore[misc]
            assert place.in_force(folder) in (BEFORE, AFTER)
        assert wrong_end(place, folder) == ""
    with capsys.disabled():
        print(f"\n  sync, three kills in a row: {kills} kills, 0 bad")
    assert kills > attempts(40)


def naive(tools: SyncTools) -> None:
    """Writes where the files belong, the metadata first."""
    offered = tools.trust.refresh(tools.fetcher)
    folder = tools.shelf.clock_file.parent
    with (folder / IN_FORCE).open("wb", buffering=1024) as stream:
        for start in range(0, len(offered.proof), 500):
            stream.write(offered.proof[start : start + 500])
    for target in offered.targets:
        for file in (target.filter, target.withdrawn):
            if file is not None:
                with (folder / file.name).open("wb", buffering=0) as stream:
                    for piece in tools.fetcher.fetch(file.name, max_bytes=file.length):
                        stream.write(piece)


def test_control_a_naive_writer_is_caught(place: Place) -> None:
    kills, wrong, _ = kill_everywhere(place, naive, lambda calls: [one for one in numbered(calls) if one[0] == "write"][-12:])
    assert kills.total() >= 6
    assert len(wrong) >= 3
