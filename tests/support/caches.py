"""Digest caches for tests: the rules of truth set for young trees, and scans that are held against the truth."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hashscan import fsops
from hashscan.files.cache import Cache, CacheOptions, DigestCache
from hashscan.files.engine import InProcessEngine, LocalEngine
from hashscan.files.filesystems import BELIEVED, type_of_mount
from hashscan.files.rows import Row, decode
from hashscan.files.store import Store, Writes
from hashscan.files.walk import WalkOptions
from hashscan.model import Algorithm
from tests.support.sieves import FakeSieve, digest
from tests.support.trees import Seen, find, total

TICK = 0.012  # seconds; longer than the kernel's clock takes to move on, so that two writes never share a ctime
BOTH = (Algorithm.MD5, Algorithm.SHA1)


def options(folder: Path, **changes: object) -> CacheOptions:
    """Files count as settled at once, nothing is read again, and the filesystem of the tests is believed whatever it is."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        here = type_of_mount(Path("/proc/self/mountinfo").read_bytes(), fsops.mount_id(fd))
    finally:
        os.close(fd)
    made = CacheOptions(reread=0, settle_seconds=0.0, believed=BELIEVED | {here})
    return replace(made, **changes)  # type: ignore[arg-type]


def cache_in(tmp_path: Path, **changes: object) -> DigestCache:
    """A cache beside the tree, kept by calling this again."""
    return DigestCache(tmp_path / "cache", options(tmp_path, **changes))


def tree_in(tmp_path: Path) -> Path:
    """The folder that is scanned."""
    root = tmp_path / "tree"
    root.mkdir(exist_ok=True)
    return root


def scan(cache: Cache, root: Path, sieve: FakeSieve | None = None, *, workers: int = 0, **more: object) -> Seen:
    """One scan, with all digests as candidates unless a sieve is given."""
    time.sleep(TICK)
    walk = WalkOptions(cache=cache, **more)  # type: ignore[arg-type]
    engine: InProcessEngine | LocalEngine = LocalEngine(walk, workers) if workers else InProcessEngine(walk)
    seen = total(engine.sift([os.fsencode(root)], sieve or FakeSieve(None, BOTH)))
    time.sleep(TICK)
    return seen


def assert_true(seen: Seen, root: Path) -> None:
    """Every file is there, once, with the digests of its bytes. For scans whose sieve picks everything."""
    assert seen.paths == find(root, "-type", "f")
    for one in seen.candidates:
        data = Path(os.fsdecode(one.hashed.entry.place.full)).read_bytes()
        assert one.hashed.digests == {name: digest(name, data).hex() for name in one.hashed.digests}
        assert one.hashed.digests


def rows_of(cache: DigestCache) -> list[Row]:
    """All rows about directories."""
    store = Store(cache.path, cache.options.max_bytes)
    try:
        rows = [decode(data, None) for data, _ in store.between(0, (1 << 63) - 1, single=False)]
    finally:
        store.close()
    assert all(row is not None for row in rows)
    return [row for row in rows if row is not None]


def singles_of(cache: DigestCache) -> int:
    """How many files are remembered on their own."""
    store = Store(cache.path, cache.options.max_bytes)
    try:
        return store.count()[1]
    finally:
        store.close()


def rewrite(cache: DigestCache, change: Callable[[Row], Row]) -> None:
    """Replace all rows by others that check: what a lying disk, or a bug, would have made of them."""
    changed = [change(row) for row in rows_of(cache)]
    store = Store(cache.path, cache.options.max_bytes)
    try:
        store.write(Writes(directories=[(row.key.id, row.run, 0, row.encode()) for row in changed]))
    finally:
        store.close()


def lie(row: Row) -> Row:
    """The row with other digests for every file."""
    columns = {name: bytes(byte ^ 0x55 for byte in column) for name, column in row.columns.items()}
    return Row(row.key, row.run, (row.root, row.path), row.block, columns)
