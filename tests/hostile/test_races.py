"""A tenant who keeps swapping what has the name, while it is taken or restored.

Nothing but the very file is ever taken, nothing outside the tree is touched, nothing is lost. Each race runs against a naive
implementation too, which must be caught: otherwise the attacker was too slow to prove anything.
"""

from __future__ import annotations

import hashlib
import itertools
import mmap
import os
import shutil
import signal
import stat
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from hashscan import fsops
from hashscan.errors import QuarantineError
from hashscan.model import Action, CaseState, Finding
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Vault
from tests.support import children
from tests.support.budget import attempts
from tests.support.findings import make_finding

pytestmark = pytest.mark.slow
TARGET, INNOCENT, VICTIM = b"harmless target " * 500, b"innocent " * 700, b"outside the tree " * 300
_HERE = -100  # AT_FDCWD
SECONDS = attempts(2)  # for each race


class Stage:
    """One attempt: ``srv/d/a`` is the file that was found; the attacker swaps it, or ``d``, with ``other``."""

    def __init__(self, top: Path, kind: str) -> None:
        self.top, self.tree, self.outside = top, top / "srv", top / "outside"
        (self.tree / "d").mkdir(parents=True)
        self.outside.mkdir()
        (self.outside / "a").write_bytes(VICTIM)
        self.path = self.tree / "d/a"
        self.path.write_bytes(TARGET)
        if kind == "directory and link":
            self.swapped, self.other = self.tree / "d", self.tree / "other"
            self.other.symlink_to(self.outside)
        else:
            self.swapped, self.other = self.path, self.tree / "d/other"
            if kind == "file and link":
                self.other.symlink_to(self.outside / "a")
            else:
                self.other.write_bytes(INNOCENT)
        self.spare = self.swapped.with_name("spare")
        self.victim = os.lstat(self.outside / "a").st_ino


KINDS = ("file and file", "file and link", "directory and link")


class Attacker:
    """A process that swaps on the stage it is told of, and says when it has let go of it."""

    def __init__(self, stages: Path, kind: str) -> None:
        self._shared = mmap.mmap(-1, 16)  # the stage that is attacked (0: none), the stage it is at
        self._stages, self._kind = stages, kind
        self._child = children.start(self._attack)

    def _attack(self) -> None:
        while True:
            number = struct.unpack_from("q", self._shared, 0)[0]
            struct.pack_into("q", self._shared, 8, number)
            if number:
                self._swap(self._stages / str(number))

    def _swap(self, top: Path) -> None:
        here = os.fsencode(top / "srv" if self._kind == "directory and link" else top / "srv/d")
        name = os.path.join(here, b"d" if self._kind == "directory and link" else b"a")
        spare, other = os.path.join(here, b"spare"), os.path.join(here, b"other")
        for _ in range(50):
            for source, target in ((name, spare), (other, name), (name, other), (spare, name)):
                with suppress(OSError):  # never over a name: what the tenant destroys himself would blur the count
                    fsops.rename_noreplace(_HERE, source, _HERE, target)

    @contextmanager
    def at(self, number: int) -> Iterator[None]:
        self._tell(number)
        try:
            yield
        finally:
            self._tell(0)

    def _tell(self, number: int) -> None:
        struct.pack_into("q", self._shared, 0, number)
        until = time.monotonic() + 30
        while struct.unpack_from("q", self._shared, 8)[0] != number:
            time.sleep(0)
            assert time.monotonic() < until, "the attacker is gone"

    def stop(self) -> None:
        os.kill(self._child, signal.SIGKILL)
        assert children.end(self._child) == -signal.SIGKILL


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as top:
        yield Path(top)


def contents(*tops: Path) -> list[bytes]:
    """The bytes of every regular file below these directories, links not followed."""
    files = [path for top in tops if top.exists() for path in top.rglob("*") if stat.S_ISREG(os.lstat(path).st_mode)]
    return [path.read_bytes() for path in files]


def wrongs(stage: Stage, kind: str, taken: list[bytes], held: list[bytes]) -> list[str]:
    """What must never be, when the attacker has let go."""
    wrong = [f"took another thing: {data[:9]!r}" for data in taken if data != TARGET]
    outside = stage.outside / "a"
    if not outside.exists() or os.lstat(outside).st_ino != stage.victim or outside.read_bytes() != VICTIM:
        wrong.append("the victim outside was touched")
    if len(os.listdir(stage.outside)) != 1:
        wrong.append("something came to lie outside")
    everything = [*contents(stage.tree), *held, *taken]
    if everything.count(TARGET) != 1:
        wrong.append(f"the target exists {everything.count(TARGET)} times")
    if everything.count(INNOCENT) != (kind == "file and file"):
        wrong.append(f"the innocent file exists {everything.count(INNOCENT)} times")
    return wrong


Take = Callable[[Stage, Finding], tuple[str, list[bytes], list[bytes]]]


def really(stage: Stage, finding: Finding) -> tuple[str, list[bytes], list[bytes]]:
    """How it ended, what was taken, and what is held."""
    vault = Vault(stage.top / "vault", Limits())
    result = vault.handle(finding)
    states = [case.state for case in vault.cases()]
    assert set(states) <= {CaseState.DONE, CaseState.DROPPED, CaseState.ORPHAN}
    assert vault.recover() == []
    done = result.action == Action.QUARANTINED
    assert done == (states == [CaseState.DONE])
    if CaseState.ORPHAN in states:
        kept = (stage.top / "vault/cases" / result.case_id / "content").read_bytes()
        assert kept == TARGET
        return "window hit, kept as orphan", [], contents(stage.top / "vault/holding")
    assert os.listdir(stage.top / "vault/holding") == []
    ending = "window hit, put back" if "while it was taken" in result.reason else "taken" if done else "seen before"
    return ending, [path.read_bytes() for path in stage.top.glob("vault/cases/*/content")], []


def naively(stage: Stage, finding: Finding) -> tuple[str, list[bytes], list[bytes]]:
    """The usual way: lstat, digest, then `shutil.move` by path."""
    entry = finding.candidate.hashed.entry
    vault = stage.top / "naive"
    vault.mkdir()
    with suppress(OSError):
        status = os.lstat(stage.path)
        if stat.S_ISREG(status.st_mode) and status.st_ino == entry.inode:
            with open(stage.path, "rb") as stream:
                same = hashlib.sha1(stream.read()).hexdigest() in finding.candidate.hashed.digests.values()
            if same:
                shutil.move(stage.path, vault / "a")
    moved = vault / "a"
    if moved.is_symlink():
        return "taken", [b"a link"], []
    return "taken" if moved.exists() else "seen before", contents(vault), []


class Clock:
    """A race lasts its time, and up to five times that where what it must show has not been seen yet."""

    def __init__(self, least: float) -> None:
        self._began, self._least = time.monotonic(), least

    def over(self, *, shown: object) -> bool:
        passed = time.monotonic() - self._began
        return passed > 5 * SECONDS or (bool(shown) and passed > self._least)


HIT = ("window hit, put back", "window hit, kept as orphan")


def race(place: Path, kind: str, take: Take, shown: Callable[[Counter[str]], object]) -> tuple[Counter[str], list[str]]:
    """Endings, and everything that went wrong; ends early where something did."""
    attacker = Attacker(place, kind)
    endings, wrong = Counter[str](), list[str]()
    try:
        clock = Clock(SECONDS)
        for number in itertools.count(1):
            stage = Stage(place / str(number), kind)
            finding = make_finding(stage.path, stage.tree)
            with attacker.at(number):
                ending, taken, held = take(stage, finding)
            endings[ending] += 1
            wrong += wrongs(stage, kind, taken, held)
            shutil.rmtree(stage.top)
            if wrong or clock.over(shown=shown(endings)):
                return endings, wrong
    finally:
        attacker.stop()
    raise AssertionError("unreachable")


@pytest.mark.parametrize("kind", KINDS)
def test_take_against_a_swapping_tenant(place: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(endings: Counter[str]) -> bool:
        # In the race for the directory nothing wrong is ever captured: the open directory is the same, wherever it was moved.
        hit = endings["seen before"] if kind == "directory and link" else sum(endings[one] for one in HIT)
        return bool(endings["taken"] and hit)

    endings, wrong = race(place, kind, really, shown)
    with capsys.disabled():
        print(f"\n  {kind}: {endings.total()} attempts, {len(wrong)} wrong, {dict(endings)}")
    assert wrong == []
    assert shown(endings)


@pytest.mark.parametrize("kind", KINDS)
def test_the_attacker_catches_a_naive_taker(place: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    endings, wrong = race(place, kind, naively, lambda seen: False)
    with capsys.disabled():
        print(f"\n  {kind}, naive: {endings.total()} attempts, {len(wrong)} wrong")
    assert wrong


Restore = Callable[[Vault, str, Path], None]


def restore_really(vault: Vault, case_id: str, path: Path) -> None:
    vault.restore(case_id)


def restore_naively(vault: Vault, case_id: str, path: Path) -> None:
    if path.parent.is_symlink() or not path.parent.is_dir():
        raise QuarantineError("not a directory")
    vault.record(case_id)  # what a restore reads between its check and its use
    with open(path, "xb") as stream:
        stream.write(TARGET)


def restore_race(place: Path, restore: Restore, least: float, shown: Callable[[Counter[str]], object]) -> Counter[str]:
    """Restores while the parent directory is swapped with a link to a directory outside; where the files came to lie."""
    kind, ends = "directory and link", Counter[str]()
    attacker = Attacker(place, kind)
    try:
        clock = Clock(least)
        for number in itertools.count(1):
            stage = Stage(place / str(number), kind)
            vault = Vault(stage.top / "vault", Limits())
            case_id = vault.handle(make_finding(stage.path, stage.tree)).case_id
            (stage.outside / "a").unlink()
            with attacker.at(number):
                try:
                    restore(vault, case_id, stage.path)
                except (QuarantineError, OSError):
                    ends["refused"] += 1
            ends["outside"] += len(os.listdir(stage.outside))
            ends["restored"] += contents(stage.tree).count(TARGET)
            ends["half"] += any(data != TARGET for data in contents(stage.tree))
            shutil.rmtree(stage.top)
            if clock.over(shown=shown(ends)):
                return ends
    finally:
        attacker.stop()
    raise AssertionError("unreachable")


def test_restore_against_a_swapping_tenant(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends = restore_race(place, restore_really, SECONDS, lambda ends: ends["restored"] and ends["refused"])
    with capsys.disabled():
        print(f"\n  restore: {dict(ends)}")
    assert ends["outside"] == ends["half"] == 0
    assert ends["restored"]
    assert ends["refused"]


def test_the_attacker_catches_a_naive_restore(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ends = restore_race(place, restore_naively, 0, lambda ends: ends["outside"])
    with capsys.disabled():
        print(f"\n  restore, naive: {dict(ends)}")
    assert ends["outside"]
