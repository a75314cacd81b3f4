"""All tests, in several pytest processes side by side: each takes the next few files until none is left.

The last line is the sum, "N passed, N failed", and the exit code is 1 where any part failed, also one that could not begin.
Forked workers and killed children are what many tests are about, and a process that runs them must have no threads: hence plain
processes of pytest, not workers of a plugin.
"""

from __future__ import annotations

import argparse
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

# What takes longest goes first, so that nobody waits for one late part at the end.
FIRST = ("hostile", "stories", "contracts")
FILES_A_PART = 8
NOTHING_COLLECTED = 5


def parts_of(tests: Path, size: int) -> list[list[Path]]:
    """The test files below a folder, ``size`` at a time, those of one folder beside each other."""
    files = sorted(tests.rglob("test_*.py"), key=lambda path: (_rank(path.parent.name), path))
    return [files[start : start + size] for start in range(0, len(files), size)]


def _rank(folder: str) -> int:
    return FIRST.index(folder) if folder in FIRST else len(FIRST)


@dataclass(frozen=True)
class Part:
    """Files that one process of pytest has run."""

    files: list[Path]
    code: int
    seconds: float
    reported: bool


@dataclass
class Sum:
    """What all parts came to; parts are told one at a time, each whole."""

    counts: Counter[str] = field(default_factory=Counter)
    failed_parts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, part: Part, counts: Counter[str], told: str) -> None:
        with self.lock:
            self.counts.update(counts)
            self.failed_parts += part.code not in (0, NOTHING_COLLECTED) or not part.reported
            print(f"== {part.files[0]} to {part.files[-1].name}: {part.seconds:.0f} s, exit code {part.code}")
            print(told.rstrip(), flush=True)

    def closing(self) -> str:
        """The line that people and CI read: an error counts as a failure."""
        failed = self.counts["failed"] + self.counts["errors"]
        skipped = f", {self.counts['skipped']} skipped" if self.counts["skipped"] else ""
        return f"{self.counts['passed']} passed, {failed} failed{skipped}"


def counts_of(report: Path) -> Counter[str]:
    """Passed, failed, errors and skipped of a JUnit file; none where the part died before it wrote one."""
    if not report.exists():
        return Counter()
    seen = Counter[str]()
    for suite in ET.parse(report).getroot().iter("testsuite"):
        failed, errors, skipped = (int(suite.get(name, "0")) for name in ("failures", "errors", "skipped"))
        seen.update(
            failed=failed, errors=errors, skipped=skipped, passed=int(suite.get("tests", "0")) - failed - errors - skipped
        )
    return seen


def run(tests: Path, processes: int, options: list[str]) -> Sum:
    """Every part once, ``processes`` at a time."""
    waiting: queue.SimpleQueue[tuple[int, list[Path]]] = queue.SimpleQueue()
    for numbered in enumerate(parts_of(tests, FILES_A_PART)):
        waiting.put(numbered)
    total = Sum()
    with tempfile.TemporaryDirectory(prefix="hashscan-tests-") as folder:

        def work() -> None:
            while True:
                try:
                    number, files = waiting.get_nowait()
                except queue.Empty:
                    return
                report, began = Path(folder) / f"{number}.xml", time.monotonic()
                command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *options]
                # Into a file: a child that a test leaves behind must not keep us waiting for the end of a pipe.
                told = Path(folder) / f"{number}.txt"
                with told.open("wb") as stream:
                    code = subprocess.call([*command, *map(str, files)], stdout=stream, stderr=subprocess.STDOUT)
                part = Part(files, code, time.monotonic() - began, report.exists())
                total.add(part, counts_of(report), told.read_text(errors="replace"))

        threads = [threading.Thread(target=work) for _ in range(processes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--tests", type=Path, default=Path("tests"))
    parser.add_argument("options", nargs="*", help="for every pytest")
    args = parser.parse_args()
    began = time.monotonic()
    total = run(args.tests, max(1, args.processes), args.options)
    print(f"{time.monotonic() - began:.0f} s, {args.processes} at a time, parts that failed: {total.failed_parts}")
    print(total.closing())
    return 1 if total.failed_parts or not total.counts["passed"] else 0


if __name__ == "__main__":
    sys.exit(main())
