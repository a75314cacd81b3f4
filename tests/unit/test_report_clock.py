"""Open findings: since when, and what closes them; and the line for a monitor."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import StateError
from hashscan.model import Event, Grade, Json, Reason, Standing
from hashscan.ports import ActionResult
from hashscan.report import events, nagios, open_findings
from hashscan.report.nagios import State
from hashscan.report.open_findings import MOST, Open, OpenFindings
from hashscan.report.tally import Tally
from tests.support import nouns

NOW = 1_790_000_000.0


def run(folder: Path, *told: Event, root: bytes = b"/srv", complete: bool = True, at: float = NOW, seen: int = 9) -> Open:
    hearer = OpenFindings(folder, lambda: at)
    hearer.tell(events.scan_start([root], "report", [], {}))
    for event in told:
        hearer.tell(event)
    hearer.tell(events.summary(Tally(seen=seen, scanned=seen), complete=complete, seconds=1))
    return open_findings.read(folder)


def found(name: bytes, action: str = "reported", **changes: Any) -> list[Event]:
    one = dataclasses.replace(nouns.finding(name), **changes)
    return [events.finding(one), events.action(ActionResult(one, action, ""))]


def test_it_is_open_since_it_was_found_first(tmp_path: Path) -> None:
    assert run(tmp_path, *found(b"a")) == Open(1, NOW)
    assert run(tmp_path, *found(b"a"), *found(b"b"), at=NOW + 99) == Open(2, NOW)


def test_a_host_that_never_found_anything_keeps_no_file(tmp_path: Path) -> None:
    assert run(tmp_path) == Open()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("action", ["quarantined", "held"])
def test_what_is_taken_or_held_is_not_open_here(tmp_path: Path, action: str) -> None:
    assert run(tmp_path, *found(b"a")).count == 1
    assert run(tmp_path, *found(b"a", action)).count == 0


def test_a_failed_action_leaves_it_open(tmp_path: Path) -> None:
    assert run(tmp_path, *found(b"a", "failed")).count == 1


@pytest.mark.parametrize("changes", [{"grade": Grade.WEAK}, {"standing": Standing.DISPUTED}, {"standing": Standing.TEST}])
def test_only_full_matches_of_active_entries_start_the_clock(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert run(tmp_path, *found(b"a", **changes)).count == 0


def test_a_complete_walk_that_meets_it_no_more_closes_it(tmp_path: Path) -> None:
    run(tmp_path, *found(b"a"), *found(b"b"))
    assert run(tmp_path, *found(b"b")).count == 1
    assert run(tmp_path).count == 0


@pytest.mark.parametrize(
    ("root", "complete", "seen"), [(b"/home", True, 9), (b"/srv/www", True, 9), (b"/srv", False, 9), (b"/srv", True, 0)]
)
def test_a_walk_that_did_not_come_there_closes_nothing(tmp_path: Path, root: bytes, complete: bool, seen: int) -> None:
    run(tmp_path, *found(b"a"))
    assert run(tmp_path, root=root, complete=complete, seen=seen).count == 1


@pytest.mark.parametrize("name", [b"www/x/a", b"www/x", b"www", b""])
def test_what_could_not_be_looked_at_again_stays_open(tmp_path: Path, name: bytes) -> None:
    run(tmp_path, *found(b"www/x/a"))
    for event in (events.error(nouns.skip(Reason.ERROR, name, errno="EACCES")), events.skipped(nouns.skip(path=name))):
        assert run(tmp_path, event).count == 1
    assert run(tmp_path, events.error(nouns.skip(Reason.ERROR, b"www/x/b", errno="EACCES"))).count == 0


def test_very_many_are_counted(tmp_path: Path) -> None:
    told = [event for number in range(MOST + 5) for event in found(b"%d" % number)]
    assert run(tmp_path, *told).count == MOST + 5


def test_an_early_end_keeps_what_was_learnt(tmp_path: Path) -> None:
    hearer = OpenFindings(tmp_path, lambda: NOW)
    for event in (*found(b"a"), events.exit_error(StateError("x"))):
        hearer.tell(event)
    assert open_findings.read(tmp_path).count == 1


@pytest.mark.parametrize("damage", ["", "{", "[]", "7", '{"open": NaN}'])
def test_a_damaged_file_is_an_error_of_ours(tmp_path: Path, damage: str) -> None:
    (tmp_path / open_findings.FILE).write_text(damage)
    with pytest.raises(StateError, match="damaged"):
        open_findings.read(tmp_path)


def test_a_file_of_another_form_says_nothing(tmp_path: Path) -> None:
    (tmp_path / open_findings.FILE).write_text('{"open": [{"path": 1, "since": "x"}, 7], "more": "x"}')
    assert open_findings.read(tmp_path) == Open(1, None)


# The line for a monitor

GOOD: Mapping[str, Json] = {
    "open_findings": {"count": 0, "within_hours": 24.0},
    "lists_age_hours": 1.0,
    "lists_stale": False,
    "pending": 0,
    "unsent_outcomes": 0,
    "cases": {"done": 3},
    "last_run": {"started_seconds": NOW - 3600, "seconds": 60.0, "exit_code": 0, "seen": 5},
}


def late(count: int, left: float) -> dict[str, Json]:
    return {"count": count, "within_hours": 24.0, "oldest_hours": 24.0 - left, "hours_left": left}


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({}, State.OK, "nothing open"),
        ({"open_findings": late(1, 20.0)}, State.WARNING, "1 open confirmed file, 20.0 h left"),
        ({"open_findings": late(3, 11.0)}, State.CRITICAL, "3 open confirmed files, 11.0 h left"),
        ({"open_findings": late(3, -2.5)}, State.CRITICAL, "2.5 h over time"),
        ({"cases": {"held": 2, "orphan": 1}}, State.CRITICAL, "2 held, 1 orphan"),
        ({"lists_problem": "too old"}, State.CRITICAL, "too old"),
        ({"lists_age_hours": 30.0}, State.WARNING, "lists are 30 h old"),
        ({"lists_stale": True}, State.WARNING, "lists are 1 h old"),
        ({"pending": 4}, State.WARNING, "4 candidates"),
        ({"withdrawn": {"entries": 9, "cases": 2}}, State.WARNING, "2 cases of withdrawn"),
        ({"last_run": None}, State.WARNING, "no scan has run yet"),
        ({"last_run": {"started_seconds": NOW - 30 * 3600}}, State.WARNING, "30 h ago"),
        ({"last_run": {"started_seconds": NOW - 60 * 3600}}, State.CRITICAL, "60 h ago"),
        ({"last_run": {"started_seconds": NOW, "exit_code": 3}}, State.WARNING, "exit code 3"),
        ({"last_run": {"started_seconds": NOW, "exit_code": 20}}, State.CRITICAL, "exit code 20"),
        ({"last_run": {"started_seconds": NOW, "exit_code": 10}}, State.OK, "nothing open"),
        ({"lists_problem": "a | b\nc"}, State.CRITICAL, r"a / b\nc"),
    ],
)
def test_the_line(change: dict[str, Json], state: State, words: str) -> None:
    said, how = nagios.line({**GOOD, **change}, NOW)
    assert how is state
    assert said.startswith(f"HASHSCAN {state.name} - ")
    assert words in said.partition(" | ")[0]
    assert said.count("|") == 1
    assert said.isprintable()


def test_the_gravest_is_said_first() -> None:
    said, _ = nagios.line({**GOOD, "pending": 1, "lists_problem": "gone"}, NOW)
    assert said.startswith("HASHSCAN CRITICAL - gone; 1 candidate without")


def test_performance_data_has_the_form_of_the_guidelines() -> None:
    said, _ = nagios.line({**GOOD, "open_findings": late(2, 3.0)}, NOW)
    parts = said.partition(" | ")[2].split()
    assert all(re.fullmatch(r"[a-z_]+=-?\d+s?(;\d*){0,3}", part) for part in parts), parts
    assert {part.partition("=")[0] for part in parts} >= {"open", "oldest", "pending", "held", "lists_age", "run_age", "seen"}


def test_the_file_holds_no_more_than_it_says(tmp_path: Path) -> None:
    run(tmp_path, *found(b"a"))
    assert json.loads((tmp_path / open_findings.FILE).read_text()) == {"open": [{"path": "/srv/a", "since": NOW}], "more": 0}
