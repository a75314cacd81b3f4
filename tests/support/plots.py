"""Plots: a tree of a hostile tenant, and the truth about it, written down while it is built.

A fixture builds its tree through a `Plot`, which notes for every name how it must end: found, hashed, listed, skipped for a
reason, or an error. `judge` then holds what a scan said against that, path by path and count by count.
"""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from hashscan.report.escape import unescape
from hashscan.report.tally import INCOMPLETE_REASONS
from tests.support.mounts import detach
from tests.support.trees import find

MAX_FILE = 12 << 20  # bytes; what is larger is named and not read. Above `hashing.LARGE`, so that its edge is met as well
_NAMED = {"mount", "network", "too_large", "own", "changed", "timeout"}


@dataclass
class Plot:
    """``home`` is a folder of the plot's own, ``top`` the tree in it, ``roots`` what to scan: the tree, unless told otherwise.

    ``loose``: names that change while they are scanned; each may be found, hashed, told as vanished or changed, or not be met.
    ``meanwhile``: run in children as long as a scan runs. ``act``: done once, when the first listed file is found.
    ``act_reading``: done once, when the first full buffer of a file was read. ``then``: done between two scans that share
    a digest cache. ``nobody``: the scan runs without root's rights. ``lonely``: only ever scanned by a process of its own.
    ``preloaded``: by a process that has not started Python anew. ``deadline``: seconds that one file or directory may keep a
    worker. ``refused``: the exit code of a scan that does not begin.
    """

    home: bytes
    top: bytes = b""
    roots: list[bytes] = field(default_factory=list)
    must: set[bytes] = field(default_factory=set)
    everything: set[bytes] = field(default_factory=set)
    uncounted: int = 0
    hashed: int = 0
    folders: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    named: dict[bytes, str] = field(default_factory=dict)
    loose: set[bytes] = field(default_factory=set)
    digests: set[bytes] = field(default_factory=set)
    meanwhile: list[Callable[[], None]] = field(default_factory=list)
    closing: list[Callable[[], None]] = field(default_factory=list)
    act: Callable[[], None] | None = None
    act_reading: Callable[[], None] | None = None
    then: Callable[[], None] | None = None
    nobody: bool = False
    lonely: bool = False
    preloaded: bool = False
    deadline: float = 30.0
    find_agrees: bool = True
    refused: int = 0

    def __post_init__(self) -> None:
        self.top = self.home + b"/tree"
        self.roots = [self.top]
        os.mkdir(self.top)
        self.meet(self.top)
        self.folders = 1

    def path(self, name: bytes) -> bytes:
        """The full path of a name in the tree."""
        return self.top + b"/" + name

    def meet(self, path: bytes) -> None:
        """A name that a walk meets exactly once."""
        assert path not in self.everything, path
        self.everything.add(path)

    def folder(self, *names: bytes) -> None:
        """Make directories that are listed to their end."""
        for name in names:
            os.mkdir(self.path(name))
            self.meet(self.path(name))
            self.folders += 1

    def plain(self, name: bytes, data: bytes = b"innocent") -> bytes:
        """Make a file that is read, and is on no list."""
        write(self.path(name), data)
        self.met_file(self.path(name))
        return self.path(name)

    def listed(self, name: bytes, data: bytes | None = None) -> bytes:
        """Make a file that must be found."""
        data = b"listed %d" % len(self.digests) if data is None else data
        write(self.path(name), data)
        self.list_data(data)
        self.met_file(self.path(name), found=True)
        return self.path(name)

    def list_data(self, data: bytes) -> None:
        """Put contents on the list."""
        self.digests.add(hashlib.sha1(data).digest())

    def met_file(self, path: bytes, *, found: bool = False) -> None:
        """A file that is there is read, and found where it is a listed one."""
        self.meet(path)
        self.hashed += 1
        if found:
            self.must.add(path)

    def skip(self, name: bytes, reason: str) -> bytes:
        """A name that is there and must be skipped."""
        self.meet(self.path(name))
        self.skipped[reason] += 1
        if reason in _NAMED:
            self.named[self.path(name)] = reason
        return self.path(name)

    def fail(self, name: bytes, errno: str) -> bytes:
        """A name that is there and must be told as unreadable."""
        self.meet(self.path(name))
        self.errors[errno] += 1
        self.named[self.path(name)] = errno
        return self.path(name)

    def loosen(self, *names: bytes) -> None:
        """Names that change while they are scanned."""
        self.loose.update(self.path(name) for name in names)

    def link(self, name: bytes, target: bytes) -> None:
        """Make a symbolic link, which is counted and never followed."""
        os.symlink(target, self.skip(name, "symlink"))

    def fifo(self, name: bytes) -> None:
        """Make a FIFO, which nobody must open: who does waits for ever."""
        os.mkfifo(self.skip(name, "special"))

    def socket(self, name: bytes) -> None:
        """Make a socket."""
        listener = socket.socket(socket.AF_UNIX)
        self.closing.append(listener.close)
        with at(os.path.dirname(self.path(name))):
            listener.bind(os.path.basename(self.skip(name, "special")))

    def too_large(self, name: bytes, size: int = MAX_FILE + 1) -> None:
        """Make a sparse file that is larger than what is read."""
        write(self.skip(name, "too_large"), b"")
        os.truncate(self.path(name), size)

    @property
    def code(self) -> int:
        """The exit code of a scan that tells this truth."""
        if self.refused:
            return self.refused
        if self.must:
            return 10
        return 3 if self.errors or INCOMPLETE_REASONS & self.skipped.keys() else 0


@contextmanager
def at(folder: bytes) -> Iterator[None]:
    """Work in a folder, for calls that take no long path."""
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(before)
        os.close(before)


def write(path: bytes, data: bytes) -> None:
    """Write a new file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    with os.fdopen(fd, "wb") as stream:
        stream.write(data)


@contextmanager
def planted(build: Callable[[Plot], None], folder: str | None = None) -> Iterator[Plot]:
    """Build a plot in ``folder``, check its truth by find(1) where find sees the same, and clear it away."""
    home = os.fsencode(tempfile.mkdtemp(prefix="hashscan-test-", dir=folder))
    os.chmod(home, 0o755)
    plot = Plot(home)
    try:
        build(plot)
        if plot.find_agrees:
            seen = find(*plot.roots)
            assert len(seen) == len(plot.everything) + plot.uncounted, "the fixture does not tell the truth about itself"
            assert plot.uncounted or set(seen) == plot.everything
        yield plot
    finally:
        for close in reversed(plot.closing):
            close()
        detach(home)
        with suppress(FileNotFoundError):  # only where there was a crash before the tree was moved
            subprocess.run(["chattr", "-R", "-f", "-i", "-a", home], check=False, capture_output=True)
        subprocess.run(["rm", "-rf", "--one-file-system", "--", home], check=True)


@dataclass
class Told:
    """What a scan said, in a form that all engines share. ``code`` is None where no process ended."""

    found: list[bytes]
    directories: int
    seen: int
    hashed: int
    skipped: Counter[str]
    errors: Counter[str]
    named: list[tuple[bytes, str]]
    code: int | None = None


def judge(plot: Plot, told: Told) -> None:
    """Every listed file found, every other path accounted for as it must be, nothing twice, nothing from elsewhere."""
    assert len(told.found) == len(set(told.found)), "found twice"
    if plot.refused:
        assert told.code == plot.refused
        return
    found, named = set(told.found), dict(told.named)
    assert len(told.named) == len(named), "named twice"
    assert plot.must <= found, f"missed: {sorted(plot.must - found)[:5]}"
    assert found <= plot.must | plot.loose, f"not ours: {sorted(found - plot.must - plot.loose)[:5]}"
    assert told.seen == told.hashed + told.skipped.total() + told.errors.total()
    if plot.loose:
        _judge_loosely(plot, told, named)
    else:
        assert (+told.skipped, +told.errors, named) == (+plot.skipped, +plot.errors, plot.named)
        assert (told.hashed, told.directories) == (plot.hashed, plot.folders)
        assert told.directories + told.seen == len(plot.everything) + plot.uncounted
    if told.code is not None and not (plot.loose and not plot.must):
        assert told.code == plot.code


def _judge_loosely(plot: Plot, told: Told, named: dict[bytes, str]) -> None:
    """What changes meanwhile may end one way or the other; all else as ever."""
    extra, room = told.skipped - plot.skipped, len(plot.loose)
    assert not plot.skipped - told.skipped
    assert set(extra) <= {"vanished", "changed", "mount", "network", "symlink", "special"}
    assert extra.total() <= room
    assert told.errors == plot.errors
    assert plot.named.items() <= named.items()
    assert all(
        any(path == one or path.startswith(one + b"/") for one in plot.loose) for path in named.keys() - plot.named.keys()
    )
    assert plot.hashed <= told.hashed <= plot.hashed + room
    assert plot.folders <= told.directories <= plot.folders + room
    assert told.directories + told.seen <= len(plot.everything) + room


def path_of(event: dict[str, object]) -> bytes:
    """The bytes of a name in an event; where both spellings are told they must agree."""
    path = unescape(str(event["path"]))
    if "path_b64" in event:
        assert base64.b64decode(str(event["path_b64"])) == path
    return path
