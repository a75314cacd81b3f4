"""A host that syncs from the hotline in memory, and fetchers that break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hashscan.jobs.selftest import require_self_test
from hashscan.jobs.sync import SyncTools, sync
from hashscan.known.keys import KeyRing
from hashscan.known.shelf import Shelf
from hashscan.known.trust import TufTrust
from hashscan.model import Case, ListRef, Lists, VerdictKey
from hashscan.ports import Fetcher
from tests.support.acting import Told
from tests.support.hotline import NOW, Hotline, Known, hashed

A1, A2, B1 = ListRef("a", 1, 1), ListRef("a", 2, 1), ListRef("b", 1, 1)
OLD, NEW = Known(b"harmless old"), Known(b"harmless new")


class Roomy(Hotline):
    """A hotline that keeps the capacity of its filters, so that deltas are possible."""

    def filter(self, reference: ListRef, known: Sequence[Known] | None = None, **changes: Any) -> bytes:
        entries = self.lists.get(reference, []) if known is None else known
        return super().filter(reference, known, **{"capacity": 2000 if len(entries) > 500 else 500, **changes})


class Host:
    """One shelf and what fills it."""

    def __init__(self, folder: Path, hotline: Hotline, ring: KeyRing | None = None) -> None:
        self.hotline, self.folder, self.told = hotline, folder, Told()
        self.shelf = Shelf(folder, hotline.trust(folder / "tuf"), ring or hotline.key)
        self.keys_for: Callable[[Sequence[VerdictKey], int], KeyRing] | None = None
        self.cases: list[Case] = []

    def sync(self, fetcher: Fetcher | None = None, now: float = NOW) -> Lists:
        return sync(self.tools(fetcher, now))

    def tools(self, fetcher: Fetcher | None = None, now: float = NOW) -> SyncTools:
        trust = TufTrust(self.hotline.root, self.hotline.provider, self.folder / "tuf", clock=lambda: now)
        using = fetcher or self.hotline
        return SyncTools(trust, using, self.shelf, self.told, lambda: now, self.keys_for, lambda: self.cases)

    def in_force(self) -> set[ListRef]:
        """The lists in force, each of which answers as it should."""
        lists = self.shelf.view(NOW, max_age=1e9).lists
        sieve = self.shelf.sieve(lists)
        require_self_test(sieve)
        found = {target.list for target in lists.targets}
        (old,) = sieve.candidates([hashed(OLD.content)])
        assert set(old.lists) == found
        assert bool(sieve.candidates([hashed(NEW.content)])) == (A2 in found)
        return found

    def names(self) -> set[str]:
        """The files of the shelf; what the trust works with and the clock are for their own tests."""
        return {path.name for path in self.folder.iterdir()} - {"tuf", "clock"}


class Broken:
    """A fetcher that breaks at the ``moment``-th piece that it hands over, in the way of ``how``."""

    def __init__(self, inner: Fetcher, moment: int, how: Callable[[bytes], bytes]) -> None:
        self._inner, self._moment, self._how = inner, moment, how
        self.pieces = 0

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        for piece in self._inner.fetch(name, max_bytes=max_bytes):
            self.pieces += 1
            yield self._how(piece) if self.pieces - 1 == self._moment else piece


def raising(error: BaseException) -> Callable[[bytes], bytes]:
    def how(piece: bytes) -> bytes:
        raise error

    return how
