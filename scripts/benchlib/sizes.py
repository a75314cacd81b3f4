"""How large lists get and what they cost: build, size, the delta of a day, and what an agent pays to load one.

The filters are made as the service makes them (`known.bloom.build`, a capacity that lasts) from random digests; the database
and its sorting are left out. An agent's load is measured in a process of its own.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hashscan.known import bloom, delta, selftest
from hashscan.known.container import FilterHeader
from hashscan.known.keys import token
from hashscan.model import Algorithm, ListRef
from scripts.benchlib.ours import REPOSITORY

KEY = bytes(range(32))
BOTH = (Algorithm.MD5, Algorithm.SHA1)
GROWTH = 0.001  # a day
Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class Measured:
    """One size of list. Seconds and bytes."""

    entries: int
    build: float
    size: int
    delta: int
    make: float
    apply: float
    load: float
    ask: float
    private: int


def _tokens(entries: int) -> Iterator[str]:
    for algorithm in BOTH:
        yield token(KEY, algorithm, selftest.digest(algorithm, selftest.CONTENT))
        rng = random.Random(f"hashscan bench sizes {algorithm}")  # the first entries are the same whatever their number
        for _ in range(entries):
            yield token(KEY, algorithm, rng.randbytes(algorithm.digest_size))


def build(entries: int, version: int, previous: int | None) -> bytes:
    """The filter file of one version with that many random entries."""
    count = len(BOTH) * (entries + 1)

    def header(tokens: int, length: int, checksum: str) -> FilterHeader:
        ref = ListRef("bench", version, 1)
        return FilterHeader(ref, "bench", BOTH, 1.0, entries + 1, tokens, 1e-6, length, checksum)

    capacity = delta.stable_capacity(count, previous)
    return bloom.build(header, KEY, _tokens(entries), capacity=capacity, error_rate=1e-6)


_LOAD = """
import json, sys, time
from pathlib import Path
from hashscan.known.bloom import open_filter
from hashscan.known.shelf import file_digest
from hashscan.known.sieve import FilterInForce, FilterSieve
from hashscan.model import Algorithm, ListRef

def memory():
    found = dict(line.split(":", 1) for line in open("/proc/self/smaps_rollup").read().splitlines()[1:])
    return int(found["Anonymous"].split()[0]) * 1024  # dirty pages of a file just written would count as private

path, key = Path(sys.argv[1]), bytes(range(32))
before = memory()
began = time.perf_counter()
with path.open("rb") as stream:
    assert file_digest(stream, path.stat().st_size)
opened = open_filter(path, ListRef("bench", 1, 1), key)
load = time.perf_counter() - began
sieve = FilterSieve([FilterInForce(opened.header.list, opened, key, opened.header.algorithms)])
sieve.survivors([(bytes(16), bytes(20))])
private = memory() - before
rows = [(number.to_bytes(16, "big"), number.to_bytes(20, "big")) for number in range(100_000)]
began = time.perf_counter()
sieve.survivors(rows)
ask = (time.perf_counter() - began) / (2 * len(rows))
print(json.dumps({"load": load, "ask": ask, "private": private}))
"""


def measure(entries: int, folder: Path, say: Callable[[str], None]) -> Measured:
    """Measure lists of ``entries`` entries with two digests each; files of some megabytes go below ``folder``."""
    say(f"{entries:,} entries: building")
    build_seconds, old = _timed(lambda: build(entries, 1, None))
    say(f"{entries:,} entries: building the next version")
    new = build(entries + round(entries * GROWTH), 2, delta.capacity_of(old))
    make_seconds, made = _timed(lambda: delta.make(old, new))
    if made is None:
        raise ValueError("no delta was possible")
    apply_seconds, result = _timed(lambda: delta.apply(old, made))
    if result != new:
        raise ValueError("the delta makes another file")
    path = folder / f"{entries}.filter"
    path.write_bytes(old)
    try:
        argv = [sys.executable, "-c", _LOAD, str(path)]
        loaded = json.loads(subprocess.run(argv, check=True, capture_output=True, cwd=REPOSITORY).stdout)
    finally:
        path.unlink()
    return Measured(entries, build_seconds, len(old), len(made), make_seconds, apply_seconds, **loaded)


def _timed(work: Callable[[], Made]) -> tuple[float, Made]:
    """Processor seconds of one thread: the builds take minutes, in which others want the machine too."""
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def table(found: list[Measured]) -> str:
    """Markdown."""
    lines = [
        "| entries | build | filter | delta at +0.1 % | make it | apply it | load | private memory | ask |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    return "\n".join([*lines, *map(_row, found)]) + "\n"


def _row(one: Measured) -> str:
    times = f"{one.make:.2f} s | {one.apply:.2f} s | {one.load * 1000:.0f} ms"
    sizes = f"{one.build:.0f} s | {one.size / 1e6:.1f} MB | {one.delta / 1000:.0f} kB"
    return f"| {one.entries:,} | {sizes} | {times} | {one.private / 1e6:.1f} MB | {one.ask * 1e6:.2f} us |"
