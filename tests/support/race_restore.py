"""Restores in a race with a tenant: the real one (`Vault.restore`), and naive ones that the race must catch.

A scene is taken whole while the tenant rests; then every case is restored while he works. What came back is judged and removed
again, and the records of its cases are put back as they were, so that one vault serves for a whole race. As a program: see
`race_take`.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hashscan.errors import QuarantineError
from hashscan.model import CaseState
from hashscan.quarantine.restore import Wish
from hashscan.quarantine.vault import Vault
from tests.support.findings import make_finding
from tests.support.race_scenes import FILES, OLD, Key, directory, innocent, key, make, target, victim
from tests.support.race_take import MANY, TRIES, Ending, shown
from tests.support.racing import (
    ROOT,
    TENANT,
    Act,
    Attacker,
    Clock,
    Count,
    Print,
    cores,
    everything,
    fingerprint,
    give,
    no_longer_than,
    place,
)

ROUNDS = 40  # after which the log is looked through and begun anew
MODE = 0o640


@dataclass(frozen=True)
class Kind:
    """One way to race with a restore; ``{n}`` in an act is the number of a file, ``{case}`` the first digits of its case."""

    lay: Callable[[Scene, int], None]
    all: tuple[Act, ...] = ()
    each: tuple[Act, ...] = ()
    beside: bool = False
    shown: tuple[str, ...] = ("restored", "refused")


class Scene:
    """``srv/d/e/a0`` and so on were taken. What is in the tree must stay; each file comes back once, or not at all."""

    def __init__(self, top: Path, kind: Kind) -> None:
        self.kind, self.tree, self.outside, self.root = kind, top / "srv", top / "outside", top / "vault"
        for path in (self.tree, self.tree / "d", self.tree / "d/e"):
            directory(path)
        (self.outside / "e").mkdir(parents=True)
        self.moment: Callable[[str], None] = lambda name: None
        self.vault = Vault(self.root, MANY, step=self._step)
        self.paths = [self.tree / f"d/e/a{number}" for number in range(FILES)]
        self.cases = [self._take(number, path) for number, path in enumerate(self.paths)]
        self._records = [self._of_case(number, "record.json").read_bytes() for number in range(FILES)]
        for number in range(FILES):
            (self.outside / f"e/victim{number}").write_bytes(victim(number))
            kind.lay(self, number)
        self.expected, self.victims = self._objects(), self._victims()

    def _step(self, name: str) -> None:
        self.moment(name)

    def _take(self, number: int, path: Path) -> str:
        make(path, target(number), MODE)
        return self.vault.handle(make_finding(path, self.tree)).case_id

    def _of_case(self, number: int, name: str) -> Path:
        return self.root / "cases" / self.cases[number] / name

    @property
    def acts(self) -> tuple[Act, ...]:
        def of(number: int, path: str) -> str:
            return path.format(n=number, case=self.cases[number][:8])

        each = [
            (rounds, act, of(number, one), of(number, other))
            for number in range(FILES)
            for rounds, act, one, other in self.kind.each
        ]
        return (*self.kind.all, *each)

    def swap_of(self, number: int) -> int:
        """The number of the act that interferes with this file, or with all."""
        return 0 if self.kind.all else number * len(self.kind.each)

    def _victims(self) -> dict[str, Print]:
        return {path: fingerprint(path, moved=False) for path, _, _ in everything(str(self.outside))}

    def _objects(self) -> dict[Key, tuple[Print, str]]:
        return {key(status): (fingerprint(path), path) for path, status, folder in everything(str(self.tree)) if not folder}

    def wrongs(self, restored: set[int]) -> list[str]:
        """What must never be, while the tenant rests; then everything is put back as it was."""
        found, back = self._objects(), dict[int, list[str]]()
        wrong = [] if self._victims() == self.victims else ["a victim outside was touched, or something came to lie there"]
        wrong += [f"lost: {self.expected[one][1]}" for one in self.expected.keys() - found.keys()]
        same = found.keys() & self.expected.keys()
        wrong += [f"changed: {found[one][1]}" for one in same if found[one][0] != self.expected[one][0]]
        for one in found.keys() - self.expected.keys():
            is_now, path = found[one]
            number = self._whose(path)
            if number < 0 or not _is_whole(is_now, number):
                wrong.append(f"not what was taken: {path}")
            back.setdefault(number, []).append(path)
            os.unlink(path)
        wrong += [
            f"file {number} was {'' if number in restored else 'not '}restored, and there is {back.get(number)}"
            for number in back.keys() | restored
            if len(back.get(number, [])) != (number in restored)
        ]
        return wrong + [f"the evidence of {one} changed" for one in range(FILES) if self.evidence(one) != target(one)]

    def evidence(self, number: int) -> bytes:
        return self._of_case(number, "content").read_bytes()

    def _whose(self, path: str) -> int:
        """The number of a file that came back, by its name, or -1."""
        name = os.path.basename(path)
        number, _, case = name[1:].partition(".restored-")
        whose = int(number) if name.startswith("a") and number.isdigit() else -1
        return whose if not case or self.cases[whose].startswith(case) else -1

    def forget(self, restored: set[int]) -> list[str]:
        """The cases as they were before the restores; a naive restore has told them nothing."""
        wrong = []
        for number in restored:
            state = self.vault.case(self.cases[number]).state
            wrong += [] if state is CaseState.RESTORED else [f"a restored case is {state}"]
            self._of_case(number, "record.json").write_bytes(self._records[number])
        return wrong

    def begin_log(self) -> list[str]:
        """The log of so many restores must hold, and recovery has nothing to do; then it goes."""
        problem = self.vault.check_log().problem
        wrong = [f"recovery had something to do: {one}" for one in self.vault.recover()] + ([problem] if problem else [])
        (self.root / "log").unlink()
        return wrong


def _is_whole(is_now: Print, number: int) -> bool:
    data = target(number)
    mode, uid, gid, size, links, _, mtime = is_now[:7]
    wanted = (stat.S_IFREG | MODE, TENANT, TENANT if ROOT else os.getegid(), len(data), 1, OLD, data)
    return (mode, uid, gid, size, links, mtime, is_now[-1]) == wanted


def _linked(scene: Scene, number: int) -> None:
    if number == 0:
        os.symlink(scene.outside, scene.tree / "other")


def _taken(scene: Scene, number: int) -> None:
    make(scene.tree / f"d/e/other{number}", innocent(number))


def _taken_and_linked(scene: Scene, number: int) -> None:
    _linked(scene, number)
    make(scene.paths[number], innocent(number))


def _taken_and_trapped(scene: Scene, number: int) -> None:
    make(scene.paths[number], innocent(number))
    os.symlink(scene.outside / f"e/victim{number}", scene.tree / f"d/e/trap{number}")
    give(scene.tree / f"d/e/trap{number}")


def _another_parent(scene: Scene, number: int) -> None:
    if number == 0:
        for folder in ("away", "away/e"):
            directory(scene.tree / folder)


_NEW_NAME = "d/e/a{n}.restored-{case}"
_DIRECTORY: Act = (1, "exchange", "d", "other")

KINDS: Mapping[str, Kind] = {
    "directory and link": Kind(_linked, (_DIRECTORY,)),
    "name taken": Kind(_taken, each=((1, "move", "d/e/other{n}", "d/e/a{n}"), (1, "move", "d/e/a{n}", "d/e/other{n}"))),
    "parent moved away": Kind(_another_parent, ((1, "exchange", "d", "away"),), shown=("restored",)),
    "beside, directory and link": Kind(_taken_and_linked, (_DIRECTORY,), beside=True),
    "beside, a link under the new name": Kind(
        _taken_and_trapped,
        each=((1, "move", "d/e/trap{n}", _NEW_NAME), (1, "move", _NEW_NAME, "d/e/trap{n}")),
        beside=True,
    ),
}

Restore = Callable[[Scene, int], None]


def really(scene: Scene, number: int) -> None:
    scene.vault.restore(scene.cases[number], Wish(beside=scene.kind.beside))


def naively(scene: Scene, number: int) -> None:
    """The usual ways: look by path whether the place is right and free, then write there, or write beside it and rename."""
    path = scene.paths[number]
    if any(one.is_symlink() for one in (path.parent, path.parent.parent)):
        raise QuarantineError("a link")
    if scene.kind.beside and os.path.lexists(path):
        path = path.with_name(f"{path.name}.restored-{scene.cases[number][:8]}")
    if os.path.lexists(path):
        raise QuarantineError("its name is taken")
    scene.vault.record(scene.cases[number])  # what a restore reads between its check and its use
    if scene.kind.lay in (_taken, _another_parent):
        new = path.with_name(f"new{number}")
        _write(new, scene.evidence(number))
        os.rename(new, path)
    else:
        _write(path, scene.evidence(number))


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as stream:
        stream.write(data)
        os.fchmod(stream.fileno(), MODE)
        if ROOT:
            os.fchown(stream.fileno(), TENANT, TENANT)
        stream.flush()
        os.utime(stream.fileno(), ns=(OLD, OLD))


def race(kind: str, top: Path, restore: Restore, racer: Path, seconds: float) -> Count:
    """Attempts until the time is over and everything was seen, or until something goes wrong."""
    count = Count()
    scene = Scene(top, KINDS[kind])
    with cores() as core, no_longer_than(seconds + 60):
        attacker = Attacker(racer, scene.tree, scene.acts, core)
        try:
            _attempts(scene, restore, attacker, count, Clock(seconds))
            count.acts = attacker.done
        finally:
            attacker.stop()
    return count


def _attempts(scene: Scene, restore: Restore, attacker: Attacker, count: Count, clock: Clock) -> None:
    rounds = 0
    while not count.wrong and not clock.over(shown=shown(scene.kind.shown, count)):
        restored: set[int] = set()
        with attacker.at_work():
            for number in [*range(FILES)] * TRIES:
                if number not in restored:
                    before = attacker.done
                    ending = _attempt(scene, restore, number, attacker)
                    count.add(ending.what, contested=attacker.done > before, hit=ending.hit)
                    if ending.what == "restored":
                        restored.add(number)
        count.wrong += scene.wrongs(restored)
        if restore is really:
            count.wrong += scene.forget(restored)
            rounds += 1
            if rounds % ROUNDS == 0:
                count.wrong += scene.begin_log()
    count.seconds = clock.passed


def _attempt(scene: Scene, restore: Restore, number: int, attacker: Attacker) -> Ending:
    """A hit is a swap between our opening of the parent and the naming of the new file."""
    hit, opened = False, 0

    def moment(name: str) -> None:
        nonlocal hit, opened
        if name == "before make new file":
            opened = attacker.by_act(scene.swap_of(number))
        elif name == "after name new file":
            hit = attacker.by_act(scene.swap_of(number)) > opened

    scene.moment = moment
    try:
        restore(scene, number)
    except QuarantineError as error:
        return Ending("refused", str(error))
    except OSError as error:
        if restore is really:
            raise
        return Ending("refused", str(error))
    return Ending("restored", hit=hit)


def main(kind: str, seconds: str, racer: str) -> None:
    with place(Path(tempfile.gettempdir())) as top:
        print(race(kind, top, really, Path(racer), float(seconds)).to_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
