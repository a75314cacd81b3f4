"""A tenant who acts all the time (racer.c), on a core of his own and without our rights, and how a race with him is counted."""

from __future__ import annotations

import json
import mmap
import os
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = os.geteuid() == 0
TENANT = 54_321 if ROOT else os.geteuid()  # who owns the tree; without root he is who we are
_PAUSED, _RUNNING = 1, 2
_WANTED, _STATE, _DONE, _BY_ACT = 0, 8, 16, 24  # offsets in racer.c's struct page
_PATIENCE = 30.0  # seconds

Act = tuple[int, str, str, str]
"""In every which round, what (racer.c), and two paths below the tree."""


class Lost(AssertionError):
    """The tenant is gone, or we hang: nothing was shown."""


def build(folder: Path) -> Path:
    """The attacker's program, where the tenant may start it."""
    program = folder / "racer"
    source = Path(__file__).with_name("racer.c")
    subprocess.run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    for path in (folder, program):
        path.chmod(0o755)
    return program


class Attacker:
    """The tenant at work below ``tree``. He rests until `at_work`, and has let go of everything when that block ends."""

    def __init__(self, program: Path, tree: Path, acts: tuple[Act, ...], core: int | None) -> None:
        fd = os.memfd_create("racer")
        os.ftruncate(fd, mmap.PAGESIZE)
        self._page = mmap.mmap(fd, mmap.PAGESIZE)
        self._put(_PAUSED)
        words = [str(word) for act in acts for word in act]
        other: dict[str, Any] = {"user": TENANT, "group": TENANT, "extra_groups": []} if ROOT else {}
        self._process = subprocess.Popen([program, str(fd), *words], cwd=tree, pass_fds=[fd], **other)
        os.close(fd)
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})
        self._wait(_PAUSED)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self._ask(_RUNNING)
        try:
            yield
        finally:
            self._ask(_PAUSED)

    @property
    def done(self) -> int:
        """How many acts have succeeded, all in all."""
        return self._get(_DONE)

    def by_act(self, number: int) -> int:
        """How often this one has succeeded."""
        return self._get(_BY_ACT + 8 * number)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._page.close()

    def _get(self, offset: int) -> int:
        number: int = struct.unpack_from("=Q", self._page, offset)[0]
        return number

    def _put(self, wanted: int) -> None:
        struct.pack_into("=Q", self._page, _WANTED, wanted)

    def _ask(self, wanted: int) -> None:
        self._put(wanted)
        self._wait(wanted)

    def _wait(self, state: int) -> None:
        until = time.monotonic() + _PATIENCE
        while self._get(_STATE) != state:
            os.sched_yield()
            if self._process.poll() is not None or time.monotonic() > until:
                raise Lost("the attacker is gone")


@contextmanager
def cores() -> Iterator[int | None]:
    """We on one core, and the core for the attacker; None where there is only one."""
    mine = os.sched_getaffinity(0)
    if len(mine) < 2:
        yield None
        return
    ours, his = sorted(mine)[:2]
    os.sched_setaffinity(0, {ours})
    try:
        yield his
    finally:
        os.sched_setaffinity(0, mine)


@contextmanager
def place(other: Path) -> Iterator[Path]:
    """A folder in memory where that can be had, which the tenant can pass through."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="hashscan-races-", dir=memory if os.access(memory, os.W_OK) else other) as top:
        os.chmod(top, 0o755)
        yield Path(top)


@contextmanager
def no_longer_than(seconds: float) -> Iterator[None]:
    """Ends a race that hangs: whoever opens a FIFO waits for ever."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Lost("it hangs")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Count:
    """What a race came to.

    ``contested``: attempts during which the tenant did anything, which needs both of us on a core; ``hits``: attempts in which
    he swapped this very file, or its directory, between our look and our act.
    """

    endings: Counter[str] = field(default_factory=Counter)
    contested: int = 0
    hits: int = 0
    acts: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def add(self, ending: str, *, contested: bool, hit: bool) -> None:
        self.endings[ending] += 1
        self.contested += contested
        self.hits += hit

    @property
    def attempts(self) -> int:
        return self.endings.total()

    def told(self, name: str) -> str:
        endings = ", ".join(f"{count:,} {ending}" for ending, count in sorted(self.endings.items()))
        return (
            f"\n  {name}: {self.attempts:,} attempts in {self.seconds:.0f} s ({endings}); "
            f"{self.contested:,} contested, {self.hits:,} with the window hit, {self.acts:,} acts of the tenant, "
            f"{len(self.wrong)} wrong"
        )

    def to_json(self) -> str:
        return json.dumps({**self.__dict__, "endings": dict(self.endings)})

    @classmethod
    def from_json(cls, text: str) -> Count:
        read = json.loads(text)
        return cls(**{**read, "endings": Counter(read["endings"])})


class Clock:
    """A race lasts its time, and up to 30 seconds more where what it must show has not been seen yet."""

    def __init__(self, seconds: float) -> None:
        self._began, self._seconds = time.monotonic(), seconds

    @property
    def passed(self) -> float:
        return time.monotonic() - self._began

    def over(self, *, shown: bool) -> bool:
        return self.passed > self._seconds + (0 if shown else 30)


Print = tuple[Any, ...]
"""What an object is, and must stay."""


def fingerprint(path: str, *, loose: bool = False, moved: bool = True) -> Print:
    """Of a name: everything that may not change. ``loose``: only whose it is; ``moved`` leaves out the time of a rename."""
    status = os.lstat(path)
    whose = (status.st_mode, status.st_uid, status.st_gid)
    if loose:
        return whose
    facts = (*whose, status.st_size, status.st_nlink, status.st_rdev, status.st_mtime_ns, 0 if moved else status.st_ctime_ns)
    if stat.S_ISLNK(status.st_mode):
        return (*facts, os.readlink(path))
    if stat.S_ISREG(status.st_mode):
        return (*facts, status.st_atime_ns, read(path))
    return facts


def read(path: str) -> bytes:
    """The bytes of a regular file, which shows no sign of it."""
    fd = os.open(path, os.O_RDONLY | os.O_NOATIME | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        return os.read(fd, 1 << 20)
    finally:
        os.close(fd)


def everything(top: str) -> Iterator[tuple[str, os.stat_result, bool]]:
    """Every name below ``top`` with its status, and whether it is a directory; links are not followed."""
    folders = [top]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                directory = entry.is_dir(follow_symlinks=False)
                yield entry.path, entry.stat(follow_symlinks=False), directory
                if directory:
                    folders.append(entry.path)


def give(path: Path) -> None:
    """To the tenant."""
    if ROOT:
        os.lchown(path, TENANT, TENANT)


def clear(folder: Path) -> None:
    """Remove what is in a folder, while the tenant rests."""
    for entry in list(os.scandir(folder)):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
