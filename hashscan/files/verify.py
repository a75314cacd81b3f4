"""Verify: read remembered files again, and say where the digest cache is wrong. It should never be; this is how one knows."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field

from hashscan import fsops
from hashscan.errors import IncompleteError
from hashscan.files.cache import DigestCache
from hashscan.files.filesystems import filesystem_of
from hashscan.files.hashing import Hasher
from hashscan.files.rows import IDENTITY, Row, block_of, decode, is_known
from hashscan.files.store import Store, StoreTrouble
from hashscan.files.walk import as_bytes
from hashscan.files.window import Digests, Memo
from hashscan.model import Place

_AT_ONCE = 256  # files between two signs of progress


@dataclass(slots=True)
class Verified:
    """Counts: ``agreed`` files have the bytes that are remembered, ``wrong`` are the places of those that have not.

    ``moved_on`` are no longer what was remembered, ``unread`` could not be read, ``unchecked`` rows were damaged or not to be
    reached.
    """

    rows: int = 0
    agreed: int = 0
    moved_on: int = 0
    unread: int = 0
    unchecked: int = 0
    wrong: list[Place] = field(default_factory=list)


def verify(cache: DigestCache, roots: Sequence[bytes], every: int) -> Iterator[Verified]:
    """Check the remembered files of one row in ``every`` below ``roots`` (none: anywhere) whose identity still holds.

    Yields the same object again and again as it counts, at last when all is done. A wrong row is forgotten. Raises
    `IncompleteError` where nothing is remembered or the file cannot be read.
    """
    if why := cache.attach():
        raise IncompleteError(why, hint="run 'hashscan scan' first")
    counts = Verified()
    try:
        store = cache.open()
        if store is None:
            raise StoreTrouble("it is gone")
        with closing(store):
            for single in (False, True):
                for row_id in store.bounds(every, single=single):
                    for data, _ in store.between(row_id, row_id, single=single):
                        row = decode(data, None)
                        if row is None:
                            counts.unchecked += 1
                        elif _concerns(row, roots):
                            _verify_row(store, row_id, row, counts)
                            yield counts
    except StoreTrouble as error:
        cache.condemn()
        raise IncompleteError(f"the digest cache is damaged: {error}", hint="the next scan makes it anew") from None
    yield counts


def _concerns(row: Row, roots: Sequence[bytes]) -> bool:
    full = os.path.join(Place(row.root, row.path).full, b"")
    return not roots or any(full.startswith(os.path.join(root, b"")) for root in roots)


def _verify_row(store: Store, row_id: int, row: Row, counts: Verified) -> None:
    counts.rows += 1
    known = {row.block[at : at + IDENTITY.size] for at in range(0, len(row.block), IDENTITY.size)}
    memo = Memo([row])
    known = {identity for identity in known if memo.get(identity)}
    before = len(counts.wrong)
    try:
        root = fsops.open_root(row.root)
        try:
            fd = fsops.open_directory_fd(root, row.path)
        finally:
            os.close(root)
    except OSError:
        counts.unchecked += 1
        return
    try:
        if filesystem_of(fd, os.fstat(fd).st_dev).number == row.key.device:
            _verify_files(fd, row, (memo, known), counts)
        else:
            counts.unchecked += 1
    finally:
        os.close(fd)
    if len(counts.wrong) > before:
        store.forget(row_id)


def _verify_files(fd: int, row: Row, wanted: tuple[Memo, set[bytes]], counts: Verified) -> None:
    memo, known = wanted
    inodes = {IDENTITY.unpack(identity)[0] for identity in known}
    with os.scandir(fd) as entries:
        names = [entry.name for entry in entries if entry.inode() in inodes and entry.is_file(follow_symlinks=False)]
    hasher = Hasher(tuple(row.columns), None, lambda: None)
    met: set[bytes] = set()
    while names:
        batch = hasher.run(fd, names, math.inf, _AT_ONCE, large=True)
        counts.unread += len(batch.refused)
        for name, status, digests in zip(batch.names, batch.statuses, batch.rows, strict=True):
            identity = block_of([status])
            told = memo.get(identity)
            if told:
                met.add(identity)
                found: Digests = dict(zip(row.columns, digests, strict=True))
                _compare(fd, name, (identity, told, found), row, counts)
    counts.moved_on += len(known - met)


def _compare(fd: int, name: str, read: tuple[bytes, Digests, Digests], row: Row, counts: Verified) -> None:
    identity, told, found = read
    if all(found[algorithm] == digest for algorithm, digest in told.items() if is_known(digest)):
        counts.agreed += 1
        return
    try:
        after = block_of([os.stat(name, dir_fd=fd, follow_symlinks=False)])
    except OSError:
        after = b""
    if after == identity:
        path = b"/".join(part for part in (row.path, as_bytes(name)) if part)
        counts.wrong.append(Place(row.root, path))
    else:
        counts.moved_on += 1  # it changed while it was read
