"""Our events as classes of the Open Cybersecurity Schema Framework, 1.7 (https://schema.ocsf.io/1.7.0).

===================  ====================================================================
event                class
===================  ====================================================================
finding, action      Detection Finding (2004): created by the finding, updated by the action
scan_start, summary  Scan Activity (6007): started, completed, cancelled
exit_error           Scan Activity (6007): error
all others           Base Event (0)
===================  ====================================================================

What a class has no attribute for is in ``unmapped``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from hashscan import __version__
from hashscan.model import Event, Json
from hashscan.report.fields import number, table, text
from hashscan.report.ndjson import ENVELOPE
from hashscan.report.severity import Severity, severity

VERSION = "1.7.0"
FINDING, SCAN, BASE = 2004, 6007, 0
_CATEGORY = {FINDING: 2, SCAN: 6, BASE: 0}
_ALGORITHMS = {"md5": (1, "MD5"), "sha1": (2, "SHA-1"), "sha256": (3, "SHA-256")}
_OTHER = 99
_SEVERITY = {
    Severity.CRITICAL: 5,
    Severity.ERROR: 4,
    Severity.WARNING: 3,
    Severity.NOTICE: 2,
    Severity.INFO: 1,
    Severity.DEBUG: 1,
}
_REGULAR_FILE = 1
_SERVER = 1
Record = Mapping[str, Json]


def as_ocsf(record: Record) -> dict[str, Json]:
    """One record of ours as an OCSF event."""
    kind = text(record, "type")
    make = _MAKE.get(kind, _base)
    class_uid, activity, data = make(record)
    return {
        "class_uid": class_uid,
        "category_uid": _CATEGORY[class_uid],
        "activity_id": activity,
        "activity_name": kind,
        "type_uid": class_uid * 100 + activity,
        "severity_id": _SEVERITY[severity(Event(kind, record))],
        "time": _milliseconds(text(record, "time")),
        "metadata": {
            "version": VERSION,
            "profiles": ["host"],
            "product": {"name": "hashscan", "vendor_name": "hashscan", "version": __version__},
            "uid": f"{text(record, 'run_id')}-{number(record, 'seq')}",
            "sequence": number(record, "seq"),
            "log_name": kind,
            "original_time": text(record, "time"),
        },
        **data,
        "unmapped": {key: value for key, value in record.items() if key not in ENVELOPE and key not in _MAPPED},
    }


_MAPPED = frozenset({"path", "path_b64", "digests", "size", "uid"})
Made = tuple[int, int, dict[str, Json]]


def _finding(record: Record) -> Made:
    created = text(record, "type") == "finding"
    listed = table(record, "list")
    info: dict[str, Json] = {
        "uid": "/".join(text(one, key) for one, key in ((listed, "id"), (record, "entry"), (record, "verdict_id"))),
        "title": "A file is on a hash list",
        "analytic": {"name": text(listed, "id"), "version": text(listed, "version"), "type_id": 1, "type": "Rule"},
        "types": [said for said in (text(record, "grade"), text(record, "action")) if said],
    }
    data: dict[str, Json] = {"finding_info": info, "is_alert": created, "device": _device(record)}
    if file := _file(record):
        data["evidences"] = [{"file": file}]
    return FINDING, 1 if created else 2, data


def _device(record: Record) -> dict[str, Json]:
    return {"hostname": text(record, "host"), "type_id": _SERVER}


def _file(record: Record) -> dict[str, Json]:
    path = text(record, "path")
    if not path:
        return {}
    hashes: list[Json] = [_fingerprint(name, str(value)) for name, value in table(record, "digests").items()]
    size: dict[str, Json] = {"size": number(record, "size")} if "size" in record else {}
    return {"name": path.rpartition("/")[2] or path, "path": path, "type_id": _REGULAR_FILE, "hashes": hashes, **size}


def _fingerprint(name: str, value: str) -> dict[str, Json]:
    number_, shown = _ALGORITHMS.get(name, (_OTHER, name))
    return {"algorithm_id": number_, "algorithm": shown, "value": value}


def _scan(record: Record) -> Made:
    scan: dict[str, Json] = {"uid": text(record, "run_id"), "type_id": 0}
    data: dict[str, Json] = {"scan": scan, "device": _device(record)}
    if text(record, "type") == "scan_start":
        return SCAN, 1, data
    if text(record, "type") == "exit_error":
        return SCAN, 6, {**data, "status_code": text(record, "exit_code"), "status_id": 2}
    paths, candidates, actions = (table(record, key) for key in ("paths", "candidates", "actions"))
    counts: dict[str, Json] = {
        "num_files": sum(number(paths, key) for key in ("scanned", "cached", "by_size")),
        "num_folders": number(record, "directories"),
        "num_skipped_items": _total(table(paths, "skipped")) + _total(table(paths, "errors")),
        "num_detections": number(candidates, "findings"),
        "num_resolutions": number(actions, "quarantined"),
        "total": number(paths, "seen"),
        "status_code": text(record, "exit_code"),
        "status_id": 1 if record.get("complete") is True else 2,
    }
    return SCAN, 3 if record.get("stopped") is True else 2, {**data, **counts}


def _total(counts: Record) -> int:
    return sum(number(counts, name) for name in counts)


def _base(_record: Record) -> Made:
    return BASE, _OTHER, {}


_MAKE: Mapping[str, Callable[[Record], Made]] = {
    "finding": _finding,
    "action": _finding,
    "scan_start": _scan,
    "summary": _scan,
    "exit_error": _scan,
}


def _milliseconds(rfc3339: str) -> int:
    return round(datetime.fromisoformat(rfc3339).timestamp() * 1000)
