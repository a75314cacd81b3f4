"""Disputes: what opinions come to, and what follows in the database. No network here."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.model import Action, Outcome, Standing
from hashscan.service.access import authenticate
from hashscan.service.actors import Actor, NotAllowedError, PersonRole
from hashscan.service.disputing import acts, complaints, rules, views
from hashscan.service.disputing.complaints import Complainer, Complaint, NotMetError
from hashscan.service.disputing.entries import find
from hashscan.service.disputing.rules import DecidedError, DisputeState, NoSuchDisputeError, Opinion, TooManyError, Voice
from hashscan.service.parsing import Report
from hashscan.service.receiving import receive
from hashscan.service.store import open_store
from hashscan.service.tables import Entry, History
from tests.support.service import LIST, Agent, enrol, load, make, sha1

NOW = 1_900_000_000.0
ANNA = Actor("anna", PersonRole.HOTLINE)
BEA = Actor("bea", PersonRole.REVIEWER)
CEM = Actor("cem", PersonRole.REVIEWER)
WATCHER = Actor("wim", PersonRole.AUTHORITY)

# The rules


def said(*pairs: tuple[str, Opinion]) -> list[Voice]:
    return [Voice(person, person, opinion, "why", float(at)) for at, (person, opinion) in enumerate(pairs)]


C, W = Opinion.CONFIRM, Opinion.WITHDRAW


@pytest.mark.parametrize(
    ("voices", "decided"),
    [
        ([], None),
        ([("a", C)], None),
        ([("a", W)], None),
        ([("a", C), ("a", C)], None),
        ([("a", W), ("a", W), ("a", W)], None),
        ([("a", C), ("b", C)], C),
        ([("a", W), ("b", W)], W),
        ([("a", C), ("b", W)], None),
        ([("a", C), ("b", W), ("a", W)], W),
        ([("a", C), ("b", W), ("b", C)], C),
        ([("a", C), ("a", W)], None),
        ([("a", C), ("b", W), ("c", W)], W),
        ([("a", C), ("b", W), ("a", W), ("b", C)], None),
        ([("a", C), ("b", C), ("c", W), ("d", W)], None),
    ],
)
def test_two_people_who_agree_decide(voices: list[tuple[str, Opinion]], decided: Opinion | None) -> None:
    assert rules.decision(said(*voices)) is decided


def test_no_one_person_decides_whatever_it_says_in_whatever_order() -> None:
    tried = 0
    for length in range(6):
        for opinions in itertools.product(Opinion, repeat=length):
            assert rules.decision(said(*(("a", one) for one in opinions))) is None
            tried += 1
    assert tried == 63


def test_the_first_two_that_agree_end_it_so_it_never_stands_two_to_two() -> None:
    """Every order of opinions of four people, one at a time: a state with both decisions is never reached."""
    for order in itertools.product(itertools.product("abcd", Opinion), repeat=4):
        for stop in range(1, 5):
            decided = rules.decision(said(*order[:stop]))
            if decided is not None:
                agreed = [voice.opinion for voice in rules.counting(said(*order[:stop])).values()]
                assert agreed.count(decided) == 2
                break


def test_how_many_are_missing() -> None:
    voices = said(("a", C), ("b", W), ("b", C))
    assert (rules.missing([], C), rules.missing(voices, C), rules.missing(voices, W)) == (2, 0, 2)


@pytest.mark.parametrize(
    ("standing", "told"),
    [
        (Standing.ACTIVE, Standing.DISPUTED),
        (Standing.DISPUTED, Standing.DISPUTED),
        (Standing.WITHDRAWN, Standing.WITHDRAWN),
        (Standing.TEST, Standing.TEST),
    ],
)
def test_doubt_disarms_and_never_arms(standing: Standing, told: Standing) -> None:
    assert rules.disarmed(standing) is told
    assert rules.answered(standing, paused=True) is told
    assert rules.answered(standing, paused=False) is standing


@pytest.mark.parametrize(
    ("ago", "stops"), [([], True), ([1.0], False), ([rules.OVERRULED_FOR], True), ([rules.OVERRULED_FOR, 5.0], False)]
)
def test_who_was_overruled_pauses_nothing_for_a_while(ago: list[float], stops: bool) -> None:
    assert rules.pauses([NOW - one for one in ago], NOW) is stops


def test_a_provider_disputes_within_bounds() -> None:
    rules.check_room(rules.MAX_OPEN - 1, [NOW] * (rules.MAX_A_DAY - 1), NOW)
    with pytest.raises(TooManyError, match="are open") as caught:
        rules.check_room(rules.MAX_OPEN, [], NOW)
    assert caught.value.retry_after is None
    with pytest.raises(TooManyError, match="24 hours") as caught:
        rules.check_room(0, [NOW - 86_000.0, *[NOW] * (rules.MAX_A_DAY - 1)], NOW)
    assert caught.value.retry_after == 400.0


# In the database


class Hotline:
    """A service with entries a to d and a provider that met a and b."""

    def __init__(self, home: Path) -> None:
        self.data = make(home)
        load(self.data, "\n".join(sha1(one) for one in "abcd"))
        self.agent = enrol(self.data)
        self.tell(self.agent, "a", "o_1")
        self.tell(self.agent, "b", "o_2", Action.REPORTED)

    @contextmanager
    def session(self) -> Iterator[Session]:
        with open_store(self.data) as store, store.writing() as session:
            yield session

    def entry(self, session: Session, what: str) -> Entry:
        return find(session, LIST, sha1(what))[0]

    def tell(self, agent: Agent, what: str, outcome_id: str, action: Action = Action.QUARANTINED, now: float = NOW) -> None:
        with open_store(self.data) as store:
            caller = authenticate(store, f"Bearer {agent.api_key}")
            with store.writing() as session:
                entry = self.entry(session, what).public_id
                receive(session, caller, Report((Outcome(outcome_id, entry, LIST, "a" * 64, action, now - 60, now - 30),)), now)

    def complain(self, agent: Agent, what: str, key: str = "k1", now: float = NOW) -> complaints.Told:
        with open_store(self.data) as store:
            caller = authenticate(store, f"Bearer {agent.api_key}")
            with store.writing() as session:
                entry = self.entry(session, what).public_id
                who = Complainer(caller.id, caller.name, caller.api_key_id)
                return complaints.complain(session, who, Complaint(key, LIST, entry, "our own logo"), now)

    def standing(self, what: str) -> Standing:
        with self.session() as session:
            return Standing(self.entry(session, what).standing)


@pytest.fixture
def hotline(tmp_path: Path) -> Hotline:
    return Hotline(tmp_path)


def test_a_reviewer_disarms_at_once_and_two_people_decide(hotline: Hotline) -> None:
    with hotline.session() as session:
        opened = acts.dispute(session, BEA, hotline.entry(session, "a"), "it looks like stock", NOW)
        assert (opened.standing, opened.state, opened.to_confirm, opened.to_withdraw) == ("disputed", "open", 2, 2)
        one = acts.judge(session, BEA, opened.dispute, W, "a stock image", NOW + 1)
        again = acts.judge(session, Actor(" BEA ", PersonRole.HOTLINE), opened.dispute, W, "once more", NOW + 2)
        assert (one.to_withdraw, again.to_withdraw, again.standing) == (1, 1, Standing.DISPUTED)
        done = acts.judge(session, CEM, opened.dispute, W, "so it is", NOW + 3)
        assert (done.state, done.standing) == (DisputeState.WITHDRAWN, Standing.WITHDRAWN)
        with pytest.raises(DecidedError):
            acts.judge(session, ANNA, opened.dispute, C, "too late", NOW + 4)
        lines = [(one.what, one.by) for one in session.scalars(select(History).order_by(History.id))]
    assert lines == [
        ("dispute", "bea (reviewer)"),
        ("disputed", "bea (reviewer)"),
        ("opinion: withdraw", "bea (reviewer)"),
        ("opinion: withdraw", " BEA  (hotline)"),
        ("opinion: withdraw", "cem (reviewer)"),
        ("withdrawn", " BEA  (hotline) and cem (reviewer)"),
    ]


def test_an_opinion_can_be_changed_until_it_is_decided(hotline: Hotline) -> None:
    with hotline.session() as session:
        dispute = acts.dispute(session, BEA, hotline.entry(session, "a"), "doubt", NOW).dispute
        acts.judge(session, BEA, dispute, W, "first thought", NOW)
        acts.judge(session, CEM, dispute, C, "no", NOW)
        done = acts.judge(session, BEA, dispute, C, "second thought", NOW)
        detail = views.detail(session, ANNA, dispute, NOW + 10)
    assert done.standing is Standing.ACTIVE
    assert [(one.by, one.opinion) for one in detail.opinions] == [("bea (reviewer)", C), ("cem (reviewer)", C)]
    assert "first thought" in [one.reason for one in detail.history]


def test_a_providers_word_pauses_the_entry_for_itself_only(hotline: Hotline) -> None:
    other = enrol(hotline.data, "other")
    told = hotline.complain(hotline.agent, "a")
    assert (told.state, told.paused) == (DisputeState.OPEN, True)
    assert hotline.standing("a") is Standing.ACTIVE
    with open_store(hotline.data) as store, store.reading() as session, store.asking() as asking:
        ids = [authenticate(store, f"Bearer {one.api_key}").id for one in (hotline.agent, other)]
        paused = [complaints.paused(asking, one) for one in ids]
        assert paused == [frozenset({hotline.entry(session, "a").id}), frozenset()]
        with pytest.raises(NoSuchDisputeError):
            complaints.told(session, ids[1], told.dispute)
        assert complaints.told(session, ids[0], told.dispute) == told


def test_the_first_person_who_agrees_with_a_provider_disarms_the_entry_for_all(hotline: Hotline) -> None:
    dispute = hotline.complain(hotline.agent, "a").dispute
    with hotline.session() as session:
        assert acts.judge(session, BEA, dispute, C, "it is right", NOW).standing is Standing.ACTIVE
        assert acts.judge(session, BEA, dispute, W, "no, it is wrong", NOW).standing is Standing.DISPUTED
        assert acts.judge(session, BEA, dispute, C, "or is it", NOW).standing is Standing.DISPUTED, "nobody arms alone"
        assert acts.judge(session, CEM, dispute, C, "it is right", NOW).standing is Standing.ACTIVE


def test_the_same_complaint_again_is_one(hotline: Hotline) -> None:
    first = hotline.complain(hotline.agent, "a")
    assert hotline.complain(hotline.agent, "a", now=NOW + 99) == first
    with open_store(hotline.data) as store, store.reading() as session:
        assert [one.complaints for one in views.disputes(session, ANNA, NOW)] == [1]


@pytest.mark.parametrize("what", ["c", "d"])
def test_what_a_provider_has_not_met_it_cannot_dispute(hotline: Hotline, what: str) -> None:
    with pytest.raises(NotMetError):
        hotline.complain(hotline.agent, what)


def test_a_provider_that_was_overruled_can_complain_again_but_pauses_nothing(hotline: Hotline) -> None:
    told = hotline.complain(hotline.agent, "a")
    with hotline.session() as session:
        acts.judge(session, BEA, told.dispute, C, "it is right", NOW)
        acts.judge(session, CEM, told.dispute, C, "it is", NOW)
    with open_store(hotline.data) as store, store.reading() as session:
        caller = authenticate(store, f"Bearer {hotline.agent.api_key}")
        after = complaints.told(session, caller.id, told.dispute)
    assert (after.state, after.paused, after.decided) == (DisputeState.CONFIRMED, False, NOW)
    again = hotline.complain(hotline.agent, "a", "k2", NOW + 5)
    assert (again.dispute != told.dispute, again.paused) == (True, False)
    assert hotline.complain(hotline.agent, "b", "k3", NOW + 5).paused


def test_one_person_withdraws_in_an_emergency_and_it_waits_for_a_second(hotline: Hotline) -> None:
    with hotline.session() as session:
        done = acts.withdraw_alone(session, ANNA, hotline.entry(session, "a"), "our own front page", NOW)
        assert (done.standing, done.state, done.to_withdraw) == (Standing.WITHDRAWN, DisputeState.OPEN, 1)
        (line,) = views.disputes(session, BEA, NOW)
        assert line.alone_by == "anna (hotline)"
        acts.judge(session, ANNA, done.dispute, C, "no, it was right", NOW)
        after = acts.judge(session, ANNA, done.dispute, C, "really", NOW)
        assert (after.standing, after.to_confirm) == (Standing.WITHDRAWN, 1)  # nobody arms alone
        back = acts.judge(session, BEA, done.dispute, C, "it was right", NOW)
        assert (back.standing, back.state) == (Standing.ACTIVE, DisputeState.CONFIRMED)


def test_who_may_not_is_refused(hotline: Hotline) -> None:
    with hotline.session() as session:
        entry = hotline.entry(session, "a")
        dispute = acts.dispute(session, BEA, entry, "doubt", NOW).dispute
        provider = Actor("acme", PersonRole.PROVIDER, "acme")
        for actor in (WATCHER, provider):
            with pytest.raises(NotAllowedError):
                acts.dispute(session, actor, entry, "doubt", NOW)
            with pytest.raises(NotAllowedError):
                acts.judge(session, actor, dispute, C, "doubt", NOW)
            with pytest.raises(NotAllowedError):
                views.disputes(session, actor, NOW)
        with pytest.raises(NotAllowedError):
            acts.withdraw_alone(session, BEA, entry, "doubt", NOW)


def test_the_self_test_entry_and_empty_reasons_are_refused(hotline: Hotline) -> None:
    with hotline.session() as session:
        test = session.scalars(select(Entry).where(Entry.standing == Standing.TEST)).one()
        with pytest.raises(UsageError, match="self-test"):
            acts.dispute(session, BEA, test, "doubt", NOW)
        for reason in ("", "x" * 1001, "a\nb"):
            with pytest.raises(UsageError, match="reason"):
                acts.dispute(session, BEA, hotline.entry(session, "a"), reason, NOW)
        with pytest.raises(NoSuchDisputeError):
            acts.judge(session, BEA, "d_unknown", C, "x", NOW)


def test_the_page_shows_who_acted_on_it(hotline: Hotline) -> None:
    silent = enrol(hotline.data, "silent")
    hotline.tell(silent, "a", "o_7", Action.REPORTED)
    hotline.tell(hotline.agent, "a", "o_3")
    hotline.tell(hotline.agent, "a", "o_4", Action.RESTORED)
    with hotline.session() as session:
        done = acts.withdraw_alone(session, ANNA, hotline.entry(session, "a"), "wrong", NOW)
        named = views.detail(session, ANNA, done.dispute, NOW).acted
        opaque = views.detail(session, BEA, done.dispute, NOW).acted
    assert [(one.provider, one.findings, one.restored, one.quarantined, one.in_place) for one in named] == [
        ("acme", 2, 1, 1, 0),
        ("silent", 1, 0, 0, 1),
    ]
    assert all(one.provider.startswith("p_") for one in opaque)
    assert views.heard_nothing(named) == ["acme", "silent"]
