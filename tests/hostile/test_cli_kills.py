"""kill -9 on the process group of a real scan at random moments; the next run brings everything to its end.

Each file is in its place, untouched, or in a finished case, whole: never both, never neither. Each round plants new files into
the same world, so that recovery meets the cases of all rounds before. The same judge must catch a naive mover.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from hashscan.model import CaseState
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault
from tests.support.budget import attempts
from tests.support.world import COPIES, TIMEOUT, Hotline, Mark, World, clean_environment, command, content, marks

pytestmark = pytest.mark.slow

ROUNDS = 10  # in one world
NAMES = [f"copy-{number}" for number in range(COPIES)]


def wrong_ends(files: Mapping[Path, bytes], has: Mapping[Path, Sequence[bytes]]) -> list[str]:
    """What is wrong, given the files as they were and the copies that were taken of each."""
    wrong = []
    for path, data in files.items():
        copies = has.get(path, ())
        if path.exists() and path.read_bytes() != data:
            wrong.append(f"{path.name} is in place, but not as it was")
        if any(copy != data for copy in copies):
            wrong.append(f"{path.name} is half in the vault")
        if path.exists() + len(copies) != 1:
            wrong.append(f"{path.name} is in place {int(path.exists())} times and in the vault {len(copies)} times")
    return wrong


def killed_after(line: Sequence[str | bytes | Path], *, ready: bool, seconds: float) -> bool:
    """Run ``line``, wait (where ``ready``) for its first line, then ``seconds``, kill its group; whether that hit."""
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment(), start_new_session=True
    ) as child:
        assert child.stdout is not None
        if ready:
            child.stdout.readline()
        time.sleep(seconds)
        os.killpg(child.pid, signal.SIGKILL)
        child.stdout.read()
        return child.wait(TIMEOUT) == -signal.SIGKILL


class Victim:
    """A world whose scans are killed; ``files`` are all listed files that were ever planted, as they were."""

    def __init__(self, world: World) -> None:
        limits = dict.fromkeys(("per_run", "per_day", "per_entry", "per_owner"), 1_000_000)
        world.configure(quarantine={"enabled": True, **limits})
        self.world = world
        self.files: dict[Path, bytes] = {}
        self.line = command("--config", world.config, "scan", "--json", "-q", world.tree)
        self._rounds = 0

    def plant(self) -> None:
        self._rounds += 1
        for path in self.world.plant(*NAMES, at=f"customer-{self._rounds}"):
            self.files[path] = content(path.name)
            os.chown(path, 1000 + self._rounds if os.geteuid() == 0 else -1, -1)
            path.chmod(0o600 | self._rounds % 64)
            os.utime(path, ns=(1_600_000_000_123_456_789, 1_500_000_000_000_000_001 + self._rounds))

    def window(self) -> float:
        """Seconds that a scan takes from its first line to its end."""
        self.plant()
        with subprocess.Popen(self.line, stdout=subprocess.PIPE, env=clean_environment()) as child:
            assert child.stdout is not None
            child.stdout.readline()
            began = time.monotonic()
            child.stdout.read()
            assert child.wait(TIMEOUT) == 10
        return time.monotonic() - began

    def finish(self, verb: str) -> None:
        """The next run: it recovers, and ends with what a run without an accident ends with."""
        told = self.world.scan("-q") if verb == "scan" else self.world.run("confirm", "--json", "-q")
        assert told.code in (0, 10), (told.err, told.summary)
        assert {one["action"] for one in told.of("action")} <= {"quarantined"}

    def has(self) -> dict[Path, list[bytes]]:
        found: dict[Path, list[bytes]] = {}
        for case in Vault(self.world.vault, Limits()).cases():
            assert case.state in (CaseState.DONE, CaseState.DROPPED), case
            if case.state is CaseState.DONE:
                copy = (self.world.vault / "cases" / case.id / "content").read_bytes()
                found.setdefault(Path(os.fsdecode(case.place.full)), []).append(copy)
        return found

    def litter(self) -> list[str]:
        holding = self.world.vault / "holding"
        return os.listdir(holding) if holding.exists() else []


def test_killed_scans(hotline: Hotline, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng, total, moved, files = random.Random(7), attempts(ROUNDS // 2), Counter[str](), 0
    hit = 0
    for start in range(0, total, ROUNDS):
        victim = Victim(hotline.admit(tmp_path / str(start)))
        hit += kill_and_finish(victim, rng, min(ROUNDS, total - start), moved)
        files += len(victim.files)
    with capsys.disabled():
        print(f"\n  command line: {hit} kills, files gone at the kill {dict(moved)}, {files} files, 0 bad")
    assert hit >= total // 2


def kill_and_finish(victim: Victim, rng: random.Random, rounds: int, moved: Counter[str]) -> int:
    """Kill and recover ``rounds`` times, then take and give back everything. How many kills hit a running command."""
    hit, window = 0, victim.window()
    before = marks(victim.world.tree)
    for number in range(rounds):
        victim.plant()
        before.update(marks(victim.world.tree))
        early = number % 5 == 4
        hit += killed_after(victim.line, ready=not early, seconds=rng.uniform(0, 0.4 if early else window))
        if number % 4 == 3:  # and the run that recovers is killed as well
            hit += killed_after(victim.line, ready=False, seconds=rng.uniform(0.1, 0.3 + window))
        left = sum(path.exists() for path in victim.files)
        moved["none" if left == COPIES else "all" if left == 0 else "some"] += 1
        victim.finish("confirm" if number % 2 else "scan")
        assert wrong_ends(victim.files, victim.has()) == [], number
        assert victim.litter() == []
    victim.finish("scan")
    assert not any(path.exists() for path in victim.files)
    assert victim.world.pending() == 0
    restore_all(victim, before)
    return hit


def restore_all(victim: Victim, before: Mapping[bytes, Mark]) -> None:
    """Some by the command line, the rest by the vault itself; then the tree is as it was."""
    vault = Vault(victim.world.vault, Limits())
    done = [case.id for case in vault.cases() if case.state is CaseState.DONE]
    for case in done[:2]:
        assert victim.world.run("quarantine", "restore", case).code == 0
    for case in done[2:]:
        vault.restore(case)
    after = marks(victim.world.tree)
    for path, data in victim.files.items():
        name = os.fsencode(path)
        assert path.read_bytes() == data
        if name in before:
            assert after[name].restored() == before[name].restored()


_NAIVE = """
import sys, os, time
from pathlib import Path
tree, vault = Path(sys.argv[1]), Path(sys.argv[2])
vault.mkdir(exist_ok=True)
print(flush=True)
for path in sorted(tree.rglob("copy-*")):
    with path.open("rb") as source, (vault / path.name).open("wb", buffering=0) as target:
        while piece := source.read(4096):
            target.write(piece)
            time.sleep(0.0005)
    path.unlink()
"""


def test_control_a_naive_mover_is_caught(tmp_path: Path) -> None:
    rng, caught = random.Random(8), 0
    for number in range(10):
        world = World(tmp_path / str(number), tmp_path)
        world.tree.mkdir(parents=True)
        files = {path: content(path.name) for path in world.plant(*NAMES)}
        taken = world.top / "taken"
        killed_after([sys.executable, "-c", _NAIVE, world.tree, taken], ready=True, seconds=rng.uniform(0, 0.1))
        has = {path: [(taken / path.name).read_bytes()] for path in files if (taken / path.name).exists()}
        caught += bool(wrong_ends(files, has))
    assert caught >= 3
