"""One of several hosts that scan the same storage without talking to each other: each takes the directories of its number.

All of them walk the whole tree; the files of a directory are read, and everything in it is counted, by one of them. So the
counts of all shards add up to those of one scan of everything.
"""

from __future__ import annotations

from dataclasses import dataclass

from xxhash import xxh3_64_intdigest


@dataclass(frozen=True, slots=True)
class Shard:
    """Number ``index`` (from 1) of ``count``."""

    index: int
    count: int

    def owns(self, directory: bytes) -> bool:
        """Whether the files of the directory at this full path are ours."""
        return xxh3_64_intdigest(directory) % self.count == self.index - 1
