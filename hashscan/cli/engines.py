"""The composition root for what reads files: engines, the digest cache, and the folders that are never scanned."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from hashscan.cli import wiring
from hashscan.errors import IncompleteError, QuarantineError, UsageError
from hashscan.files.cache import Cache, CacheOptions, DigestCache, NoCache
from hashscan.files.checkpoint import Checkpoint, Saved
from hashscan.files.engine import InProcessEngine, LocalEngine
from hashscan.files.excludes import Excludes, patterns_of
from hashscan.files.recheck import RecheckEngine
from hashscan.files.roots import silent
from hashscan.files.shards import Shard
from hashscan.files.throttle import Throttle
from hashscan.files.walk import WalkOptions
from hashscan.flow import never
from hashscan.ports import Engine
from hashscan.quarantine.vault import HOLDING_NAME
from hashscan.settings import Settings

_MAX_JOBS = 4  # more readers than this on one disk slow each other down (measured cold)

Identity = tuple[int, int]
"""Device and inode of a folder."""


class OwnFolders:
    """The folders that a walk leaves out: ours, and private.

    One that others can enter is no place of ours, but a mistake in the configuration (``state = "/srv"``) that would hide
    everything in it from the scan. The records of all cases name the holding directories: ``read_cases`` is asked once a run.
    """

    def __init__(self, chosen: Settings, read_cases: Callable[[], frozenset[Identity]]) -> None:
        self._folders = (chosen.state_dir, chosen.vault_dir, chosen.run_dir, chosen.cache_dir)
        self._owners = {os.geteuid(), 0} if chosen.part else {os.geteuid()}  # the vault is root's
        self._read_cases = read_cases

    def now(self) -> frozenset[Identity]:
        """Those that are there; a first run makes them on its way, so that they are looked at anew each time."""
        own = set(self._of_cases)
        for folder in self._folders:
            with suppress(OSError):  # not there, or not ours to look at: then a walk will say so by itself
                status = folder.stat()
                if status.st_uid in self._owners and status.st_mode & 0o077 == 0:
                    own.add((status.st_dev, status.st_ino))
        return frozenset(own)

    @cached_property
    def _of_cases(self) -> frozenset[Identity]:
        with suppress(QuarantineError):  # a vault that we cannot read is not ours; where it should be, `recover` says so
            return self._read_cases()
        return frozenset()

    def refuse(self, roots: Sequence[bytes]) -> None:
        """Nothing at or below our own folders is scanned: evidence would be quarantined again. Raises `UsageError`."""
        own = self.now()
        looked_at: set[bytes] = set()
        for root in roots:
            here = os.path.realpath(root)
            while here not in looked_at:
                looked_at.add(here)
                with suppress(OSError):  # what is not there, or not reachable, is for the walk to tell
                    status = os.stat(here, follow_symlinks=False)
                    if (status.st_dev, status.st_ino) in own:
                        name = os.fsdecode(root)
                        raise UsageError(f"{name!r} belongs to hashscan itself", hint="its own folders are never scanned")
                here = os.path.dirname(here)


def own_folders(chosen: Settings) -> OwnFolders:
    """The folders of this host."""
    return OwnFolders(chosen, wiring.vault(chosen, "").own_directories)


def scan_options(chosen: Settings, own: OwnFolders, *, audit: bool) -> WalkOptions:
    """How a scan walks. An audit uses the digest cache that it finds, and leaves none behind. Raises `UsageError`."""
    remembers = digest_cache(chosen, make=not audit) if chosen.cache.enabled else NoCache()
    return replace(
        _walk_options(chosen, own, remembers),
        exclude=excludes(chosen),
        throttle=_throttle(chosen),
        shard=None if chosen.scan.shard == (1, 1) else Shard(*chosen.scan.shard),
    )


def excludes(chosen: Settings) -> Excludes | None:
    """What the operator wants left out. Raises `UsageError`."""
    file = Path(chosen.scan.exclude_from) if chosen.scan.exclude_from else None
    patterns = patterns_of(chosen.scan.exclude, file)
    return Excludes(patterns) if patterns else None


def _throttle(chosen: Settings) -> Throttle | None:
    """None where nothing limits: then nobody asks."""
    table, most = chosen.pace.bwlimit, chosen.pace.max_iops
    if not table.limits and not most:
        return None
    if len(table.slots) > 1:
        return Throttle(operations_per_second=most, schedule=lambda: table.at(time.time()))
    return Throttle(bytes_per_second=table.at(time.time()), operations_per_second=most)


def engine(
    chosen: Settings,
    options: WalkOptions,
    checkpoint: Checkpoint | None = None,
    resumed: Saved | None = None,
    rest: Callable[[], bool] = never,
) -> LocalEngine:
    """The engine of a scan: forked workers."""
    return LocalEngine(options, workers(chosen), checkpoint=checkpoint, resumed=resumed, rest=rest)


def digest_cache(chosen: Settings, *, make: bool = True) -> DigestCache:
    """The digest cache of this host, whether or not scans use it."""
    options = CacheOptions(reread=chosen.cache.reread, max_bytes=chosen.cache.max_size, make=make)
    return DigestCache(chosen.cache_dir, options)


def recheck_engine(chosen: Settings) -> Engine:
    """The engine that walks the digest cache."""
    return RecheckEngine(digest_cache(chosen), workers(chosen), chosen.scan.file_deadline)


def small_engine(chosen: Settings) -> Engine:
    """The engine for a handful of files: this process."""
    return InProcessEngine(_walk_options(chosen, own_folders(chosen), NoCache()))


def processors() -> int:
    """How many this host has."""
    return os.cpu_count() or 1


def workers(chosen: Settings) -> int:
    """How many processes read."""
    return chosen.scan.jobs or min(processors(), _MAX_JOBS)


def _walk_options(chosen: Settings, own: OwnFolders, remembers: Cache) -> WalkOptions:
    return WalkOptions(
        max_file_bytes=chosen.scan.max_file_size or None,
        own=own.now(),
        own_names=frozenset({HOLDING_NAME}),
        file_deadline=chosen.scan.file_deadline,
        cache=remembers,
    )


def unanswering(chosen: Settings, paths: Sequence[bytes]) -> frozenset[bytes]:
    """Paths on which the filesystem says nothing within the deadline of a file. Raises `IncompleteError`."""
    try:
        return frozenset(silent(paths, chosen.scan.file_deadline))
    except OSError as error:
        raise IncompleteError(f"cannot start a process: {error}", hint="check the limits of this user") from None


def absolute(paths: Sequence[bytes]) -> list[bytes]:
    """Paths as the operator means them: absolute, without ``.`` and ``..``; links in them are followed when they are opened.

    Raises `UsageError` for an empty one: a script's unset variable does not mean the current directory.
    """
    if not all(paths):
        raise UsageError("a path is empty", hint="is a variable unset?")
    try:
        return [os.path.abspath(path) for path in paths]
    except FileNotFoundError:
        raise UsageError("the current directory is gone", hint="name absolute paths") from None
