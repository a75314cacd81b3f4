"""The clock that a hotline's norm starts: which confirmed files are still where they were, and since when.

A file is open from the first finding that left it in place (reported, or an action that failed) until a run takes it, or a
complete scan of the same root meets it no more. One that could not be looked at again (it, or a folder above it, is skipped or
unreadable) stays open. Files that are held are not here: the vault has a case for each. Full matches of active entries only.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import StateError
from hashscan.model import Action, Grade, Json, Standing
from hashscan.report.escape import unescape
from hashscan.report.fields import number, rows, table, text
from hashscan.strict_json import StrictJsonError, parse_object

if TYPE_CHECKING:  # status only looks at what events had left open
    from hashscan.model import Event

FILE = "open.json"
MOST = 2000  # are told apart; more are only counted
_MAX_BYTES = 16 << 20
_LEFT_OPEN = (Action.REPORTED, Action.FAILED)


@dataclass(frozen=True, slots=True)
class Open:
    """How many files are open, and since when the oldest is (seconds since 1970; None where none is)."""

    count: int = 0
    oldest: float | None = None


def read(folder: Path) -> Open:
    """What is open by the file in the state folder ``folder``. Raises `StateError`."""
    kept = _load(folder / FILE)
    times = [since for since in (_seconds(row) for row in rows(kept, "open")) if since > 0]
    return Open(len(rows(kept, "open")) + number(kept, "more"), min(times, default=None))


def _seconds(row: Mapping[str, Json]) -> float:
    value = row.get("since")
    return float(value) if isinstance(value, (int, float)) else 0.0


def _load(path: Path) -> Mapping[str, Json]:
    try:
        with path.open("rb") as stream:
            return parse_object(stream.read(_MAX_BYTES + 1), max_bytes=_MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise StateError(f"cannot read {path}: {error.strerror}", hint="are you root?") from None
    except StrictJsonError as error:
        raise StateError(f"{path} is damaged: {error}", hint="remove it: the next scan finds again what is open") from None


class OpenFindings:
    """Hears a run and keeps the file in ``folder`` up to date. ``clock`` is seconds since 1970.

    ``looks``: the run that is heard does not walk, so that it is looked at each place whether anything is there.
    """

    def __init__(self, folder: Path, clock: Callable[[], float], *, looks: bool = False) -> None:
        self._looks = looks
        self._folder = folder
        self._clock = clock
        self._since: dict[str, float] | None = None
        self._more = 0
        self._roots: list[str] = []
        self._seen: set[str] = set()
        self._above: frozenset[str] = frozenset()
        self._blocked: set[str] = set()
        self._concerned: set[str] = set()

    def tell(self, event: Event) -> None:
        """Hear one event. Raises `StateError`. A run that could not begin has changed nothing."""
        if event.type == "exit_error" and self._since is None:
            return
        since = self._known()
        path = text(event.data, "path")
        if event.type == "scan_start":
            self._roots = [text(root, "path") for root in rows(event.data, "roots")]
        elif event.type == "finding":
            if text(event.data, "grade") == Grade.MATCH and text(event.data, "standing") == Standing.ACTIVE:
                self._concerned.add(path)
        elif event.type == "action":
            self._acted(event, path)
        elif event.type in ("skipped", "error") and path in self._above:
            self._blocked.add(path)
        elif event.type == "summary":
            self._close(event, since)
            self._store(since)
        elif event.type == "exit_error":
            self._store(since)

    def _known(self) -> dict[str, float]:
        if self._since is None:
            kept = _load(self._folder / FILE)
            self._since = {text(row, "path"): _seconds(row) for row in rows(kept, "open")}
            self._above = frozenset(above for path in self._since for above in _ancestors(path))
        return self._since

    def _acted(self, event: Event, path: str) -> None:
        since = self._known()
        if path not in self._concerned:
            return
        self._concerned.discard(path)
        if text(event.data, "action") not in _LEFT_OPEN:
            since.pop(path, None)
            return
        self._seen.add(path)
        if path not in since and len(since) >= MOST:
            self._more += 1
        else:
            since.setdefault(path, self._clock())

    def _close(self, event: Event, since: dict[str, float]) -> None:
        """After a complete walk, what was not met again is gone."""
        if self._looks:
            for path in [path for path in since if _is_gone(path)]:
                del since[path]
            return
        walked = event.data.get("complete") is True and number(table(event.data, "paths"), "seen") > 0
        if not walked:
            return
        for path in [path for path in since if path not in self._seen and self._was_walked(path)]:
            del since[path]

    def _was_walked(self, path: str) -> bool:
        above = set(_ancestors(path))
        return any(root in above for root in self._roots) and self._blocked.isdisjoint(above)

    def _store(self, since: dict[str, float]) -> None:
        if not since and not (self._folder / FILE).exists():
            return
        still = [{"path": path, "since": round(seen, 3)} for path, seen in since.items()]
        try:
            make_private_directory(self._folder)
            write_bytes(self._folder / FILE, json.dumps({"open": still, "more": self._more}).encode("ascii"))
        except OSError as error:
            raise StateError(
                f"{self._folder / FILE} cannot be written: {error.strerror}", hint="check rights and disk"
            ) from None


def _is_gone(path: str) -> bool:
    """Whether nothing has this name any more; a path that cannot be told from what is shown of it may be there."""
    try:
        os.lstat(unescape(path))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _ancestors(path: str) -> Iterator[str]:
    """The path itself and every folder above it."""
    while True:
        yield path
        above = os.path.dirname(path)
        if above == path:
            return
        path = above
