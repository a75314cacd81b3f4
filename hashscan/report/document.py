"""The document of a run on its way to a reader: made of saved events, and without the names of files unless asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from hashscan.errors import UsageError
from hashscan.model import Event, Json
from hashscan.report.fields import rows, table
from hashscan.report.ndjson import ENVELOPE
from hashscan.report.ndjson import SCHEMA as EVENT_SCHEMA
from hashscan.report.recorder import SCHEMA, Recorder, RunHead
from hashscan.strict_json import StrictJsonError, parse_object

MAX_LINE_BYTES = 4 << 20
_NAMED = ("path", "path_b64", "tenant", "uid")
_HIDDEN = ("findings", "pending")
_TENANTS = "tenants"
_SHORT_ENTRY = len("sha256:") + 8


def disclosed(document: Mapping[str, Json], *, names: bool) -> dict[str, Json]:
    """The document as it may be shown: file names and owners of findings and of waiting candidates only with ``names``.

    What was not looked at is named always: somebody has to look. The result says what it is by ``names``.
    """
    told: dict[str, Json] = {**document, "names": names}
    if names:
        return told
    for key in _HIDDEN:
        part = table(document, key)
        told[key] = {**part, "rows": [_nameless(row) for row in rows(part, "rows")]}
    summary = document.get("summary")
    if isinstance(summary, Mapping):
        told["summary"] = {**summary, _TENANTS: []}
    return told


def _nameless(row: Mapping[str, Json]) -> dict[str, Json]:
    """Free text stays out too: a reason may repeat a name. The entry of a plain list is a digest: some digits do."""
    kept = {key: value for key, value in row.items() if key not in _NAMED and key not in ("reason", "action_reason")}
    if row.get("source") == "local":
        kept["entry"] = f"{str(row.get('entry'))[:_SHORT_ENTRY]}..."
    return kept


def fingerprint(document: Mapping[str, Json]) -> str:
    """SHA-256 (hex) of the document as ``report --format json`` prints it, so that paper and file can be compared."""
    return hashlib.sha256(as_json(document).encode()).hexdigest()


def as_json(document: Mapping[str, Json]) -> str:
    """The document as text: keys in their order, indented, pure ASCII, one line end."""
    return json.dumps(document, indent=2) + "\n"


def from_events(lines: Iterable[bytes], source: str) -> dict[str, Json]:
    """The document of a run whose events were saved (``scan --json > FILE``). Raises `UsageError` naming the line."""
    kept: list[Mapping[str, Json]] = []
    recorder, now = None, [0.0]
    for number, line in enumerate(lines, 1):
        record = _record(line, f"{source}, line {number}")
        now[0] = _seconds(record, f"{source}, line {number}")
        if recorder is None:
            recorder = Recorder(_head(record, now[0]), lambda: now[0], kept.append)
        recorder.tell(Event(str(record["type"]), {key: value for key, value in record.items() if key not in ENVELOPE}))
    if recorder is None:
        raise UsageError(f"{source} holds no event", hint="save some with 'hashscan scan --json ... > FILE'")
    return recorder.document()


def _record(line: bytes, where: str) -> dict[str, Any]:
    try:
        record = parse_object(line, max_bytes=MAX_LINE_BYTES)
    except StrictJsonError as error:
        raise UsageError(f"{where}: {error}", hint="the output of 'hashscan scan --json' is wanted") from None
    if record.get("schema") != EVENT_SCHEMA or not isinstance(record.get("type"), str):
        raise UsageError(f"{where} is no event of this version", hint=f"events say schema {EVENT_SCHEMA}")
    return record


def _seconds(record: Mapping[str, Any], where: str) -> float:
    try:
        return datetime.fromisoformat(str(record.get("time"))).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(f"{where} has no time") from None


def _head(record: Mapping[str, Any], began: float) -> RunHead:
    settings = table(record, "settings")
    command = "recheck" if settings.get("recheck") is True else "scan"
    return RunHead(str(record.get("run_id", "")), str(record.get("host", "")), command, began)


def require(document: Mapping[str, Any], where: str) -> None:
    """Refuse what is no document of this version. Raises `UsageError`."""
    if document.get("schema") != SCHEMA:
        raise UsageError(f"{where} is no report of this version", hint=f"reports say schema {SCHEMA}")
