"""How long the harnesses with a budget run: HASHSCAN_BUDGET multiplies their number of attempts, 1 by default.

A run of hours can be stopped and gone on with: HASHSCAN_PROGRESS names a folder where it notes what it has done, and
HASHSCAN_SHARD=2/5 is the second of five that share the work.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def attempts(usual: int) -> int:
    """``usual`` attempts, times the budget; at least one."""
    return max(1, round(usual * float(os.environ.get("HASHSCAN_BUDGET", "1"))))


class Progress:
    """What a harness has done, by keys that are the same in every run; nothing is remembered where no folder is named.

    A key and what was wrong with it, or nothing, are a line. ``counts`` are the lines of all shards when the run began.
    """

    def __init__(self, name: str) -> None:
        folder, shard = os.environ.get("HASHSCAN_PROGRESS", ""), os.environ.get("HASHSCAN_SHARD", "1/1")
        self._share, _, self._shares = (int(part) if part.isdigit() else 0 for part in shard.partition("/"))
        assert 1 <= self._share <= self._shares, f"HASHSCAN_SHARD={shard} is not like 2/5"
        self._path = Path(folder) / f"{name}-{self._share}-of-{self._shares}.tsv" if folder else None
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        self._done: dict[str, str] = {}
        for path in sorted(Path(folder).glob(f"{name}-*-of-*.tsv")) if folder else ():
            self._done.update(line.split("\t", 1) for line in path.read_text().splitlines(keepends=False) if "\t" in line)

    @property
    def done(self) -> int:
        """How many are done, this run included."""
        return len(self._done)

    @property
    def wrong(self) -> list[str]:
        """What was wrong in all runs."""
        return [f"{key}: {why}" for key, why in self._done.items() if why]

    def left(self, every: Iterable[T], key: Callable[[T], str]) -> list[T]:
        """What is left to do for this shard."""
        return [one for one in every if self.wants(key(one))]

    def wants(self, key: str) -> bool:
        """Whether it is for this shard, and not done yet."""
        return zlib.crc32(key.encode()) % self._shares == self._share - 1 and key not in self._done

    def note(self, key: str, wrong: str = "") -> None:
        """One is done."""
        self._done[key] = " ".join(wrong.split())
        if self._path is not None:
            with self._path.open("a") as stream:
                stream.write(f"{key}\t{self._done[key]}\n")
