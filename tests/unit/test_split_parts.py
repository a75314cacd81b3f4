"""The parts of a split host, each by itself: what lies in a tray, what is believed of it, and where nothing may get lost."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.central.handover import ActingMemory, AskingOutbox, HandOver, ReadingMemory, Tray, handed, put_head, read_head
from hashscan.errors import ServiceUnavailable, StateError
from hashscan.jobs.confirm import Court, ServiceConfirmer
from hashscan.jobs.parts import HandingOn, Mute, SignedConfirmer
from hashscan.known.verdicts import MAX_AGE, open_handed
from hashscan.model import Action, Candidate, Finding
from hashscan.ports import LogHead, Question
from hashscan.settings import Part, Settings
from hashscan.settings.sections import PathSettings, QuarantineSettings
from tests.support.hotline import LIST, PROVIDER, Hotline, Known, candidate
from tests.support.service import Clock

A, B = candidate(b"harmless a", b"a\xff\n"), candidate(b"harmless b", b"b")
KEY = "0" * 64


@pytest.fixture
def tray(tmp_path: Path) -> Callable[[str], Tray]:
    def make(name: str) -> Tray:
        (tmp_path / name).mkdir(exist_ok=True)
        return Tray(tmp_path / name)

    return make


def found(hotline: Hotline, one: Candidate) -> Finding:
    (ruling,) = ServiceConfirmer(court(hotline)).confirm([one])
    assert ruling.finding is not None
    return ruling.finding


def court(hotline: Hotline, **changes: object) -> Court:
    return Court(hotline, hotline.verdict_keys, hotline.key, PROVIDER, hotline.now, **changes)  # type: ignore[arg-type]


def test_a_candidate_on_its_way_through_all_three(tray: Callable[[str], Tray], tmp_path: Path) -> None:
    candidates, findings, outcomes, clock = tray("candidates"), tray("findings"), tray("outcomes"), Clock()
    hotline = Hotline(lists={LIST: [Known(b"harmless a")]}, now=clock)
    reading = ReadingMemory(candidates, clock)
    reading.remember([A, B, A])
    assert [one.candidate for one in reading.waiting()] == [A, B]
    assert {ruling.pending for ruling in HandingOn().confirm([A, B])} == {"handed over to the part that asks"}
    clock.now += 5
    box = AskingOutbox(tmp_path / "net" / "agent.sqlite", clock)
    box.take_in(candidates, outcomes)
    assert sorted(one.candidate.hashed.entry.place.path for one in box.waiting()) == [b"a\xff\n", b"b"]
    assert list(handed(candidates)) == []
    assert box.first_seen(A) == clock.now - 5
    result = HandOver(findings, box.first_seen).handle(found(hotline, A))
    assert (result.action, result.reason) == (Action.REPORTED, "handed over to the part that acts")
    acting = ActingMemory(findings, candidates, outcomes, clock)
    (waits,) = acting.waiting()
    assert (waits.candidate, waits.first_seen) == (A, clock.now - 5)
    (ruling,) = SignedConfirmer(court(hotline), acting.envelope).confirm([A])
    assert ruling.finding is not None
    assert (ruling.finding.candidate, ruling.finding.entry) == (A, found(hotline, A).entry)
    acting.add_outcome(found(hotline, A), Action.QUARANTINED, acting.first_seen(A))
    acting.settle([A])
    assert list(acting.waiting()) == []
    box.take_in(candidates, outcomes)
    (told,) = box.unsent(10)
    assert (told.action, told.first_seen, told.list_id) == (Action.QUARANTINED, clock.now - 5, LIST.id)
    assert list(outcomes.papers()) == []
    box.add_outcome(found(hotline, A), Action.REPORTED, 1.0)
    assert box.unsent_count() == 1, "what was done is the word of the part that acts"
    box.close()


def test_the_outcome_is_the_one_that_a_whole_host_would_tell(tray: Callable[[str], Tray], tmp_path: Path) -> None:
    """The same finding, acted upon twice, before and after a split, is told once."""
    clock, outcomes = Clock(), tray("outcomes")
    finding = found(Hotline(lists={LIST: [Known(b"harmless a")]}, now=clock), A)
    ActingMemory(tray("findings"), tray("candidates"), outcomes, clock).add_outcome(finding, Action.HELD, 5.0)
    box = AskingOutbox(tmp_path / "agent.sqlite", clock)
    super(AskingOutbox, box).add_outcome(finding, Action.HELD, 5.0)
    (before,) = box.unsent(10)
    box.take_in(tray("candidates"), outcomes)
    assert box.unsent(10) == [before]
    box.close()


def test_what_was_handed_over_is_checked_again(tray: Callable[[str], Tray]) -> None:
    clock = Clock()
    hotline = Hotline(lists={LIST: [Known(b"harmless a")]}, now=clock)
    envelope = found(hotline, A).envelope
    assert open_handed(hotline.verdict_keys, envelope, PROVIDER, clock.now).list == LIST
    stranger = Hotline(lists={LIST: [Known(b"harmless a")]}, now=clock)
    wrong = {
        "not to be trusted": lambda: open_handed(stranger.verdict_keys, envelope, PROVIDER, clock.now),
        "another provider": lambda: open_handed(hotline.verdict_keys, envelope, "other", clock.now),
        "seconds ago": lambda: open_handed(hotline.verdict_keys, envelope, PROVIDER, clock.now + MAX_AGE + 1),
        "cannot be read": lambda: open_handed(hotline.verdict_keys, b"", PROVIDER, clock.now),
    }
    for words, opens in wrong.items():
        with pytest.raises(ServiceUnavailable, match=words):
            opens()
    of_another = SignedConfirmer(court(hotline), lambda _: envelope).confirm([B])
    assert [one.pending for one in of_another] == ["the verdict that was handed over is about another file"]
    doubting = SignedConfirmer(court(hotline, doubt=lambda: "the clock jumped back"), lambda _: envelope).confirm([A])
    assert [one.pending for one in doubting] == ["the clock jumped back"]
    withdrawn = SignedConfirmer(court(hotline, withdrawn=lambda *_: True), lambda _: envelope).confirm([A])
    assert withdrawn[0].finding is not None
    assert withdrawn[0].finding.act.value == "report", "what the lists of this host say holds for the part that acts"


def test_what_cannot_be_used_goes_back_with_its_first_time(tray: Callable[[str], Tray]) -> None:
    clock = Clock(1000.0)
    hotline = Hotline(lists={LIST: [Known(b"harmless a")]}, now=clock)
    findings, candidates = tray("findings"), tray("candidates")
    HandOver(findings, lambda _: 900.0).handle(found(hotline, A))
    acting = ActingMemory(findings, candidates, tray("outcomes"), clock)
    assert [one.candidate for one in acting.waiting()] == [A]
    acting.wait([A], "too old")
    assert list(acting.waiting()) == []
    assert [(one.candidate, one.first_seen, one.verdict) for _, one in handed(candidates)] == [(A, 900.0, b"")]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"candidate": 5, "first_seen": 1}', b'{"candidate": "{}", "first_seen": 1}', b"\xff" * 99],
)
def test_what_is_no_paper_is_removed_and_counted(content: bytes, tray: Callable[[str], Tray], tmp_path: Path) -> None:
    candidates = tray("candidates")
    ReadingMemory(candidates, Clock()).remember([A])
    path = tmp_path / "candidates" / f"{KEY}.json"
    path.write_bytes(content)
    assert [one.candidate for _, one in handed(candidates)] == [A]
    assert (candidates.spoiled, path.exists()) == (1, False)


def test_links_and_pipes_are_no_papers(tray: Callable[[str], Tray], tmp_path: Path) -> None:
    candidates, secret = tray("candidates"), tmp_path / "secret"
    secret.write_text('{"a": 1}')
    (tmp_path / "candidates" / f"{KEY}.json").symlink_to(secret)
    os.mkfifo(tmp_path / "candidates" / f"{'1' * 64}.json")
    (tmp_path / "candidates" / f"{'2' * 64}.json").mkdir()
    (tmp_path / "candidates" / ".0.json.new").write_text("half")
    assert list(candidates.papers()) == []
    assert candidates.spoiled == 3
    assert secret.read_text() == '{"a": 1}'
    assert sorted(os.listdir(tmp_path / "candidates")) == [".0.json.new", f"{'2' * 64}.json"]


def test_papers_are_for_the_group_whatever_the_umask(tray: Callable[[str], Tray], tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        tray("candidates").put(KEY, {"a": 1})
    finally:
        os.umask(before)
    assert (tmp_path / "candidates" / f"{KEY}.json").stat().st_mode & 0o777 == 0o640


def test_a_tray_that_is_missing_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for act in (lambda one: one.put(KEY, {}), lambda one: list(one.papers()), lambda one: one.remove(KEY)):
        with pytest.raises(StateError, match="nowhere cannot be used") as caught:
            act(Tray(tmp_path / "nowhere"))
        assert "systemd-tmpfiles" in caught.value.hint


def test_a_dry_run_hands_nothing_over() -> None:
    memory = ReadingMemory(None, Clock())
    memory.remember([A])
    assert [one.candidate for one in memory.waiting()] == [A]
    memory.settle([A])
    assert list(memory.waiting()) == []
    with pytest.raises(StateError):
        memory.add_outcome(found(Hotline(lists={LIST: [Known(b"harmless a")]}), A), Action.FAILED, 0.0)


def test_the_head_of_the_log(tmp_path: Path) -> None:
    assert read_head(tmp_path) is None
    put_head(tmp_path, LogHead(3, "ab" * 32))
    assert read_head(tmp_path) == LogHead(3, "ab" * 32)
    (tmp_path / "log-head.json").write_text(json.dumps({"lines": -1, "hash": "x"}))
    with pytest.raises(StateError, match="log-head"):
        read_head(tmp_path)


def test_a_part_without_a_network_asks_nobody() -> None:
    with pytest.raises(ServiceUnavailable):
        Mute().confirm(Question(LIST, "", ()))
    with pytest.raises(ServiceUnavailable):
        Mute().report_outcomes(())


def test_folders_of_a_split_host_and_of_a_whole_one() -> None:
    split = Settings(paths=PathSettings(state="/s", run="/r", cache="/c", split=True))
    read, net, act = (split.as_part(part) for part in (Part.READ, Part.NET, Part.ACT))
    assert [str(one.state_dir) for one in (read, net, act)] == ["/s/read", "/s/net", "/s/act"]
    assert [str(one.run_dir) for one in (read, net, act)] == ["/r/read", "/r/net", "/r/act"]
    for one in (read, net, act):
        shared = (one.lists_dir, one.scan_dir, one.vault_dir, one.memo_dir, one.cache_dir, one.run_dir_of(Part.READ))
        assert list(map(str, shared)) == ["/s/net/lists", "/s/read", "/s/act/vault", "/s/act", "/c", "/r/read"]
    assert str(Settings(quarantine=QuarantineSettings(vault="/v"), paths=split.paths).vault_dir) == "/v"
    whole = Settings(paths=PathSettings(state="/s", run="/r", cache="/c")).as_part(Part.READ)
    assert whole.part is None
    everything = (whole.state_dir, whole.scan_dir, whole.lists_dir, whole.vault_dir, whole.memo_dir, whole.run_dir)
    assert list(map(str, everything)) == ["/s", "/s", "/s/lists", "/s/vault", "/c", "/r"]
