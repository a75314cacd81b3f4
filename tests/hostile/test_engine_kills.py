"""kill -9 of random workers and of the parent, then resume: what was scanned is what is there, and nothing is counted twice."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from hashscan.files.checkpoint import Checkpoint
from hashscan.files.engine import LocalEngine
from hashscan.files.walk import WalkOptions
from hashscan.model import Reason
from tests.support import children as kids
from tests.support.budget import attempts
from tests.support.killing import kill_now_and_then, kill_one_of, start_of_a_worker, told
from tests.support.sieves import FakeSieve
from tests.support.trees import children, find, grow, total

pytestmark = pytest.mark.slow

FILES = 600
LEAST = 0.07  # seconds between two deaths: a file that is in hand at three of them is given up


class SlowSieve(FakeSieve):
    """Knows every file, and takes its time."""

    def survivors(self, digests: Sequence[tuple[bytes, ...]]) -> list[int]:
        time.sleep(0.02)
        return super().survivors(digests)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("kills") / "tree"
    top.mkdir()
    grow(top, FILES, seed=5)
    (top / "large").write_bytes(random.Random(2).randbytes((17 << 20) + 1))
    (top / "link").symlink_to("large")
    return top


def test_killed_workers(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted, kills, scans, given_up = attempts(12), 0, 0, 0
    truth, names = find(tree, "-type", "f"), len(find(tree))
    reading, writing = os.pipe2(os.O_NONBLOCK)
    parent, least = os.getpid(), max(LEAST, start_of_a_worker())
    killer = kids.start(lambda: kill_now_and_then(parent, 1, writing, least))
    try:
        while kills < wanted:
            seen = total(LocalEngine(WalkOptions(), 3).sift([os.fsencode(tree)], SlowSieve()))
            kills += told(reading)
            scans += 1
            # Should one file be in hand at three deaths in a row, it is given up by name.
            lost = [note for note in seen.notes if note.errno == "ENOTRECOVERABLE"]
            given_up += len(lost)
            assert len(lost) <= 1
            assert sorted([*seen.paths, *(note.place.full for note in lost)]) == truth
            assert seen.directories + seen.seen == names
    finally:
        os.kill(killer, signal.SIGKILL)
        kids.end(killer)
        os.close(writing)
        os.close(reading)
    assert children() == []
    with capsys.disabled():
        print(
            f"\n  workers: {kills} killed in {scans} scans of {FILES + 1} files, {given_up} files given up by name, none lost"
        )


def scan_until_killed(tree: Path, checkpoint: Checkpoint, log: Path, run: int) -> None:
    """What a scan does that keeps what it finds before it asks for more. In a process of its own."""
    resumed = checkpoint.load()
    engine = LocalEngine(WalkOptions(), 2, checkpoint=checkpoint, resumed=resumed)
    fd = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    counts = (
        Counter(scanned=resumed.totals.scanned, names=resumed.totals.seen + resumed.totals.directories)
        if resumed
        else Counter()
    )
    for one in engine.sift([os.fsencode(tree)], SlowSieve()):
        lines = [json.dumps([run, os.fsdecode(each.hashed.entry.place.full)]) for each in one.candidates]
        os.write(fd, "".join(f"{line}\n" for line in lines).encode("ascii"))
        counts.update(scanned=one.scanned, names=one.seen + one.directories)
        assert not one.skipped.get(Reason.TIMEOUT)
    os.write(fd, f"{json.dumps(counts)}\n".encode("ascii"))
    checkpoint.remove()


def judge(log: Path, tree: Path) -> None:
    lines = [json.loads(line) for line in log.read_text("ascii").splitlines()]
    # A run that was killed between its last word and the removal of its checkpoint is followed by one more.
    found, counts = [line for line in lines if isinstance(line, list)], lines[-1]
    assert sorted({os.fsencode(path) for _, path in found}) == find(tree, "-type", "f")
    assert max(Counter(map(tuple, found)).values()) == 1, "nothing twice within one run"
    assert counts == {"scanned": FILES + 1, "names": len(find(tree))}, "the whole, counted once"


def test_killed_parents(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted, kills, scans, again, rnd = attempts(12), 0, 0, 0, random.Random(1)
    while kills < wanted:
        scans += 1
        log = tmp_path / f"log{scans}"
        checkpoint = Checkpoint(tmp_path / "checkpoint", seconds=rnd.choice([0.0, 0.1, 0.3]))
        for run in range(1000):
            child = kids.start(lambda run=run, log=log, checkpoint=checkpoint: scan_until_killed(tree, checkpoint, log, run))
            time.sleep(rnd.uniform(0.02, 0.5))
            if rnd.random() < 0.3:
                kill_one_of(child, rnd)
                time.sleep(rnd.uniform(0.0, 0.2))
            os.kill(child, signal.SIGKILL)
            ended = kids.end(child)
            if ended == 0:
                break
            assert ended == -signal.SIGKILL
            kills += 1
        judge(log, tree)
        found = [json.loads(line)[1] for line in log.read_text("ascii").splitlines()[:-1]]
        again += len(found) - len(set(found))
    with capsys.disabled():
        print(
            f"\n  parents: {kills} killed in {scans} scans of {FILES + 1} files, {again} candidates came again, none was lost"
        )


def test_control_a_caller_that_keeps_later_loses_something(tree: Path, tmp_path: Path) -> None:
    """The promise is about what was asked beyond: who remembers a stretch only after the next one came is caught."""
    checkpoint = Checkpoint(tmp_path / "checkpoint", seconds=0.0)
    kept: list[bytes] = []
    late: list[bytes] = []
    with closing(LocalEngine(WalkOptions(), 2, checkpoint=checkpoint).sift([os.fsencode(tree)], SlowSieve())) as stretches:
        for one in stretches:
            if late and len(kept) > 50:
                break  # with `late` in hand, which was asked beyond
            kept += late
            late = [each.hashed.entry.place.full for each in one.candidates]
    resumed = checkpoint.load()
    rest = LocalEngine(WalkOptions(), 2, checkpoint=checkpoint, resumed=resumed).sift([os.fsencode(tree)], SlowSieve())
    assert late
    assert not set(late) & set(total(rest).paths)
