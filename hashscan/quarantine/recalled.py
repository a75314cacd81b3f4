"""All cases for somebody who asks every minute: what has not changed since it was read is remembered in the cache folder.

A record is never written in place: each step puts a new file under its name (`atomic.replace_file`), so that its inode and its
ctime, which nobody can set, say whether it is the one that was read. 5,000 records take half a second to read and check, and
30 ms to look at. A memo that is missing, damaged or of another form is a memo of nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from hashscan.atomic import write_bytes
from hashscan.errors import QuarantineError
from hashscan.model import CaseState

if TYPE_CHECKING:  # status is asked every minute, and most often no record has changed
    from hashscan.model import Case

MEMO = "cases.json"
_FORMAT = 2
_TYPES = (str, int, int, str, str, str, float)  # id, inode and ctime of the record, state, entry, list, opened
_MAX_BYTES = 64 << 20
_CASE_ID = re.compile(r"[0-9a-f]{16}")

_STATES = {one.value: one for one in CaseState}


class Brief(NamedTuple):
    """What is remembered of a case: nothing that names its file. Made five times as fast as a `Case`."""

    id: str
    state: CaseState
    entry: str
    list_id: str
    opened: float


Key: TypeAlias = tuple[int, int]
"""Inode and ctime (nanoseconds) of a record; zeros where there is none."""
Read: TypeAlias = "Callable[[Sequence[str]], Sequence[Case]]"
"""Reads the records of some cases."""


def recalled(vault: Path, cache: Path, read: Read) -> list[Brief]:
    """The cases in ``vault``, the oldest first, without names of files; ``read`` is asked about those that have changed.

    Raises `QuarantineError` where the vault cannot be read. The memo is written where ``cache`` is there and can be written.
    """
    keys = _keys(vault / "cases")
    known = _known(keys, _load(cache / MEMO)) if keys else {}
    new = [case_id for case_id in keys if case_id not in known]
    if not new:
        return list(known.values())  # in the order of the memo
    fresh = [_brief(case) for case in read(new)]
    cases = sorted([*known.values(), *fresh], key=lambda case: (case.opened, case.id))
    _store(cache / MEMO, [(case, keys[case.id]) for case in cases])
    return cases


def _keys(folder: Path) -> dict[str, Key]:
    """What tells each record from another one."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise QuarantineError(f"the vault {folder.parent} cannot be read: {error.strerror}") from error
    try:
        return {name: _key(name + "/record.json", fd) for name in os.listdir(fd) if _CASE_ID.fullmatch(name)}
    finally:
        os.close(fd)


def _key(path: str, folder: int) -> Key:
    try:
        status = os.stat(path, dir_fd=folder)
    except OSError:  # whoever reads it says what is wrong
        return 0, 0
    return status.st_ino, status.st_ctime_ns


def _brief(case: Case) -> Brief:
    return Brief(case.id, case.state, case.entry, case.list_id, case.opened)


def _known(keys: Mapping[str, Key], columns: Sequence[Sequence[Any]]) -> dict[str, Brief]:
    """The cases that the memo tells of, in its order, where it is about the record that is there now."""
    with suppress(KeyError, ValueError):  # a state of another version; columns of different lengths
        return {
            case_id: Brief(case_id, _STATES[state], entry, list_id, opened)
            for case_id, inode, changed, state, entry, list_id, opened in zip(*columns, strict=True)
            if keys.get(case_id) == (inode, changed)
        }
    return {}


def _load(path: Path) -> Sequence[Sequence[Any]]:
    """The columns of the memo, each of the type that it has; none of another one."""
    with suppress(OSError, ValueError, RecursionError, KeyError, TypeError), path.open("rb") as stream:
        document = json.loads(stream.read(_MAX_BYTES))
        columns: list[list[Any]] = document["columns"]
        typed = all(set(map(type, column)) <= {kind} for column, kind in zip(columns, _TYPES, strict=True))
        if typed and document["format"] == _FORMAT:
            return columns
    return ()


def _store(path: Path, cases: Iterable[tuple[Brief, Key]]) -> None:
    """Remember these; not one that is damaged, which is looked at each time."""
    rows = [
        (case.id, *key, case.state.value, case.entry, case.list_id, case.opened)
        for case, key in cases
        if case.state is not CaseState.DAMAGED and any(key)
    ]
    document = {"format": _FORMAT, "columns": list(zip(*rows, strict=True))}
    with suppress(OSError):  # a cache that cannot be written costs the next one time
        write_bytes(path, json.dumps(document).encode("ascii"))
