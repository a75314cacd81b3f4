"""The ways in which a tenant races with the taker, the tree that he does it in, and what must never be seen there.

``srv/d/e/a0`` and so on are the files that were found; the vault stands in a folder that anybody may write to, as /tmp is.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from hashscan.quarantine.vault import HOLDING_NAME
from tests.support.findings import make_finding
from tests.support.racing import ROOT, Act, Attacker, Print, clear, everything, fingerprint, give

FILES = 24  # of a scene; the tenant does his acts to each of them in turn
OLD = 1_600_000_000 * 10**9  # nanoseconds: the times of every file
HOLDING = os.fsdecode(HOLDING_NAME)
Key = tuple[int, int]
Found = dict[Key, tuple[Print, list[str]]]


def target(number: int) -> bytes:
    return b"harmless target %d " % number * 200


def innocent(number: int) -> bytes:
    return b"innocent %d " % number * 50


def victim(number: int) -> bytes:
    return b"outside the tree %d " % number * 30


def key(status: os.stat_result) -> Key:
    return status.st_dev, status.st_ino


def directory(path: Path, mode: int = 0o755) -> None:
    path.mkdir()
    path.chmod(mode)
    give(path)


def make(path: Path, data: bytes, mode: int = 0o644) -> None:
    """A regular file of the tenant."""
    path.write_bytes(data)
    path.chmod(mode)
    give(path)
    os.utime(path, ns=(OLD, OLD))


class Scene:
    """The tree and the victims outside. `lay` makes the tree anew; `wrongs` judges what was done, while the tenant rests."""

    def __init__(self, top: Path, kind: Kind) -> None:
        self.top, self.kind = top, kind
        self.tree, self.outside, self.crowd = top / "srv", top / "outside", top / "crowd"
        self.mine, self.vault = self.crowd / "mine", self.crowd / "vault"
        self.tree.mkdir(exist_ok=True)
        give(self.tree)
        (self.outside / "e").mkdir(parents=True)
        for number in range(FILES):  # the kernel lets a tenant link only what he may write
            path = self.outside / f"e/a{number}"
            make(path, victim(number), 0o666)
            if ROOT:
                os.chown(path, 0, 0)
        self.crowd.mkdir()
        self.crowd.chmod(0o1777 if kind.sticky else 0o777)
        directory(self.mine, 0o700)
        self.lay()

    def lay(self) -> None:
        for folder in (self.tree, self.mine, self.vault / "holding"):
            if folder.exists():
                clear(folder)
        for name in ("d", "d/e"):
            directory(self.tree / name)
        self.paths = [self.tree / f"d/e/a{number}" for number in range(FILES)]
        for number, path in enumerate(self.paths):
            make(path, target(number))
            self.kind.lay(self, number)
        self.findings = [make_finding(path, self.tree) for path in self.paths]
        self.targets = [key(os.lstat(path)) for path in self.paths]
        self.expected, self.victims = self._objects(), self._victims()

    def _victims(self) -> dict[str, Print]:
        linked = self.kind.linked
        return {path: fingerprint(path, moved=linked) for path, _, _ in everything(str(self.outside))}

    def _objects(self) -> Found:
        """Everything but directories that is in the tree, in the tenant's other folders, or in a holding directory."""
        found: Found = {}
        alive = set(self.targets) if self.kind.alive else set()
        for top in (self.tree, self.crowd):
            for path, status, folder in everything(str(top)):
                if not folder and not path.startswith((f"{self.vault}/cases/", f"{self.vault}/log")):
                    one = key(status)
                    found.setdefault(one, (fingerprint(path, loose=one in alive), []))[1].append(path)
        return found

    def wrongs(self, taken: Mapping[int, str]) -> list[str]:
        """What must never be. ``taken``: the numbers of the files that were taken, and what was said of each."""
        found, expected = self._objects(), self.expected
        wrong = [] if self._victims() == self.victims else ["a victim outside was touched"]
        lost, more = expected.keys() - found.keys(), found.keys() - expected.keys()
        for number, said in taken.items():
            names = found[self.targets[number]][1] if self.targets[number] in found else []
            if names and not (self.kind.alive and "other names" in said):
                wrong.append(f"it was taken, and it is still there: {names}")
            lost -= {self.targets[number]}
        wrong += [f"lost: {expected[one][1]}" for one in lost]
        wrong += [f"there is more than there was: {found[one][1]}" for one in more]
        same = found.keys() & expected.keys()
        wrong += [f"changed: {found[one][1]}" for one in same if found[one][0] != expected[one][0]]
        return wrong + [f"astray: {path}" for _, paths in found.values() for path in paths if not self._rightly(path)]

    def _rightly(self, path: str) -> bool:
        """Whether this is where the tenant puts things, or a private directory of ours that holds an orphan."""
        folder, name = os.path.split(path)
        if name.startswith(("a", "other", "twin")) and folder.endswith("/e"):
            return True
        if folder == str(self.tree) and os.path.islink(path):
            return True
        status = os.lstat(folder)
        private = status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == 0o700
        return private and len(name) == 16


@dataclass(frozen=True)
class Kind:
    """One way to race: acts for each file (``{}`` is its number), and acts for all. The first act is the swap that is meant.

    ``shown``: endings that must be seen; ``linked``: the victims themselves lie in the tree under other names; ``alive``: the
    tenant writes into the file or links it; ``forbidden``: acts that must never succeed; ``mounted``: the tree is a mount;
    ``sticky``: what is in the folder that anybody may write to belongs to its owner, as in /tmp.
    """

    each: tuple[Act, ...]
    lay: Callable[[Scene, int], None]
    shown: tuple[str, ...] = ("taken", "put back", "orphan")
    all: tuple[Act, ...] = ()
    forbidden: tuple[Act, ...] = ()
    linked: bool = False
    alive: bool = False
    mounted: bool = False
    root: bool = False
    sticky: bool = True

    @property
    def acts(self) -> tuple[Act, ...]:
        each = [
            # So that not everything happens in the same round.
            (rounds + number % 5 if rounds > 5 else rounds, act, one.format(number), other.format(number))
            for number in range(FILES)
            for rounds, act, one, other in self.each
        ]
        return (*self.all, *self.forbidden, *each)

    def swap_of(self, number: int) -> int:
        """The number of the act that swaps this file, or all."""
        return len(self.all) + len(self.forbidden) + number * len(self.each) if self.each else 0

    def broken(self, attacker: Attacker) -> list[str]:
        """What no tenant may be able to do, and he could."""
        forbidden = enumerate(self.forbidden, len(self.all))
        return [f"the tenant could do this: {act}" for number, act in forbidden if attacker.by_act(number)]


def _linked(scene: Scene, number: int) -> None:
    if number == 0:
        os.symlink(scene.outside, scene.tree / "other")


def _link(scene: Scene, number: int) -> None:
    os.symlink(scene.outside / f"e/a{number}", scene.tree / f"d/e/other{number}")


def _hard_link(scene: Scene, number: int) -> None:
    os.link(scene.outside / f"e/a{number}", scene.tree / f"d/e/other{number}")


def _innocent(scene: Scene, number: int) -> None:
    make(scene.tree / f"d/e/other{number}", innocent(number))


def _special(mode: int, device: int = 0) -> Callable[[Scene, int], None]:
    return lambda scene, number: os.mknod(scene.tree / f"d/e/other{number}", mode | 0o666, device)


def _another_parent(scene: Scene, number: int) -> None:
    _innocent(scene, number)
    if number == 0:
        for folder in ("away", "away/e"):
            directory(scene.tree / folder)
    make(scene.tree / f"away/e/a{number}", innocent(number + 100))
    make(scene.tree / f"away/e/other{number}", innocent(number + 200))


def _own_holding(scene: Scene, number: int) -> None:
    _innocent(scene, number)
    if number == 0:
        directory(scene.tree / "mine", 0o700)
        os.symlink(scene.outside, scene.tree / "link")


def _beside_the_vault(scene: Scene, number: int) -> None:
    _innocent(scene, number)
    beside = scene.crowd / HOLDING
    if number == 0 and beside.exists():
        clear(beside)
        beside.rmdir()


def _nothing(scene: Scene, number: int) -> None:
    """The file alone."""


_EXCHANGE: Act = (1, "exchange", "d/e/a{}", "d/e/other{}")
_SWAP: tuple[Act, ...] = (_EXCHANGE, (7, "move", "d/e/other{}", "d/e/a{}"))

KINDS: Mapping[str, Kind] = {
    "directory and link": Kind((), _linked, ("taken", "refused"), all=((1, "exchange", "d", "other"),)),
    "file and link": Kind(_SWAP, _link),
    "file and file": Kind(_SWAP, _innocent),
    "file and FIFO": Kind(_SWAP, _special(stat.S_IFIFO)),
    "file and socket": Kind(_SWAP, _special(stat.S_IFSOCK)),
    "file and device": Kind(_SWAP, _special(stat.S_IFCHR, os.makedev(1, 3)), root=True),
    "file and hard link": Kind(_SWAP, _hard_link, linked=True),
    "its own hard link": Kind(
        ((1, "link", "d/e/a{}", "d/e/twin{}"), (1, "unlink", "d/e/twin{}", "")), _nothing, ("taken", "refused"), alive=True
    ),
    "parent moved away": Kind((_EXCHANGE,), _another_parent, ("taken", "put back"), all=((1, "exchange", "d", "away"),)),
    "growing file": Kind(((1, "scribble", "d/e/a{}", ""),), _nothing, ("taken", "dropped", "put back"), alive=True),
    "holding directory": Kind(
        _SWAP,
        _own_holding,
        ("taken", "put back", "orphan", "refused"),
        all=(
            (5, "exchange", HOLDING, "mine"),
            (7, "exchange", HOLDING, "link"),
            (11, "move", HOLDING, "gone"),
            (13, "move", "gone", HOLDING),
        ),
        mounted=True,
        root=True,
    ),
    "vault and its neighbours": Kind(
        _SWAP,
        _beside_the_vault,
        all=((3, "mkdir", f"../crowd/{HOLDING}", ""), (5, "exchange", f"../crowd/{HOLDING}", "../crowd/mine")),
        forbidden=(
            (2, "exchange", "../crowd/vault", "../crowd/mine"),
            (2, "move", "../crowd/vault", "../crowd/gone"),
            (2, "exchange", "../crowd/vault/holding", "../crowd/mine"),
            (2, "link", "d/e/a0", "../crowd/vault/holding/a"),
        ),
        root=True,
    ),
}

CONTROL = "vault where anybody may rename it"
CONTROLS: Mapping[str, Kind] = {CONTROL: replace(KINDS["vault and its neighbours"], sticky=False)}
"""What the tenant must not be able to do, he can here: the races of this kind must say so."""
