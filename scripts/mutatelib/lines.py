"""Which tests execute which lines, and what they cost: one run of all of them, traced, in a child."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

Line = tuple[str, int]


def processor_seconds() -> float:
    """Of this process and of its children that have ended."""
    return sum(os.times()[:4])


@dataclass
class Covered:
    """``lines`` of each test, by its number; ``seconds`` of processor time; ``elsewhere``: tests that start an interpreter,
    where lines are not seen; ``about``: tests whose file has the name of a module in its own.
    """

    lines: dict[Line, set[int]] = field(default_factory=lambda: defaultdict(set))
    seconds: dict[int, float] = field(default_factory=dict)
    elsewhere: set[int] = field(default_factory=set)
    about: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))

    def of(self, module: str, lines: tuple[int, int], function: tuple[int, int]) -> set[int]:
        """Tests that execute one of these lines, else any of the function, else none."""
        for first, last in (lines, function):
            found = set().union(*(self.lines.get((module, number), set()) for number in range(first, last + 1)))
            if found:
                return found | (self.elsewhere & self.about[module])
        return self.elsewhere & self.about[module]


class Tracer:
    """Notes executed lines of ``modules`` (paths below ``top``), in this process and in those it forks.

    A child that ends without a word (`os._exit`, SIGKILL from itself) writes into ``notes`` first, which is open for appending.
    """

    def __init__(self, top: str, modules: tuple[str, ...], notes: int) -> None:
        self._files = {os.path.join(top, module): module for module in modules}
        self._notes = notes
        self._home = 0
        self.seen: set[Line] = set()

    def adopt(self) -> None:
        """This process is the one that asks: what it sees need not be written down."""
        self._home = os.getpid()

    def _call(self, frame: FrameType, *_: Any) -> Callable[..., Any] | None:
        module = self._files.get(frame.f_code.co_filename)
        if module is None:
            return None
        seen = self.seen

        def local(frame: FrameType, *_: Any) -> Any:
            seen.add((module, frame.f_lineno))
            return local

        seen.add((module, frame.f_lineno))
        return local

    def _tell(self) -> None:
        if os.getpid() != self._home:
            os.write(self._notes, "".join(f"{module}\t{number}\n" for module, number in self.seen).encode())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Traces the block, and what it forks."""
        leave, kill = os._exit, os.kill

        def leaving(code: int) -> None:
            self._tell()
            leave(code)

        def killing(pid: int, number: int) -> None:
            if pid == os.getpid():
                self._tell()
            kill(pid, number)

        os._exit, os.kill = leaving, killing  # type: ignore[assignment]
        sys.settrace(self._call)
        try:
            yield
        finally:
            sys.settrace(None)
            os._exit, os.kill = leave, kill

    def taken(self) -> set[Line]:
        """What was executed since the last time, here and in children."""
        os.lseek(self._notes, 0, os.SEEK_SET)
        text = b"".join(iter(lambda: os.read(self._notes, 1 << 20), b"")).decode()
        os.ftruncate(self._notes, 0)
        told = (line.partition("\t") for line in text.splitlines())
        found = self.seen | {(module, int(number)) for module, _, number in told}
        self.seen.clear()
        return found
