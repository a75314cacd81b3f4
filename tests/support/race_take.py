"""Takers in a race with a tenant: the real one, whole (`Vault.handle`), and naive ones that the race must catch.

As a program it runs one race and prints its count as JSON, for what is chosen when hashscan is imported:

    HASHSCAN_NO_OPENAT2=1 python -m tests.support.race_take KIND SECONDS RACER
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from hashscan.errors import HashscanError
from hashscan.model import Action, CaseState, Finding
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault
from tests.support.race_scenes import CONTROLS, FILES, HOLDING, KINDS, Scene, target
from tests.support.racing import Attacker, Clock, Count, cores, no_longer_than, place, read

MANY = Limits(per_run=10**9, per_day=10**9, per_entry=10**9, per_owner=10**9)
VAULTS = 4  # laid scenes with one vault, which is then looked through and removed
TRIES = 4  # for each file of a scene


class Ending(NamedTuple):
    """How an attempt ended: a word of `Real`, what was said, whether a swap of this file fell between our look and our act."""

    what: str
    said: str = ""
    hit: bool = False


class Taker(Protocol):
    def attempt(self, number: int, finding: Finding) -> Ending: ...

    def kept(self, number: int) -> bytes | None:
        """The bytes that were taken as the file of this number."""

    def look_through(self) -> list[str]: ...


Swaps = Callable[[int], int]
Make = Callable[[Scene, Swaps], Taker]


class Real:
    """A vault, asked as a scan asks it. ``swaps`` says how often the tenant has swapped a file: read after look and capture."""

    def __init__(self, scene: Scene, swaps: Swaps) -> None:
        self._swaps, self._root = swaps, scene.vault
        self._begin()

    def _begin(self) -> None:
        self._vault = Vault(self._root, MANY, step=self._step)
        self._states = Counter[CaseState]()
        self._cases: dict[int, str] = {}
        self._should: dict[str, int] = {}

    def _step(self, name: str) -> None:
        if name == "before make case":
            self._looked = self._swaps(self._number)
        elif name == "after capture":
            self._hit = self._swaps(self._number) > self._looked

    def attempt(self, number: int, finding: Finding) -> Ending:
        self._number, self._hit = number, False
        result = self._vault.handle(finding)
        what = self._word(result.action, result.reason, result.case_id)
        if what == "taken":
            self._cases[number] = result.case_id
            self._should[result.case_id] = number
        if what != "refused":
            self._states[{"taken": CaseState.DONE, "orphan": CaseState.ORPHAN}.get(what, CaseState.DROPPED)] += 1
        return Ending(what, result.reason, self._hit)

    @staticmethod
    def _word(action: str, reason: str, case_id: str) -> str:
        if action == Action.QUARANTINED:
            return "taken"
        assert action == Action.FAILED, (action, reason)
        if "while it was taken" in reason:
            return "put back" if reason.endswith("put back") else "orphan"
        return "dropped" if case_id else "refused"  # after a case was opened, or at the first look

    def kept(self, number: int) -> bytes | None:
        return self._content(self._cases[number])

    def _content(self, case_id: str) -> bytes:
        return (self._root / "cases" / case_id / "content").read_bytes()

    def look_through(self) -> list[str]:
        """Everything that the vault says about these attempts must hold; then it goes."""
        cases = list(self._vault.cases())
        states = Counter(case.state for case in cases)
        wrong = [] if states == self._states else [f"the cases are {dict(states)}, and were {dict(self._states)}"]
        for case_id, number in self._should.items():
            kept = self._vault.kept(case_id)
            if not kept.content_holds or self._content(case_id) != target(number):
                wrong.append(f"the evidence of {case_id} is wrong")
        wrong += [f"recovery had something to do: {one}" for one in self._vault.recover()]
        if problem := self._vault.check_log().problem:
            wrong.append(problem)
        shutil.rmtree(self._root)
        self._begin()
        return wrong


class Naive:
    """The usual way: `lstat`, digest, then a move by path."""

    def __init__(self, scene: Scene, swaps: Swaps) -> None:
        self._scene = scene
        self._vault = scene.top / "naive"
        self._vault.mkdir(exist_ok=True)
        self._kept: dict[int, bytes] = {}

    def attempt(self, number: int, finding: Finding) -> Ending:
        path = self._scene.paths[number]
        with suppress(OSError):
            if self._looks_right(path, finding):
                self._kept[number] = self._take(path)
                return Ending("taken")
        return Ending("refused")

    def _looks_right(self, path: Path, finding: Finding) -> bool:
        if os.lstat(path).st_ino != finding.candidate.hashed.entry.inode:
            return False
        data = self._read(path)
        return all(hashlib.new(name, data).hexdigest() == digest for name, digest in finding.candidate.hashed.digests.items())

    @staticmethod
    def _read(path: Path) -> bytes:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as stream:
            return stream.read()

    def _take(self, path: Path) -> bytes:
        moved = self._vault / "moved"
        shutil.move(path, moved)
        kept = read(str(moved)) if stat.S_ISREG(os.lstat(moved).st_mode) else b"no regular file"
        moved.unlink()
        return kept

    def kept(self, number: int) -> bytes | None:
        return self._kept.get(number)

    def look_through(self) -> list[str]:
        return []


class Copying(Naive):
    """Digests, then copies and unlinks: two passes over a file that its owner can still write to."""

    def _take(self, path: Path) -> bytes:
        kept = self._read(path)
        path.unlink()
        return kept


class Believing(Naive):
    """Has a holding directory that it makes where it is missing, and does not look whose it is."""

    def _take(self, path: Path) -> bytes:
        held = (self._scene.tree if self._scene.kind.mounted else self._scene.crowd) / HOLDING / "0123456789abcdef"
        held.parent.mkdir(0o700, exist_ok=True)
        os.rename(path, held)
        kept = self._read(held)
        held.unlink()
        return kept


NAIVE: dict[str, Make] = {"growing file": Copying, "holding directory": Believing, "vault and its neighbours": Believing}


def race(kind: str, top: Path, make: Make, racer: Path, seconds: float) -> Count:
    """Attempts until the time is over and everything was seen, or until something goes wrong."""
    count = Count()
    scene = Scene(top, {**KINDS, **CONTROLS}[kind])
    with cores() as core, no_longer_than(seconds + 60):
        attacker = Attacker(racer, scene.tree, scene.kind.acts, core)
        try:
            taker = make(scene, lambda number: attacker.by_act(scene.kind.swap_of(number)))
            try:
                _attempts(scene, taker, attacker, count, Clock(seconds))
            except (HashscanError, OSError) as error:
                count.wrong.append(f"it failed: {error}")
            count.wrong += scene.kind.broken(attacker)
            count.acts = attacker.done
        finally:
            attacker.stop()
    return count


def _attempts(scene: Scene, taker: Taker, attacker: Attacker, count: Count, clock: Clock) -> None:
    laid = 0
    while not count.wrong and not clock.over(shown=shown(scene.kind.shown, count)):
        taken: dict[int, str] = {}
        with attacker.at_work():
            for number in [*range(FILES)] * TRIES:
                if number not in taken:
                    before = attacker.done
                    ending = taker.attempt(number, scene.findings[number])
                    count.add(ending.what, contested=attacker.done > before, hit=ending.hit)
                    if ending.what == "taken":
                        taken[number] = ending.said
        count.wrong += [f"took another thing as {one}" for one in taken if taker.kept(one) != target(one)]
        count.wrong += scene.wrongs(taken)
        laid += 1
        if laid % VAULTS == 0:
            count.wrong += taker.look_through()
        scene.lay()
    count.seconds = clock.passed


def shown(wanted: tuple[str, ...], count: Count) -> bool:
    """Whether all that must be seen was seen."""
    return all(count.endings[one] for one in wanted) and count.hits > 0


def main(kind: str, seconds: str, racer: str) -> None:
    with place(Path(tempfile.gettempdir())) as top:
        print(race(kind, top, Real, Path(racer), float(seconds)).to_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
