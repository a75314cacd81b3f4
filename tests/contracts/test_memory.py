"""What every implementation of `ports.Memory` that remembers promises. `Forgetful` remembers nothing and says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from blake3 import blake3

from hashscan.central.forgetful import Forgetful
from hashscan.central.outbox import Outbox
from hashscan.errors import StateError
from hashscan.model import Candidate, Finding, ListRef
from hashscan.ports import Memory
from tests.support import nouns
from tests.support.acting import InMemory
from tests.support.hotline import LIST, candidate
from tests.support.service import Clock

A, B = candidate(b"harmless a", b"a"), candidate(b"harmless b", b"b")
Make = Callable[[Clock], Memory]


@pytest.fixture(params=["outbox", "in memory"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    opened: list[Outbox] = []

    def outbox(clock: Clock) -> Memory:
        opened.append(Outbox(tmp_path / "state" / "agent.sqlite", clock))
        return opened[-1]

    yield outbox if request.param == "outbox" else InMemory
    for one in opened:
        one.close()


def test_remembered_until_settled_the_oldest_first(make: Make) -> None:
    clock = Clock(1000.0)
    memory = make(clock)
    assert list(memory.waiting()) == []
    memory.remember([B])
    clock.now += 5
    memory.remember([A, B])
    assert [(one.candidate, one.first_seen, one.asked) for one in memory.waiting()] == [(B, 1000.0, 0), (A, 1005.0, 0)]
    assert memory.first_seen(B) == 1000.0
    memory.settle([B])
    assert [one.candidate for one in memory.waiting()] == [A]
    memory.settle([A, B, A])
    assert list(memory.waiting()) == []
    assert memory.first_seen(A) == clock.now


def test_asked_in_vain_is_counted_with_the_reason(make: Make) -> None:
    memory = make(Clock())
    memory.remember([A, B])
    memory.wait([A], "time-out")
    memory.wait([A], "502")
    by_path = {one.candidate.hashed.entry.place.path: (one.asked, one.reason) for one in memory.waiting()}
    assert by_path == {b"a": (2, "502"), b"b": (0, "")}
    memory.wait([candidate(b"unknown", b"u")], "x")
    assert len(list(memory.waiting())) == 2, "waiting does not make anything remembered"


def test_a_newer_state_of_the_lists_replaces_the_older(make: Make) -> None:
    memory = make(Clock())
    newer = candidate(b"harmless a", b"a", (ListRef("police", 8, 1),))
    memory.remember([A])
    memory.wait([A], "x")
    memory.remember([newer])
    (one,) = memory.waiting()
    assert (one.candidate, one.asked) == (newer, 1)
    memory.settle([A])
    assert list(memory.waiting()) == []


def test_two_contents_at_one_place_are_two(make: Make) -> None:
    memory = make(Clock())
    rewritten = candidate(b"harmless a", b"a", mtime_ns=99)
    memory.remember([A, rewritten])
    memory.settle([A])
    assert [one.candidate for one in memory.waiting()] == [rewritten]


def test_settling_while_reading(make: Make) -> None:
    memory = make(Clock())
    many = [candidate(b"harmless", b"%d" % number) for number in range(10)]
    memory.remember(many)
    seen = []
    for one in memory.waiting():
        seen.append(one.candidate)
        memory.settle(many[:8])
    paths = [one.hashed.entry.place.path for one in seen]
    assert len(paths) == len(set(paths)) <= 3, "the first that was given, and those that were never settled"
    assert {b"8", b"9"} <= {*paths}


def test_cleared_while_it_lasts_and_only_these_digests_on_these_lists(make: Make) -> None:
    clock = Clock(1000.0)
    memory = make(clock)
    assert not memory.is_cleared(A)
    memory.clear(A, 60.0)
    assert memory.is_cleared(A)
    assert memory.is_cleared(candidate(b"harmless a", b"another/place", mtime_ns=1))
    assert not memory.is_cleared(B)
    assert not memory.is_cleared(candidate(b"harmless a", b"a", (ListRef("police", 8, 1),)))
    assert not memory.is_cleared(candidate(b"harmless a", b"a", (LIST, ListRef("z", 1, 1))))
    clock.now += 61
    assert not memory.is_cleared(A)
    assert list(memory.waiting()) == []


def test_forgetful_loses_nothing_because_it_is_given_nothing() -> None:
    memory = Forgetful(Clock(7.0))
    memory.remember([A])
    memory.settle([A])
    memory.clear(A, 9)
    memory.wait([], "x")
    assert list(memory.waiting()) == []
    assert not memory.is_cleared(A)
    assert memory.first_seen(A) == 7.0
    with pytest.raises(StateError, match="time-out"):
        memory.wait([A], "time-out")


def found(of: Candidate, envelope: bytes) -> Finding:
    told = nouns.finding()
    return replace(told, candidate=of, envelope=envelope, verdict_id=blake3(envelope).hexdigest())


def test_a_verdict_is_kept_with_its_candidates_until_they_are_settled(make: Make) -> None:
    """The answer came, and acting on it failed: what was answered is still there the next time."""
    memory = make(Clock())
    memory.remember([A, B])
    memory.judged([found(A, b"one"), found(B, b"one")])
    assert {one.verdict for one in memory.waiting()} == {b"one"}
    memory.wait([A], "the vault failed")
    memory.remember([A])
    memory.judged([found(A, b"two")])
    assert sorted((one.candidate.hashed.entry.place.path, one.verdict) for one in memory.waiting()) == [
        (b"a", b"two"),
        (b"b", b"one"),
    ]
    memory.settle([A])
    assert [one.verdict for one in memory.waiting()] == [b"one"]
    memory.settle([B])
    memory.remember([A, B])
    assert {one.verdict for one in memory.waiting()} == {b""}
