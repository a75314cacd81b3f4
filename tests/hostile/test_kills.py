"""kill -9 at every step and at random moments of taking and of recovery.

After recovery each file is in its place, untouched, or in the vault, whole: never both, never neither, never half. A naive
implementation runs in the same harness and must be caught.
"""

from __future__ import annotations

import itertools
import os
import pickle
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashscan.model import Action, CaseState
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault
from tests.support import children
from tests.support.budget import attempts
from tests.support.children import NEVER, Death
from tests.support.takers import Hook, Naive, Real, Scene, Taker, judge

pytestmark = pytest.mark.slow


Scenes = Callable[[tuple[int, ...]], Scene]


@pytest.fixture
def scenes(tmp_path: Path) -> Iterator[Scenes]:
    """In memory where there is such a place: a killed process needs no disk, and fsync takes nine tenths of the time there."""
    numbers = itertools.count()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as top:
        yield lambda sizes: Scene(Path(top) / str(next(numbers)), sizes)


def count_steps(work: Callable[[Hook], None]) -> int:
    counter = Death(NEVER)
    work(counter)
    return counter.steps


def kill_at_every_step(scenes: Scenes, taker: Taker, sizes: tuple[int, ...]) -> tuple[int, int, Counter[int]]:
    """Number of kills, of those that left something wrong behind, and how many files had been taken how often."""
    spare = scenes(sizes)
    total = count_steps(lambda step: taker.take(spare, step))
    bad, taken = 0, Counter[int]()
    for moment in range(total):
        scene = scenes(sizes)
        assert children.run(lambda scene=scene, moment=moment: taker.take(scene, Death(moment))) == -signal.SIGKILL
        assert children.run(lambda scene=scene: taker.recover(scene, Death(NEVER))) == 0
        wrong, count = judge(scene, taker)
        bad += bool(wrong)
        taken[count] += 1
        if wrong and isinstance(taker, Real):
            pytest.fail(f"killed at step {moment}: {wrong}")
    return total, bad, taken


def test_killed_at_every_step(scenes: Scenes, capsys: pytest.CaptureFixture[str]) -> None:
    kills, bad, taken = kill_at_every_step(scenes, Real(), (70_000, 0, 3))
    with capsys.disabled():
        print(f"\n  every step: {kills} kills, {bad} bad, files taken after recovery {dict(sorted(taken.items()))}")
    assert kills > 60
    assert bad == 0
    assert set(taken) == {0, 1, 2, 3}  # kills fell on both sides of every point of no return


def test_the_harness_catches_a_naive_taker_at_its_steps(scenes: Scenes) -> None:
    kills, bad, _ = kill_at_every_step(scenes, Naive(), (20_000, 3))
    assert 0 < bad <= kills


def test_killed_again_at_every_step_of_recovery(scenes: Scenes, capsys: pytest.CaptureFixture[str]) -> None:
    taker, sizes = Real(), (5_000,)
    spare = scenes(sizes)
    total = count_steps(lambda step: taker.take(spare, step))
    kills, stride = 0, max(1, 3 // attempts(1))
    for moment in range(0, total, stride):
        for second in itertools.count():
            scene = scenes(sizes)
            children.run(lambda scene=scene, moment=moment: taker.take(scene, Death(moment)))
            ended = children.run(lambda scene=scene, second=second: taker.recover(scene, Death(second)))
            assert ended in (0, -signal.SIGKILL)
            if ended == 0:
                break
            kills += 1
            assert children.run(lambda scene=scene: taker.recover(scene, Death(NEVER))) == 0
            assert judge(scene, taker)[0] == [], (moment, second)
    with capsys.disabled():
        print(f"\n  double: {kills} pairs of kills, 0 bad")
    assert kills > total // stride


def kill_at_random(scenes: Scenes, taker: Taker, number: int, seed: int) -> tuple[int, int, Counter[int]]:
    """Kills that hit, bad endings, and how many files were taken how often; every second recovery is killed too.

    How long a take lasts is learned on the way, because it changes with what else the machine does: most kills hit, and some
    come too late.
    """
    rng, sizes = random.Random(seed), (4_000, 300_000, 1)
    whole = statistics.median(_seconds(scenes(sizes), taker) for _ in range(5))  # the first one is much slower than the rest
    hit, bad, taken = 0, 0, Counter[int]()
    for attempt in range(number):
        scene = scenes(sizes)
        in_time = killed_after(rng.uniform(0, whole), lambda scene=scene: taker.take(scene, Death(NEVER)))
        whole *= 1.02 if in_time else 0.95
        hit += in_time
        if attempt % 2:
            hit += killed_after(rng.uniform(0, whole / 4), lambda scene=scene: taker.recover(scene, Death(NEVER)))
        assert children.run(lambda scene=scene: taker.recover(scene, Death(NEVER))) == 0
        wrong, count = judge(scene, taker)
        bad += bool(wrong)
        taken[count] += 1
        if wrong and isinstance(taker, Real):
            pytest.fail(f"attempt {attempt}: {wrong}")
    return hit, bad, taken


def _seconds(scene: Scene, taker: Taker) -> float:
    """How long a take lasts that nobody kills."""
    began = time.perf_counter()
    assert children.run(lambda: taker.take(scene, Death(NEVER))) == 0
    return time.perf_counter() - began


def killed_after(seconds: float, body: Callable[[], object]) -> bool:
    child = children.start(body)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    ended = children.end(child)
    assert ended in (0, -signal.SIGKILL)
    return ended != 0


def test_killed_at_random(scenes: Scenes, capsys: pytest.CaptureFixture[str]) -> None:
    number = attempts(100)
    hit, bad, taken = kill_at_random(scenes, Real(), number, 1)
    with capsys.disabled():
        print(f"\n  random: {number} attempts, {hit} kills, {bad} bad, files taken {dict(sorted(taken.items()))}")
    assert hit >= number // 3
    assert bad == 0


def test_the_harness_catches_a_naive_taker_at_random(scenes: Scenes) -> None:
    for _ in range(10):  # its window is narrow: 60 attempts miss it now and then
        hit, bad, _ = kill_at_random(scenes, Naive(), attempts(60), 2)
        assert hit
        if bad:
            return
    pytest.fail("the naive taker was never caught")


SABOTAGE = {"another file in its place": False, "another file in its place, and the name taken after the capture": True}


@pytest.mark.parametrize("occupy", SABOTAGE.values(), ids=SABOTAGE)
def test_killed_while_the_wrong_thing_is_captured(scenes: Scenes, occupy: bool) -> None:
    """Nothing is lost or overwritten: what was captured goes back, or is kept as an orphan where its name is taken."""

    def take(scene: Scene, death: Hook) -> None:
        target = next(iter(scene.files))

        def step(name: str) -> None:
            if name == "before capture":
                target.rename(scene.tree / "hidden")
                target.write_bytes(b"innocent")
            if name == "after capture" and occupy:
                target.write_bytes(b"newcomer")
            death(name)

        assert Vault(scene.vault, Limits(), step=step).handle(scene.findings[0]).action == Action.FAILED

    ends = Counter[CaseState]()
    for moment in itertools.count():
        scene = scenes((5_000,))
        ended = children.run(lambda scene=scene, moment=moment: take(scene, Death(moment)))
        assert children.run(lambda scene=scene: Real().recover(scene, Death(NEVER))) == 0
        check_sabotaged(scene, ends)
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert ends[CaseState.DROPPED] > 5
    assert (ends[CaseState.ORPHAN] > 2) == occupy


def check_sabotaged(scene: Scene, ends: Counter[CaseState]) -> None:
    target, hidden = next(iter(scene.files)), scene.tree / "hidden"
    cases = list(Vault(scene.vault, Limits()).cases())
    ends.update(case.state for case in cases)
    held = [path.read_bytes() for path in (scene.vault / "holding").iterdir()] if scene.vault.exists() else []
    assert all(case.state in (CaseState.DROPPED, CaseState.ORPHAN) for case in cases)
    assert len(held) == sum(case.state is CaseState.ORPHAN for case in cases)
    original = hidden if hidden.exists() else target
    assert original.read_bytes() == scene.files[target]
    assert os.lstat(original).st_ino == scene.inodes[target]
    if hidden.exists():
        assert held in ([], [b"innocent"])
        assert target.read_bytes() == (b"newcomer" if held else b"innocent") or not target.exists()
        assert held or target.exists() or not cases


CHANGING = ("mkdir", "rename", "renameat2", "unlink,unlinkat", "fsync", "fallocate", "write")
_CHILD = """
import pickle, sys
from pathlib import Path
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault
findings = pickle.loads(Path(sys.argv[2]).read_bytes())
print(flush=True)
vault = Vault(Path(sys.argv[1]), Limits())
for finding in findings:
    vault.handle(finding)
"""


def killed_at(scene: Scene, call: str, number: int) -> bool:
    """Take everything in a child that the kernel kills at its ``number``-th ``call``."""
    findings = scene.top / "findings"
    findings.write_bytes(pickle.dumps(scene.findings))
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]
    program = [sys.executable, "-c", _CHILD, str(scene.vault), str(findings)]
    ended = subprocess.run(["strace", "-f", "-qq", "-o", os.devnull, *inject, *program], check=False, stdout=subprocess.DEVNULL)
    assert ended.returncode in (0, -signal.SIGKILL, 128 + signal.SIGKILL)
    return ended.returncode != 0


@pytest.mark.optional("strace")
def test_killed_at_system_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The truth that the hook cannot tell: killed at the n-th call of a kind, also in the middle of an atomic write."""
    kills, taken, scenes = Counter[str](), Counter[int](), itertools.count()
    stride = max(1, 12 // attempts(1))
    for call in CHANGING:
        for number in itertools.count(1, stride):
            scene = Scene(tmp_path / str(next(scenes)), (5_000, 3))
            killed = killed_at(scene, call, number)
            assert children.run(lambda scene=scene: Real().recover(scene, Death(NEVER))) == 0
            wrong, count = judge(scene, Real())
            assert wrong == [], (call, number)
            if not killed:
                assert count == 2
                break
            kills[call] += 1
            taken[count] += 1
    with capsys.disabled():
        print(f"\n  system calls: {kills.total()} kills {dict(kills)}, 0 bad, files taken {dict(sorted(taken.items()))}")
    assert set(kills) >= {"mkdir", "rename", "renameat2", "fsync", "write"}
    assert len(taken) == 3
