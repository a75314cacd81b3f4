"""The digest cache as a whole: digests of unchanged files, remembered between scans. Never wrong, never fatal; without it a
scan is just slow. Digests only: what a list says of a file is never stored here.

`DigestCache` keeps its file in order (made, counted, swept, thrown away); `memory` is a worker's way of using it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hashscan.atomic import make_private_directory
from hashscan.files.filesystems import BELIEVED
from hashscan.files.host import MACHINE_IDS, machine_of
from hashscan.files.store import Store, StoreTrouble
from hashscan.model import Warned

NAME = "digests.sqlite"
_CONDEMNED = "digests.damaged"  # a worker met damage: the next run begins anew
_LOCK_SECONDS = 2.0  # the longest that a run waits for another one that is just making the file
_MAX_RUN = 1 << 31
_SECRET_BYTES = 32
SETTLE_SECONDS = 120.0
"""How old a ctime must be when a file is read, for its digest to be remembered. Within one tick of the clock (4 ms, on old
filesystems 1 s) two writes leave one ctime; a store through a shared map leaves none while the page is dirty, and write-back
begins after 30 s and comes by every 5 s. Only the ctime counts: every write and every `utimes` sets it, and no tenant can."""
KEEP_DAYS = 35
"""A row that no run has renewed is kept so long, and for two rounds of re-reading: its directory may come back into a scan."""


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """``reread``: one row in so many is read again each run, 0 for never; ``max_bytes`` bounds the file.

    ``settle_seconds`` and ``believed`` (filesystem types) are the rules of truth; ``clock`` is seconds since 1970. Without
    ``make``, a cache that is not there is not made.
    """

    reread: int = 256
    max_bytes: int = 2 << 30
    settle_seconds: float = SETTLE_SECONDS
    believed: frozenset[bytes] = BELIEVED
    clock: Callable[[], float] = time.time
    machine_ids: tuple[Path, ...] = MACHINE_IDS
    make: bool = True


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What `hashscan cache info` tells. Bytes, seconds since 1970; ``scanned`` and ``cached`` are counts of the last run."""

    path: Path
    size: int
    directories: int
    files: int
    runs: int
    made: float
    last_run: float
    scanned: int
    cached: int


class Cache(Protocol):
    """What an engine needs of a digest cache: `DigestCache` or `NoCache`."""

    @property
    def options(self) -> CacheOptions:
        """Its rules."""

    @property
    def run(self) -> int:
        """The number of this run."""

    @property
    def secret(self) -> bytes:
        """The key of its marks (`rows.Marker`)."""

    def begin(self) -> list[Warned]:
        """Before the workers are forked. Never raises: what is wrong is told."""

    def open(self) -> Store | None:
        """In a worker; None where nothing is remembered. Raises `StoreTrouble`."""

    def condemn(self) -> None:
        """The file is damaged: the next run is to begin anew."""

    def finish(self, scanned: int, cached: int) -> list[Warned]:
        """After a complete run that read ``scanned`` files and knew ``cached``. Never raises."""


class NoCache:
    """A `Cache` that remembers nothing."""

    options = CacheOptions()
    run = 0
    secret = b""

    def begin(self) -> list[Warned]:
        """Nothing to do."""
        return []

    def open(self) -> Store | None:
        """Nothing is remembered."""
        return None

    def condemn(self) -> None:
        """There is no file."""

    def finish(self, scanned: int, cached: int) -> list[Warned]:  # noqa: ARG002 - the protocol
        """Nothing to do."""
        return []


class DigestCache:
    """A `Cache` in ``folder``, which is ours alone (0700; the file 0600). A file that is damaged, of another format or of
    another host is thrown away and made anew, once, and that is said."""

    def __init__(self, folder: Path, options: CacheOptions | None = None) -> None:
        self._folder, self.options = folder, options or CacheOptions()
        self.run = 0
        self.secret = b""
        self._on = False

    @property
    def path(self) -> Path:
        """The file."""
        return self._folder / NAME

    def begin(self) -> list[Warned]:
        """See `Cache`."""
        self._on, warnings = False, list[Warned]()
        if not self.options.make and not os.path.lexists(self.path):
            return warnings
        try:
            with self._locked():
                store, why = self._usable()
                if why:
                    warnings.append(Warned(f"the digest cache was made anew: {why}"))
                try:
                    self._count_run(store)
                finally:
                    store.close()
                self._on = True
        except (OSError, StoreTrouble) as error:
            warnings.append(Warned(f"the digest cache is not used: {error}"))
        return warnings

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The folder is there, ours, and nobody else is making or clearing the file. Raises OSError."""
        make_private_directory(self._folder)
        told = self._folder.stat()
        if told.st_uid != os.geteuid() or told.st_mode & 0o022:
            raise PermissionError(f"{self._folder} is not ours alone")
        fd = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            until = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.01)
            yield
        finally:
            os.close(fd)

    def _usable(self) -> tuple[Store, str]:
        """The open file, and why it had to be made anew, "" where it had not. Raises OSError, `StoreTrouble`."""
        machine = machine_of(self._folder, self.options.machine_ids)
        try:
            told = os.lstat(self.path)
        except FileNotFoundError:
            return self._make(machine), ""
        if not stat.S_ISREG(told.st_mode) or told.st_uid != os.geteuid() or told.st_mode & 0o077:
            raise PermissionError(f"{self.path} is not a file of ours alone")
        if (self._folder / _CONDEMNED).exists():
            return self._make(machine), "it was damaged"
        try:
            store = Store(self.path, self.options.max_bytes)
        except StoreTrouble as error:
            if not error.damaged:
                raise
            return self._make(machine), str(error)
        why = self._strange(store, machine)
        if not why:
            return store, ""
        store.close()
        return self._make(machine), why

    def _strange(self, store: Store, machine: str) -> str:
        try:
            run = store.meta("run")
            if store.meta("machine") != machine:
                return "it is another host's"
            secret = store.meta("secret")
        except StoreTrouble as error:
            if not error.damaged:
                raise
            return str(error)
        if not isinstance(run, int) or not 0 <= run < _MAX_RUN:
            return "it has lost count"
        try:
            self.secret = bytes.fromhex(secret if isinstance(secret, str) else "")
        except ValueError:
            self.secret = b""
        return "" if len(self.secret) == _SECRET_BYTES else "it has lost its key"

    def _make(self, machine: str) -> Store:
        self._remove()
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        store = Store(self.path, self.options.max_bytes, create=True)
        self.secret = secrets.token_bytes(_SECRET_BYTES)
        store.set_meta({"machine": machine, "made": self.options.clock(), "run": 0, "secret": self.secret.hex()})
        return store

    def _remove(self) -> None:
        """The log goes first: a new file must never meet an old log."""
        for name in (f"{NAME}-wal", f"{NAME}-shm", f"{NAME}-journal", NAME, _CONDEMNED):
            with suppress(FileNotFoundError):
                os.unlink(self._folder / name)

    def _count_run(self, store: Store) -> None:
        before = store.meta("run")
        self.run = before + 1 if isinstance(before, int) else 1
        store.set_meta({"run": self.run})

    def attach(self) -> str:
        """Use what is there without counting a run: "" or why it cannot be used."""
        self._on = False
        try:
            with self._locked():
                if not self.path.exists():
                    return "nothing is remembered on this host yet"
                if (self._folder / _CONDEMNED).exists():
                    return "the digest cache is damaged"
                store = Store(self.path, self.options.max_bytes)
                try:
                    why = self._strange(store, machine_of(self._folder, self.options.machine_ids))
                    run = store.meta("run")
                finally:
                    store.close()
        except (OSError, StoreTrouble) as error:
            return f"the digest cache cannot be used: {error}"
        self._on, self.run = not why, run if isinstance(run, int) else 0
        return f"the digest cache cannot be used: {why}" if why else ""

    def open(self) -> Store | None:
        """See `Cache`."""
        return Store(self.path, self.options.max_bytes) if self._on else None

    def condemn(self) -> None:
        """See `Cache`."""
        with suppress(OSError):  # then the next run meets the damage itself
            os.close(os.open(self._folder / _CONDEMNED, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def finish(self, scanned: int, cached: int) -> list[Warned]:
        """See `Cache`."""
        if not self._on:
            return []
        try:
            store = Store(self.path, self.options.max_bytes)
            try:
                now, reread = self.options.clock(), self.options.reread
                store.set_meta({"ended": now, "scanned": scanned, "cached": cached})
                if reread and self.run % reread == 0:
                    store.sweep(self.run - 2 * reread, int(now // 86_400) - KEEP_DAYS)
                store.fold()
            finally:
                store.close()
        except StoreTrouble as error:
            if error.damaged:
                self.condemn()
                return [Warned(f"the digest cache is damaged and will be made anew: {error}")]
        return []

    def info(self) -> CacheInfo | None:
        """What it holds; None where there is no file. Raises OSError, `StoreTrouble`."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            return None
        store = Store(self.path, self.options.max_bytes)
        try:
            told = {name: store.meta(name) for name in ("run", "made", "ended", "scanned", "cached")}
            facts = {name: value if isinstance(value, (int, float)) else 0 for name, value in told.items()}
            directories, files = store.count()
        finally:
            store.close()
        return CacheInfo(
            self.path,
            size,
            directories,
            files,
            runs=int(facts["run"]),
            made=facts["made"],
            last_run=facts["ended"],
            scanned=int(facts["scanned"]),
            cached=int(facts["cached"]),
        )

    def clear(self) -> bool:
        """Forget everything; False where there was nothing. Raises OSError."""
        if not self.path.exists():
            return False
        with self._locked():
            self._remove()
        return True
