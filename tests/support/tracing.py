"""kill -9 at each system call of a piece of work in a forked child, or an error from it, by strace: the kernel's truth."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.support import children

_MARK = "/there is no such name: a mark of a test"
_PR_SET_PTRACER = 0x59616D61
_ANY = ctypes.c_ulong(-1)
_libc = ctypes.CDLL(None, use_errno=True)


def _stopped(body: Callable[[], object]) -> int:
    """A child that waits for SIGCONT before it does its work."""

    def wait_and_work() -> None:
        _libc.prctl(_PR_SET_PTRACER, _ANY, 0, 0, 0)  # strace is no ancestor of the child; where that matters, this allows it
        os.kill(os.getpid(), signal.SIGSTOP)
        body()

    child = children.start(wait_and_work)
    _, status = os.waitpid(child, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    return child


def _traced(body: Callable[[], object], *options: str) -> int:
    """How a child ended that did ``body`` under strace."""
    child = _stopped(body)
    argv = ["strace", "-f", *options, "-p", str(child)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as strace:
        assert strace.stderr is not None
        said = strace.stderr.readline()
        if "attached" not in said:
            os.kill(child, signal.SIGKILL)
            children.end(child)
            raise AssertionError(f"strace cannot trace: {said}")
        os.kill(child, signal.SIGCONT)
        ended = children.end(child)
        strace.stderr.read()
    return ended


def system_calls(body: Callable[[], object], log: Path) -> list[str]:
    """The names of all system calls of ``body``, in order."""
    assert _traced(body, "-o", str(log)) == 0
    return re.findall(r"^(?:\d+ +)?(\w+)\(", log.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)


def killed_at(body: Callable[[], object], call: str, number: int) -> bool:
    """Whether the ``number``-th system call named ``call`` (from 1) of ``body`` was met and killed the child."""
    ended = _traced(body, "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}")
    assert ended in (0, -signal.SIGKILL), ended
    return ended != 0


def failed_at(body: Callable[[], object], call: str, number: int, error: str, log: Path) -> bool:
    """Let the ``number``-th system call named ``call`` (from 1) of ``body`` fail with ``error``; whether it was met."""
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}"]
    assert _traced(body, "-o", str(log), *inject) == 0
    return "(INJECTED)" in log.read_text(encoding="utf-8", errors="replace")


def mark() -> None:
    """A system call that is found again in a trace: `between_marks`."""
    with suppress(FileNotFoundError):
        os.stat(_MARK)


def between_marks(body: Callable[[], object], log: Path) -> list[tuple[str, int]]:
    """The system calls of ``body`` between its two calls of `mark`, each with its number among those of its name."""
    assert _traced(body, "-o", str(log)) == 0
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = re.findall(r"^(?:\d+ +)?(\w+)\((.*)", text, re.MULTILINE)
    first, last = [number for number, (_, rest) in enumerate(lines) if _MARK in rest]
    return numbered([name for name, _ in lines])[first + 1 : last]


def numbered(calls: list[str]) -> list[tuple[str, int]]:
    """Each call with its number among those of its name, as `killed_at` counts."""
    counts: Counter[str] = Counter()
    found = []
    for call in calls:
        counts[call] += 1
        found.append((call, counts[call]))
    return found
