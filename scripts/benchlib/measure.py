"""One process tree, measured from outside: wall clock, processor time, memory of all processes together, page cache."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LIMIT_SECONDS = 900.0  # no command of the benchmark takes a fifth of that on an idle machine
SAMPLE_SECONDS = 0.05
_MAX_COMPLAINT_BYTES = 2000
_DROP = Path("/proc/sys/vm/drop_caches")


class CommandError(Exception):
    """A command did not end as it should; the message says how."""


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that all processes of a tree had resident at one moment, in bytes.

    ``pss`` counts a page that several share once; ``rss`` counts it for each of them, as ``ps`` and ``top`` do.
    """

    pss: int = 0
    rss: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one command. Seconds; ``cpu`` is user and system of the whole tree (its processes were waited for)."""

    wall: float
    cpu: float
    code: int
    peak: Peak = Peak()


def run(
    argv: Sequence[str],
    *,
    output: Path | None = None,
    environment: Mapping[str, str] | None = None,
    sample: bool = False,
    codes: Sequence[int] | None = (0,),
    limit: float = LIMIT_SECONDS,
) -> Run:
    """Run ``argv``; its stdout goes to ``output`` or nowhere. ``sample`` also measures memory, which costs the run a little.

    Raises `CommandError` where its exit code is not one of ``codes`` (None: any will do), or after ``limit`` seconds,
    when it is killed.
    """
    with tempfile.TemporaryFile() as complaints, open(output or os.devnull, "wb") as out:
        began = time.monotonic()
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=complaints, env=environment, start_new_session=True
        )
        late = threading.Timer(limit, _kill, (child.pid,))
        late.start()
        sampler = Sampler(child.pid) if sample else None
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            _kill(child.pid)
            raise
        finally:
            late.cancel()
            peak = sampler.stop() if sampler else Peak()
        wall = time.monotonic() - began
        child.returncode = code = os.waitstatus_to_exitcode(status)
        if codes is not None and code not in codes:
            complaints.seek(max(0, complaints.seek(0, os.SEEK_END) - _MAX_COMPLAINT_BYTES))
            said = complaints.read(_MAX_COMPLAINT_BYTES).decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise CommandError(f"{' '.join(argv[:6])} ... ended with {code}: {said}")
    return Run(wall, usage.ru_utime + usage.ru_stime, code, peak)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):  # it ended just now
        os.killpg(group, signal.SIGKILL)


class Sampler:
    """Watches the memory of a process and all below it, until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._pss = self._rss = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> Peak:
        """The peaks so far; each has its own moment."""
        self._done.set()
        self._thread.join()
        return Peak(self._pss, self._rss)

    def _watch(self) -> None:
        while True:
            pss, rss = memory_of(tree_of(self._pid))
            self._pss, self._rss = max(self._pss, pss), max(self._rss, rss)
            if self._done.wait(SAMPLE_SECONDS):
                return


def tree_of(pid: int) -> list[int]:
    """``pid`` and its descendants; those that end while one looks are left out."""
    found = []
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        found.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                waiting += map(int, Path(f"/proc/{one}/task/{task}/children").read_bytes().split())
        except OSError:  # gone
            continue
    return found


def memory_of(pids: Sequence[int]) -> tuple[int, int]:
    """PSS and RSS of all ``pids`` together, in bytes."""
    pss = rss = 0
    for pid in pids:
        try:
            fields = parse_kib(Path(f"/proc/{pid}/smaps_rollup").read_bytes())
        except OSError:  # gone, or a zombie
            continue
        pss += fields.get("Pss", 0)
        rss += fields.get("Rss", 0)
    return pss, rss


def parse_kib(text: bytes) -> dict[str, int]:
    """Lines like "Pss:   12 kB", as smaps_rollup and meminfo have them, in bytes; other lines are not for us."""
    fields = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[0].endswith(b":") and words[1].isdigit() and words[2] == b"kB":
            fields[words[0][:-1].decode("ascii", "replace")] = int(words[1]) * 1024
    return fields


def resident_bytes(tree: Path) -> int:
    """How much of all files below ``tree`` the page cache holds: their own pages, whatever else this machine does meanwhile.

    Raises CalledProcessError. `fincore` (util-linux) asks the kernel with mincore(2) and reads nothing.
    """
    feed = 'find "$1" -type f -print0 | xargs -0 -r fincore -b -n -r -o RES --'
    done = subprocess.run(["sh", "-c", feed, "sh", str(tree)], capture_output=True, check=True, timeout=LIMIT_SECONDS)
    return sum(map(int, done.stdout.split()))


def can_drop_caches() -> bool:
    """Whether cold runs are possible: it takes root, and a /proc/sys that can be written."""
    return os.access(_DROP, os.W_OK)


def drop_caches() -> None:
    """Make the machine forget all pages, names and inodes that are clean; `os.sync` makes them clean. Raises OSError."""
    os.sync()
    _DROP.write_text("3")
    time.sleep(0.2)  # the kernel frees some of it after the write has returned
