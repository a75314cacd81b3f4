"""Candidates get the digests that only the service's answer needs: their files, one in a million, are read once more.

A sieve needs one digest of each entry, the answer is compared with all that the entry has. So the others are made of candidates
only, by the worker that has the directory open.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hashscan.files.hashing import Batch, Hasher
from hashscan.model import Algorithm, Candidate, FileEntry, HashedFile, Place
from hashscan.ports import Sieve


class Picked(NamedTuple):
    """A file that the sieve picked: its name in the open directory, and its digests in the order of the sieve."""

    name: str
    status: os.stat_result
    place: Place
    digests: Sequence[bytes]

    def hashed(self, algorithms: Sequence[Algorithm]) -> HashedFile:
        """The noun, with the digests that are there."""
        digests = {algorithm: raw.hex() for algorithm, raw in zip(algorithms, self.digests, strict=True)}
        return HashedFile(entry_of(self.status, self.place), digests)


def picked_of(batch: Batch, rows: Sequence[int], place: Callable[[str], Place]) -> list[Picked]:
    """Those rows of a batch that was hashed."""
    return [Picked(batch.names[row], batch.statuses[row], place(batch.names[row]), batch.rows[row]) for row in rows]


def entry_of(status: os.stat_result, place: Place) -> FileEntry:
    """The noun for a file that was looked at."""
    return FileEntry(
        place=place,
        device=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        mode=status.st_mode,
        uid=status.st_uid,
        gid=status.st_gid,
        links=status.st_nlink,
    )


class Completing:
    """Makes candidates of what a sieve picked. ``spent`` is told the files and bytes that were read for it.

    A file that is not what it was any more keeps the digests that it was picked for: whoever acts on it looks again.
    """

    def __init__(
        self, sieve: Sieve, hasher: Callable[[Sequence[Algorithm]], Hasher], spent: Callable[[int, int], None]
    ) -> None:
        self._sieve, self._algorithms, self._spent = sieve, sieve.algorithms, spent
        wanted = sieve.confirming
        self._columns = [wanted.index(algorithm) for algorithm in self._algorithms]
        self._wanted = wanted
        self._hasher = hasher(wanted) if len(wanted) > len(self._algorithms) else None

    def candidates(self, dir_fd: int | None, picked: Sequence[Picked]) -> list[Candidate]:
        """Those of ``picked`` that a filter contains. Names are of the directory ``dir_fd``; without one they are paths."""
        if not picked:
            return []
        again = self._read_again(dir_fd, picked)
        return self._sieve.candidates([again.get(one.name) or one.hashed(self._algorithms) for one in picked])

    def _read_again(self, dir_fd: int | None, picked: Sequence[Picked]) -> dict[str, HashedFile]:
        if self._hasher is None:
            return {}
        names = [one.name for one in picked]
        batch = self._hasher.run(dir_fd, names, math.inf, len(names), large=True)
        self._spent(len(picked), batch.bytes_hashed)
        return self._unchanged(batch, {one.name: one for one in picked})

    def _unchanged(self, batch: Batch, picked: dict[str, Picked]) -> dict[str, HashedFile]:
        found = {}
        for name, status, row in zip(batch.names, batch.statuses, batch.rows, strict=True):
            before = picked[name]
            same = (status.st_dev, status.st_ino) == (before.status.st_dev, before.status.st_ino)
            if same and tuple(row[column] for column in self._columns) == tuple(before.digests):
                found[name] = before._replace(digests=row).hashed(self._wanted)
        return found
