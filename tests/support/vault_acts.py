"""Everything that a vault does to one file, as acts that can be cut off anywhere, and the judge of what is left then.

An act ends before or after: the file is in its place, the very inode, or its bytes are in the vault, whole; a case says so, the
log says so, and nothing lies about. The judge recovers first, as every command does.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyrage

from hashscan.errors import HashscanError, QuarantineError
from hashscan.model import Action, Case, CaseState, Finding
from hashscan.quarantine import log
from hashscan.quarantine.holding import HOLDING_NAME
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.restore import Wish
from hashscan.quarantine.seal import Identity, Recipients
from hashscan.quarantine.vault import Grounds, Manner, Vault
from tests.support.children import Stopped
from tests.support.findings import make_finding
from tests.support.grounds import Ground

_KEY = pyrage.x25519.Identity.generate()
_SEALED = Recipients([str(_KEY.to_public())])
IDENTITY = Identity(str(_KEY))
SECRET = str(_KEY)
_PROOF = Grounds("acme", b"harmless proof", lambda _: bytes(32))
OPEN = Limits(per_run=1000, per_day=1000, per_entry=1000, per_owner=1000)
SHUT = Limits(per_run=0)
MTIME_NS = 1_500_000_000_123_456_789
NEWCOMER = b"what the tenant put there meanwhile"


@dataclass(frozen=True)
class Mark:
    """What must be the same when a file is back."""

    data: bytes
    mode: int
    uid: int
    gid: int
    mtime_ns: int

    @classmethod
    def of(cls, path: Path) -> Mark:
        status = os.lstat(path)
        return cls(path.read_bytes(), status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns)


class Scene:
    """One file on a ground, and a vault for it alone."""

    def __init__(self, ground: Ground, number: int, size: int = 5_000) -> None:
        self.ground = ground
        self.tree, self.home = ground.files / f"tree{number}", ground.vaults / f"home{number}"
        self.root = self.home / "vault"
        self.home.mkdir()
        self.folder = self.tree / "www"
        self.folder.mkdir(parents=True)
        self.file = self.folder / "f"
        self.file.write_bytes(random.Random(number).randbytes(size))
        if os.geteuid() == 0:
            os.chown(self.file, 1234, 2345)
        self.file.chmod(0o640)
        os.utime(self.file, ns=(MTIME_NS, MTIME_NS))
        self.before = Mark.of(self.file)
        self.inode = os.lstat(self.file).st_ino
        self.finding: Finding = make_finding(self.file, self.tree)
        self.case_id = ""
        self.step: Callable[[str], None] | None = None

    def vault(self, limits: Limits = OPEN) -> Vault:
        sealed = _SEALED if self.ground.sealed else None
        return Vault(self.root, limits, manner=Manner("a test", _PROOF, sealed), step=self.step)

    def wish(self, *, beside: bool = False) -> Wish:
        return Wish(identity=IDENTITY if self.ground.sealed else None, beside=beside)

    def remove(self) -> None:
        for path in (self.tree, self.home, *self.holdings):
            shutil.rmtree(path, ignore_errors=True)

    @property
    def holdings(self) -> list[Path]:
        return [self.root / "holding", self.ground.files / os.fsdecode(HOLDING_NAME)]


@dataclass(frozen=True)
class Act:
    """``run`` does it, on what ``prepare`` made, and returns the exit code; ``ends`` is what a case may be, before and after.

    ``unfinished``: it passes through states that only a recovery ends. ``either``: exit 0 may be either end.
    """

    name: str
    prepare: Callable[[Scene], None]
    run: Callable[[Scene], int]
    ends: tuple[str, str]
    unfinished: bool = True
    either: bool = False


def ended(work: Callable[[], object]) -> tuple[int, str]:
    """Exit code and message of what a command would end with. Anything but our own errors is a bug, and comes out."""
    try:
        code = work()
    except HashscanError as error:
        return int(error.exit_code), str(error)
    return int(code) if isinstance(code, int) else 0, ""


def _nothing(scene: Scene) -> None:
    """The file as it is."""


def _taken(scene: Scene) -> None:
    result = scene.vault().handle(scene.finding)
    assert result.action == Action.QUARANTINED, result.reason
    scene.case_id = result.case_id


def _held(scene: Scene) -> None:
    result = scene.vault(SHUT).handle(scene.finding)
    assert result.action == Action.HELD, result.reason
    scene.case_id = result.case_id


def _occupied(scene: Scene) -> None:
    _taken(scene)
    scene.file.write_bytes(NEWCOMER)


def _take(scene: Scene) -> int:
    result = scene.vault().handle(scene.finding)
    if result.action != Action.QUARANTINED:
        raise QuarantineError(f"{result.action}: {result.reason}")
    return 0


def _hold(scene: Scene) -> int:
    result = scene.vault(SHUT).handle(scene.finding)
    if result.action != Action.HELD:
        raise QuarantineError(f"{result.action}: {result.reason}")
    return 0


def _release(scene: Scene) -> int:
    result = scene.vault(SHUT).release(scene.case_id, scene.finding)
    if result.action != Action.QUARANTINED:
        raise QuarantineError(f"{result.action}: {result.reason}")
    return 0


def _restore(scene: Scene) -> int:
    scene.vault().restore(scene.case_id, scene.wish())
    return 0


def _beside(scene: Scene) -> int:
    scene.vault().restore(scene.case_id, scene.wish(beside=True))
    return 0


def _purge(scene: Scene) -> int:
    scene.vault().purge(scene.case_id, by="ann", reason="time is over")
    return 0


def _dismiss(scene: Scene) -> int:
    scene.vault().dismiss(scene.case_id, "a stock image")
    return 0


def _legal_hold(scene: Scene) -> int:
    scene.vault().hold(scene.case_id, by="police", reason="case 7")
    return 0


TAKE = Act("take", _nothing, _take, ("in place", "done"))
RESTORE = Act("restore", _taken, _restore, ("done", "restored"))
BESIDE = Act("beside", _occupied, _beside, ("done", "restored"))
PURGE = Act("purge", _taken, _purge, ("done", "purged"))
ACTS = (
    TAKE,
    Act("hold", _nothing, _hold, ("in place", "held")),
    Act("release", _held, _release, ("held", "done")),
    RESTORE,
    BESIDE,
    PURGE,
    Act("dismiss", _held, _dismiss, ("held", "dismissed"), unfinished=False),
    Act("legal hold", _taken, _legal_hold, ("done", "kept"), unfinished=False),
)


def _cut_off(scene: Scene, act: Act, moment: str) -> None:
    def step(name: str) -> None:
        if name == moment:
            raise Stopped

    act.prepare(scene)
    scene.step = step
    try:
        act.run(scene)
    except Stopped:
        return
    finally:
        scene.step = None
    raise AssertionError(f"{act.name} has no step {moment!r}")


def _recover(scene: Scene) -> int:
    scene.vault().recover()
    return 0


def recovery_from(act: Act, moment: str, end: str, other: str = "") -> Act:
    """Recovery as an act of its own, after another one was cut off at a step; what cannot be read may end it in another way."""
    name = f"{act.name} recovered from {moment}"
    return Act(name, lambda scene: _cut_off(scene, act, moment), _recover, (other or end, end), either=True)


_SAID = {
    CaseState.DONE: ("take-intent", "taken recovered"),
    CaseState.RESTORED: ("restore-intent", "restored recovered"),
    CaseState.PURGED: ("purge-intent", "purged recovered"),
    CaseState.HELD: ("held-intent", "held recovered"),
    CaseState.RELEASED: ("held-intent", "held recovered", "released"),
    CaseState.DISMISSED: ("dismissed",),
    CaseState.DROPPED: ("dropped recovered",),
}
_FILES = {CaseState.DONE: {"record.json", "content"}, CaseState.RESTORED: {"record.json", "content"}}


def _snapshot(scene: Scene) -> dict[str, tuple[int, int, int]]:
    found = {}
    for top in (scene.tree, scene.root):
        for folder, _, names in os.walk(top):
            for name in names:
                status = os.lstat(os.path.join(folder, name))
                found[os.path.join(folder, name)] = (status.st_ino, status.st_size, status.st_mtime_ns)
    return found


Recover = Callable[[Scene], Sequence[object]]


def recovered(scene: Scene) -> Sequence[object]:
    """What every command does first."""
    return scene.vault().recover()


class Judge:
    """What became of one scene. ``wrong`` says what is not as it must be, ``end`` is how the act ended."""

    def __init__(self, scene: Scene, act: Act, recover: Recover = recovered) -> None:
        self.scene, self.act, self.wrong = scene, act, list[str]()
        self._recover = recover
        self._recover_twice()
        self._cases = list(scene.vault().cases())
        self._check_log()
        for case in self._cases:
            self._check_case(case)
        for folder in scene.holdings:
            if folder.exists() and (names := os.listdir(folder)):
                self._say(f"{names} lies in {folder}")
                for name in names:
                    (folder / name).unlink()
        self.end = self._end()
        if self.end not in act.ends:
            self._say(f"it ended {self.end}")
        if not self.wrong:
            self._check_way_back()

    def _say(self, what: str) -> None:
        self.wrong.append(what)

    def _recover_twice(self) -> None:
        self._recover(self.scene)
        before = _snapshot(self.scene)
        if again := self._recover(self.scene):
            self._say(f"recovery is not idempotent: {again}")
        if _snapshot(self.scene) != before:
            self._say("a second recovery changed something")

    def _check_log(self) -> None:
        path = self.scene.root / "log"
        lines = list(log.raw_lines(path))
        told = log.check(lines)
        if told.broken or told.torn:
            self._say(f"the log does not hold: {told}")
            return
        if left := log.Log(path, lambda: 0.0, "").unfinished():
            self._say(f"the log has no end of {left}")
        if flaws := [*self.scene.vault().check_records(), *self.scene.vault().check_certificates()]:
            self._say(f"an audit of the vault finds {flaws}")
        said = [json.loads(line) for line in lines]
        for case in self._cases:
            about = {line["what"] for line in said if line["case"] == case.id}
            for words in _SAID.get(case.state, ()):
                if about.isdisjoint(words.split()):
                    self._say(f"a case is {case.state}, and the log says only {sorted(about)}")

    def _check_case(self, case: Case) -> None:
        folder = self.scene.root / "cases" / case.id
        if case.state not in _SAID:
            self._say(f"unfinished: {case}")
        names = {name for name in os.listdir(folder) if not name.endswith(".new") and name != "commit.json"}
        if names != _FILES.get(case.state, {"record.json"}):
            self._say(f"a case is {case.state} and has {sorted(names)}")
        elif "content" in names and not self.scene.vault().kept(case.id).content_holds:
            self._say("the evidence is not whole")
        certificate = (self.scene.root / "certificates" / f"{case.id}.json").exists()
        if certificate != (case.state is CaseState.PURGED):
            self._say(f"a case is {case.state}, and its certificate of purging is {'there' if certificate else 'missing'}")

    def _with(self, state: CaseState) -> list[Case]:
        return [case for case in self._cases if case.state is state]

    def _end(self) -> str:
        done = self._with(CaseState.DONE)
        waiting = self._with(CaseState.HELD)
        if done and waiting:  # a release whose last word is missing: whoever says it again is answered with the same case
            again = self.scene.vault().release(waiting[0].id, self.scene.finding)
            if again.case_id != done[0].id:
                self._say(f"released again, it became {again}")
            waiting = []
        states = [
            name
            for state, name in (
                (CaseState.RESTORED, "restored"),
                (CaseState.PURGED, "purged"),
                (CaseState.DISMISSED, "dismissed"),
            )
            if self._with(state)
        ]
        states += ["held"] if waiting else []
        states += ["kept" if self.scene.vault().record(case.id)["holds"] else "done" for case in done]
        end = ", ".join(states) or "in place"
        self._check_place(end)
        return end

    def _check_place(self, end: str) -> None:
        """The file is in its place xor in the vault; what a tenant has put there is as it was; nothing else is there."""
        scene, names = self.scene, set(os.listdir(self.scene.folder))
        back = scene.file
        if self.act.name == "beside":
            back = scene.folder / f"f.restored-{scene.case_id[:8]}"
            if not scene.file.exists() or scene.file.read_bytes() != NEWCOMER:
                self._say("what was there meanwhile is not as it was")
            names.discard("f")
        there = end in ("in place", "held", "dismissed", "restored")
        if names != ({back.name} if there else set()):
            self._say(f"the act ended {end}, and in its folder is {sorted(names)}")
        elif there and Mark.of(back) != scene.before:
            self._say("the file is there, but not as it was")
        elif there and end != "restored" and os.lstat(back).st_ino != scene.inode:
            self._say("another inode is in its place")

    def _check_way_back(self) -> None:
        """What is in the vault comes back as it was."""
        scene = self.scene
        for case in self._with(CaseState.DONE):
            if self.act.name == "beside":
                scene.file.unlink()
            restored = scene.vault().restore(case.id, scene.wish())
            if restored.state is not CaseState.RESTORED or Mark.of(scene.file) != scene.before:
                self._say("it came back, but not as it was")
