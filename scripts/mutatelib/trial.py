"""One change on trial: a forked child of a process that has everything imported makes it and runs the tests in their order."""

from __future__ import annotations

import importlib
import json
import os
import resource
import select
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from scripts.mutatelib.changes import Change, changed
from scripts.mutatelib.ledger import End
from scripts.mutatelib.lines import processor_seconds

_HUNG = 60.0  # seconds in which nothing of a trial got any processor time
_GRACE = 20.0  # seconds of processor time for one test beyond those of the change: who needs more never ends
_MOST_MEMORY = 4 << 30
_MOST_FILE = 1 << 30  # the tests make files with holes


@dataclass(frozen=True, slots=True)
class Told:
    """How a trial ended."""

    end: End
    by: str
    tests: int
    seconds: float


class Patch:
    """A change in the functions that live in this process, and in the source on the disk, for interpreters that tests start."""

    def __init__(self, tree: Path, module: str, source: str) -> None:
        self._path, self._module, self._source = tree / module, module, source
        self._turn = 0

    def compiled(self, change: Change | None, function: str) -> CodeType:
        """The code of a function of the changed module."""
        whole = compile(changed(self._source, change), str(self._path), "exec", dont_inherit=True)
        found = whole
        for name in function.split("."):
            (found,) = [one for one in found.co_consts if isinstance(one, CodeType) and one.co_name == name][-1:]
        return found

    def write(self, change: Change | None) -> None:
        """To the disk, with a time of its own: compiled files are found stale by time and size."""
        import ast  # noqa: PLC0415 - where it is needed

        self._turn += 1
        self._path.write_text(ast.unparse(changed(self._source, change)) if change else self._source)
        stamp = 1_000_000_000 + self._turn
        os.utime(self._path, (stamp, stamp))

    def apply(self, code: CodeType, function: str) -> None:
        """Into the function that lives here."""
        home: Any = importlib.import_module(self._module.removesuffix(".py").replace("/", "."))
        *of, name = function.split(".")
        for one in of:
            home = getattr(home, one)
        _plain(vars(home)[name]).__code__ = code


def _plain(found: Any) -> FunctionType:
    """The function behind a decorator."""
    while not isinstance(found, FunctionType) or hasattr(found, "__wrapped__"):
        if isinstance(found, property):
            found = found.fget
        elif isinstance(found, staticmethod | classmethod):
            found = found.__func__
        else:
            found = found.__wrapped__
    return found


def limit(seconds: float) -> None:
    """What this process and those it forks may use."""
    whole = int(seconds + _GRACE)
    resource.setrlimit(resource.RLIMIT_CPU, (whole, whole))
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_FILE, _MOST_FILE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def in_child(home: Path, work: Callable[[Callable[[Any], None]], None]) -> list[Any]:
    """Fork, and run ``work`` with a folder of its own; what it told, as JSON. An end without a word is a last None."""
    temporary = Path(tempfile.mkdtemp(dir=home / "tmp"))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            os.close(reading)
            _settle_in(temporary, writing)
            work(lambda value: _tell(writing, value))
            _tell(writing, "end")
        except BaseException:  # noqa: BLE001 - the end of the child, whatever it is
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    try:
        told = _listen(reading, child)
    finally:
        os.close(reading)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        shutil.rmtree(temporary, ignore_errors=True)
    values = [json.loads(line) for line in told.splitlines()]
    return values[:-1] if values[-1:] == ["end"] else [*values, None]


def _settle_in(temporary: Path, writing: int) -> None:
    os.set_inheritable(writing, False)  # noqa: FBT003 - no keyword
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ["TMPDIR"] = str(temporary)
    tempfile.tempdir = str(temporary)


def _tell(writing: int, value: Any) -> None:
    os.write(writing, json.dumps(value).encode() + b"\n")


def _listen(reading: int, child: int) -> str:
    """All that is told, until the child has ended, or nothing of it moves any more."""
    told, used, since = b"", -1, time.monotonic()
    while True:
        if select.select([reading], [], [], 2.0)[0]:
            piece = os.read(reading, 1 << 16)
            told += piece
            if not piece or told.endswith(b'"end"\n'):
                return told.decode()
            since = time.monotonic()
        elif _ended(child):
            return told.decode()
        elif (now := _used(child)) != used:
            used, since = now, time.monotonic()
        elif time.monotonic() - since > _HUNG:
            return told.decode()


def _ended(child: int) -> bool:
    return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _used(session: int) -> int:
    """Ticks of processor time of all processes of a session."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += int(fields[11]) + int(fields[12]) + 1
    return ticks


def verdict(told: Sequence[Any], seconds: float) -> Told:
    """Of a trial whose child told (test, failed, processor seconds) of each test, before and after it. Pure."""
    ended = [one for one in told if isinstance(one, list) and len(one) == 3]
    used = ended[-1][2] if ended else 0.0
    for name, failed, _ in ended:
        if failed:
            return Told(End.KILLED, name, len(ended), used)
    if told[-1:] == [None]:
        begun = [one for one in told if isinstance(one, str)]
        return Told(End.KILLED, f"no end: {begun[-1] if begun else 'before any test'}", len(ended), used)
    return Told(End.CUT if told[-1:] == ["cut"] else End.SURVIVED, "", len(ended), min(used, seconds))


def run_tests(tests: Sequence[tuple[str, Callable[[], bool]]], seconds: float, tell: Callable[[Any], None]) -> None:
    """Run tests until one fails or the time is over."""
    begin = processor_seconds()
    for name, run in tests:
        if processor_seconds() - begin > seconds:
            tell("cut")
            return
        tell(name)
        failed = run()
        tell([name, failed, round(processor_seconds() - begin, 3)])
        if failed:
            return
