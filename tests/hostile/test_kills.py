"""kill -9 at every step and at random moments of taking and of recovery.

After recovery each file is in its place, untouched, or in the vault, whole: never both, never neither, never half. A naive
implementation runs in the same harness and must be caught.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from hashscan.model import Action, CaseState
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault
from tests.support import children
from tests.support.budget import attempts
from tests.support.children import NEVER, Death
from tests.support.findings import make_finding

pytestmark = pytest.mark.slow
Hook = Callable[[str], None]


class Scene:
    """A tree of a few files, and room for a vault."""

    def __init__(self, top: Path, sizes: tuple[int, ...]) -> None:
        self.top, self.tree, self.vault = top, top / "srv", top / "vault"
        (self.tree / "d").mkdir(parents=True)
        self.files = {self.tree / "d" / f"f{number}": os.urandom(size) for number, size in enumerate(sizes)}
        for path, data in self.files.items():
            path.write_bytes(data)
        self.findings = [make_finding(path, self.tree) for path in self.files]
        self.inodes = {path: os.lstat(path).st_ino for path in self.files}


class Taker(Protocol):
    """What is tested: takes everything, recovers, says which files it has whole and what it left lying about."""

    def take(self, scene: Scene, step: Hook) -> None: ...

    def recover(self, scene: Scene, step: Hook) -> None: ...

    def has(self, scene: Scene) -> dict[Path, bytes]: ...

    def litter(self, scene: Scene) -> list[str]: ...


class Real:
    def take(self, scene: Scene, step: Hook) -> None:
        vault = Vault(scene.vault, Limits(), step=step)
        for finding in scene.findings:
            assert vault.handle(finding).action == Action.QUARANTINED

    def recover(self, scene: Scene, step: Hook) -> None:
        Vault(scene.vault, Limits(), step=step).recover()

    def has(self, scene: Scene) -> dict[Path, bytes]:
        done = [case for case in Vault(scene.vault, Limits()).cases() if case.state is CaseState.DONE]
        has = {Path(os.fsdecode(case.place.full)): (scene.vault / "cases" / case.id / "content").read_bytes() for case in done}
        assert len(has) == len(done), "two cases of one file"
        return has

    def litter(self, scene: Scene) -> list[str]:
        vault = Vault(scene.vault, Limits())
        cases = list(vault.cases())
        litter = [f"unfinished {case}" for case in cases if case.state not in (CaseState.DONE, CaseState.DROPPED)]
        litter += [f"recovery is not idempotent: {result}" for result in vault.recover()]
        if (scene.vault / "holding").exists():
            litter += [f"held {name}" for name in os.listdir(scene.vault / "holding")]
        for case in cases:
            wanted = {"record.json", "content"} if case.state is CaseState.DONE else {"record.json"}
            names = set(os.listdir(scene.vault / "cases" / case.id))
            # a prepared commit, or a record that was being written, may lie beside a finished one; it is never read
            litter += [f"{case.state} has {name}" for name in wanted ^ names if not name.endswith((".new", "commit.json"))]
        return litter


class Naive:
    """Copy, then unlink: the positive control."""

    def take(self, scene: Scene, step: Hook) -> None:
        scene.vault.mkdir()
        for path in scene.files:
            with open(path, "rb") as source, open(scene.vault / path.name, "wb", buffering=0) as target:
                step("before copy")
                while chunk := source.read(4096):
                    target.write(chunk)
                    step("after chunk")
            step("before unlink")
            path.unlink()
            step("after unlink")

    def recover(self, scene: Scene, step: Hook) -> None:
        """It knows of nothing to recover."""

    def has(self, scene: Scene) -> dict[Path, bytes]:
        return {path: (scene.vault / path.name).read_bytes() for path in scene.files if (scene.vault / path.name).exists()}

    def litter(self, scene: Scene) -> list[str]:
        return []


def judge(scene: Scene, taker: Taker) -> tuple[list[str], int]:
    """What is wrong, and how many files were taken."""
    wrong = taker.litter(scene)
    has = taker.has(scene)
    for path, data in scene.files.items():
        in_place = path.exists()
        if in_place and (path.read_bytes() != data or os.lstat(path).st_ino != scene.inodes[path]):
            wrong.append(f"{path.name} is in place, but not as it was")
        if path in has and has[path] != data:
            wrong.append(f"{path.name} is half in the vault")
        if in_place == (path in has):
            wrong.append(f"{path.name} is " + ("both in place and in the vault" if in_place else "nowhere"))
    return wrong, len(has)


@pytest.fixture
def scenes(tmp_path: Path) -> Callable[[tuple[int, ...]], Scene]:
    numbers = itertools.count()
    return lambda sizes: Scene(tmp_path / str(next(numbers)), sizes)


Scenes = Callable[[tuple[int, ...]], Scene]


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
    kills = 0
    for moment in range(total):
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
    assert kills > total


def kill_at_random(scenes: Scenes, taker: Taker, number: int, seed: int) -> tuple[int, int, Counter[int]]:
    """Kills that hit, bad endings, and how many files were taken how often; every second recovery is killed too."""
    rng, sizes = random.Random(seed), (4_000, 300_000, 1)
    spare = scenes(sizes)
    began = time.perf_counter()
    assert children.run(lambda: taker.take(spare, Death(NEVER))) == 0
    whole = time.perf_counter() - began
    hit, bad, taken = 0, 0, Counter[int]()
    for attempt in range(number):
        scene = scenes(sizes)
        hit += killed_after(rng.uniform(0, whole), lambda scene=scene: taker.take(scene, Death(NEVER)))
        if attempt % 2:
            hit += killed_after(rng.uniform(0, whole / 4), lambda scene=scene: taker.recover(scene, Death(NEVER)))
        assert children.run(lambda scene=scene: taker.recover(scene, Death(NEVER))) == 0
        wrong, count = judge(scene, taker)
        bad += bool(wrong)
        taken[count] += 1
        if wrong and isinstance(taker, Real):
            pytest.fail(f"attempt {attempt}: {wrong}")
    return hit, bad, taken


def killed_after(seconds: float, body: Callable[[], object]) -> bool:
    child = children.start(body)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    ended = children.end(child)
    assert ended in (0, -signal.SIGKILL)
    return ended != 0


def test_killed_at_random(scenes: Scenes, capsys: pytest.CaptureFixture[str]) -> None:
    number = attempts(200)
    hit, bad, taken = kill_at_random(scenes, Real(), number, 1)
    with capsys.disabled():
        print(f"\n  random: {number} attempts, {hit} kills, {bad} bad, files taken {dict(sorted(taken.items()))}")
    assert hit >= number // 2
    assert bad == 0


def test_the_harness_catches_a_naive_taker_at_random(scenes: Scenes) -> None:
    hit, bad, _ = kill_at_random(scenes, Naive(), attempts(60), 2)
    assert hit
    assert bad


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


CHANGING = "mkdir,rmdir,rename,renameat2,unlink,unlinkat,fsync,fallocate,write"
_CHILD = """
import pickle, sys
from pathlib import Path
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault
vault = Vault(Path(sys.argv[1]), Limits())
for finding in pickle.loads(Path(sys.argv[2]).read_bytes()):
    vault.handle(finding)
"""


@pytest.mark.optional("strace")
def test_killed_at_system_calls(scenes: Scenes, capsys: pytest.CaptureFixture[str]) -> None:
    """The truth that the hook cannot tell: the kernel kills at the n-th call that changes a disk, also within atomic writes."""
    import pickle  # noqa: PLC0415 - our own findings, for a child of ours

    kills = 0
    stride = max(1, 5 // attempts(1))
    for number in itertools.count(1, stride):
        scene = scenes((5_000, 3))
        (scene.top / "findings").write_bytes(pickle.dumps(scene.findings))
        inject = ["-e", f"trace={CHANGING}", "-e", f"inject={CHANGING}:signal=KILL:when={number}"]
        program = [sys.executable, "-c", _CHILD, str(scene.vault), str(scene.top / "findings")]
        ended = subprocess.run(["strace", "-f", "-qq", "-o", os.devnull, *inject, *program], check=False, cwd=Path.cwd())
        assert children.run(lambda scene=scene: Real().recover(scene, Death(NEVER))) == 0
        assert judge(scene, Real())[0] == [], number
        if ended.returncode == 0:
            break
        kills += 1
    with capsys.disabled():
        print(f"\n  system calls: {kills} kills, every {stride}., 0 bad")
    assert kills > 8
