"""Status: how this host stands, from its own state alone; the network is not asked."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import ExitCode, FilterError, HashscanError, StateError
from hashscan.known.shelf import Shelf
from hashscan.model import Case, CaseState, Json
from hashscan.report.events import rfc3339
from hashscan.report.tally import Tally
from hashscan.strict_json import StrictJsonError, parse_object

LAST_RUN = "last-run.json"
MAX_LAST_RUN_BYTES = 65_536
_LAST_DAY = 2.5e11  # seconds since 1970; a calendar can show no later one


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found in the state: counts, cases and the folder of the last run's record."""

    pending: int
    unsent: int
    cases: tuple[Case, ...]
    state_dir: Path


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
    """What is told, and the exit code: 20 for lists that are missing or too old, 11 where candidates are pending, else 0."""
    lists, lists_hold = _lists(shelf, now, max_age)
    told: dict[str, Json] = {
        **lists,
        "pending": facts.pending,
        "unsent_outcomes": facts.unsent,
        "cases": {state.value: n for state in CaseState if (n := sum(case.state is state for case in facts.cases))},
        "last_run": _last_run(facts.state_dir / LAST_RUN),
    }
    code = ExitCode.FILTER if not lists_hold else ExitCode.PENDING if facts.pending else ExitCode.OK
    return told, code


def _lists(shelf: Shelf | None, now: float, max_age: float) -> tuple[dict[str, Json], bool]:
    if shelf is None:
        return {"service": "not configured"}, True
    try:
        view = shelf.view(now, max_age=max_age)
    except FilterError as error:
        return {"lists_problem": f"{error} ({error.hint})" if error.hint else str(error)}, False
    rows: list[Json] = [
        {
            "id": one.list.id,
            "version": one.list.version,
            "epoch": one.list.epoch,
            "bytes": one.length,
            "created": rfc3339(one.created),
        }
        for one in view.lists.targets
    ]
    return {"lists": rows, "lists_age_hours": round(view.age / 3600, 2), "lists_stale": view.stale}, True


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
    return {**data, "started": rfc3339(started)}
