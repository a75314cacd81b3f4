"""Every event, as it is written, against the shipped schema."""

from __future__ import annotations

import base64
import io
import json
from copy import deepcopy
from typing import Any

import jsonschema
import pytest

from hashscan.errors import ExitCode, HashscanError, UsageError
from hashscan.model import Act, Action, CaseState, Event, Grade, Json, Reason, Source, Standing
from hashscan.report import events, schema
from hashscan.report.escape import unescape
from hashscan.report.ndjson import NdjsonReporter
from hashscan.report.tally import Tally
from hashscan.units import rfc3339
from tests.support import nouns
from tests.support.telling import TYPES, every_event, tally

EVENT = schema.load("event")
VALIDATOR = jsonschema.Draft202012Validator(EVENT)


def written(event: Event) -> dict[str, Any]:
    out = io.StringIO()
    NdjsonReporter(out, "run-1", "host-1", lambda: 1_700_000_000.25).tell(event)
    record: dict[str, Any] = json.loads(out.getvalue())
    return record


def valid(record: dict[str, Any]) -> bool:
    return bool(VALIDATOR.is_valid(record))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(EVENT)


def test_there_is_no_other_schema() -> None:
    with pytest.raises(UsageError):
        schema.load("../event")


def test_every_type_is_exercised_and_in_the_schema() -> None:
    assert {event.type for event in every_event()} == TYPES
    assert {ref["$ref"] for ref in EVENT["oneOf"]} == {f"#/$defs/event_{name}" for name in TYPES}


@pytest.mark.parametrize("name", [b"www/a.jpg", nouns.HOSTILE, b"\xff\xfe", "é\u202e".encode(), b"a" * 60_000])
def test_every_event_is_valid(name: bytes) -> None:
    for event in every_event(name):
        VALIDATOR.validate(written(event))


@pytest.mark.parametrize("event", every_event(), ids=lambda event: event.type)
def test_a_missing_field_is_noticed(event: Event) -> None:
    record = written(event)
    required = EVENT["$defs"][f"event_{event.type}"]["required"]
    assert required
    for key in (*required, *EVENT["required"]):
        broken = {k: v for k, v in record.items() if k != key}
        assert not valid(broken), key


@pytest.mark.parametrize("event", every_event(), ids=lambda event: event.type)
def test_a_wrong_type_is_noticed_and_a_new_field_is_not(event: Event) -> None:
    record = written(event)
    for key in EVENT["$defs"][f"event_{event.type}"]["required"]:
        broken = deepcopy(record)
        broken[key] = object.__name__ if not isinstance(record[key], str) else 17
        assert not valid(broken), key
    assert valid({**record, "added_later": 1})


@pytest.mark.parametrize(
    ("event", "key", "bad"),
    [
        (events.finding(nouns.finding()), "grade", "maybe"),
        (events.finding(nouns.finding()), "digests", {"sha1": "ABC"}),
        (events.finding(nouns.finding()), "digests", {}),
        (events.finding(nouns.finding()), "size", -1),
        (events.finding(nouns.finding()), "path", "a\nb"),
        (events.pending(nouns.candidate(), "x"), "digests", {"sha1": nouns.SHA1}),
        (events.pending(nouns.candidate(), "x"), "lists", []),
        (events.skipped(nouns.skip()), "reason", "lazy"),
        (events.check(b"/a", []), "type", "chek"),
        (events.check(b"/a", []), "schema", "hashscan.event/2"),
        (events.check(b"/a", []), "time", "2024-01-01 00:00:00"),
        (events.check(b"/a", []), "seq", -1),
        (events.summary(tally(), complete=True, seconds=1), "exit_code", 1),
    ],
)
def test_a_wrong_value_is_noticed(event: Event, key: str, bad: Json) -> None:
    record = written(event)
    assert valid(record)
    assert not valid({**record, key: bad})


def test_the_schema_knows_every_word_of_the_model() -> None:
    defs = EVENT["$defs"]
    found, act = defs["event_finding"]["properties"], defs["event_action"]["properties"]
    for words, enum in [
        (found["grade"], Grade),
        (found["standing"], Standing),
        (found["act"], Act),
        (found["source"], Source),
        (act["action"], Action),
        (defs["event_case"]["properties"]["state"], CaseState),
        (defs["reason"], Reason),
    ]:
        assert set(words["enum"]) == {str(one) for one in enum}


def test_a_pending_candidate_leaks_no_digest() -> None:
    assert nouns.SHA1 not in json.dumps(written(events.pending(nouns.candidate(), "no answer")))
    assert nouns.SHA1 in json.dumps(written(events.finding(nouns.finding()))), "the control: a finding has it"


def test_names_can_be_taken_back() -> None:
    full = b"/srv/" + nouns.HOSTILE
    data = events.check(full, []).data
    assert unescape(str(data["path"])) == full
    assert base64.b64decode(str(data["path_b64"])) == full
    assert "path_b64" not in events.check("/srv/é\n".encode(), []).data


def test_the_summary_tells_all_counts() -> None:
    data = events.summary(tally(), complete=False, seconds=12.34567).data
    assert data["complete"] is False
    assert data["seconds"] == 12.346
    assert data["exit_code"] == ExitCode.FINDINGS
    assert data["paths"] == {
        "seen": 100,
        "scanned": 70,
        "cached": 20,
        "by_size": 1,
        "skipped": {"symlink": 6, "too_large": 1},
        "errors": {"EACCES": 2},
    }
    assert data["candidates"] == {"seen": 4, "cleared": 1, "pending": 1, "findings": 2}
    assert data["findings"] == {"by_grade": {"match": 2}, "by_act": {"quarantine": 2}}
    assert data["actions"] == {"quarantined": 1, "reported": 1, "held": 0, "failed": 0}


def test_progress_without_a_place_has_no_path() -> None:
    assert "path" not in events.progress(Tally()).data


@pytest.mark.parametrize("kind", HashscanError.__subclasses__())
def test_every_error_of_the_family_has_its_event(kind: type[HashscanError]) -> None:
    record = written(events.exit_error(kind("what\x1b", hint="do")))
    VALIDATOR.validate(record)
    assert (record["error"], record["message"], record["exit_code"]) == (kind.__name__, r"what\x1b", kind.exit_code)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T00:00:00.000Z"), (1_700_000_000.25, "2023-11-14T22:13:20.250Z"), (1e9, "2001-09-09T01:46:40.000Z")],
)
def test_times_are_utc_with_milliseconds(seconds: float, text: str) -> None:
    assert rfc3339(seconds) == text
