"""Pages of a source on disk, until all are there and were imported in one step: a fetch that was stopped goes on where it was.

::

    DATA/feeds/LIST.DIGEST/    0700
      lock
      fetch.json               what is fetched, how many pages are here, where the next one is
      N.page                   0600
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashscan.atomic import make_private_directory, replace_file, write_bytes
from hashscan.errors import HashscanError, LockedError
from hashscan.strict_json import Fields, StrictJsonError, parse_object

_MAX_STATE_BYTES = 16_384
_MAX_PAGES = 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What one fetch is to bring: what has changed between two times (seconds since 1970) at an address."""

    url: str
    since: float
    until: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a fetch is: ``pages`` are here, the next is at ``next_path`` ("": there is none, all are here)."""

    plan: Plan
    pages: int
    next_path: str


class Spool:
    """The folder of one source of one list. Use it inside `held`."""

    def __init__(self, data: Path, list_id: str, source: str) -> None:
        self.folder = data / "feeds" / f"{list_id}.{hashlib.sha256(source.encode()).hexdigest()[:16]}"
        self._state = self.folder / "fetch.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """One fetch of a source at a time. Raises `LockedError`, `HashscanError` (the disk)."""
        try:
            make_private_directory(self.folder)
            fd = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise HashscanError(f"cannot write {self.folder}: {error.strerror}") from None
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise LockedError("another fetch of this source runs", hint="wait until it has ended") from None
            yield
        finally:
            os.close(fd)

    def progress(self) -> Progress | None:
        """How far an earlier fetch came; None where there was none, or it cannot be read."""
        try:
            with self._state.open("rb") as stream:
                fields = Fields(parse_object(stream.read(_MAX_STATE_BYTES), max_bytes=_MAX_STATE_BYTES), "fetch.json")
            plan = Plan(fields.text("url", max_chars=2048), fields.number("since"), fields.number("until"))
            pages = fields.integer("pages", high=_MAX_PAGES)
            found = Progress(plan, pages, fields.text("next", max_chars=4096, min_chars=0))
        except (FileNotFoundError, StrictJsonError):
            return None
        return found if all(path.is_file() for path in self.paths(pages)) else None

    def paths(self, pages: int) -> list[Path]:
        """The files of the first ``pages`` pages."""
        return [self.folder / f"{number}.page" for number in range(1, pages + 1)]

    def begin(self, plan: Plan, path: str) -> Progress:
        """Forget what is here and start anew."""
        self.clear()
        return self.note(Progress(plan, 0, path))

    def note(self, progress: Progress) -> Progress:
        """Make it durable how far we are; after the page itself."""
        plan = progress.plan
        state = {"url": plan.url, "since": plan.since, "until": plan.until}
        write_bytes(self._state, json.dumps({**state, "pages": progress.pages, "next": progress.next_path}).encode())
        return progress

    def saver(self, path: Path) -> Callable[[Iterator[bytes]], None]:
        """What writes one page into ``path``."""

        def save(pieces: Iterator[bytes]) -> None:
            with replace_file(path) as stream:
                for piece in pieces:
                    stream.write(piece)

        return save

    def clear(self) -> None:
        """Remove the state first, then the pages: what is left by a crash between is replaced."""
        self._state.unlink(missing_ok=True)
        for path in self.folder.iterdir():
            if path.name != "lock":
                path.unlink()
