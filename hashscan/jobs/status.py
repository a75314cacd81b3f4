"""Status: how this host stands, from its own state alone; the network is not asked."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import ExitCode, FilterError, HashscanError, StateError
from hashscan.jobs.running import Running
from hashscan.known.shelf import Shelf
from hashscan.model import WITHDRAWABLE, CaseState, Json, Target
from hashscan.quarantine.recalled import Brief
from hashscan.report.open_findings import Open
from hashscan.strict_json import StrictJsonError, parse_object
from hashscan.units import rfc3339

if TYPE_CHECKING:  # asked every minute, a status counts nothing of a scan
    from hashscan.model import Case
    from hashscan.report.tally import Tally

LAST_RUN = "last-run.json"
MAX_LAST_RUN_BYTES = 65_536
NOTHING_OPEN = Open()
_LAST_DAY = 2.5e11  # seconds since 1970; a calendar can show no later one


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found in the state: counts, cases and the folder of the last run's record.

    ``left_open`` are confirmed files that runs left in place, ``within`` how many seconds there are to remove one.
    """

    pending: int
    unsent: int
    cases: Sequence[Case | Brief]
    state_dir: Path
    left_open: Open = NOTHING_OPEN
    within: float = 86_400.0
    running: Running | None = None


def record_run(state_dir: Path, tally: Tally, *, complete: bool, started: float) -> None:
    """Keep what the last scan came to, for `status`. Raises `StateError`."""
    counts = {"seen": tally.seen, "findings": tally.findings, "pending": tally.pending}
    _record(state_dir, started, {"complete": complete, "exit_code": int(tally.exit_code), **counts})


def record_failure(state_dir: Path, error: HashscanError, *, started: float) -> None:
    """Keep that the last scan ended with an error: an older good run must not speak for it. Raises `StateError`."""
    _record(state_dir, started, {"complete": False, "exit_code": int(error.exit_code), "error": str(error)[:500]})


def _record(state_dir: Path, started: float, came_to: Mapping[str, Json]) -> None:
    record = {"started": started, "seconds": round(time.time() - started, 3), **came_to}
    try:
        make_private_directory(state_dir)
        write_bytes(state_dir / LAST_RUN, json.dumps(record).encode())
    except OSError as error:
        raise StateError(f"the record of this run cannot be written: {error.strerror}") from None


def status(shelf: Shelf | None, facts: Facts, *, now: float, max_age: float) -> tuple[Mapping[str, Json], ExitCode]:
    """What is told, and the exit code.

    20 for lists that are missing or too old, and where the clock jumped back; 11 where candidates are pending; else 0.
    """
    lists, lists_hold = _lists(shelf, now, max_age)
    told: dict[str, Json] = {
        "open_findings": _clock(facts, now),
        **lists,
        **_withdrawn(shelf, facts.cases),
        "pending": facts.pending,
        "unsent_outcomes": facts.unsent,
        "cases": _by_state(facts.cases),
        "last_run": _last_run(facts.state_dir / LAST_RUN),
        **({"running": _running(facts.running, now)} if facts.running else {}),
    }
    code = ExitCode.FILTER if not lists_hold else ExitCode.PENDING if facts.pending else ExitCode.OK
    return told, code


def _by_state(cases: Sequence[Case | Brief]) -> dict[str, Json]:
    counts = Counter(case.state for case in cases)
    return {state.value: counts[state] for state in CaseState if counts[state]}


def _running(scan: Running, now: float) -> Json:
    """The scan that runs: who, since when, how far it was when it said so last (every few seconds)."""
    return {
        "pid": scan.pid,
        "command": scan.command,
        "started": rfc3339(scan.started),
        "minutes": round(max(now - scan.started, 0.0) / 60, 1),
        "state": scan.why or scan.state,
        "seen": scan.seen,
        "findings": scan.findings,
        "told_seconds_ago": round(max(now - scan.told, 0.0), 1),
    }


def _clock(facts: Facts, now: float) -> Json:
    """The clock of the norm: confirmed files that are still in place, held ones too, and how long there is for the oldest."""
    held = [case.opened for case in facts.cases if case.state is CaseState.HELD]
    count = facts.left_open.count + len(held)
    oldest = min([*held, *([facts.left_open.oldest] if facts.left_open.oldest is not None else [])], default=None)
    within = facts.within / 3600
    told: dict[str, Json] = {"count": count, "within_hours": round(within, 2)}
    if oldest is None or not 0 <= oldest <= _LAST_DAY:
        return told
    age = max(now - oldest, 0.0) / 3600
    return {**told, "oldest": rfc3339(oldest), "oldest_hours": round(age, 2), "hours_left": round(within - age, 2)}


def _lists(shelf: Shelf | None, now: float, max_age: float) -> tuple[dict[str, Json], bool]:
    if shelf is None:
        return {"service": "not configured"}, True
    try:
        view, known = shelf.look(now), shelf.clock
    except FilterError as error:
        return {"lists_problem": _said(error)}, False
    told: dict[str, Json] = {
        "lists": [_row(one) for one in view.lists.targets],
        "lists_age_hours": round(view.age / 3600, 2),
        "lists_stale": view.stale,
        "last_sync": None if known.last_sync is None else rfc3339(known.last_sync),
        "clock_ok": not known.behind(now),
    }
    problems = [*_problems(shelf, now, max_age), *([why] if (why := known.doubt(now)) else [])]
    return {**told, **({"lists_problem": "; ".join(problems)} if problems else {})}, not problems


def _withdrawn(shelf: Shelf | None, cases: Sequence[Case | Brief]) -> dict[str, Json]:
    """How many entries were taken back, and how many of the cases here are theirs; nothing where that cannot be known."""
    try:
        lists = shelf.lists() if shelf is not None else None
        if shelf is None or lists is None:
            return {}
        withdrawn = shelf.withdrawn(lists)
    except FilterError:  # `_problems` says why
        return {}
    mine = 0
    if len(withdrawn):  # most often nothing was taken back
        mine = sum(case.state in WITHDRAWABLE and withdrawn.entry(case.list_id, case.entry) is not None for case in cases)
    return {"withdrawn": {"entries": len(withdrawn), "cases": mine}}


def _problems(shelf: Shelf, now: float, max_age: float) -> Iterator[str]:
    """What would keep a scan from using the lists in force."""
    try:
        shelf.check_all(shelf.view(now, max_age=max_age).lists)
    except FilterError as error:
        yield _said(error)


def _said(error: FilterError) -> str:
    return f"{error} ({error.hint})" if error.hint else str(error)


def _row(one: Target) -> Json:
    return {
        "id": one.list.id,
        "version": one.list.version,
        "epoch": one.list.epoch,
        "bytes": one.filter.length,
        "created": rfc3339(one.created),
    }


def _last_run(path: Path) -> Json:
    try:
        with path.open("rb") as stream:
            data = parse_object(stream.read(MAX_LAST_RUN_BYTES + 1), max_bytes=MAX_LAST_RUN_BYTES)
    except FileNotFoundError:
        return None
    except (OSError, StrictJsonError) as error:
        return {"problem": f"{path} cannot be read: {error}"}
    started = data.get("started")
    if not isinstance(started, int | float) or not 0 <= started <= _LAST_DAY:
        return data
    return {**data, "started": rfc3339(started), "started_seconds": started}
