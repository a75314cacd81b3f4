"""Takers that are killed in the middle, the tree they take from, and the judge of what they leave behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hashscan.model import Action, CaseState
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault
from tests.support.findings import make_finding

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
