"""The count of a run and the exit code that follows."""

from __future__ import annotations

from itertools import combinations

import pytest

from hashscan.errors import ExitCode
from hashscan.model import Act, Action, Grade, Reason, Sifted
from hashscan.report.tally import INCOMPLETE_REASONS, Tally
from tests.support import nouns
from tests.support.telling import tally


def test_a_fresh_tally_is_clean_and_adds_up() -> None:
    assert Tally().exit_code is ExitCode.OK
    assert Tally().adds_up()
    assert not Tally().incomplete


def test_stretches_are_summed() -> None:
    total = Tally()
    candidates = (nouns.candidate(),)
    total.add(Sifted(1, 10, 4, 2, 1, 100, {Reason.SYMLINK: 2}, {"EACCES": 1}, (), candidates, b"/srv/a"))
    total.add(Sifted())
    total.add(Sifted(2, 5, 1, 1, 0, 50, {Reason.SYMLINK: 1, Reason.OWN: 1}, {"EIO": 1}, (), candidates))
    counts = (total.directories, total.seen, total.scanned, total.cached, total.by_size, total.bytes_hashed)
    assert counts == (3, 15, 5, 3, 1, 150)
    assert total.skipped == {Reason.SYMLINK: 3, Reason.OWN: 1}
    assert total.errors == {"EACCES": 1, "EIO": 1}
    assert (total.candidates, total.in_flight, total.unaccounted) == (2, 2, 0)
    assert total.at == b"/srv/a"
    assert not total.adds_up()
    total.cleared += 2
    assert total.adds_up()


def test_findings_are_counted_by_grade_act_and_action() -> None:
    total = Tally()
    total.found(nouns.finding())
    total.found(nouns.finding(grade=Grade.WEAK, act=Act.REPORT))
    for action in ("quarantined", Action.REPORTED, "held", "failed", "failed"):
        total.acted(nouns.result(action))
    assert total.findings == 2
    assert total.by_grade == {Grade.MATCH: 1, Grade.WEAK: 1}
    assert total.by_act == {Act.QUARANTINE: 1, Act.REPORT: 1}
    assert (total.quarantined, total.reported, total.held, total.failed) == (1, 1, 1, 2)


def test_an_unknown_action_is_a_bug() -> None:
    with pytest.raises(ValueError, match="vanquished"):
        Tally().acted(nouns.result("vanquished"))


@pytest.mark.parametrize("field", ["seen", "scanned", "cached", "by_size", "candidates", "cleared", "pending", "findings"])
def test_each_count_is_part_of_the_sum(field: str) -> None:
    total = tally()
    assert total.adds_up()
    setattr(total, field, getattr(total, field) + 1)
    assert not total.adds_up()


@pytest.mark.parametrize("reason", list(Reason))
def test_a_skip_is_part_of_the_sum_and_incomplete_by_its_reason(reason: Reason) -> None:
    total = Tally()
    total.add(Sifted(seen=1, skipped={reason: 1}))
    assert total.adds_up()
    expected = {"error", "timeout", "too_large", "changed"}
    assert total.incomplete is (reason.value in expected)
    assert total.exit_code is (ExitCode.INCOMPLETE if reason.value in expected else ExitCode.OK)
    total.skipped[reason] += 1
    assert not total.adds_up()


def test_the_incomplete_reasons_are_decided_for_every_reason() -> None:
    complete = {"symlink", "special", "mount", "network", "excluded", "own", "vanished"}
    assert {reason.value for reason in Reason} - {reason.value for reason in INCOMPLETE_REASONS} == complete


def test_an_error_is_part_of_the_sum_and_incomplete() -> None:
    total = Tally()
    total.add(Sifted(seen=1, errors={"EACCES": 1}))
    assert total.adds_up()
    assert total.exit_code is ExitCode.INCOMPLETE


def test_what_does_not_add_up_is_never_clean() -> None:
    lost_path = Tally()
    lost_path.add(Sifted(seen=1))
    assert lost_path.exit_code is ExitCode.INCOMPLETE
    lost_candidate = Tally()
    lost_candidate.add(Sifted(seen=1, scanned=1, candidates=(nouns.candidate(),)))
    assert lost_candidate.exit_code is ExitCode.PENDING


def _apply(total: Tally, code: ExitCode) -> None:
    if code is ExitCode.ACTION_FAILED:
        total.acted(nouns.result("held"))
    elif code is ExitCode.FINDINGS:
        total.add(Sifted(seen=1, scanned=1, candidates=(nouns.candidate(),)))
        total.found(nouns.finding())
    elif code is ExitCode.FILTER:
        total.filter_problem = True
    elif code is ExitCode.REFUSED:
        total.refused = True
    elif code is ExitCode.PENDING:
        total.add(Sifted(seen=1, scanned=1, candidates=(nouns.candidate(),)))
        total.pending += 1
    elif code is ExitCode.STOPPED:
        total.stopped = True
    else:
        total.add(Sifted(seen=1, errors={"EIO": 1}))


RANKED = [ExitCode(code) for code in (12, 10, 20, 22, 11, 4, 3)]


@pytest.mark.parametrize("causes", [c for n in (1, 2, 3, 7) for c in combinations(RANKED, n)], ids=str)
def test_the_gravest_cause_decides(causes: tuple[ExitCode, ...]) -> None:
    total = Tally()
    for cause in reversed(causes):
        _apply(total, cause)
    assert total.exit_code is causes[0]


def test_failed_counts_like_held() -> None:
    total = Tally()
    total.acted(nouns.result("failed"))
    assert total.exit_code is ExitCode.ACTION_FAILED


@pytest.mark.parametrize("action", ["quarantined", "reported"])
def test_what_was_done_does_not_raise_the_code(action: str) -> None:
    total = Tally()
    total.acted(nouns.result(action))
    assert total.exit_code is ExitCode.OK


def test_a_case_that_recovery_left_to_a_person_is_an_action_that_failed() -> None:
    assert Tally(unsettled_cases=1).exit_code is ExitCode.ACTION_FAILED
    assert Tally().exit_code is ExitCode.OK
