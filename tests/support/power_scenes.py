"""What is done while the power goes: the acts of the vault, and the judge of what is found after the next start."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hashscan.errors import HashscanError
from hashscan.model import Action, Case, CaseState
from hashscan.quarantine import log
from hashscan.quarantine.holding import HOLDING_NAME
from hashscan.quarantine.log import What
from hashscan.quarantine.record import Form, Record
from hashscan.quarantine.restore import Wish
from hashscan.quarantine.seal import Identity, Recipients
from hashscan.quarantine.vault import Grounds, Kept, Limits, Manner, Vault
from tests.support.findings import make_finding
from tests.support.powerloss import Disk, Stage, State, differences, key_of
from tests.support.recording import Call, mark, record

NOW = 1_800_000_000.0
_BYSTANDER = b"somebody else's"
_FINAL = {CaseState.DONE, CaseState.RESTORED, CaseState.DROPPED, CaseState.HELD, CaseState.RELEASED, CaseState.DISMISSED}
_HAVE = {CaseState.DONE, CaseState.RESTORED}
_CLAIMS = {
    What.TAKEN: CaseState.DONE,
    What.DROPPED: CaseState.DROPPED,
    What.RESTORED: CaseState.RESTORED,
    What.PURGED: CaseState.PURGED,
    What.HELD: CaseState.HELD,
    What.RELEASED: CaseState.RELEASED,
    What.DISMISSED: CaseState.DISMISSED,
}
Step = Callable[[str], None]
USUAL = Limits()


@dataclass
class Yard:
    """A customer's tree and a vault. ``across``: on two filesystems; ``sealed``: evidence is sealed to a key."""

    top: Path
    sizes: tuple[int, ...] = (700, 0)
    across: bool = False
    sealed: bool = False
    purging: bool = False
    split: bool = False
    limits: Limits = USUAL
    files: dict[Path, bytes] = field(default_factory=dict)
    others: dict[Path, bytes] = field(default_factory=dict)

    @property
    def srv(self) -> Path:
        return self.top / "srv"

    @property
    def volumes(self) -> list[Path]:
        return [self.top, self.srv] if self.across else [self.top]

    def build(self, stage: Stage) -> None:
        """The tree as it is before anything is done, on a new disk."""
        stage.mount(self.top)
        self.srv.mkdir()
        if self.across:
            stage.mount(self.srv)
        (self.srv / "d").mkdir()
        rng = random.Random(7)
        for number, size in enumerate(self.sizes):
            path = self.srv / "d" / f"f{number}"
            path.write_bytes(rng.randbytes(size))
            path.chmod(0o640)
            os.utime(path, ns=(10**18 + number, 10**18 + 5 + number))
            self.files[path] = path.read_bytes()
        for path in (self.srv / "d" / "other", self.srv / "other"):
            path.write_bytes(_BYSTANDER)
            self.others[path] = _BYSTANDER

    def vault(self, step: Step | None = None) -> Vault:
        """The vault as the agent of this host opens it."""
        sealed = Recipients([_KEY[1]]) if self.sealed else None
        grounds = Grounds("acme", b'{"signed": "lists"}', lambda _: bytes(32))
        manner = Manner("power", grounds=grounds, recipients=sealed)
        return Vault(self.top / "vault", self.limits, lambda: NOW, manner=manner, step=step)

    def take(self, step: Step | None = None) -> None:
        """Take every file that is there."""
        vault = self.vault(step)
        vault.recover()
        for path in self.files:
            if path.exists():
                done = vault.handle(make_finding(path, self.srv))
                assert done.action == Action.QUARANTINED, done.reason
                mark(f"done {done.case_id}")

    def recover(self, step: Step | None = None) -> None:
        """What every start does."""
        self.vault(step).recover()

    def cases(self) -> list[Case]:
        return list(self.vault().cases())


def _key() -> tuple[str, str]:
    import pyrage  # noqa: PLC0415 - an extra

    identity = pyrage.x25519.Identity.generate()
    return str(identity), str(identity.to_public())


_KEY = _key()


@dataclass(frozen=True)
class Play:
    """One act: what was done long before, and the work whose calls are recorded."""

    name: str
    yard: Callable[[Path], Yard]
    before: Callable[[Yard], None]
    body: Callable[[Yard], None]


def _nothing(_: Yard) -> None:
    pass


def _restore(wish: Wish) -> Callable[[Yard], None]:
    def body(yard: Yard) -> None:
        for case in yard.cases():
            yard.vault().restore(case.id, wish)
            mark(f"restored {case.id}")

    return body


def _sealed_restore(yard: Yard) -> None:
    _restore(Wish(identity=Identity(_KEY[0])))(yard)


def _purge(yard: Yard) -> None:
    for case in yard.cases():
        yard.vault().purge(case.id, by="root", reason="the time is over")
        mark(f"purged {case.id}")


def _hold(yard: Yard) -> None:
    for case in yard.cases():
        held = yard.vault()
        held.hold(case.id, by="police", reason="2026-17")
        mark(f"hold {case.id}")
        (one,) = held.record(case.id)["holds"]
        held.lift(case.id, one["id"], "closed")
        mark(f"unhold {case.id}")


def _wait(yard: Yard) -> None:
    vault = yard.vault()
    for path in yard.files:
        done = vault.handle(make_finding(path, yard.srv))
        assert done.action == Action.HELD
        mark(f"held {done.case_id}")


def _release(yard: Yard) -> None:
    vault = yard.vault()
    vault.recover()
    for case in yard.cases():
        if case.state is CaseState.HELD:
            path = Path(os.fsdecode(case.place.full))
            done = vault.release(case.id, make_finding(path, yard.srv))
            assert done.action == Action.QUARANTINED, done.reason
            mark(f"released {case.id}")
            mark(f"done {done.case_id}")


def _dismiss(yard: Yard) -> None:
    for case in yard.cases():
        yard.vault().dismiss(case.id, "a person said no")
        mark(f"dismissed {case.id}")


_HOLD_ALL = Limits(per_run=0)


def _of(**how: object) -> Callable[[Path], Yard]:
    return lambda top: Yard(top, **how)  # type: ignore[arg-type]


PLAYS = (
    Play("take", _of(), _nothing, Yard.take),
    Play("take, large", _of(sizes=(70_000,)), _nothing, Yard.take),
    Play("take, sealed", _of(sealed=True), _nothing, Yard.take),
    Play("take, other filesystem", _of(across=True), _nothing, Yard.take),
    Play("take, split renames", _of(split=True), _nothing, Yard.take),
    Play("hold", _of(limits=_HOLD_ALL), _nothing, _wait),
    Play("release", _of(limits=_HOLD_ALL), _wait, _release),
    Play("dismiss", _of(limits=_HOLD_ALL), _wait, _dismiss),
    Play("restore", _of(), Yard.take, _restore(Wish())),
    Play("restore, sealed", _of(sealed=True), Yard.take, _sealed_restore),
    Play("restore, other filesystem", _of(across=True), Yard.take, _restore(Wish())),
    Play("legal hold", _of(), Yard.take, _hold),
    Play("purge", _of(purging=True), Yard.take, _purge),
)


def _naive(yard: Yard, *, careful: bool) -> None:
    """The positive control: as many tools move a file. ``careful`` syncs the copy, and forgets the names."""
    (yard.top / "vault").mkdir()
    for path in yard.files:
        with open(path, "rb") as source, open(yard.top / "vault" / path.name, "wb") as target:
            target.write(source.read())
            if careful:
                target.flush()
                os.fsync(target.fileno())
        path.unlink()


NAIVE = Play("naive", _of(), _nothing, lambda yard: _naive(yard, careful=False))
CAREFUL = Play("naive with fsync", _of(), _nothing, lambda yard: _naive(yard, careful=True))


def lost_by_naive(yard: Yard, told: tuple[str, ...]) -> Iterator[str]:
    """The same question for the control: each file in its place, or whole in the other folder."""
    for path, data in yard.files.items():
        kept = yard.top / "vault" / path.name
        if not any(one.exists() and one.read_bytes() == data for one in (path, kept)):
            yield f"{path.name} is lost"


ACTS: dict[str, Play] = {play.name: play for play in PLAYS}


@dataclass
class Found:
    """What an exploration came to. ``bad``: problems, with the state they were found in."""

    calls: int = 0
    fsyncs: int = 0
    states: set[bytes] = field(default_factory=set)
    judged: int = 0
    bad: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Search:
    """How far: ``most`` as in `Disk.states`, ``stop`` after that many problems, ``skip`` which fsyncs are forgotten.

    ``share`` of the states is looked at, chosen by chance.
    """

    most: int = 8
    seed: int = 1
    stop: int = 1
    skip: Callable[[int], bool] = lambda _: False
    share: float = 1.0


Judge = Callable[[Yard, tuple[str, ...]], Iterator[str]]


def nothing_wrong(_: Yard, __: tuple[str, ...]) -> Iterator[str]:
    """Judges nothing: the states themselves are wanted (`Explorer.some`)."""
    return iter(())


@contextmanager
def _folder() -> Iterator[Path]:
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory, prefix="power-") as folder:
        yield Path(folder)


@contextmanager
def _built(play: Play) -> Iterator[tuple[Yard, Stage]]:
    with _folder() as folder:
        yard = play.yard(folder / "host")
        stage = Stage(yard.volumes)
        try:
            yard.build(stage)
            play.before(yard)
            yield yard, stage
        finally:
            stage.clear()


class Explorer:
    """Follows what was recorded of one yard, and judges every state that a power loss may leave."""

    def __init__(self, yard: Yard, stage: Stage, search: Search, found: Found, judge: Judge) -> None:
        self._yard, self._stage, self._search, self._found, self._judge = yard, stage, search, found, judge
        self._rng = random.Random(search.seed)
        self._seen: set[tuple[bytes, int]] = set()
        self.some: list[State] = []

    @property
    def enough(self) -> bool:
        return len(self._found.bad) >= self._search.stop

    def run(self, disk: Disk, calls: Sequence[Call]) -> None:
        """Follow the calls of one more process to their end."""
        disk.fork()
        for call in calls:
            self._found.calls += 1
            if call.name in ("fsync", "fdatasync"):
                self._found.fsyncs += 1
                if self._search.skip(self._found.fsyncs):
                    continue
            if disk.follow(call):
                for state in disk.states(self._rng, most=self._search.most):
                    if self.enough:
                        return
                    if self._search.share >= 1 or self._rng.random() < self._search.share:
                        self._look_at(state)

    def _look_at(self, state: State) -> None:
        key = key_of(state)
        if key not in self._found.states:
            self._found.states.add(key)
            if self._judge is nothing_wrong:
                self.some.append(state)
        if (key, len(state.told)) in self._seen:
            return
        self._seen.add((key, len(state.told)))
        if self._judge is nothing_wrong:
            return
        self._stage.show(state)
        self._found.judged += 1
        self._found.bad += [f"{wrong} (told: {state.told})" for wrong in self._judge(self._yard, state.told)][:1]


def explore(play: Play, search: Search, judge: Judge | None = None) -> Found:
    """The power goes during a play."""
    found = Found()
    with _built(play) as (yard, stage):
        _explore(yard, stage, play.body, (search, found, judge or found_wrong))
    return found


def explore_any(make: Callable[[Path], Any], body: Callable[[Any], None], search: Search, judge: Callable[..., Any]) -> Found:
    """The power goes during other work: ``make`` gives something with ``build``, ``volumes`` and ``split``."""
    found = Found()
    with _folder() as folder:
        yard = make(folder / "host")
        stage = Stage(yard.volumes)
        try:
            yard.build(stage)
            _explore(yard, stage, body, (search, found, judge))
        finally:
            stage.clear()
    return found


def _explore(yard: Any, stage: Stage, body: Callable[[Any], None], how: tuple[Search, Found, Callable[..., Any]]) -> None:
    search, found, judge = how
    disk = Disk(yard.volumes, split=yard.split)
    calls = _recorded(body, yard)
    real = Disk(yard.volumes).settled()
    explorer = Explorer(yard, stage, search, found, judge)
    explorer.run(disk, calls)
    if not explorer.enough:
        assert not differences(disk.settled(), real), differences(disk.settled(), real)[:5]


def explore_killed(play: Play, search: Search, *, every: int = 1, then: Callable[[Yard], None] = Yard.recover) -> Found:
    """The process is killed after every ``every``-th call that changes something, and the power goes while ``then`` runs.

    What the dead process left to the kernel was as visible as anything, and not durable.
    """
    found = Found()
    with _built(play) as (yard, stage):
        start = Disk(yard.volumes, split=yard.split)
        calls = _recorded(play.body, yard)
        told = 0
        for index, call in enumerate(calls, 1):
            disk = deepcopy(start)
            changed = [disk.follow(one) for one in calls[:index]][-1]
            told += changed
            if not changed or told % every or call.marked:
                continue
            stage.show(disk.settled(), disk.next)
            explorer = Explorer(yard, stage, search, found, found_wrong)
            explorer.run(disk, _recorded(then, yard))
            if explorer.enough:
                found.bad = [f"killed after call {index} ({call.name}): {one}" for one in found.bad]
                break
    return found


def explore_again(play: Play, search: Search, number: int) -> Found:
    """The power goes during a play, and once more during the recovery from it, for ``number`` of the states after the first."""
    found = Found()
    with _built(play) as (yard, stage):
        disk = Disk(yard.volumes, split=yard.split)
        calls = _recorded(play.body, yard)
        first = Explorer(yard, stage, search, Found(), nothing_wrong)
        first.run(disk, calls)
        for state in random.Random(search.seed).sample(first.some, min(number, len(first.some))):
            stage.show(state)
            second = Disk(yard.volumes, split=yard.split)
            second.told = list(state.told)
            explorer = Explorer(yard, stage, search, found, found_wrong)
            explorer.run(second, _recorded(Yard.recover, yard))
            if explorer.enough:
                break
    return found


def _recorded(body: Callable[[Any], None], yard: Any) -> list[Call]:
    calls, ended = record(lambda: body(yard))
    assert ended == 0, ended
    return calls


# -- the judge -----------------------------------------------------------------------------------------------------------


def found_wrong(yard: Yard, told: tuple[str, ...]) -> Iterator[str]:
    """Everything that is wrong after the next start, which begins with recovery."""
    before = _lines(yard)
    absent = [path for path in yard.files if not path.exists()]
    announced = {line.case for line in before if line.what == What.TAKE_INTENT}
    if len(absent) > len(announced):
        yield f"{len(absent)} names are gone, the log has announced {len(announced)}"
    try:
        yard.vault().recover()
        size = _log_size(yard)
        again = yard.vault().recover()
    except (HashscanError, OSError, ValueError) as error:
        yield f"recovery failed: {error!r}"
        return
    if again or _log_size(yard) != size:
        yield f"recovery is not idempotent: {again}"
    checked = yard.vault().check_log()
    if checked.broken or (checked.torn and _log_size(yard) != size):
        yield f"the log is broken: {checked}"
    cases = yard.cases()
    vault = yard.vault()
    kept = {case.id: vault.kept(case.id) for case in cases if case.state is not CaseState.DAMAGED}
    yield from _files(yard, cases, kept)
    yield from _acts(yard, cases, kept)
    yield from _promises(cases, told)
    yield from _strays(yard, cases)


def _log_size(yard: Yard) -> int:
    with suppress(FileNotFoundError):
        return (yard.top / "vault" / "log").stat().st_size
    return -1


def _lines(yard: Yard) -> list[log.Line]:
    found = []
    for raw in log.raw_lines(yard.top / "vault" / "log"):
        with suppress(ValueError):
            found.append(log.read_line(raw.rstrip(b"\n")))
    return found


def evidence_of(yard: Yard, record: Record) -> bytes | None:
    """The customer's bytes out of a case, opened with the key where it is sealed; None where they cannot be had."""
    try:
        kept = (yard.top / "vault" / "cases" / record.id / "content").read_bytes()
        if record.stored.form is not Form.SEALED:
            return kept
        out = bytearray()
        Identity(_KEY[0]).open(iter([kept]), out.extend)
        return bytes(out)
    except (OSError, HashscanError):
        return None


def _files(yard: Yard, cases: list[Case], kept_: Mapping[str, Kept]) -> Iterator[str]:
    for path, data in yard.files.items():
        mine = [case for case in cases if case.place.full == os.fsencode(path)]
        kept = [kept_[case.id] for case in mine if case.state in _HAVE]
        whole = [one for one in kept if one.content_holds and evidence_of(yard, one.record) == data and one.proof]
        if len(whole) != len(kept):
            yield f"{path.name}: a case says {[case.state for case in mine]} and does not hold it"
        there = path.exists()
        if there and path.read_bytes() != data:
            yield f"{path.name} is in its place with other bytes"
        if there and (path.stat().st_mode & 0o7777, path.stat().st_mtime_ns % 10) != (0o640, 5 + int(path.name[1:])):
            yield f"{path.name} is in its place with another mode or time"
        purged = yard.purging and any(case.state is CaseState.PURGED for case in mine)
        if not there and not whole and not purged:
            yield f"{path.name} is lost: {[case.state for case in mine]}"
        if there and not yard.split and any(case.state is CaseState.DONE for case in mine):
            yield f"{path.name} is in its place, and a case says it was taken"
        if not there and any(case.state is CaseState.RESTORED for case in mine):
            yield f"{path.name} is not in its place, and a case says it was given back"
    for path, data in yard.others.items():
        if not path.exists() or path.read_bytes() != data:
            yield f"{path.name}, which is none of ours, was touched"


def _acts(yard: Yard, cases: list[Case], kept: Mapping[str, Kept]) -> Iterator[str]:
    """The log says neither more nor less than what happened."""
    lines = _lines(yard)
    by_case: dict[str, list[log.Line]] = {}
    for line in lines:
        by_case.setdefault(line.case, []).append(line)
    for case in cases:
        mine = [line.what for line in by_case.get(case.id, [])]
        needs = {
            CaseState.DONE: {What.TAKE_INTENT},
            CaseState.RESTORED: {What.TAKE_INTENT, What.RESTORE_INTENT},
            CaseState.PURGED: {What.TAKE_INTENT, What.PURGE_INTENT},
            CaseState.HELD: {What.HELD_INTENT},
            CaseState.RELEASED: {What.RELEASED},
            CaseState.DISMISSED: {What.DISMISSED},
        }.get(case.state, set())
        if needs - set(mine):
            yield f"case {case.state} without its lines {sorted(needs - set(mine))}"
        if case.state not in _FINAL and not (case.state is CaseState.PURGED and yard.purging):
            yield f"case is {case.state} after recovery: {case.reason}"
        if case.state is CaseState.PURGED:
            yield from _certified(yard, case)
        if case.state is not CaseState.DAMAGED:
            yield from _holds(kept[case.id].record, by_case.get(case.id, []))
    states = {case.id: case.state for case in cases}
    for case_id, mine_ in by_case.items():
        last = mine_[-1]
        if last.what.endswith("-intent"):
            yield f"{last.what} has no end in the log"
        claim = _CLAIMS.get(What(last.what))
        if claim is not None and states.get(case_id) is not claim:
            yield f"the log ends with {last.what}, the case is {states.get(case_id)}"


def _certified(yard: Yard, case: Case) -> Iterator[str]:
    vault = yard.top / "vault"
    try:
        json.loads((vault / "certificates" / f"{case.id}.json").read_bytes())
    except (OSError, ValueError) as error:
        yield f"purged without a certificate: {error!r}"
    if (vault / "cases" / case.id / "content").exists():
        yield "purged, and the evidence is there"


def _holds(record: Record, lines: list[log.Line]) -> Iterator[str]:
    in_force = {one.id for one in record.holds}
    said: set[str] = set()
    for line in lines:
        if line.what == What.HOLD:
            said.add(line.detail.split()[0])
        elif line.what == What.UNHOLD:
            said.discard(line.detail.split(":")[0])
    if in_force != said and lines[-1].what != What.RECOVERED:
        yield f"holds in force {in_force}, in the log {said}"


def _promises(cases: list[Case], told: tuple[str, ...]) -> Iterator[str]:
    states = {case.id: case.state for case in cases}
    last: dict[str, str] = {}
    for word in told:
        act, case_id = word.split()
        last[case_id] = act
    wanted = {"done": CaseState.DONE, "restored": CaseState.RESTORED, "purged": CaseState.PURGED, "held": CaseState.HELD}
    wanted |= {
        "released": CaseState.RELEASED,
        "dismissed": CaseState.DISMISSED,
        "hold": CaseState.DONE,
        "unhold": CaseState.DONE,
    }
    for case_id, act in last.items():
        # What is begun after a promise may be done already.
        later = {"done": _HAVE | {CaseState.PURGED}, "held": {CaseState.HELD, CaseState.RELEASED, CaseState.DISMISSED}}
        if states.get(case_id) not in later.get(act, {wanted[act]}):
            yield f"promised {act}, found {states.get(case_id)}"


def _strays(yard: Yard, cases: list[Case]) -> Iterator[str]:
    names = {path.name for path in (*yard.files, *yard.others)} | {"d", HOLDING_NAME.decode()}
    for folder in (yard.srv, yard.srv / "d"):
        yield from (f"{name} was left in the customer's folder" for name in os.listdir(folder) if name not in names)
    for folder in (yard.top / "vault" / "holding", yard.srv / HOLDING_NAME.decode()):
        if folder.exists() and os.listdir(folder) and not any(case.state is CaseState.ORPHAN for case in cases):
            yield f"{os.listdir(folder)} was left in {folder.name}"
