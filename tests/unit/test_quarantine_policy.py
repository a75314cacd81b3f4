from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from hashscan.model import Act, Action, Algorithm, Finding, Grade, Removal, Source, Standing
from hashscan.quarantine.policy import Limits, Withheld, permit
from tests.support import nouns

FIT = replace(nouns.finding(), envelope=b"signed")


def with_links(links: int) -> Finding:
    hashed = FIT.candidate.hashed
    return replace(FIT, candidate=replace(FIT.candidate, hashed=replace(hashed, entry=replace(hashed.entry, links=links))))


def test_the_one_combination_that_moves() -> None:
    assert permit(FIT, Limits()) == Removal(FIT)


def test_of_all_combinations_only_one_moves() -> None:
    tried = moved = 0
    for source, grade, standing, act, envelope in itertools.product(Source, Grade, Standing, Act, (b"", b"signed")):
        finding = replace(FIT, source=source, grade=grade, standing=standing, act=act, envelope=envelope)
        answer = permit(finding, Limits())
        tried += 1
        if isinstance(answer, Removal):
            moved += 1
            assert finding == FIT
        else:
            assert answer.action is Action.REPORTED
            assert answer.reason
    assert (tried, moved) == (64, 1)


@pytest.mark.parametrize("reached", ["", "the limit of 3 removals in one run is reached"])
def test_what_reaches_a_limit_is_held(reached: str) -> None:
    answer = permit(FIT, Limits(), reached)
    assert isinstance(answer, Removal) == (not reached)
    if isinstance(answer, Withheld):
        assert answer.action is Action.HELD
        assert "limit of 3" in answer.reason


def test_what_is_only_reported_is_not_held() -> None:
    answer = permit(replace(FIT, grade=Grade.WEAK), Limits(), "a limit is reached")
    assert isinstance(answer, Withheld)
    assert answer.action is Action.REPORTED


@pytest.mark.parametrize(
    ("links", "allowed", "moves"), [(1, False, True), (2, False, False), (2, True, True), (5, False, False)]
)
def test_hard_links(links: int, allowed: bool, moves: bool) -> None:
    answer = permit(with_links(links), Limits(allow_hard_links=allowed))
    assert isinstance(answer, Removal) == moves


@pytest.mark.parametrize(("digests", "moves"), [({}, False), ({Algorithm.MD5: nouns.MD5}, True)])
def test_a_digest_must_be_known_and_the_grade_says_whether_md5_is_enough(digests: dict[Algorithm, str], moves: bool) -> None:
    hashed = replace(FIT.candidate.hashed, digests=digests)
    finding = replace(FIT, candidate=replace(FIT.candidate, hashed=hashed))
    assert isinstance(permit(finding, Limits()), Removal) == moves
    weak = permit(replace(finding, grade=Grade.WEAK), Limits())
    assert isinstance(weak, Withheld)
    assert weak.action is Action.REPORTED
