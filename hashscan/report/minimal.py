"""What may leave this host: counts and ids. No path, no digest, no name of a customer, no free text that may hold one.

This is a list of what is let through, not of what is held back: a field that is added to an event stays here until somebody
puts it into the table. ``alerts.detail = "full"`` lets everything through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from hashscan.model import Event, Json
from hashscan.report.fields import LOCAL

Detail: TypeAlias = Callable[[Event], Event | None]
"""What a sink is told of an event; None: nothing."""

_VERDICT = ("list", "entry", "verdict_id")
_COUNTS = ("directories", "bytes_hashed", "paths", "candidates", "findings", "actions", "sink_failures")
_STOPPED = ("complete", "stopped", "stopped_by", "rested", "refused", "filter_problem", "stale")
_ENDED = ("exit_code", "seconds", "unsettled_cases", *_STOPPED)
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "scan_start": ("mode", "lists", "version"),
    "finding": (*_VERDICT, "source", "grade", "standing", "act"),
    "action": (*_VERDICT, "action", "case_id"),
    "pending": ("lists",),
    "recovered": ("case_id", "outcome"),
    "withdrawn": ("list", "entries", "new", "cases"),
    "summary": (*_ENDED, *_COUNTS),
    "exit_error": ("error", "exit_code"),
    "test": (),
}


def minimal(event: Event) -> Event | None:
    """Counts and ids of the event; None where nothing would be left to tell."""
    allowed = ALLOWED.get(event.type)
    if allowed is None:
        return None
    data: dict[str, Json] = {key: event.data[key] for key in allowed if key in event.data}
    listed = data.get("list")
    if isinstance(listed, Mapping) and str(listed.get("id", "")).startswith(LOCAL):
        data["list"], data["entry"] = {**listed, "id": f"{LOCAL}list"}, ""
    return Event(event.type, data)


def full(event: Event) -> Event | None:
    """Everything but what is for screens only."""
    return None if event.type in ("progress", "status", "check", "case") else event
