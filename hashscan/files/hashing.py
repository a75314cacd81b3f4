"""The hot loop: open, look, read once, hash. No object is made for a file that nobody will ask about.

Measured (one core, warm, 4.6 kB files, md5+sha1, us a file): open, fstat, close 1.7; one read 0.8, the same with
RWF_DONTCACHE; digests 6.5. Every Python call that can be left out of this loop is a tenth of that.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

from blake3 import blake3

from hashscan.files.reading import WAITING, WAYS, Way
from hashscan.model import Algorithm, Reason

BUFFER = 1 << 20  # bytes read at once; a smaller file is read and hashed in one call
LARGE = 8 << 20  # bytes; a larger file is a piece of work of its own
MAX_GROWTH = 1 << 30  # bytes by which a file may outgrow its size while it is read
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOATIME
# O_NOATIME is for the owner and root only, EPERM for others. O_NONBLOCK: should a FIFO have taken the place of a file since the
# directory was read, nobody waits for a writer.

Row: TypeAlias = tuple[bytes, ...]
"""Raw digests in the order of the sieve's algorithms."""


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> object: ...
    def digest(self) -> bytes: ...


def _constructor(algorithm: Algorithm) -> Callable[..., _Hash]:
    if algorithm is Algorithm.BLAKE3:
        return blake3
    plain: Any = getattr(hashlib, algorithm.value)
    try:
        plain(b"")
    except ValueError:  # a FIPS host refuses MD5 unless told that no secret depends on it
        return partial(plain, usedforsecurity=False)
    return plain  # type: ignore[no-any-return]


def _row_function(constructors: Sequence[Callable[..., _Hash]]) -> Callable[[memoryview], Row]:
    """All digests of one piece of memory; written out for the usual counts, where a loop costs 0.5 us."""
    if len(constructors) == 1:
        (only,) = constructors
        return lambda data: (only(data).digest(),)
    if len(constructors) == 2:
        first, second = constructors
        return lambda data: (first(data).digest(), second(data).digest())
    return lambda data: tuple([make(data).digest() for make in constructors])


class Refusal(Exception):
    """A file that is not to be read, and why."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


class _Postponed(Exception):
    """A large file: work of its own."""


class _RuledOut(Exception):
    """A file that no list can know, by its size."""


class Batch:
    """What one call of `Hasher.run` did. ``names``, ``statuses`` and ``rows`` are columns of the files that were hashed."""

    __slots__ = ("by_size", "bytes_hashed", "large", "names", "refused", "rows", "started_ns", "statuses", "waiting")

    def __init__(self) -> None:
        self.started_ns = time.time_ns()  # before any of its files was looked at
        self.names: list[str] = []
        self.statuses: list[os.stat_result] = []
        self.rows: list[Row] = []
        self.refused: list[tuple[str, OSError | Refusal]] = []
        self.large: list[str] = []
        self.waiting: list[tuple[str, int]] = []  # open files that the disk has been asked for; none when the batch is done
        self.bytes_hashed = self.by_size = 0

    def enter(self, name: str, status: os.stat_result, row: Row) -> None:
        """Enter a file that was hashed."""
        self.names.append(name)
        self.statuses.append(status)
        self.rows.append(row)
        self.bytes_hashed += status.st_size

    def refuse(self, name: str, why: Exception) -> None:
        """Enter a file that was not hashed."""
        if isinstance(why, (OSError, Refusal)):
            self.refused.append((name, why))
        elif isinstance(why, _RuledOut):
            self.by_size += 1
        else:
            self.large.append(name)


@dataclass(frozen=True, slots=True)
class _Order:
    """What `Hasher.run` was told: work until this monotonic time, and until so many names are kept."""

    dir_fd: int | None
    until: float
    keep: int
    large: bool


_Asking: TypeAlias = tuple[int, Sequence[Way]]
"""The flags of open, and the ways to read that are left to try."""


def _softer(why: Exception, flags: int, ways: Sequence[Way]) -> _Asking | None:
    """What to ask for instead, where too much was asked of owner or filesystem; kept up to the end of the batch."""
    code = why.errno if isinstance(why, OSError) else None
    if code == errno.EPERM and flags & os.O_NOATIME:
        return flags & ~os.O_NOATIME, ways
    if code == errno.EOPNOTSUPP and len(ways) > 1:
        return flags, ways[1:]
    return None


class Hasher:
    """Hashes files by name in an open directory. ``alive`` is called while there is no end in sight.

    ``buffer_read`` is called after each full buffer of a longer file: ``alive``, unless somebody puts a throttle there.
    ``ways`` are the ways to read, the best first; the last one must work everywhere. ``admits``, where there is one, says
    whether a file of that many bytes can be known; what it does not admit is counted and not read.
    """

    admits: Callable[[int], bool] | None = None

    def __init__(
        self,
        algorithms: Sequence[Algorithm],
        max_file_bytes: int | None,
        alive: Callable[[], None],
        ways: Sequence[Way] = WAYS,
    ) -> None:
        self._constructors = [_constructor(algorithm) for algorithm in algorithms]
        self._row = _row_function(self._constructors)
        self._max = max_file_bytes
        self._alive = self.buffer_read = alive
        self._ways = ways
        self._view = memoryview(bytearray(BUFFER))

    def run(self, dir_fd: int | None, names: list[str], until: float, limit: int, *, large: bool = False) -> Batch:
        """Take at most ``limit`` names from the end of ``names`` and hash them; stop early at the monotonic time ``until``.

        ``large`` files are postponed unless told otherwise. Without ``dir_fd`` the names are paths that the operator wrote, and
        links are followed.
        """
        batch, order = Batch(), _Order(dir_fd, until, max(0, len(names) - limit), large)
        softer: _Asking | None = (_FLAGS if dir_fd is None else _FLAGS | os.O_NOFOLLOW, self._ways)
        ways = self._ways
        while softer is not None:
            flags, ways = softer
            softer = self._ask(batch, names, order, flags, ways)
        self._take_waiting(batch, ways[0])
        return batch

    def _ask(self, batch: Batch, names: list[str], order: _Order, flags: int, ways: Sequence[Way]) -> _Asking | None:
        """Ask for one file after the other; what to ask with instead, where the next one shows that too much was asked."""
        made, statuses, rows = batch.names.append, batch.statuses.append, batch.rows.append
        open_, fstat, preadv, close, clock = os.open, os.fstat, os.preadv, os.close, time.monotonic
        view, digest, buffers, admits = self._view, self._row, [self._view], self.admits
        one_read = BUFFER - 1 if self._max is None else min(BUFFER - 1, self._max)
        dir_fd, until, keep, ask = order.dir_fd, order.until, order.keep, ways[0].ask
        while len(names) > keep:
            name = names.pop()
            fd = -1
            try:
                fd = open_(name, flags, dir_fd=dir_fd)
                status = fstat(fd)
                size = status.st_size
                if admits is not None and not admits(size) and stat.S_ISREG(status.st_mode):
                    raise _RuledOut
                if size <= one_read and status.st_mode & 0o170000 == 0o100000:
                    got = preadv(fd, buffers, 0, ask)
                    row = digest(view[:got]) if got == size else self._read_on(fd, size, ways[0])
                else:
                    self._admit(status, large=order.large)
                    row = self._read_on(fd, size, ways[0])
                made(name)
                statuses(status)
                rows(row)
                batch.bytes_hashed += size
            except (OSError, Refusal, _Postponed, _RuledOut) as why:
                if fd >= 0 and isinstance(why, BlockingIOError):
                    self._wait(batch, (name, fd), ways[0])
                    fd = -1
                elif softer := _softer(why, flags, ways):
                    names.append(name)
                    return softer
                else:
                    batch.refuse(name, why)
            finally:
                if fd >= 0:
                    close(fd)
            if clock() >= until:
                break
        return None

    def _wait(self, batch: Batch, file: tuple[str, int], way: Way) -> None:
        batch.waiting.append(file)
        if len(batch.waiting) >= WAITING:
            self._take_waiting(batch, way)

    def _take_waiting(self, batch: Batch, way: Way) -> None:
        """Read what the disk was asked for, in that order."""
        for name, fd in batch.waiting:
            try:
                status = os.fstat(fd)
                self._admit(status, large=True)
                batch.enter(name, status, self._read_waiting(fd, status.st_size, way))
            except (OSError, Refusal) as why:
                batch.refuse(name, why)
            finally:
                os.close(fd)
            self._alive()
        batch.waiting.clear()

    def _read_waiting(self, fd: int, size: int, way: Way) -> Row:
        got = way.take_whole(fd, [self._view]) if size < BUFFER else -1
        return self._row(self._view[:got]) if got == size else self._read_on(fd, size, way)

    def _admit(self, status: os.stat_result, *, large: bool) -> None:
        """Raises `Refusal` where this must not be read, `_Postponed` where it is to be read later."""
        if not stat.S_ISREG(status.st_mode):
            raise Refusal(Reason.CHANGED, "no longer a regular file")
        if self._max is not None and status.st_size > self._max:
            raise Refusal(Reason.TOO_LARGE, f"{status.st_size} bytes")
        if status.st_size > LARGE and not large:
            raise _Postponed

    def _read_on(self, fd: int, size: int, way: Way) -> Row:
        """The digests of all that can be read. Raises OSError, and `Refusal` where there is no end to it."""
        hashes = [make() for make in self._constructors]
        view, offset = self._view, 0
        way.begin(fd)
        while got := way.take_at(fd, view, offset):
            data = view[:got]
            for one in hashes:
                one.update(data)
            offset += got
            if got == BUFFER:  # a trickle of short reads is no sign of life
                self.buffer_read()
            if offset > size + MAX_GROWTH:
                raise Refusal(Reason.CHANGED, f"grew from {size} bytes past {offset} while it was read")
        return tuple(one.digest() for one in hashes)
