"""The small jobs: self-test, status, outcomes, check. Each breaks at each of its steps, and says so."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hashscan.central.outbox import Outbox
from hashscan.errors import ExitCode, FilterError, IncompleteError, RefusedError, ServiceUnavailable, StateError
from hashscan.files.engine import InProcessEngine
from hashscan.files.walk import WalkOptions
from hashscan.jobs.check import check
from hashscan.jobs.confirm import Court, ServiceConfirmer
from hashscan.jobs.outcomes import OutcomeTools, tell_outcomes
from hashscan.jobs.running import Word, running
from hashscan.jobs.selftest import Step, require_self_test, selftest
from hashscan.jobs.status import LAST_RUN, Facts, record_run, status
from hashscan.jobs.sync import SyncTools, sync
from hashscan.known import selftest as published
from hashscan.known.exact import ExactSieve
from hashscan.known.shelf import Shelf
from hashscan.model import Act, Action, Algorithm, Candidate, Case, CaseState, ListRef, Outcome, Place, Standing
from hashscan.ports import Backlog, Confirmer, Engine, LogHead, Ruling, Sieve
from hashscan.report.tally import Tally
from tests.support import nouns
from tests.support.acting import Judges, Passing, Stretches, Told
from tests.support.hotline import BOTH, LIST, NOW, PROVIDER, SELF_TEST, Hotline, Known, raw
from tests.support.service import Clock

ENGINE = InProcessEngine(WalkOptions())


def sieve(contents: Sequence[bytes] = (published.CONTENT,), algorithms: Sequence[Algorithm] = BOTH) -> Sieve:
    return ExactSieve("x", {one: frozenset(raw(one, content) for content in contents) for one in algorithms})


# Self-test.


def steps(engine: Engine = ENGINE, over: Sieve | None = None, asked: Confirmer | None = None) -> list[Step]:
    return list(selftest(engine, over or sieve(), asked or answering()))


class Relisted:
    """An `ExactSieve` whose candidates are of a list of the hotline."""

    def __init__(self, inner: Sieve) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def candidates(self, hashed: Sequence[Any]) -> list[Candidate]:
        return [Candidate(one.hashed, (LIST,)) for one in self._inner.candidates(hashed)]


def answering(known: Known = SELF_TEST, **more: Any) -> Confirmer:
    hotline = Hotline(lists={LIST: [known]}, **more)
    return ServiceConfirmer(Court(hotline, hotline.verdict_keys, hotline.key, PROVIDER, lambda: NOW))


def relisted(algorithms: Sequence[Algorithm] = BOTH) -> Sieve:
    return Relisted(sieve(algorithms=algorithms))


@pytest.mark.parametrize("algorithms", [BOTH, (Algorithm.MD5,), (Algorithm.BLAKE3,), tuple(Algorithm)], ids=str)
def test_the_whole_chain_holds(algorithms: tuple[Algorithm, ...]) -> None:
    """Also where all lists have MD5 only: then its verdict can be no more than weak."""
    told = steps(over=relisted(algorithms))
    assert [(one.name, one.holds) for one in told] == [("read and hash", True), ("filter", True), ("confirm", True)]
    assert "police version 7" in told[1].seen
    assert "standing test" in told[2].seen


def test_the_first_link_that_does_not_hold_is_the_last_that_is_told() -> None:
    nothing_read = steps(Stretches([]))
    assert [(one.name, one.holds) for one in nothing_read] == [("read and hash", False)]
    not_in_the_filter = steps(over=sieve([b"other"]))
    assert [(one.name, one.holds) for one in not_in_the_filter] == [("read and hash", True), ("filter", False)]


@pytest.mark.parametrize(
    ("confirmer", "word"),
    [
        (answering(failures=[ServiceUnavailable("time-out")]), "time-out"),
        (answering(failures=[RefusedError("suspended")]), "suspended"),
        (answering(Known(b"other", Standing.TEST)), "does not know"),
        (answering(Known(published.CONTENT)), "standing active"),
        (answering(Known(published.CONTENT, Standing.WITHDRAWN)), "does not know"),
        (answering(Known(published.CONTENT, Standing.DISPUTED)), "standing disputed"),
        (answering(Known(published.CONTENT, Standing.TEST, size=1)), "verdict weak"),
        (answering(verdict_changes={"nonce": "x" * 43}), "nonce"),
    ],
)
def test_a_verdict_that_is_not_the_one_that_every_list_has(confirmer: Confirmer, word: str) -> None:
    told = steps(over=relisted(), asked=confirmer)
    assert [one.holds for one in told] == [True, True, False]
    assert word in told[-1].seen


def test_a_scan_needs_a_sieve_that_lets_the_self_test_file_through() -> None:
    require_self_test(sieve())
    with pytest.raises(FilterError, match="miss silently"):
        require_self_test(sieve([b"other"]))


# Status.

CASES = (
    Case("c1", CaseState.DONE, Place(b"/srv", b"a"), 3, "e", "police", "v", 1.0),
    Case("c2", CaseState.DONE, Place(b"/srv", b"b"), 3, "e", "police", "v", 1.0),
    Case("c3", CaseState.DAMAGED, Place(b"/srv", b"c"), 3, "e", "police", "v", 1.0),
)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    hotline = Hotline(lists={LIST: [Known(b"x")]})
    hotline.withdrawn = {"police": [Known(b"y")]}
    hotline.publish()
    shelf = Shelf(tmp_path / "lists", hotline.trust(tmp_path / "lists" / "tuf"), hotline.key)
    sync(SyncTools(hotline.trust(tmp_path / "lists" / "tuf"), hotline, shelf, Told(), lambda: NOW + 60))
    return shelf


def told(shelf: Shelf | None, state: Path, *, pending: int = 0, now: float = NOW + 7200) -> tuple[dict[str, Any], ExitCode]:
    data, code = status(shelf, Facts(pending, 2, CASES, state), now=now, max_age=86_400.0)
    json.dumps(data)
    return dict(data), code


def test_how_a_host_stands(shelf: Shelf, tmp_path: Path) -> None:
    data, code = told(shelf, tmp_path)
    assert code is ExitCode.OK
    assert data["lists"][0] | {"bytes": 0} == {
        "id": "police",
        "version": 7,
        "epoch": 1,
        "bytes": 0,
        "created": "2026-09-21T14:13:20.000Z",
    }
    assert (data["lists_age_hours"], data["lists_stale"]) == (2.0, False)
    assert (data["last_sync"], data["clock_ok"]) == ("2026-09-21T14:14:20.000Z", True)
    assert data["withdrawn"] == {"entries": 1, "cases": 0}
    assert "lists_problem" not in data
    assert (data["pending"], data["unsent_outcomes"], data["cases"]) == (0, 2, {"done": 2, "damaged": 1})
    assert data["last_run"] is None
    assert told(shelf, tmp_path, pending=3)[1] is ExitCode.PENDING


def test_the_scan_that_runs(shelf: Shelf, tmp_path: Path) -> None:
    word = Word(tmp_path / "run", "hashscan scan /srv")
    word.begin()
    word.say("pressure", "io pressure 84 %", 1234, 2)
    facts = Facts(0, 0, (), tmp_path, running=running(tmp_path / "run"))
    now = time.time() + 120
    scan = status(shelf, facts, now=now, max_age=1e9)[0]["running"]
    assert isinstance(scan, dict)
    assert (scan["pid"], scan["command"], scan["state"]) == (os.getpid(), "hashscan scan /srv", "io pressure 84 %")
    assert (scan["seen"], scan["findings"], round(float(scan["minutes"]))) == (1234, 2, 2)
    word.end()
    assert "running" not in status(shelf, Facts(0, 0, (), tmp_path), now=now, max_age=1e9)[0]


def test_lists_that_are_missing_or_too_old_come_before_pending(shelf: Shelf, tmp_path: Path) -> None:
    data, code = told(shelf, tmp_path, pending=3, now=NOW + 90_000)
    assert (code, "days old" in data["lists_problem"]) == (ExitCode.FILTER, True)
    assert data["lists"], "what is in force is told, however old"
    assert told(shelf, tmp_path, now=NOW + 86_400)[1] is ExitCode.OK
    (tmp_path / "lists" / "in-force.json").write_bytes(b"damaged")
    assert told(shelf, tmp_path)[1] is ExitCode.FILTER
    assert told(None, tmp_path)[1] is ExitCode.OK
    assert told(None, tmp_path, pending=1)[1] is ExitCode.PENDING


def test_stale_lists_are_told_and_used(shelf: Shelf, tmp_path: Path) -> None:
    now = NOW + 3 * 86_400.0
    data, code = status(shelf, Facts(0, 0, (), tmp_path), now=now, max_age=7 * 86_400.0)
    assert (data["lists_stale"], code) == (True, ExitCode.OK)


@pytest.mark.parametrize("name", ["police-7-1.filter", "police-7-1.withdrawn"])
def test_files_damaged_on_this_disk_are_told(shelf: Shelf, tmp_path: Path, name: str) -> None:
    path = tmp_path / "lists" / name
    path.write_bytes(path.read_bytes()[:-1] + b"\xaa")
    data, code = told(shelf, tmp_path)
    assert (code, name in data["lists_problem"] or "withdrawn" in data["lists_problem"]) == (ExitCode.FILTER, True)


def test_a_clock_that_jumped_back_is_told(shelf: Shelf, tmp_path: Path) -> None:
    data, code = told(shelf, tmp_path, now=NOW - 7200)
    assert (code, data["clock_ok"]) == (ExitCode.FILTER, False)
    assert "2.0 hours before" in data["lists_problem"]


def test_cases_of_withdrawn_entries_are_told(shelf: Shelf, tmp_path: Path) -> None:
    mine = Case("c4", CaseState.DONE, Place(b"/srv", b"d"), 3, Known(b"y").id, "police", "v", 1.0)
    given_back = Case("c5", CaseState.RESTORED, Place(b"/srv", b"e"), 3, Known(b"y").id, "police", "v", 1.0)
    data, _ = status(shelf, Facts(0, 0, (*CASES, mine, given_back), tmp_path), now=NOW, max_age=1e9)
    assert data["withdrawn"] == {"entries": 1, "cases": 1}


def test_a_run_is_recorded_and_shown(tmp_path: Path) -> None:
    record_run(tmp_path / "new", Tally(seen=5, scanned=5), complete=True, started=NOW)
    run = told(None, tmp_path / "new")[0]["last_run"]
    assert (run["started"], run["started_seconds"]) == ("2026-09-21T14:13:20.000Z", NOW)
    assert (run["seen"], run["complete"], run["exit_code"]) == (5, True, 0)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StateError):
        record_run(tmp_path / "file", Tally(), complete=True, started=NOW)


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"[]", b"\xff", b'{"started": NaN}', b"x" * 100_000, b'{"started": 1e300}', b'{"started": -1}',
     b'{"started": 1e12}', b'{"started": "x"}', b'{"started": null}', b'{"started": 99999999999999999999}'],
)  # fmt: skip
def test_a_damaged_record_is_shown_as_that_and_hides_nothing_else(tmp_path: Path, data: bytes) -> None:
    (tmp_path / LAST_RUN).write_bytes(data)
    shown, code = told(None, tmp_path, pending=1)
    assert (shown["pending"], code) == (1, ExitCode.PENDING)
    assert isinstance(shown["last_run"], dict)


# Outcomes.


class Acknowledging:
    """A hotline that acknowledges only every so many outcomes, or others."""

    def __init__(self, hotline: Hotline, every: int, prefix: str = "") -> None:
        self._hotline, self._every, self._prefix = hotline, every, prefix
        self.calls = 0

    def report_outcomes(
        self, outcomes: Sequence[Outcome], head: LogHead | None = None, backlog: Backlog | None = None
    ) -> bytes:
        self.calls += 1
        chosen = [one for index, one in enumerate(outcomes) if index % self._every == 0]
        return self._hotline.report_outcomes([one.__class__(self._prefix + one.id, *_rest(one)) for one in chosen])


def _rest(one: Outcome) -> tuple[Any, ...]:
    return one.entry, one.list_id, one.verdict_id, one.action, one.first_seen, one.acted_at


@pytest.fixture
def outbox(tmp_path: Path) -> Any:
    opened = Outbox(tmp_path / "agent.sqlite", Clock())
    for number in range(250):
        found = nouns.finding(b"%d" % number)
        opened.add_outcome(found, Action.REPORTED, 5.0)
    yield opened
    opened.close()


def test_what_waits_is_told_when_it_has_changed(tmp_path: Path) -> None:
    hotline, box = Hotline(), Outbox(tmp_path / "agent.sqlite", Clock(1000.25))
    tools = OutcomeTools(hotline, hotline.verdict_keys, box, PROVIDER)
    assert tell_outcomes(tools) == ""
    assert hotline.backlogs == [], "there is nothing to tell"
    box.remember([nouns.candidate(b"a"), nouns.candidate(b"b")])
    for _ in range(2):
        assert tell_outcomes(tools) == ""
    hotline.failures.append(ServiceUnavailable("gone"))
    box.settle([nouns.candidate(b"a")])
    assert tell_outcomes(tools) == "", "no outcome waits, so there is nothing to say"
    assert tell_outcomes(tools) == ""
    box.settle([nouns.candidate(b"b")])
    assert tell_outcomes(tools) == ""
    box.close()
    assert hotline.backlogs == [Backlog(2, 1000.25), Backlog(1, 1000.25), Backlog(0, None)]


def test_all_outcomes_are_told_a_hundred_at_once(outbox: Outbox) -> None:
    hotline = Hotline()
    assert tell_outcomes(OutcomeTools(hotline, hotline.verdict_keys, outbox, PROVIDER)) == ""
    assert (outbox.unsent_count(), len(hotline.told), len({one.id for one in hotline.told})) == (0, 250, 250)


@pytest.mark.parametrize("error", [ServiceUnavailable("time-out"), RefusedError("suspended")])
def test_what_could_not_be_told_stays(outbox: Outbox, error: Exception) -> None:
    hotline = Hotline(failures=[error])
    tools = OutcomeTools(hotline, hotline.verdict_keys, outbox, PROVIDER)
    assert tell_outcomes(tools) == str(error)
    assert outbox.unsent_count() == 250
    assert tell_outcomes(tools) == ""
    assert outbox.unsent_count() == 0


def test_while_the_clock_is_in_doubt_nothing_is_told_and_nothing_is_lost(outbox: Outbox) -> None:
    hotline, doubts = Hotline(), ["the clock jumped back", ""]
    tools = OutcomeTools(hotline, hotline.verdict_keys, outbox, PROVIDER, lambda: doubts[0])
    assert tell_outcomes(tools) == "the clock jumped back"
    assert (outbox.unsent_count(), hotline.told) == (250, [])
    del doubts[0]
    assert tell_outcomes(tools) == ""
    doubts[0] = "again"
    assert tell_outcomes(tools) == "", "there is nothing that waits"


def test_receipts_that_are_not_for_us(outbox: Outbox) -> None:
    ours, theirs = Hotline(), Hotline()
    assert "trusted" in tell_outcomes(OutcomeTools(theirs, ours.verdict_keys, outbox, PROVIDER))
    stranger = Acknowledging(ours, 1, "o_other")
    assert "none" in tell_outcomes(OutcomeTools(stranger, ours.verdict_keys, outbox, PROVIDER))  # type: ignore[arg-type]
    assert stranger.calls == 1
    assert outbox.unsent_count() == 250


def test_partial_receipts_end(outbox: Outbox) -> None:
    hotline = Hotline()
    half = Acknowledging(hotline, 2)
    assert tell_outcomes(OutcomeTools(half, hotline.verdict_keys, outbox, PROVIDER)) == ""  # type: ignore[arg-type]
    assert outbox.unsent_count() == 0
    assert half.calls < 20


# Check.


def test_check_says_one_thing_about_each_file(tmp_path: Path) -> None:
    for name, content in {"bad": b"harmless bad", "good": b"harmless good"}.items():
        (tmp_path / name).write_bytes(content)
    reporter = Told()
    paths = [str(tmp_path / name).encode() for name in ("bad", "good")]
    done = check(ENGINE, sieve([b"harmless bad"]), dict(zip([b"bad", b"good"], paths, strict=True)), reporter)
    assert (done.files, done.candidates) == (2, 1)
    assert [event.data["candidate"] for event in reporter.events] == [True, False]
    (tmp_path / "empty").mkdir()
    (tmp_path / "one file").mkdir()
    (tmp_path / "one file" / "x").write_bytes(b"x")
    for name in ("empty", "one file"):
        with pytest.raises(IncompleteError, match=name):
            check(ENGINE, sieve(), {b"x": str(tmp_path / name).encode()}, reporter)


def test_the_fakes_are_what_they_say() -> None:
    judges = Judges(lambda one: Ruling(one, pending="x"))
    assert judges.confirm([]) == []
    assert Passing(lambda file: None).candidates([]) == []
    assert Known(b"x").act is Act.QUARANTINE
    assert ListRef("police", 7, 1) == LIST
