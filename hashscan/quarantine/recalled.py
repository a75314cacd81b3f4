"""All cases for somebody who asks every minute: what has not changed since it was read is remembered in the cache folder.

A record is never written in place: each step puts a new file under its name (`atomic.replace_file`), so that inode, size and
times say whether it is the one that was read. 5,000 records take half a second to read and check, and 30 ms to look at. A memo
that is missing, damaged or of another form is a memo of nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from hashscan.atomic import write_bytes
from hashscan.errors import QuarantineError
from hashscan.model import Case, CaseState

MEMO = "cases.json"
_FORMAT = 1
_MAX_BYTES = 64 << 20
_CASE_ID = re.compile(r"[0-9a-f]{16}")

_STATES = {one.value: one for one in CaseState}


class Brief(NamedTuple):
    """What is remembered of a case: nothing that names its file. Made five times as fast as a `Case`."""

    id: str
    state: CaseState
    size: int
    entry: str
    list_id: str
    verdict_id: str
    opened: float


Key: TypeAlias = list[int]
"""Inode, size, mtime and ctime of a record."""
Read: TypeAlias = Callable[[Sequence[str]], Sequence[Case]]
"""Reads the records of some cases."""


def recalled(vault: Path, cache: Path, read: Read) -> list[Brief]:
    """The cases in ``vault``, the oldest first, without names of files; ``read`` is asked about those that have changed.

    Raises `QuarantineError` where the vault cannot be read. The memo is written where ``cache`` is there and can be written.
    """
    keys = _keys(vault / "cases")
    memo = _load(cache / MEMO) if keys else {}
    known = {case_id: case for case_id, key in keys.items() if (case := _case(case_id, key, memo.get(case_id))) is not None}
    fresh = (
        [_brief(case) for case in read([case_id for case_id in keys if case_id not in known])] if len(known) < len(keys) else []
    )
    if fresh:
        rows = {case_id: memo[case_id] for case_id in known} | {case.id: _row(case, keys[case.id]) for case in fresh}
        _store(cache / MEMO, {case_id: row for case_id, row in rows.items() if row is not None})
    return sorted([*known.values(), *fresh], key=lambda case: (case.opened, case.id))


def _keys(folder: Path) -> dict[str, Key]:
    """What tells each record from another one; zeros for a case that has none."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise QuarantineError(f"the vault {folder.parent} cannot be read: {error.strerror}") from error
    try:
        return {name: _key(f"{name}/record.json", fd) for name in sorted(os.listdir(fd)) if _CASE_ID.fullmatch(name)}
    finally:
        os.close(fd)


def _key(path: str, folder: int) -> Key:
    try:
        status = os.stat(path, dir_fd=folder)
    except OSError:  # whoever reads it says what is wrong
        return [0, 0, 0, 0]
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _brief(case: Case) -> Brief:
    return Brief(case.id, case.state, case.size, case.entry, case.list_id, case.verdict_id, case.opened)


def _row(case: Brief, key: Key) -> list[Any] | None:
    """What is remembered of a case; nothing of one that is damaged: it is looked at each time."""
    if case.state is CaseState.DAMAGED or not any(key):
        return None
    return [key, case.state.value, case.size, case.entry, case.list_id, case.verdict_id, case.opened]


def _case(case_id: str, key: Key, row: Any) -> Brief | None:
    """The case in a row of the memo, where the row is about the record that is there now."""
    with suppress(ValueError, TypeError, KeyError):
        was, state, *texts, opened = row
        size, entry, list_id, verdict_id = texts
        if was == key:
            return Brief(case_id, _STATES[state], int(size), str(entry), str(list_id), str(verdict_id), float(opened))
    return None


def _load(path: Path) -> Mapping[str, Any]:
    with suppress(OSError, ValueError, RecursionError), path.open("rb") as stream:
        document = json.loads(stream.read(_MAX_BYTES))
        if isinstance(document, dict) and document.get("format") == _FORMAT and isinstance(document.get("cases"), dict):
            cases: dict[str, Any] = document["cases"]
            return cases
    return {}


def _store(path: Path, rows: Mapping[str, Any]) -> None:
    with suppress(OSError):  # a cache that cannot be written costs the next one time
        write_bytes(path, json.dumps({"format": _FORMAT, "cases": rows}).encode("ascii"))
