"""One agent's trust in one hotline: what it believes, what it keeps, and how it may be attacked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from hashscan.errors import FilterError
from hashscan.known.trust import TufTrust, may_replace
from hashscan.model import Lists
from hashscan.ports import Fetcher
from tests.support.hotline import NOW, Hotline
from tests.support.repository import Repository


class Agent:
    """Refreshes like a sync does: what was refreshed must be allowed to replace what is held."""

    def __init__(self, folder: Path, hotline: Hotline, now: float = NOW) -> None:
        self.folder, self.hotline, self.now = folder, hotline, now
        self.held: Lists | None = None

    @property
    def trust(self) -> TufTrust:
        """A new one each time, as each run has: nothing is remembered but on the disk."""
        return TufTrust(self.hotline.root, self.hotline.provider, self.folder, clock=lambda: self.now)

    def refresh(self, fetcher: Fetcher | None = None) -> Lists:
        offered = self.trust.refresh(fetcher or self.hotline)
        may_replace(self.held, offered, self.now)
        self.held = offered
        return offered

    def refusal(self, fetcher: Fetcher | None = None) -> str:
        """What it says when it refuses, "" when it believes; it must hold what it held."""
        before = self.held
        try:
            self.refresh(fetcher)
        except FilterError as error:
            assert self.held is before
            return str(error)
        return ""


class Tampering:
    """A fetcher that changes the bytes of files on their way."""

    def __init__(self, inner: Fetcher, change: Callable[[str, bytes], bytes]) -> None:
        self._inner, self._change = inner, change
        self.names: list[str] = []

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        self.names.append(name)
        yield self._change(name, b"".join(self._inner.fetch(name, max_bytes=max_bytes)))


def with_keys(hotline: Hotline, repository: Repository) -> Hotline:
    """The hotline, with metadata signed by the keys of ``repository``."""
    hotline.repository = repository
    hotline.files = repository.files
    return hotline
