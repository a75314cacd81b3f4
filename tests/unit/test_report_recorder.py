"""The document of a run: bounded, valid, and without names unless they are asked for."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping
from typing import Any

import jsonschema
import pytest

from hashscan.errors import FilterError, StateError, UsageError
from hashscan.model import Event, Json, Reason, Source
from hashscan.report import document, events, recorder, schema
from hashscan.report.recorder import Recorder, RunHead
from hashscan.report.timeline import MOST_POINTS, Timeline
from tests.support import golden, nouns
from tests.support.telling import tally

VALIDATOR = jsonschema.Draft202012Validator(schema.load("report"))
HEAD = RunHead("00112233445566aa", "host-1", "scan", 1_790_000_000.0)


def heard(*told: Event) -> tuple[dict[str, Json], list[Mapping[str, Json]]]:
    kept: list[Mapping[str, Json]] = []
    one = Recorder(HEAD, lambda: HEAD.started + 5.0, kept.append)
    for event in told:
        one.tell(event)
    return one.document(), kept


def begin() -> Event:
    return events.scan_start([b"/srv"], "report", [nouns.LIST], {"jobs": 2})


def valid(told: Mapping[str, Json]) -> None:
    for names in (False, True):
        VALIDATOR.validate(json.loads(document.as_json(document.disclosed(told, names=names))))


def test_a_run_is_kept_when_it_begins_and_when_it_ends() -> None:
    _, kept = heard(begin(), events.summary(tally(), complete=True, seconds=5.0))
    assert [one["exit_code"] for one in kept] == [None, 10]
    assert [one["ended"] is None for one in kept] == [True, False]
    for one in kept:
        valid(one)


def test_a_run_that_ended_early_says_why() -> None:
    told, kept = heard(begin(), events.exit_error(FilterError("too old", hint="sync")))
    assert told["error"] == {"error": "FilterError", "message": "too old", "hint": "sync", "exit_code": 20}
    assert (told["exit_code"], told["complete"], told["summary"]) == (20, False, None)
    valid(kept[-1])


def test_a_command_that_could_not_begin_is_kept_only_where_a_run_was_meant() -> None:
    for error in (UsageError("no such flag"), StateError("no state")):
        assert heard(events.exit_error(error))[1] == []
    told, kept = heard(events.exit_error(FilterError("too old", hint="sync")))
    assert [one["exit_code"] for one in kept] == [20]
    valid(told)

    def fail(_told: Mapping[str, Json]) -> None:
        raise StateError("full")

    failing = Recorder(HEAD, lambda: HEAD.started, fail)
    failing.tell(events.exit_error(FilterError("too old", hint="sync")))
    with pytest.raises(StateError, match="full"):
        failing.tell(begin())


def test_everything_is_in_it() -> None:
    told = golden.recorded()
    valid(told)
    assert {key: told[key]["total"] for key in ("findings", "not_looked_at", "pending", "notes")} == {  # type: ignore[index,call-overload]
        "findings": 1,
        "not_looked_at": 3,
        "pending": 1,
        "notes": 3,
    }
    (row,) = told["findings"]["rows"]  # type: ignore[index,call-overload]
    assert (row["action"], row["case_id"], row["path"]) == ("failed", "case-1", "/srv/www/a.jpg")
    assert nouns.SHA1 not in json.dumps(told), "a history of digests would be a hash list"


def test_an_action_is_that_of_its_own_finding() -> None:
    told, _ = heard(
        begin(),
        events.finding(nouns.finding(b"www/a")),
        events.action(nouns.result("quarantined", b"www/a")),
        events.finding(nouns.finding(b"www/b")),
        events.action(nouns.result("held", b"www/c")),
    )
    assert [row["action"] for row in told["findings"]["rows"]] == ["quarantined", ""]  # type: ignore[index,call-overload,union-attr]


@pytest.mark.parametrize(("key", "most"), [("findings", recorder.MOST_FINDINGS), ("not_looked_at", recorder.MOST_PATHS)])
def test_lists_are_cut_and_say_so(key: str, most: int) -> None:
    one = events.finding(nouns.finding()) if key == "findings" else events.skipped(nouns.skip())
    told, _ = heard(begin(), *[one] * (most + 7), events.action(nouns.result("held")))
    part: Any = told[key]
    assert (part["total"], part["cut"], len(part["rows"])) == (most + 7, 7, most)


def test_a_very_long_name_is_cut() -> None:
    told, _ = heard(begin(), events.skipped(nouns.skip(path=b"\xff" + b"d/" * 4000)))
    (row,) = told["not_looked_at"]["rows"]  # type: ignore[index,call-overload]
    assert len(row["path"]) == recorder.MOST_NAME + len("[...]")
    assert "path_b64" not in row


@pytest.mark.parametrize("name", [b"www/secret-name.jpg", nouns.HOSTILE])
def test_names_are_told_only_when_asked_for(name: bytes) -> None:
    told, _ = heard(
        begin(),
        events.finding(nouns.finding(name), "customer-secret"),
        events.action(dataclasses.replace(nouns.result("held", name), reason="secret-name is held"), "customer-secret"),
        events.pending(nouns.candidate(name), "secret-name waits"),
        events.summary(_with_tenant(), complete=True, seconds=1),
    )
    shown = document.as_json(document.disclosed(told, names=True))
    hidden = document.as_json(document.disclosed(told, names=False))
    mark = json.dumps(str(events.check(b"/srv/" + name, []).data["path"]))[1:-1]
    assert mark in shown
    assert mark not in hidden
    assert "customer-secret" in shown
    assert "customer-secret" not in hidden
    assert "secret-name" not in hidden


def _with_tenant() -> Any:
    done = tally()
    done.by_tenant["customer-secret"] = 3
    return done


def test_of_the_entry_of_a_plain_list_some_digits_do() -> None:
    local = dataclasses.replace(nouns.finding(), source=Source.LOCAL, entry=f"sha1:{nouns.SHA1}")
    told, _ = heard(begin(), events.finding(local))
    assert nouns.SHA1 not in document.as_json(document.disclosed(told, names=False))
    assert nouns.SHA1 in document.as_json(document.disclosed(told, names=True))


def test_saved_events_make_the_same_document() -> None:
    told = [
        begin(),
        events.finding(nouns.finding()),
        events.action(nouns.result()),
        events.error(nouns.skip(Reason.ERROR, errno="EACCES")),
        events.summary(tally(), complete=True, seconds=0.0),
    ]
    lines = golden.written(told).encode().splitlines(keepends=True)
    direct: list[Mapping[str, Json]] = []
    one = Recorder(RunHead(golden.RUN, "host-1", "scan", golden.STARTED), lambda: golden.STARTED, direct.append)
    for event in told:
        one.tell(event)
    again = document.from_events(lines, "x")
    assert {**again, "version": ""} == {**direct[-1], "version": ""}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "holds no event"),
        (b"{", "line 1"),
        (b'{"schema": "other/1", "type": "x"}', "no event of this version"),
        (b'{"schema": "hashscan.event/1", "type": 7}', "no event of this version"),
        (b'{"schema": "hashscan.event/1", "type": "summary"}', "no time"),
        (b'{"schema": "hashscan.event/1", "type": "summary", "time": "soon"}', "no time"),
    ],
)
def test_what_is_no_event_is_named(line: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        document.from_events([line] if line else [], "events.ndjson")


def test_odd_events_of_others_make_an_odd_document_and_no_crash() -> None:
    odd = b'{"schema":"hashscan.event/1","type":"%s","time":"2026-01-01T00:00:00Z","roots":7,"paths":[1],"exit_code":"x"}'
    lines = [odd % kind for kind in (b"scan_start", b"finding", b"action", b"skipped", b"progress", b"warning", b"summary")]
    told = document.from_events(lines, "x")
    assert told["exit_code"] == 0
    document.disclosed(told, names=False)


def test_the_timeline_keeps_few_points_of_a_long_run() -> None:
    line = Timeline()
    for second in range(100_000):
        line.add(float(second), {"seen": second, "scanned": second, "cached": 0}, second)
    points: Any = line.told()
    assert MOST_POINTS / 2 <= len(points) <= MOST_POINTS
    gaps = [after["seconds"] - before["seconds"] for before, after in itertools.pairwise(points)]
    assert max(gaps) <= 2 * min(gaps)
