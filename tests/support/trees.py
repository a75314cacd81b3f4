"""Trees to be scanned, and the truth about them, found without hashscan."""

from __future__ import annotations

import os
import random
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from hashscan.model import Candidate, Reason, Sifted, Skipped, Warned

HOSTILE_NAMES = [
    b"new\nline",
    b"\xff\xfe not utf-8",
    b"\x1b[31m",
    b" ",
    b"-rf",
    b"\\",
    b"a" * 255,
    b"\xe2\x80\xaertl",
    b"...",
    b"*",
]


@dataclass
class Seen:
    """All stretches of one scan, added up."""

    directories: int = 0
    seen: int = 0
    scanned: int = 0
    cached: int = 0
    by_size: int = 0
    bytes_hashed: int = 0
    skipped: Counter[Reason] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    notes: list[Skipped] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)

    def add(self, one: Sifted) -> None:
        assert one.seen == one.scanned + one.cached + one.by_size + sum(one.skipped.values()) + sum(one.errors.values())
        self.directories += one.directories
        self.seen += one.seen
        self.scanned += one.scanned
        self.cached += one.cached
        self.by_size += one.by_size
        self.bytes_hashed += one.bytes_hashed
        self.skipped.update(one.skipped)
        self.errors.update(one.errors)
        self.notes += one.notes
        self.candidates += one.candidates
        self.warnings += one.warnings

    @property
    def paths(self) -> list[bytes]:
        """The full paths of the candidates, sorted."""
        return sorted(one.hashed.entry.place.full for one in self.candidates)

    @property
    def named(self) -> dict[bytes, Reason]:
        """The skipped paths that were named; each at most once."""
        names = [note.place.full for note in self.notes]
        assert len(names) == len(set(names))
        return {note.place.full: note.reason for note in self.notes}


def total(stretches: Iterable[Sifted]) -> Seen:
    """Add up a scan."""
    seen = Seen()
    for one in stretches:
        seen.add(one)
    return seen


def find(*arguments: bytes | str | Path) -> list[bytes]:
    """What find(1) says, sorted: another program's walk of the same tree."""
    done = subprocess.run(["find", *map(os.fsencode, arguments), "-print0"], capture_output=True, check=True)
    return sorted(done.stdout.split(b"\0")[:-1])


def grow(root: Path, files: int, *, seed: int = 1, max_bytes: int = 3000) -> None:
    """A random tree with ``files`` files of random sizes, and empty directories here and there."""
    rnd = random.Random(seed)
    directories = [root]
    for number in range(files):
        if rnd.random() < 0.15:
            below = rnd.choice(directories) / f"d{number}"
            below.mkdir()
            directories.append(below)
        (rnd.choice(directories) / f"f{number}").write_bytes(rnd.randbytes(rnd.randrange(max_bytes)))


def flat(root: Path, files: int) -> None:
    """Many small files in one directory."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for number in range(files):
            one = os.open(b"f%d" % number, os.O_WRONLY | os.O_CREAT, dir_fd=fd)
            os.write(one, b"%d" % number)
            os.close(one)
    finally:
        os.close(fd)


def chain(root: Path, depth: int, name: bytes, *, siblings: bool) -> int:
    """A chain of directories as a tenant makes it, by `mkdir` and `chdir`; in each a file, and a sibling that waits.

    Returns the number of names made. Plain paths cannot reach what is below PATH_MAX.
    """
    made = 0
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for level in range(depth):
            if level % 100 == 99 or level == depth - 1:
                one = os.open(b"f%d" % level, os.O_WRONLY | os.O_CREAT, dir_fd=fd)
                os.write(one, b"level %d" % level)
                os.close(one)
                made += 1
            if siblings:
                os.mkdir(b"aside", dir_fd=fd)
                made += 1
            os.mkdir(name, dir_fd=fd)
            made += 1
            below = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=fd)
            os.close(fd)
            fd = below
    finally:
        os.close(fd)
    return made


def forked_by(parent: int) -> list[int]:
    """The pids of the forked children of ``parent`` but for this process itself: programs that it started are not meant.

    A harness that kills workers must not kill the service that another test of the session has started.
    """
    ours = Path("/proc/self/cmdline").read_bytes()
    listed = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [int(pid) for pid in listed if int(pid) != os.getpid() and _command(pid) == ours]


def children() -> list[int]:
    """The forked children of this process that are no zombies."""
    return [pid for pid in forked_by(os.getpid()) if _state(pid) != "Z"]


def _command(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))
