"""What every implementation of `ports.Confirmer` promises, and how the one that asks a service takes its silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hashscan.central.retry import Quiet
from hashscan.central.wire import MAX_ITEMS
from hashscan.errors import RefusedError, ServiceUnavailable
from hashscan.jobs.confirm import Court, LocalConfirmer, ServiceConfirmer
from hashscan.known.exact import ExactSieve
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.model import Act, Algorithm, Grade, ListRef, Source, Standing
from hashscan.ports import Confirmer
from tests.support.hotline import LIST, PROVIDER, Hotline, Known, candidate, raw
from tests.support.service import Clock

BAD = [b"harmless %d" % number for number in range(250)]
OTHER = ListRef("other", 3, 2)


def by_service() -> Confirmer:
    return confirmer(Hotline(lists={LIST: [Known(content) for content in BAD]}))


def by_list() -> Confirmer:
    return LocalConfirmer(ExactSieve("x", {Algorithm.SHA1: frozenset(raw(Algorithm.SHA1, content) for content in BAD)}))


def confirmer(hotline: Hotline, clock: Clock | None = None, md5_is_enough: frozenset[str] = frozenset()) -> ServiceConfirmer:
    clock = clock or Clock()
    hotline.now = clock
    return ServiceConfirmer(court(hotline, md5_is_enough=md5_is_enough), Quiet(first=30.0))


def court(hotline: Hotline, service: Any = None, **policy: Any) -> Court:
    return Court(service or hotline, hotline.verdict_keys, hotline.key, PROVIDER, hotline.now, **policy)


@pytest.mark.parametrize("make", [by_service, by_list])
@pytest.mark.parametrize("number", [0, 1, 99, 100, 101, 250])
def test_one_ruling_for_each_candidate_in_order(make: Callable[[], Confirmer], number: int) -> None:
    asked = [candidate(content, b"%d" % index) for index, content in enumerate(BAD[:number])]
    one = make()
    rulings = one.confirm(asked)
    assert [ruling.candidate for ruling in rulings] == asked
    assert all(ruling.finding and ruling.finding.candidate is ruling.candidate and not ruling.pending for ruling in rulings)
    assert {ruling.finding.entry for ruling in rulings if ruling.finding} == {f.entry for f in map(_finding, rulings)}
    assert len({_finding(ruling).entry for ruling in rulings}) == number
    assert one.refusal is None


def _finding(ruling: Any) -> Any:
    assert ruling.finding is not None
    return ruling.finding


def test_a_local_finding_never_moves() -> None:
    (ruling,) = by_list().confirm([candidate(BAD[0])])
    assert (_finding(ruling).source, _finding(ruling).act) == (Source.LOCAL, Act.REPORT)


# Asking a service.


def test_the_truth_about_each() -> None:
    hotline = Hotline(
        lists={
            LIST: [
                Known(b"quarantine"), Known(b"report", act=Act.REPORT), Known(b"disputed", Standing.DISPUTED),
                Known(b"withdrawn", Standing.WITHDRAWN), Known(b"test", Standing.TEST),
                Known(b"md5", algorithms=(Algorithm.MD5,)), Known(b"size", size=999),
            ]
        }
    )  # fmt: skip
    contents = [b"quarantine", b"report", b"disputed", b"withdrawn", b"test", b"md5", b"size", b"innocent"]
    rulings = confirmer(hotline).confirm([candidate(content, content) for content in contents])
    found = {ruling.candidate.hashed.entry.place.path: ruling.finding for ruling in rulings}
    assert {path for path, one in found.items() if one and one.act is Act.QUARANTINE} == {b"quarantine"}
    assert {path for path, one in found.items() if one is None} == {b"withdrawn", b"innocent"}
    assert {path for path, one in found.items() if one and one.grade is Grade.WEAK} == {b"md5", b"size"}
    assert all(ruling.ttl == 3600.0 for ruling in rulings)
    accepted = confirmer(hotline, md5_is_enough=frozenset({"police"})).confirm([candidate(b"md5"), candidate(b"size")])
    assert [_finding(one).act for one in accepted] == [Act.QUARANTINE, Act.REPORT]
    elsewhere = confirmer(hotline, md5_is_enough=frozenset({"other"})).confirm([candidate(b"md5")])
    assert _finding(elsewhere[0]).act is Act.REPORT


def test_a_hundred_candidates_of_one_list_a_question() -> None:
    hotline = Hotline(lists={LIST: [Known(content) for content in BAD], OTHER: [Known(BAD[0])]})
    asked = [candidate(c, b"%d" % i, (LIST, OTHER) if i % 2 else (OTHER,)) for i, c in enumerate(BAD)]
    confirmer(hotline).confirm(asked)
    assert [(one.list, len(one.items)) for one in hotline.asked] == [
        (OTHER, 100),
        (OTHER, 100),
        (OTHER, 50),
        (LIST, 100),
        (LIST, 25),
    ]
    assert len({one.nonce for one in hotline.asked}) == 5
    assert all(len(one.items) <= MAX_ITEMS for one in hotline.asked)


def test_the_answers_of_two_lists_together() -> None:
    """Known to one of two lists is a finding, with the verdict of that list."""
    hotline = Hotline(lists={LIST: [], OTHER: [Known(b"harmless")]})
    found, cleared = confirmer(hotline).confirm(
        [candidate(b"harmless", b"a", (LIST, OTHER)), candidate(b"x", b"b", (LIST, OTHER))]
    )
    assert _finding(found).list == OTHER
    assert (cleared.finding, cleared.pending, cleared.ttl) == (None, "", 3600.0)


def test_half_an_answer_clears_nobody() -> None:
    hotline = Hotline(lists={LIST: [], OTHER: []}, failures=[ServiceUnavailable("busy")])
    both, one = confirmer(hotline).confirm([candidate(b"x", b"a", (LIST, OTHER)), candidate(b"x", b"b", (LIST,))])
    assert both.pending == "busy"
    assert one.pending == "busy", "the service rests after a failure"
    assert len(hotline.asked) == 1


class Half:
    """A service that answers about one list only."""

    def __init__(self, hotline: Hotline, silent: ListRef) -> None:
        self._hotline, self._silent = hotline, silent

    def confirm(self, question: Any) -> bytes:
        if question.list == self._silent:
            raise ServiceUnavailable("busy")
        return self._hotline.confirm(question)


QUARANTINE = Known(b"harmless")
LESSER = [
    Known(b"harmless", act=Act.REPORT), Known(b"harmless", Standing.DISPUTED), Known(b"harmless", Standing.TEST),
    Known(b"harmless", algorithms=(Algorithm.MD5,)), Known(b"harmless", size=999),
]  # fmt: skip


@pytest.mark.parametrize("silent", [LIST, OTHER])
def test_half_an_answer_that_says_quarantine_is_enough(silent: ListRef) -> None:
    (answers,) = {LIST, OTHER} - {silent}
    hotline = Hotline(lists={answers: [QUARANTINE], silent: []})
    (ruling,) = ServiceConfirmer(court(hotline, Half(hotline, silent)), Quiet(first=0.0)).confirm(
        [candidate(b"harmless", b"a", (LIST, OTHER))]
    )
    assert (ruling.pending, _finding(ruling).list, _finding(ruling).act) == ("", answers, Act.QUARANTINE)


@pytest.mark.parametrize("lesser", LESSER, ids=lambda one: f"{one.standing} {one.act} {len(one.algorithms)} {one.size}")
def test_a_lesser_finding_waits_for_the_list_that_gave_no_answer(lesser: Known) -> None:
    """That list may say quarantine: settled now, the file would never be asked about again."""
    both = [candidate(b"harmless", b"a", (LIST, OTHER))]
    hotline = Hotline(lists={LIST: [QUARANTINE], OTHER: [lesser]})
    (ruling,) = ServiceConfirmer(court(hotline, Half(hotline, LIST))).confirm(both)
    assert (ruling.finding, ruling.pending) == (None, "busy")
    (ruling,) = confirmer(hotline).confirm(both)
    assert (_finding(ruling).list, _finding(ruling).act) == (LIST, Act.QUARANTINE)
    hotline.lists[LIST] = []
    (ruling,) = confirmer(hotline).confirm(both)
    assert (_finding(ruling).list, _finding(ruling).act) == (OTHER, Act.REPORT), "all have answered: it is what it is"


def test_each_list_has_its_own_policy() -> None:
    """Police list may quarantine, hotline list reports; the entry that a list took back never moves a file."""
    hotline = Hotline(lists={LIST: [QUARANTINE, Known(b"taken back")], OTHER: [QUARANTINE, Known(b"only here")]})

    def withdrawn(list_id: str, entry: str) -> bool:
        return (list_id, entry) == (LIST.id, Known(b"taken back").id)

    one = ServiceConfirmer(court(hotline, report_only=frozenset({OTHER.id}), withdrawn=withdrawn))
    contents = {b"harmless": (LIST, OTHER), b"only here": (OTHER,), b"taken back": (LIST,)}
    found = [_finding(ruling) for ruling in one.confirm([candidate(what, what, lists) for what, lists in contents.items()])]
    assert [(one.list.id, one.act) for one in found] == [
        (LIST.id, Act.QUARANTINE),
        (OTHER.id, Act.REPORT),
        (LIST.id, Act.REPORT),
    ]
    assert ["report_only" in one.reason for one in found] == [False, True, False]
    assert ["withdrawn" in one.reason for one in found] == [False, False, True]


def test_while_the_clock_is_in_doubt_nobody_is_asked_and_nobody_believed() -> None:
    hotline = Hotline(lists={LIST: [QUARANTINE]})
    doubts = ["the clock jumped back", ""]
    one = ServiceConfirmer(court(hotline, doubt=lambda: doubts[0]))
    (ruling,) = one.confirm([candidate(b"harmless")])
    assert (ruling.finding, ruling.pending, hotline.asked) == (None, "the clock jumped back", [])
    del doubts[0]
    (ruling,) = one.confirm([candidate(b"harmless")])
    assert _finding(ruling).act is Act.QUARANTINE, "and the service need not rest for that"


def test_each_epoch_has_its_key() -> None:
    """After a rotation of the provider key, lists of the old epoch and of the new one are confirmed side by side."""
    ring = KeyRing({1: ProviderKey(bytes(32)), 2: ProviderKey(bytes([7]) * 32)})
    hotline = Hotline(key=ring, lists={LIST: [QUARANTINE], OTHER: [Known(b"other")]})
    assert (LIST.epoch, OTHER.epoch) == (1, 2)
    asked = [candidate(b"harmless", b"a", (LIST,)), candidate(b"other", b"b", (OTHER,))]
    assert all(_finding(ruling).act is Act.QUARANTINE for ruling in confirmer(hotline).confirm(asked))
    stale = Court(hotline, hotline.verdict_keys, KeyRing({1: ring.keys[1]}), PROVIDER, hotline.now)
    first, second = ServiceConfirmer(stale).confirm(asked)
    assert (_finding(first).entry, second.finding) == (QUARANTINE.id, None), "under another key no tag agrees"


@pytest.mark.parametrize(
    "error", [ServiceUnavailable("time-out"), ServiceUnavailable(""), RefusedError("suspended"), RefusedError("")]
)
def test_silence_is_pending_whatever_it_says(error: Exception) -> None:
    one = confirmer(Hotline(failures=[error]))
    rulings = one.confirm([candidate(b"x"), candidate(b"y", b"b")])
    assert all(ruling.pending and not ruling.finding for ruling in rulings)
    assert (one.refusal is error) == isinstance(error, RefusedError)


CHANGES: list[dict[str, Any]] = [
    {"nonce": "n" * 43}, {"provider": "b"}, {"issued": 0}, {"items": []}, {"ttl": None},
    {"list": {"id": "b", "version": 1, "epoch": 1}},
]  # fmt: skip


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_verdict_that_does_not_hold_is_silence(changes: dict[str, Any]) -> None:
    hotline = Hotline(lists={LIST: [Known(b"harmless")]}, verdict_changes=changes)
    (ruling,) = confirmer(hotline).confirm([candidate(b"harmless")])
    assert ruling.pending
    assert ruling.finding is None


def test_the_verdict_of_another_service_is_silence() -> None:
    ours, theirs = Hotline(), Hotline(lists={LIST: [Known(b"harmless")]})
    one = ServiceConfirmer(court(ours, theirs))
    (ruling,) = one.confirm([candidate(b"harmless")])
    assert "trusted" in ruling.pending


def test_after_a_failure_the_service_rests() -> None:
    clock = Clock()
    hotline = Hotline(lists={LIST: [Known(b"harmless")]}, failures=[ServiceUnavailable("busy", retry_after=100.0)])
    one = confirmer(hotline, clock)
    many = [candidate(b"harmless", b"%d" % number) for number in range(250)]
    assert {ruling.pending for ruling in one.confirm(many)} == {"busy"}
    assert len(hotline.asked) == 1, "the other questions of the batch are not even asked"
    clock.now += 99
    assert {ruling.pending for ruling in one.confirm(many)} == {"busy"}
    assert len(hotline.asked) == 1
    clock.now += 1
    assert all(ruling.finding for ruling in one.confirm(many))
    assert len(hotline.asked) == 4


def test_after_a_refusal_it_is_not_asked_again_in_this_run() -> None:
    clock = Clock()
    hotline = Hotline(lists={LIST: [Known(b"harmless")]}, failures=[RefusedError("suspended")])
    one = confirmer(hotline, clock)
    for _ in range(3):
        (ruling,) = one.confirm([candidate(b"harmless")])
        assert ruling.pending == "suspended"
        clock.now += 10_000
    assert len(hotline.asked) == 1
    assert isinstance(one.refusal, RefusedError)
