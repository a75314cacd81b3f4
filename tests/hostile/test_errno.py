"""Each system call of everything a vault does fails once, with each of twelve errors, in a forked child.

No traceback, a plain message and an exit code of `errors.py`; the file is in its place as it was, or its case is complete once
the next run has recovered (`tests.support.vault_acts`). A call that failed is one that the kernel did not do: that also holds
for lies like ENOENT about a file that is there. But close(2) closes, whatever it says, and so those of Python's `os` close and
then fail. Memory and signals are left out, and calls that cannot fail.

There are about a hundred thousand of them; CI takes a sample. All of them, in runs that go on where the last one was stopped:

    HASHSCAN_BUDGET=1000 HASHSCAN_PROGRESS=/var/tmp/errno scripts/test -s tests/hostile/test_errno.py -k each_call
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import re
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from hashscan.cli.main import run as command_line
from hashscan.errors import ExitCode, QuarantineError
from tests.support import children, injecting, mounts
from tests.support.budget import Progress, attempts
from tests.support.grounds import Ground, grounds
from tests.support.tracing import between_marks, failed_at, mark
from tests.support.vault_acts import ACTS, PURGE, RESTORE, SECRET, TAKE, Act, Judge, Scene, ended, recovery_from

pytestmark = pytest.mark.slow

TAKEN = RESTORE.prepare
ERRORS = ("ENOSPC", "EDQUOT", "EIO", "EACCES", "EPERM", "ENOENT", "EEXIST", "EROFS", "EMFILE", "EINTR", "ESTALE", "ENOMEM")
_LEFT_OUT = re.compile(
    "brk|mmap|munmap|mremap|madvise|mprotect|futex|rt_sig.*|get(e?[ug]id|p?pid|tid)|clock_.*|sched_.*|prctl|restart_syscall|"
    "exit_group|sysinfo|close"
)
CLOSE = "os.close"
TRIES = 4


class Closing:
    """In the place of `os.close`: closes, and the ``number``-th time (from 1) fails nevertheless."""

    def __init__(self, number: int = 0, error: str = "EIO") -> None:
        self._number, self._code, self._close = number, getattr(errno, error), os.close
        self.seen = 0

    def __call__(self, fd: int) -> None:
        self._close(fd)
        self.seen += 1
        if self.seen == self._number:
            raise OSError(self._code, os.strerror(self._code))

    def during(self, work: Callable[[], int]) -> int:
        os.close = self
        try:
            return work()
        finally:
            os.close = self._close


_CODES = {int(code) for code in ExitCode} - {int(ExitCode.CRASH)}


def _configured(scene: Scene) -> None:
    """A file that was taken, and what a command line needs."""
    TAKEN(scene)
    paths = {"state": str(scene.home), "run": str(scene.home / "run"), "cache": str(scene.home / "cache")}
    lines = [f"{name} = {json.dumps(path)}\n" for name, path in paths.items()]
    (scene.home / "config.toml").write_text("[paths]\n" + "".join(lines))
    (scene.home / "key").write_text(SECRET)
    (scene.home / "key").chmod(0o600)


def _typed(scene: Scene, *words: str) -> int:
    """A command line in this process; what it says goes to stderr."""
    identity = ["--identity", str(scene.home / "key")] if scene.ground.sealed and words[0] == "restore" else []
    return command_line(["--config", str(scene.home / "config.toml"), "quarantine", words[0], *identity, *words[1:]])


def _cli_restore(scene: Scene) -> int:
    return _typed(scene, "restore", scene.case_id)


def _cli_purge(scene: Scene) -> int:
    return _typed(scene, "purge", scene.case_id, "--yes")


def _cli_hold(scene: Scene) -> int:
    return _typed(scene, "hold", scene.case_id, "--by", "police", "--reason", "case 7")


EVERY = (
    *ACTS,
    Act("restore at the command line", _configured, _cli_restore, RESTORE.ends),
    Act("purge at the command line", _configured, _cli_purge, PURGE.ends),
    Act("hold at the command line", _configured, _cli_hold, ("done", "kept")),
    recovery_from(TAKE, "before write copy", "in place"),
    recovery_from(TAKE, "before capture", "in place"),
    recovery_from(TAKE, "after capture", "done", "in place"),
    recovery_from(TAKE, "after commit", "done"),
    recovery_from(TAKE, "after sync holding", "done"),
    recovery_from(RESTORE, "before name new file", "done"),
    recovery_from(RESTORE, "after name new file", "restored"),
    recovery_from(PURGE, "after write certificate", "done"),
    recovery_from(PURGE, "before remove copy", "purged"),
)


class Harness:
    """Errors in one act on one ground. ``codes`` counts the exit codes, ``met`` the calls by name."""

    def __init__(self, ground: Ground, act: Act, numbers: Iterator[int], top: Path) -> None:
        self.ground, self.act, self._numbers, self._top = ground, act, numbers, top
        self.wrong, self.codes, self.met = list[str](), Counter[int](), Counter[str]()
        self.missed = list[str]()

    def calls(self) -> list[tuple[str, int]]:
        """The system calls of the act that can fail, by a run in which none does."""
        scene, closing = self._scene(), Closing()
        ended(lambda: closing.during(lambda: self.act.run(scene)))  # also imports what is imported when it is first used
        scene.remove()
        scene = self._scene()
        calls = between_marks(lambda: self._child(scene), self._top / "trace")
        code, said = self._told(scene)
        assert code == 0, said
        scene.remove()
        closes = [(CLOSE, number) for number in range(1, closing.seen + 1)]
        return [(name, number) for name, number in calls if not _LEFT_OUT.fullmatch(name)] + closes

    def fail(self, call: str, number: int, error: str) -> str:
        """One call fails; what was wrong then. Some calls an act makes now and then only (a read that is split), and such a one
        is tried a few times."""
        before = len(self.wrong)
        for _ in range(TRIES):
            scene = self._scene()
            if self._failed(scene, call, number, error):
                self._judge(scene, call, number, error)
                scene.remove()
                return "".join(self.wrong[before:])
            scene.remove()
        self.missed.append(f"{self.act.name}: {call} {number}")
        return ""

    def _failed(self, scene: Scene, call: str, number: int, error: str) -> bool:
        """Whether the call was met."""
        if call == CLOSE:
            assert children.run(lambda: self._child(scene, Closing(number, error))) == 0
            return True
        if injecting.works() and call in injecting.NUMBERS:
            return injecting.failed_at(lambda: self._child(scene), call, number, error)
        return failed_at(lambda: self._child(scene), call, number, error, self._top / "trace")

    def _judge(self, scene: Scene, call: str, number: int, error: str) -> None:
        code, said = self._told(scene)
        self.codes[code] += 1
        self.met[call] += 1
        judge = Judge(scene, self.act)
        wrong = judge.wrong
        if code not in _CODES or "Traceback" in said:
            wrong.append(f"exit {code}: {said}")
        elif code and not said.strip():
            wrong.append(f"exit {code}, and nothing was said")
        elif code == 0 and judge.end != self.act.ends[1] and not self.act.either:
            wrong.append(f"exit 0, and it ended {judge.end}")
        if wrong:
            self.wrong.append(f"{self.ground.name}: {self.act.name}: {error} from {call} {number}: {'; '.join(wrong)}")

    def _scene(self) -> Scene:
        scene = Scene(self.ground, next(self._numbers))
        self.act.prepare(scene)
        return scene

    def _child(self, scene: Scene, closing: Closing | None = None) -> None:
        said = os.open(self._top / "said", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - for the life of the child
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        mark()
        try:
            code, text = ended(lambda: closing.during(lambda: self.act.run(scene)) if closing else self.act.run(scene))
        except BaseException:
            code, text = int(ExitCode.CRASH), traceback.format_exc()[-1500:]
        mark()
        with suppress(OSError, ValueError):  # a sink that has met the failure is closed
            sys.stdout.flush()
        (self._top / "told").write_text(json.dumps([code, text]))

    def _told(self, scene: Scene) -> tuple[int, str]:
        code, text = json.loads((self._top / "told").read_text())
        return int(code), str(text) + (self._top / "said").read_text(errors="replace")


def fail_all(top: Path, most: int) -> list[tuple[str, int, Counter[int], Counter[str]]]:
    """``most`` failures, see `spread`. Rows: ground, failures, exit codes, calls."""
    numbers, rng, told, progress = itertools.count(), random.Random(11), top / "rows.json", Progress("errno")

    def body() -> None:
        places = grounds(top, {"tmpfs": "folder"})
        harnesses = [Harness(ground, act, numbers, top) for ground in places for act in EVERY]
        every = [
            (harness, call, number, error) for harness in harnesses for call, number in harness.calls() for error in ERRORS
        ]
        for failure in progress.left(spread(every, rng)[:most], _key):
            harness, call, number, error = failure
            progress.note(_key(failure), harness.fail(call, number, error))
        rows = []
        for ground in places:
            ours = [one for one in harnesses if one.ground is ground]
            codes: Counter[int] = sum((one.codes for one in ours), Counter())
            met: Counter[str] = sum((one.met for one in ours), Counter())
            rows.append((ground.name, codes.total(), list(codes.items()), list(met.items())))
        kinds = len({_kind(one) for one in every})
        said = f"{len(every)} failures of {kinds} kinds (act, call, error) are possible, {progress.done} are done"
        told.write_text(json.dumps([said, missed(harnesses), rows]))
        wrong = progress.wrong
        assert not wrong, f"{len(wrong)} wrong:\n" + "\n".join(wrong[:400])

    mounts.with_own_mounts(body)
    how_many, not_met, rows = json.loads(told.read_text())
    assert len(not_met) <= max(1, most // 100), f"{len(not_met)} calls were not met: {not_met}"
    print(f"{how_many}, {len(not_met)} calls were not met: {not_met}")
    return [(name, int(total), Counter(dict(codes)), Counter(dict(met))) for name, total, codes, met in rows]


Failure = tuple[Harness, str, int, str]
"""The act on its ground, the call, which one of them, and the error."""


def spread(every: Sequence[Failure], rng: random.Random) -> list[Failure]:
    """All, at random, but each error of each call of each act once before any of these comes again."""
    seen = Counter[tuple[str, str, str]]()
    ranked = []
    for failure in rng.sample(every, len(every)):
        ranked.append((seen[_kind(failure)], failure))
        seen[_kind(failure)] += 1
    return [failure for _, failure in sorted(ranked, key=lambda one: one[0])]


def _kind(failure: Failure) -> tuple[str, str, str]:
    harness, call, _, error = failure
    return harness.act.name, call, error


def _key(failure: Failure) -> str:
    harness, call, number, error = failure
    return f"{harness.ground.name}|{harness.act.name}|{call} {number}|{error}"


def missed(harnesses: list[Harness]) -> list[str]:
    """The calls that were never met."""
    return [line for one in harnesses for line in one.missed]


def in_memory(body: Callable[[Path], None], tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as top:
        body(Path(top))


@pytest.mark.optional("strace")
def test_each_call_fails_with_each_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def body(top: Path) -> None:
        rows = fail_all(top, attempts(80))
        with capsys.disabled():
            for name, total, codes, met in rows:
                print(f"\n  {name}: {total} failures of {len(met)} calls, exit codes {dict(sorted(codes.items()))}", end="")
            print(f"\n  in all {sum(total for _, total, _, _ in rows)} failures, 0 bad")
        done = max(sum(total for _, total, _, _ in rows), Progress("errno").done)
        assert done >= 0.9 * attempts(80)

    in_memory(body, tmp_path)


def _untidy(scene: Scene) -> int:
    """Foreign exceptions come out."""
    os.listdir(scene.folder)
    return TAKE.run(scene)


def _silent(scene: Scene) -> int:
    """What failed is not said."""
    with suppress(QuarantineError):
        TAKE.run(scene)
    return 0


def _careless(scene: Scene) -> int:
    """What could not be taken is removed."""
    try:
        return TAKE.run(scene)
    finally:
        scene.file.unlink(missing_ok=True)


@pytest.mark.optional("strace")
@pytest.mark.parametrize("naive", [_untidy, _silent, _careless])
def test_control_a_naive_taker_is_caught(tmp_path: Path, naive: Callable[[Scene], int]) -> None:
    def body(top: Path) -> None:
        def caught() -> None:
            (ground, *_) = grounds(top, {"tmpfs": "tmpfs"})
            harness = Harness(ground, Act(TAKE.name, TAKE.prepare, naive, TAKE.ends), itertools.count(), top)
            for call, number in harness.calls():
                if call in ("fsync", "getdents64"):
                    harness.fail(call, number, "EIO")
            assert harness.wrong

        mounts.with_own_mounts(caught)

    in_memory(body, tmp_path)
