"""Our events in the words of the Elastic Common Schema, 9.4 (https://www.elastic.co/docs/reference/ecs).

What it has no field for stands below ``hashscan``, as ECS wants of a product's own fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hashscan import __version__
from hashscan.model import Algorithm, Event, Json
from hashscan.report.fields import number, table, text
from hashscan.report.ndjson import ENVELOPE
from hashscan.report.severity import severity

VERSION = "9.4.0"
_HASHES = (Algorithm.MD5, Algorithm.SHA1, Algorithm.SHA256)  # the algorithms that ECS has fields for
Record = Mapping[str, Json]


def as_ecs(record: Record) -> dict[str, Json]:
    """One record of ours as an ECS document."""
    kind = text(record, "type")
    category, types, outcome = _event(kind, record)
    grave = severity(Event(kind, record))
    document: dict[str, Json] = {
        "@timestamp": record["time"],
        "ecs": {"version": VERSION},
        "message": _message(kind, record),
        "event": {
            "kind": "alert" if kind == "finding" else "event",
            "category": [category],
            "type": list(types),
            "outcome": outcome,
            "action": f"hashscan-{kind.replace('_', '-')}",
            "module": "hashscan",
            "dataset": "hashscan.event",
            "provider": "hashscan",
            "severity": int(grave),
            "sequence": number(record, "seq"),
        },
        "log": {"level": grave.name.lower()},
        "host": {"name": text(record, "host"), "hostname": text(record, "host")},
        "observer": {"product": "hashscan", "type": "hash-scanner", "version": __version__},
        "hashscan": {"run_id": record["run_id"], **_rest(record)},
    }
    for name, make in _PARTS.items():
        if part := make(record):
            document[name] = part
    return document


def _event(kind: str, record: Record) -> tuple[str, tuple[str, ...], str]:
    """Category, types and outcome, of those that ECS allows together."""
    done = text(record, "action")
    if kind == "finding":
        return "file", ("info",), "success"
    if kind == "action":
        return "file", ("deletion",) if done == "quarantined" else ("info",), "failure" if done == "failed" else "success"
    if kind in ("error", "skipped"):
        return "file", ("access",), "failure"
    types = {"scan_start": ("start",), "summary": ("end",), "exit_error": ("end",)}.get(kind, ("info",))
    ended_badly = kind == "exit_error" or (kind == "summary" and record.get("complete") is not True)
    return "host", types, "failure" if ended_badly else "success"


def _message(kind: str, record: Record) -> str:
    said = {"finding": "a file is on a hash list", "action": text(record, "action"), "exit_error": text(record, "message")}
    return f"hashscan: {said.get(kind) or kind.replace('_', ' ')}"


def _file(record: Record) -> dict[str, Json]:
    if not text(record, "path"):
        return {}
    digests = table(record, "digests")
    hashes: dict[str, Json] = {one.value: digests[one.value] for one in _HASHES if one.value in digests}
    size: dict[str, Json] = {"size": record["size"]} if "size" in record else {}
    owner: dict[str, Json] = {"uid": text(record, "uid")} if "uid" in record else {}
    return {"path": text(record, "path"), **size, **owner, **({"hash": hashes} if hashes else {})}


def _rule(record: Record) -> dict[str, Json]:
    listed = table(record, "list")
    if not text(record, "entry") and not listed:
        return {}
    entry: dict[str, Json] = {"id": text(record, "entry")} if text(record, "entry") else {}
    return {**entry, "ruleset": text(listed, "id"), "version": text(listed, "version")}


def _error(record: Record) -> dict[str, Json]:
    if record.get("type") == "error":
        return {"code": text(record, "errno")}
    if record.get("type") != "exit_error":
        return {}
    message: dict[str, Json] = {"message": text(record, "message")} if "message" in record else {}
    return {"type": text(record, "error"), "code": text(record, "exit_code"), **message}


_PARTS: Mapping[str, Callable[[Record], dict[str, Json]]] = {"file": _file, "rule": _rule, "error": _error}
_MAPPED = frozenset({"path", "size", "uid", "digests", "entry", "errno", "message"})


def _rest(record: Record) -> dict[str, Json]:
    """What has no field in ECS; digests by an algorithm that it does not know among them."""
    rest = {key: value for key, value in record.items() if key not in ENVELOPE and key not in _MAPPED}
    others = {key: value for key, value in table(record, "digests").items() if key not in _HASHES}
    return {**rest, **({"digests": others} if others else {})}
