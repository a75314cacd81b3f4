"""A small fuzzer: valid inputs are bent, parsers read them, and an oracle says whether what they made of them may stand.

Every input follows from the name of its target, the seed and its number, so a failure is replayed with `Target.input`. The part
that bends bytes and JSON is `tests.support.bending`.
"""

from __future__ import annotations

import base64
import gc
import resource
import signal
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from types import FrameType
from typing import Any, ClassVar

from tests.support.bending import Bender

SLOW = 0.05  # seconds of CPU time that one input may take
HANG = 10.0  # seconds of CPU time after which an input is given up
AIR = 256 << 20  # bytes of address space beyond what is mapped already: an allocation bomb ends in a MemoryError
GROWTH = 48 << 20  # bytes that the resident memory may grow over a run
EVERY = 64  # one of so many inputs is read again with its allocations counted
MOST_SAID = 2000  # characters of a message about an input: it ends in logs
SHOWN = 4000  # bytes of a failing input that are printed


class Hang(BaseException):
    """No parser may swallow it."""


@dataclass(frozen=True)
class Target:
    """One parser.

    ``parse`` gets what ``wrap`` made of a bent seed: it makes checksums and signatures right again, so that what lies behind
    them is reached. It raises one of ``refusals`` or returns; then ``holds`` returns "" or what is wrong with that value.
    ``peak`` are the bytes that reading one input may allocate, beyond 64 for each of its own; after ``patience`` seconds
    it is given up.
    """

    name: str
    seeds: Sequence[bytes]
    parse: Callable[[bytes], Any]
    refusals: tuple[type[Exception], ...]
    holds: Callable[[bytes, Any], str]
    wrap: Callable[[bytes], bytes] = bytes
    words: Sequence[bytes] = ()
    share: float = 1.0  # of the usual number of runs: less for what is slow by nature
    peak: int = 4 << 20
    patience: float = HANG
    secret: Callable[[bytes], bytes] | None = None  # what a refusal must not repeat

    @cached_property
    def bender(self) -> Bender:
        return Bender(self.seeds, self.words)

    def input(self, seed: int, number: int) -> bytes:
        """The input of this number; the first ones are the seeds themselves."""
        if number < len(self.seeds):
            return self.wrap(self.seeds[number])
        rnd = Random((zlib.crc32(self.name.encode()) << 64) + (seed << 40) + number)
        return self.wrap(self.bender.bend(rnd))


@dataclass(frozen=True)
class Failure:
    target: str
    seed: int
    number: int
    data: bytes
    what: str

    def __str__(self) -> str:
        shown = base64.b85encode(self.data[:SHOWN]).decode()
        cut = f" (the first {SHOWN} of {len(self.data)} bytes)" if len(self.data) > SHOWN else ""
        return f"{self.target}: {self.what}\n    replay: seed {self.seed}, number {self.number}; base85{cut}: {shown}"


@dataclass
class Told:
    """What a run came to. Times in seconds of CPU, memory in bytes."""

    target: str
    runs: int = 0
    accepted: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    took: float = 0.0
    worst: float = 0.0
    worst_number: int = 0
    peak: int = 0
    grown: int = 0
    failures: list[Failure] = field(default_factory=list)

    HEAD: ClassVar[str] = (
        f"{'parser':<34} {'runs':>9} {'refused':>9} {'accepted':>9} {'worst ms':>8} {'peak kB':>8} {'grown kB':>8}"
    )

    def __str__(self) -> str:
        refused, peak, grown = self.refused.total(), self.peak >> 10, self.grown >> 10
        return f"{self.target:<34} {self.runs:>9} {refused:>9} {self.accepted:>9} {1e3 * self.worst:>8.2f} {peak:>8} {grown:>8}"


def judge(target: Target, data: bytes, told: Told | None = None) -> str:
    """Whether the parser does with ``data`` what it promises: "" or what is wrong. The time of the parser goes to ``told``."""
    told = told or Told(target.name)
    begin = time.thread_time()
    try:
        value = target.parse(data)
    except target.refusals as error:
        told.took = time.thread_time() - begin
        told.refused[type(error).__name__] += 1
        return _message_problem(target, data, error)
    except Exception as error:
        return f"{type(error).__name__} instead of a refusal: {str(error)[:200]}"
    told.took = time.thread_time() - begin
    told.accepted += 1
    try:
        return target.holds(data, value)
    except Exception as error:
        return f"what was accepted cannot be used: {type(error).__name__}: {str(error)[:200]}"


def _message_problem(target: Target, data: bytes, error: Exception) -> str:
    said = f"{error}{getattr(error, 'hint', '')}"
    if len(said) > MOST_SAID:
        return f"a message of {len(said)} characters"
    if target.secret is not None and (hidden := target.secret(data)) and hidden in said.encode("utf-8", "surrogateescape"):
        return "the message repeats what must not get into logs"
    return ""


def fuzz(target: Target, runs: int, *, seed: int = 1, most: int = 3) -> Told:
    """Read ``runs`` inputs; ends early after ``most`` failures."""
    told = Told(target.name)
    for number in range(min(runs, len(target.seeds))):  # what is loaded and remembered once is no growth
        judge(target, target.input(seed, number))
    before = _resident()
    with _short_of_memory(), _alarm(target.patience) as rearm:
        for number in range(runs):
            rearm()
            data = target.input(seed, number)
            if problem := _one(target, data, number, told) or (_traced(target, data, told) if number % EVERY == 0 else ""):
                told.failures.append(Failure(target.name, seed, number, data, problem))
                if len(told.failures) >= most:
                    break
        rearm()
        _check_worst(target, told, seed)
    gc.collect()
    told.grown = max(0, _resident() - before)
    if told.grown > GROWTH:
        told.failures.append(Failure(target.name, seed, 0, b"", f"the process grew by {told.grown} bytes"))
    return told


def _one(target: Target, data: bytes, number: int, told: Told) -> str:
    told.runs += 1
    try:
        problem = judge(target, data, told)
    except Hang:
        return f"no end after {target.patience:g} seconds"
    if told.took > told.worst:
        told.worst, told.worst_number = told.took, number
    return problem


def _traced(target: Target, data: bytes, told: Told) -> str:
    """The same again with every allocation counted."""
    tracemalloc.start()
    try:
        judge(target, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    told.peak = max(told.peak, peak)
    return f"{peak} bytes were allocated for an input of {len(data)}" if peak > target.peak + 64 * len(data) else ""


def _check_worst(target: Target, told: Told, seed: int) -> None:
    """The slowest input again: what it takes at its best of five is its own doing, and not that of a busy machine."""
    if not told.worst:
        return
    data, best = target.input(seed, told.worst_number), told.worst
    for _ in range(5):
        again = Told(target.name)
        judge(target, data, again)
        best = min(best, again.took)
    told.worst = best
    if best > SLOW:
        told.failures.append(Failure(target.name, seed, told.worst_number, data, f"it takes {1e3 * best:.0f} ms"))


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as stream:
        return int(stream.read().split()[1]) * resource.getpagesize()


@contextmanager
def _short_of_memory() -> Iterator[None]:
    with open("/proc/self/statm", encoding="ascii") as stream:
        mapped = int(stream.read().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = mapped + AIR if hard == resource.RLIM_INFINITY else min(mapped + AIR, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def _alarm(seconds: float) -> Iterator[Callable[[], None]]:
    """The function that is yielded gives the next input its time."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGPROF, ring)
    try:
        yield lambda: _set_timer(seconds)
    finally:
        _set_timer(0.0)
        signal.signal(signal.SIGPROF, before)


def _set_timer(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_PROF, seconds)
