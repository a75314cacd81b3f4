"""kill -9 before and after every call that touches a disk, in everything a vault does, on every filesystem that we name.

Once in the act, and a second time in the recovery from it. Same and another filesystem for the vault, plain and sealed. After
it nothing is lost, nothing is half done, the log says what happened, recovery is idempotent, and what was taken comes back as
it was (`tests.support.vault_acts`). A recovery that cleans up what is unfinished runs in the same harness and is caught.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import pytest

from hashscan import fsops
from hashscan.model import CaseState
from tests.support import children, mounts
from tests.support.budget import attempts
from tests.support.grounds import Ground, grounds
from tests.support.vault_acts import ACTS, TAKE, Act, Judge, Recover, Scene, ended, recovered

pytestmark = pytest.mark.slow

_CALLS = re.compile(
    "mkdir|open|write|fsync|rename|replace|unlink|remove|link|ftruncate|posix_fallocate|fchmod|fchown|utime|setxattr|rmdir"
)
_OURS = {fsops.rename_noreplace.__code__}  # a system call by ctypes, which the profiler does not see


class Calls:
    """A profiler that counts the moments before and after each call that touches a disk, and kills its process at one.

    The interpreter tells of every call into C: nothing in hashscan has to say where it is.
    """

    def __init__(self, moment: int = children.NEVER) -> None:
        self._moment, self.seen = moment, 0

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        if event.startswith("c_"):
            home = getattr(arg, "__module__", None)
            if home != "posix" and not isinstance(getattr(arg, "__self__", None), type(sys.stdout.buffer)):
                return
            if not _CALLS.fullmatch(getattr(arg, "__name__", "")):
                return
        elif frame.f_code not in _OURS:
            return
        if self.seen == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen += 1

    def during(self, work: Callable[[], object]) -> int:
        """How many moments ``work`` has."""
        sys.setprofile(self)
        try:
            work()
        finally:
            sys.setprofile(None)
        return self.seen


class Harness:
    """Kills of one act on one ground. ``wrong`` is what was found, ``ends`` how often the act had ended how."""

    def __init__(self, ground: Ground, act: Act, numbers: Iterator[int], recover: Recover = recovered) -> None:
        self.ground, self.act, self._numbers, self._recover = ground, act, numbers, recover
        self.single = self.double = 0
        self.wrong, self.ends = list[str](), Counter[str]()

    def run(self, singles: int, doubles: int) -> None:
        rng = random.Random(f"{self.ground.name} {self.act.name}")
        scene = self._scene()
        total = Calls().during(lambda: self.act.run(scene))
        self._judge(scene, "without a kill")
        chosen = sorted(rng.sample(range(total), min(singles, total)))
        pairs = [(first, second) for first in chosen for second in range(self.once(first))]
        for first, second in sorted(rng.sample(pairs, min(doubles, len(pairs)))):
            self.twice(first, second)

    def _scene(self) -> Scene:
        scene = Scene(self.ground, next(self._numbers))
        self.act.prepare(scene)
        return scene

    def _killed(self, scene: Scene, first: int) -> None:
        died = children.run(lambda: Calls(first).during(lambda: self.act.run(scene)))
        assert died == -signal.SIGKILL, died

    def once(self, first: int) -> int:
        """Kill at one moment; how many moments the recovery from it has."""
        scene = self._scene()
        self._killed(scene, first)
        self.single += 1
        moments = Calls().during(lambda: self._recover(scene))
        self._judge(scene, f"killed at {first}")
        return moments

    def twice(self, first: int, second: int) -> None:
        """Kill the recovery as well."""
        scene = self._scene()
        self._killed(scene, first)
        died = children.run(lambda: Calls(second).during(lambda: self._recover(scene)))
        assert died == -signal.SIGKILL, died
        self.double += 1
        self._judge(scene, f"killed at {first} and {second}")

    def _judge(self, scene: Scene, how: str) -> None:
        judge = Judge(scene, self.act, self._recover)
        self.ends[judge.end] += 1
        if judge.wrong:
            self.wrong.append(f"{self.ground.name}: {self.act.name} {how}: {'; '.join(judge.wrong)}")
        scene.remove()


def kill_all(top: Path, kinds: dict[str, str], singles: int, doubles: int) -> list[tuple[str, int, int]]:
    """Kill every act on every ground; (ground, single, double). The test fails where anything is wrong.

    On a disk fsync takes nine tenths of the time: where the temporary folder is one side, there are an eighth of the kills.
    """
    told = top / "told.json"
    numbers = itertools.count()

    def body() -> None:
        rows, wrong = [], list[str]()
        for ground in grounds(top, kinds):
            single = double = 0
            for act in ACTS:
                harness = Harness(ground, act, numbers)
                share = 8 if "folder" in (ground.files.name, ground.vaults.name) else 1
                harness.run(-(-singles // share), doubles // share)
                single, double = single + harness.single, double + harness.double
                wrong += harness.wrong
                if singles >= 200 * share:  # all of them
                    assert set(harness.ends) == set(act.ends), (ground.name, act.name, harness.ends)
            rows.append((ground.name, single, double))
        told.write_text(json.dumps(rows))
        assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:30])

    mounts.with_own_mounts(body)
    return [(str(name), int(single), int(double)) for name, single, double in json.loads(told.read_text())]


def report(rows: Sequence[tuple[str, int, int]], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        for name, single, double in rows:
            print(f"\n  {name}: {single} kills, {double} pairs of kills, 0 bad", end="")
        print(f"\n  in all {sum(single + double for _, single, double in rows)} cases")


def test_on_the_temporary_folder_and_in_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = kill_all(tmp_path, {"folder": "tmpfs", "tmpfs": "folder"}, attempts(6), attempts(3))
    report(rows, capsys)
    assert len(rows) == 8


@pytest.mark.optional("loop")
@pytest.mark.optional("mkfs.ext4")
@pytest.mark.optional("mkfs.xfs")
@pytest.mark.optional("mkfs.btrfs")
def test_on_other_filesystems(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = kill_all(tmp_path, {"ext4": "xfs", "xfs": "btrfs", "btrfs": "ext4"}, attempts(2), attempts(1))
    report(rows, capsys)
    assert len(rows) == 12


def cleans_up(scene: Scene) -> list[object]:
    """A recovery as one would write it: what is unfinished is thrown away."""
    for case in scene.vault().cases():
        if case.state in (CaseState.INTENT, CaseState.COPIED, CaseState.COMMITTED, CaseState.DAMAGED):
            shutil.rmtree(scene.root / "cases" / case.id)
    for folder in scene.holdings:
        for name in os.listdir(folder) if folder.exists() else []:
            (folder / name).unlink()
    return []


@pytest.mark.parametrize("act", [act for act in ACTS if act.unfinished], ids=lambda act: act.name)
def test_control_a_recovery_that_cleans_up_is_caught(tmp_path: Path, act: Act) -> None:
    told = tmp_path / "told"

    def body() -> None:
        (ground, *_) = grounds(tmp_path, {"tmpfs": "tmpfs"})
        harness = Harness(ground, act, itertools.count(), cleans_up)
        harness.run(30, 0)
        told.write_text(json.dumps([harness.single, len(harness.wrong)]))

    mounts.with_own_mounts(body)
    single, wrong = json.loads(told.read_text())
    assert single > 10
    assert wrong > 0


def test_control_a_taker_that_copies_and_unlinks_is_caught(tmp_path: Path) -> None:
    told = tmp_path / "told"

    def naive(scene: Scene) -> int:
        """Unlink, and then say so."""
        data = scene.file.read_bytes()
        os.unlink(scene.file)
        scene.file.write_bytes(data)
        return ended(lambda: TAKE.run(scene))[0]

    def body() -> None:
        (ground, *_) = grounds(tmp_path, {"tmpfs": "tmpfs"})
        harness = Harness(ground, Act(TAKE.name, TAKE.prepare, naive, TAKE.ends), itertools.count())
        harness.run(30, 0)
        told.write_text(json.dumps(len(harness.wrong)))

    mounts.with_own_mounts(body)
    assert json.loads(told.read_text()) > 0
