"""Files that are truncated, grown, replaced, deleted or turned into something else while they are scanned, again and again.

No scan hangs, each name is accounted for, every digest is that of bytes which the file really had, and the digest cache never
remembers a wrong one. What the mutator writes says whose it is, so that all this can be held against the truth.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hashscan.files.cache import DigestCache
from hashscan.files.engine import InProcessEngine, LocalEngine
from hashscan.files.verify import Verified, verify
from hashscan.files.walk import WalkOptions
from hashscan.model import Algorithm
from tests.support import children as kids
from tests.support.budget import attempts
from tests.support.caches import options as cache_options
from tests.support.sieves import FakeSieve, digest
from tests.support.trees import Seen, total

pytestmark = pytest.mark.slow

NAMES = 160  # every fourth one is also deleted; the last two are large
DIRECTORIES = 8
GENERATIONS = 3
LENGTHS = (0, 1, 100, 4096, 5000, 20_000)
LARGE = (100, (1 << 20) - 1, 1 << 20, (3 << 20) + 5, 9 << 20)
BOTH = (Algorithm.MD5, Algorithm.SHA1)
SETTLE = 0.05  # seconds; a file is remembered when nobody has touched it for so long


def is_large(number: int) -> bool:
    return number >= NAMES - 2


def is_deletable(number: int) -> bool:
    return number % 4 == 0 and not is_large(number)


def content(number: int, generation: int, size: int) -> bytes:
    words = b"%d:%d:" % (number, generation)
    return (words * (size // len(words) + 1))[:size]


def path_of(top: Path, number: int) -> Path:
    return top / f"d{number % DIRECTORIES}" / f"{number}"


@dataclass
class Mutator:
    """Changes the tree step by step, from a seed. Everything new is made beside the tree and renamed into it."""

    top: Path
    beside: Path
    rnd: random.Random
    state: dict[int, tuple[int, int]] = field(default_factory=dict)  # generation and size, where the name is a regular file
    done: Counter[str] = field(default_factory=Counter)

    def step(self) -> None:
        number = int(NAMES * self.rnd.random() ** 3)  # some are touched all the time, some hardly ever
        kinds = ["replace", "replace", "truncate", "grow", "fifo", "link"] + ["delete"] * is_deletable(number)
        kind = self.rnd.choice(kinds)
        if (kind in ("truncate", "grow", "delete") and number not in self.state) or (kind == "grow" and is_large(number)):
            kind = "replace"
        self.done[kind] += 1
        getattr(self, kind)(number)

    def replace(self, number: int) -> None:
        generation, size = self.rnd.randrange(GENERATIONS), self.rnd.choice(LARGE if is_large(number) else LENGTHS)
        self.beside.write_bytes(content(number, generation, size))
        self.beside.rename(path_of(self.top, number))
        self.state[number] = generation, size

    def truncate(self, number: int) -> None:
        generation, size = self.state[number]
        shorter = self.rnd.choice([one for one in (LARGE if is_large(number) else LENGTHS) if one <= size])
        os.truncate(path_of(self.top, number), shorter)
        self.state[number] = generation, shorter

    def grow(self, number: int) -> None:
        generation, size = self.state[number]
        longer = self.rnd.choice([one for one in LENGTHS if one >= size] or [size])
        with path_of(self.top, number).open("ab") as stream:
            stream.write(content(number, generation, longer)[size:])
        self.state[number] = generation, longer

    def fifo(self, number: int) -> None:
        os.mkfifo(self.beside)
        self._swap(number)

    def link(self, number: int) -> None:
        self.beside.symlink_to(self.rnd.choice(["/dev/zero", "/proc/self/mem", "..", f"{self.rnd.randrange(NAMES)}"]))
        self._swap(number)

    def delete(self, number: int) -> None:
        path_of(self.top, number).unlink()
        del self.state[number]

    def _swap(self, number: int) -> None:
        self.beside.rename(path_of(self.top, number))
        self.state.pop(number, None)


def truth() -> dict[tuple[int, bytes], int]:
    """Whose digest with how many bytes, for all bytes that a file can have had.

    Growing is seen page by page. A large file that is cut off while it is read is read up to the end of some buffer.
    """
    table = {}
    for number in range(NAMES):
        sizes = (
            set(LARGE) | {mib << 20 for mib in range(10)} if is_large(number) else set(LENGTHS) | set(range(0, 20_000, 4096))
        )
        for generation in range(GENERATIONS):
            whole = content(number, generation, max(sizes))
            for size in sizes:
                table[number, digest(Algorithm.SHA1, whole[:size])] = size
    return table


def torn() -> dict[tuple[int, bytes], int]:
    """The kernel lets a reader see zeros where a file is just being cut off. Its ctime is then newer than the read."""
    table = {}
    for number in range(NAMES - 2):
        for generation in range(GENERATIONS):
            for kept in LENGTHS:
                for size in LENGTHS:
                    data = content(number, generation, kept) + bytes(max(0, size - kept))
                    table[number, digest(Algorithm.SHA1, data)] = size
    return table


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    for number in range(DIRECTORIES):
        (top / f"d{number}").mkdir(parents=True)
    mutator = Mutator(top, tmp_path / "beside", random.Random(0))
    for number in range(NAMES):
        mutator.replace(number)
    return top


@pytest.fixture
def mutating(top: Path, tmp_path: Path) -> int:
    """The pid of a process that is changing the tree."""
    count = attempts(3000)

    def mutate() -> None:
        mutator = Mutator(top, tmp_path / "beside", random.Random(1))
        for number in range(NAMES):
            mutator.replace(number)
        for number in range(count):
            mutator.step()
            if number % 4 == 0:
                time.sleep(0.0005)  # else it is done before anybody has scanned
        (tmp_path / "told").write_text(", ".join(f"{name} {times}" for name, times in sorted(mutator.done.items())))

    return kids.start(mutate)


def scans_while(child: int, top: Path, cache: DigestCache) -> Iterator[tuple[Seen, float]]:
    """One scan after the other by either engine until the mutator is done, and a last one."""
    walk = WalkOptions(cache=cache, file_deadline=30.0)
    engines = [InProcessEngine(walk), LocalEngine(walk, 2)]
    running, number = True, 0
    while running:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0
            running = False
        begin = time.monotonic()
        engine = engines[number % 2]
        number += 1
        yield total(engine.sift([os.fsencode(top)], FakeSieve(None, BOTH))), time.monotonic() - begin


def unexplained(seen: Seen, table: dict[tuple[int, bytes], int]) -> list[tuple[int, bytes]]:
    """Candidates whose digests are not of any bytes that their name can have had."""
    found = []
    for one in seen.candidates:
        number = int(os.path.basename(one.hashed.entry.place.full))
        key = number, bytes.fromhex(one.hashed.digests[Algorithm.SHA1])
        if key not in table:
            found.append(key)
    return found


def test_files_that_change_while_they_are_scanned(
    top: Path, tmp_path: Path, mutating: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = DigestCache(tmp_path / "cache", cache_options(tmp_path, settle_seconds=SETTLE))
    table, scans, ends, strange, longest = truth(), 0, Counter[str](), [], 0.0
    stay = sum(not is_deletable(number) for number in range(NAMES))
    for seen, seconds in scans_while(mutating, top, cache):
        scans += 1
        longest = max(longest, seconds)
        assert seen.directories == 1 + DIRECTORIES
        assert stay <= seen.seen <= NAMES, "each name ends once"
        assert len(set(seen.paths)) == len(seen.paths)
        assert not seen.errors
        strange += unexplained(seen, table)
        ends.update({"scanned": seen.scanned, "cached": seen.cached}, **{str(name): n for name, n in seen.skipped.items()})
    zeros = torn() if strange else {}
    assert not [one for one in strange if one not in zeros]
    *_, verified = verify(cache, (), 1)
    report(capsys, tmp_path, scans, ends, len(strange), verified)
    assert longest < 30.0
    assert verified.wrong == []
    assert verified.agreed > NAMES / 4
    assert ends["cached"] > 0
    assert scans >= 5


def report(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, scans: int, ends: Counter[str], zeros: int, verified: Verified
) -> None:
    with capsys.disabled():
        print(f"\n  mutations: {(tmp_path / 'told').read_text()}")
        print(f"  {scans} scans of {NAMES} names ended: {dict(ends)}; {zeros} digests of files that were being cut off")
        print(f"  digest cache: {verified.agreed} files agree, {len(verified.wrong)} wrong")


def test_control_a_wrong_digest_is_noticed(top: Path) -> None:
    table = truth()
    seen = total(InProcessEngine(WalkOptions()).sift([os.fsencode(top)], FakeSieve(None, BOTH)))
    assert unexplained(seen, table) == []
    os.rename(path_of(top, 1), path_of(top, 9))
    os.truncate(path_of(top, 2), 50_000)
    seen = total(InProcessEngine(WalkOptions()).sift([os.fsencode(top)], FakeSieve(None, BOTH)))
    assert {number for number, _ in unexplained(seen, table)} <= {2, 9}
    assert 2 in {number for number, _ in unexplained(seen, table)}
