"""What is kept of a run, so that a report can be made of it later: one document, bounded in every direction.

The document is what ``schema/report.schema.json`` describes. It is a `ports.Reporter` that hears the events of a run as they
are told; lists that grow with the tree are cut, and what was cut is counted. Digests are not kept: the vault has those of its
cases, and a history of digests would be a hash list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hashscan import __version__
from hashscan.errors import ExitCode, HashscanError
from hashscan.model import Event, Json
from hashscan.report.fields import number, table
from hashscan.report.timeline import Timeline
from hashscan.units import rfc3339

SCHEMA = "hashscan.report/1"
MOST_FINDINGS = 2000
MOST_PATHS = 1000  # skipped and unreadable ones together
MOST_PENDING = 1000
MOST_NOTES = 200
MOST_NAME = 1024  # characters of a name

_FINDING = ("size", "uid", "tenant", "source", "list", "entry", "grade", "standing", "category", "act", "reason", "verdict_id")
_NO_RUN = (ExitCode.USAGE, ExitCode.INCOMPLETE)
_BEGINNING = ("roots", "mode", "lists", "version", "settings")


@dataclass(frozen=True, slots=True)
class RunHead:
    """What a run is: its id, its host, the command ("scan", "recheck", "confirm"), when it began (seconds since 1970)."""

    run_id: str
    host: str
    command: str
    started: float


@dataclass(slots=True)
class Rows:
    """The first ``most`` rows of a list, and how many there were in all."""

    most: int
    kept: list[dict[str, Json]] = field(default_factory=list)
    total: int = 0

    def add(self, row: dict[str, Json]) -> bool:
        """Keep one more; whether there was room."""
        self.total += 1
        room = self.total <= self.most
        if room:
            self.kept.append(row)
        return room

    def told(self) -> dict[str, Json]:
        """As it stands in the document."""
        return {"total": self.total, "cut": self.total - len(self.kept), "rows": list(self.kept)}


class Recorder:
    """Hears a run and makes the document of it. ``clock`` is seconds since 1970; ``keep`` is given the document, twice.

    First when the run begins, so that one which is killed is known of, then at its end. A command that could not begin, because
    it was typed or configured wrongly or has no state to work with, leaves nothing behind.
    """

    def __init__(self, head: RunHead, clock: Callable[[], float], keep: Callable[[Mapping[str, Json]], None]) -> None:
        self._head = head
        self._clock = clock
        self._keep = keep
        self._heard = False
        self._begun: dict[str, Json] = {}
        self._end: Mapping[str, Json] = {}
        self._error: dict[str, Json] | None = None
        self._ended: float | None = None
        self._findings = Rows(MOST_FINDINGS)
        self._missed = Rows(MOST_PATHS)
        self._pending = Rows(MOST_PENDING)
        self._notes = Rows(MOST_NOTES)
        self._latest: dict[str, Json] | None = None
        self._timeline = Timeline()
        self._hears: Mapping[str, Callable[[Mapping[str, Json]], None]] = {
            "scan_start": self._start,
            "finding": self._finding,
            "action": self._action,
            "skipped": self._skipped,
            "error": self._unreadable,
            "pending": self._waits,
            "warning": self._note,
            "recovered": self._recovered,
            "progress": self._progress,
        }

    def tell(self, event: Event) -> None:
        """Hear one event. Raises what ``keep`` raises."""
        if event.type == "exit_error" and not self._heard:
            if number(event.data, "exit_code") not in _NO_RUN:
                with suppress(HashscanError):  # why it could not begin is told; mostly this is the same trouble once more
                    self._finish(event)
            return
        self._heard = True
        if event.type in ("summary", "exit_error"):
            self._finish(event)
        elif hear := self._hears.get(event.type):
            hear(event.data)

    def document(self) -> dict[str, Json]:
        """The document as far as it is known."""
        head, now = self._head, self._ended
        return {
            "schema": SCHEMA,
            "run_id": head.run_id,
            "host": head.host,
            "command": head.command,
            "started": rfc3339(head.started),
            "started_seconds": round(head.started, 3),
            "ended": None if now is None else rfc3339(now),
            "seconds": None if now is None else round(max(now - head.started, 0.0), 3),
            "roots": self._begun.get("roots", []),
            "mode": self._begun.get("mode", ""),
            "lists": self._begun.get("lists", []),
            "version": self._begun.get("version", __version__),
            "settings": self._begun.get("settings", {}),
            "complete": self._end.get("complete") is True,
            "exit_code": None if now is None else number(self._error or self._end, "exit_code"),
            "summary": dict(self._end) if self._end else None,
            "error": self._error,
            "findings": self._findings.told(),
            "not_looked_at": self._missed.told(),
            "pending": self._pending.told(),
            "notes": self._notes.told(),
            "timeline": self._timeline.told(),
        }

    def _start(self, data: Mapping[str, Json]) -> None:
        self._begun = {key: data[key] for key in _BEGINNING if key in data}
        self._keep(self.document())

    def _finding(self, data: Mapping[str, Json]) -> None:
        row = {**{key: data.get(key) for key in _FINDING}, "action": "", "case_id": "", "action_reason": "", **_name(data)}
        self._latest = row if self._findings.add(row) else None

    def _action(self, data: Mapping[str, Json]) -> None:
        """The action follows its finding."""
        row = self._latest
        if row is not None and row["entry"] == data.get("entry") and row["path"] == _name(data)["path"]:
            row["action"], row["case_id"], row["action_reason"] = (data.get(key) for key in ("action", "case_id", "reason"))

    def _skipped(self, data: Mapping[str, Json]) -> None:
        self._missed.add({"kind": "skipped", "reason": data.get("reason"), "detail": data.get("detail"), **_name(data)})

    def _unreadable(self, data: Mapping[str, Json]) -> None:
        self._missed.add({"kind": "error", "reason": data.get("errno"), "detail": data.get("detail"), **_name(data)})

    def _waits(self, data: Mapping[str, Json]) -> None:
        self._pending.add({"reason": data.get("reason"), "lists": data.get("lists"), **_name(data)})

    def _note(self, data: Mapping[str, Json]) -> None:
        self._notes.add({"message": _cut(data.get("message")), **_name(data)})

    def _recovered(self, data: Mapping[str, Json]) -> None:
        said = f"case {data.get('case_id')} of an earlier run: {data.get('outcome')} {data.get('detail')}"
        self._notes.add({"message": _cut(said), "path": ""})

    def _progress(self, data: Mapping[str, Json]) -> None:
        self._timeline.add(self._clock() - self._head.started, table(data, "paths"), number(data, "bytes_hashed"))

    def _finish(self, event: Event) -> None:
        self._ended = self._clock()
        if event.type == "summary":
            self._end = event.data
        else:
            self._error = dict(event.data)
        self._keep(self.document())


def _name(data: Mapping[str, Json]) -> dict[str, Json]:
    """The name in an event, cut where it is very long; such a name has no bytes beside it."""
    path = str(data.get("path", ""))
    if len(path) > MOST_NAME:
        return {"path": _cut(path)}
    return {"path": path, **({"path_b64": data["path_b64"]} if "path_b64" in data else {})}


def _cut(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= MOST_NAME else f"{text[:MOST_NAME]}[...]"
