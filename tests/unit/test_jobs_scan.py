"""From stretches to ends: every candidate ends once, nothing is lost by a crash between any two steps, silence is pending."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.central.outbox import Outbox
from hashscan.errors import ExitCode
from hashscan.jobs.conclude import ActTools
from hashscan.jobs.confirm import confirm_waiting
from hashscan.jobs.gather import gather
from hashscan.jobs.scan import ScanTools, scan
from hashscan.known.exact import ExactSieve
from hashscan.known.judge import judge_local
from hashscan.model import Action, Algorithm, Candidate, Finding, HashedFile, ListRef, Reason, Sifted, Skipped
from hashscan.ports import Memory, Ruling
from hashscan.report.tally import Tally
from tests.support import nouns
from tests.support.acting import Crash, Eager, Fuse, Fused, Hands, InMemory, Judges, Passing, Stretches, Told
from tests.support.hotline import LIST, candidate, hashed, raw
from tests.support.service import Clock

# Gathering.


class Ticks:
    """A clock that a stretch may move."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@given(st.lists(st.tuples(st.integers(0, 12), st.floats(0, 8)), max_size=20), st.integers(1, 7))
def test_batches_hold_everything_once_in_order_bounded_in_count_and_age(arrivals: list[tuple[int, float]], count: int) -> None:
    clock = Ticks()
    born: dict[int, float] = {}
    given_out: list[int] = []

    def stretches() -> Iterator[list[Any]]:
        number = 0
        for size, pause in arrivals:
            clock.now += pause
            batch = list(range(number, number + size))
            number += size
            born.update(dict.fromkeys(batch, clock.now))
            yield batch
            waiting = [one for one in born if one not in given_out]
            assert len(waiting) < count
            assert all(clock.now - born[one] < 10.0 for one in waiting), "an age that was reached must not wait for more"

    for batch in gather(stretches(), count=count, seconds=10.0, clock=clock):
        assert 0 < len(batch) <= count
        given_out += batch  # type: ignore[arg-type]
    assert given_out == list(born)


def test_a_rare_candidate_does_not_wait_for_ninety_nine_others() -> None:
    clock = Ticks()
    one = candidate(b"x")

    def stretches() -> Iterator[Sequence[Candidate]]:
        yield [one]
        for _ in range(20):
            clock.now += 1
            yield []
        raise AssertionError("it must have left by now")

    assert next(gather(stretches(), count=100, seconds=10.0, clock=clock)) == [one]
    assert clock.now == 10


# A run.

CONTENTS = {"bad": b"harmless bad", "innocent": b"harmless innocent", "silent": b"harmless silent"}


def make(kind: str, number: int, **stat: Any) -> Candidate:
    return candidate(CONTENTS[kind], f"{kind}/{number}".encode(), **stat)


def kind_of(one: Candidate) -> str:
    return one.hashed.entry.place.path.split(b"/")[0].decode()


def finding_of(one: Candidate) -> Finding:
    known = ExactSieve("x", {Algorithm.SHA1: frozenset([raw(Algorithm.SHA1, CONTENTS["bad"])])})
    found = judge_local(one, known)
    return nouns.finding().__class__(
        **{**{name: getattr(nouns.finding(), name) for name in Finding.__dataclass_fields__}, "candidate": found.candidate}
    )


def rule(one: Candidate) -> Ruling:
    kind = kind_of(one)
    if kind == "bad":
        return Ruling(one, finding=finding_of(one))
    return Ruling(one, pending="time-out") if kind == "silent" else Ruling(one, ttl=3600.0)


class Run:
    """All fakes of one run over ``memory``."""

    def __init__(self, memory: Memory, stretches: Sequence[Any] = (), fuse: Fuse | None = None) -> None:
        self.told, self.hands, self.judges, self.engine = Told(), Hands(), Judges(rule), Stretches(stretches)
        self.tally = Tally()
        self.stop = False
        self.sieve = Passing(lambda file: Candidate(file, (LIST,)))
        wrap: Callable[[Any], Any] = (lambda port: Fused(port, fuse)) if fuse else lambda port: port
        self.act = ActTools(wrap(self.judges), wrap(memory), wrap(self.hands), wrap(self.told), lambda: self.stop)
        self.tools = ScanTools(self.engine, self.sieve, self.act, Ticks(), lambda: self.stop)

    def scan(self) -> Tally:
        scan(self.tools, [b"/srv"], self.tally)
        return self.tally

    def confirm(self) -> Tally:
        confirm_waiting(self.act, self.sieve, self.tally)
        return self.tally


def counts(tally: Tally) -> tuple[int, int, int, int]:
    return tally.candidates, tally.cleared, tally.findings, tally.pending


def paths(memory: Memory) -> list[bytes]:
    return [one.candidate.hashed.entry.place.path for one in memory.waiting()]


@pytest.fixture
def memory() -> InMemory:
    return InMemory(Clock(1000.0))


def test_every_candidate_ends_once(memory: InMemory) -> None:
    stretches = [[make("bad", 1), make("innocent", 1)], [], [make("silent", 1), make("bad", 2)]]
    run = Run(memory, stretches)
    tally = run.scan()
    assert counts(tally) == (4, 1, 2, 1)
    assert tally.adds_up()
    assert tally.exit_code is ExitCode.FINDINGS
    assert paths(memory) == [b"silent/1"]
    assert [one.candidate.hashed.entry.place.path for one in run.hands.handled] == [b"bad/1", b"bad/2"]
    assert len(memory.outcomes) == 2
    assert run.engine.closed
    assert [[kind_of(one) for one in batch] for batch in run.judges.batches] == [
        ["bad", "innocent", "silent", "bad"],
        ["silent"],
    ]
    assert run.told.types() == ["finding", "action", "finding", "action", "pending"]


def test_two_hundred_and_fifty_candidates_are_three_questions(memory: InMemory) -> None:
    run = Run(memory, [[make("bad", number) for number in range(250)]])
    tally = run.scan()
    assert [len(batch) for batch in run.judges.batches if batch] == [100, 100, 50]
    assert (counts(tally), tally.adds_up(), len(run.hands.handled)) == ((250, 0, 250, 0), True, 250)


def test_pending_is_counted_once_and_asked_again_at_the_end(memory: InMemory) -> None:
    run = Run(memory, [[make("silent", number)] for number in range(150)])
    tally = run.scan()
    assert (counts(tally), tally.adds_up(), tally.exit_code) == ((150, 0, 0, 150), True, ExitCode.PENDING)
    asked = [one.hashed.entry.place.path for batch in run.judges.batches for one in batch]
    assert {asked.count(path) for path in set(asked)} == {2}
    assert [one.asked for one in memory.waiting()] == [1] * 150
    assert run.told.types() == ["pending"] * 150


def test_an_answer_at_the_second_time_is_an_answer(memory: InMemory) -> None:
    answers = {1: Ruling(make("bad", 1), pending="busy")}
    run = Run(memory, [[make("bad", 1)]])
    run.judges._rule = lambda one: answers.pop(1, rule(one))
    tally = run.scan()
    assert (counts(tally), tally.adds_up(), paths(memory)) == ((1, 0, 1, 0), True, [])


def test_what_earlier_runs_left_is_counted_and_acted_upon(memory: InMemory) -> None:
    memory.remember([make("bad", 1), make("innocent", 1), make("silent", 1)])
    run = Run(memory, [[make("silent", 1), make("bad", 2)]])
    tally = run.scan()
    assert (counts(tally), tally.adds_up(), paths(memory)) == ((4, 1, 2, 1), True, [b"silent/1"])


def test_a_place_that_was_written_to_since_has_two_candidates_and_both_end(memory: InMemory) -> None:
    """The older one must neither hide behind the newer one nor be taken for it."""
    memory.remember([make("silent", 1, mtime_ns=1)])
    tally = Run(memory, [[make("silent", 1, mtime_ns=2)]]).scan()
    assert (counts(tally), tally.adds_up()) == ((2, 0, 0, 2), True)
    run = Run(memory)
    run.judges._rule = lambda one: Ruling(one, ttl=1.0)
    assert (counts(run.confirm()), run.tally.adds_up(), paths(memory)) == ((2, 2, 0, 0), True, [])


def test_only_the_older_content_of_a_place_is_on_a_list_any_more(memory: InMemory) -> None:
    older, newer = make("silent", 1, mtime_ns=1), make("silent", 1, mtime_ns=2)
    memory.remember([older, newer])
    run = Run(memory)
    run.sieve = Passing(lambda file: Candidate(file, (LIST,)) if file.entry.mtime_ns == 1 else None)
    assert (counts(run.confirm()), run.tally.adds_up()) == ((2, 1, 0, 1), True)
    assert [one.candidate for one in memory.waiting()] == [older]


def test_what_the_lists_do_not_contain_any_more_is_cleared(memory: InMemory) -> None:
    memory.remember([make("silent", 1), make("bad", 1)])
    run = Run(memory)
    run.sieve = Passing(lambda file: None)
    assert (counts(run.confirm()), paths(memory), run.hands.handled) == ((2, 2, 0, 0), [], [])


def test_a_newer_version_of_the_list_is_asked_about(memory: InMemory) -> None:
    newer = ListRef("police", 8, 1)
    memory.remember([make("bad", 1)])
    run = Run(memory)
    run.sieve = Passing(lambda file: Candidate(file, (newer,)))
    run.confirm()
    assert [one.lists for batch in run.judges.batches for one in batch] == [(newer,)]
    assert paths(memory) == []


def test_what_was_cleared_lately_is_not_asked_about(memory: InMemory) -> None:
    assert counts(Run(memory, [[make("innocent", 1)]]).scan()) == (1, 1, 0, 0)
    run = Run(memory, [[make("innocent", 2)]])
    assert (counts(run.scan()), run.tally.adds_up(), paths(memory)) == ((1, 1, 0, 0), True, [])
    assert not any(run.judges.batches)


def test_candidates_are_remembered_before_anyone_is_asked(memory: InMemory) -> None:
    run = Run(memory, [[make("bad", 1)], [make("bad", 2)]])
    seen: list[list[bytes]] = []

    def asked(one: Candidate) -> Ruling:
        seen.append(paths(memory))
        return rule(one)

    run.judges._rule = asked
    run.scan()
    assert all({b"bad/1", b"bad/2"} >= {*one} and one for one in seen)
    assert seen[0] == [b"bad/1", b"bad/2"]


def test_notes_are_told_as_what_they_are(memory: InMemory) -> None:
    notes = (nouns.skip(Reason.ERROR, errno="EACCES"), nouns.skip(Reason.TOO_LARGE))
    run = Run(memory, [Sifted(seen=2, skipped={Reason.TOO_LARGE: 1}, errors={"EACCES": 1}, notes=notes)])
    tally = run.scan()
    assert run.told.types() == ["error", "skipped"]
    assert tally.exit_code is ExitCode.INCOMPLETE
    assert isinstance(notes[0], Skipped)


def test_a_stopped_run_accounts_for_everything_and_asks_nobody_again(memory: InMemory) -> None:
    memory.remember([make("bad", 9)])
    run = Run(memory)

    def stretches() -> Iterator[list[Candidate]]:
        yield [make("bad", 1), make("silent", 1)]
        run.stop = True
        yield [make("bad", 2)]
        raise AssertionError("nothing more is walked")

    run.engine._stretches = stretches()
    tally = run.scan()
    assert tally.stopped
    assert tally.adds_up()
    assert run.engine.closed
    left = set(paths(memory))
    assert b"bad/9" in left
    acted = {one.candidate.hashed.entry.place.path for one in run.hands.handled}
    assert left | acted == {b"bad/1", b"bad/2", b"bad/9", b"silent/1"}
    assert not left & acted


# Crashes.

PLAN = [[make("bad", 1), make("innocent", 1)], [make("silent", 1)], [make("bad", 2), make("silent", 2), make("innocent", 2)]]
EARLIER = [make("bad", 3), make("innocent", 3), make("silent", 3)]


class Watched:
    """Remembers what `remember` has returned for, in a memory of its own that survives the crash."""

    def __init__(self, inner: Memory) -> None:
        self._inner = inner
        self.promised: dict[bytes, Candidate] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def remember(self, candidates: Sequence[Candidate]) -> None:
        self._inner.remember(candidates)
        self.promised.update({one.hashed.entry.place.path: one for one in candidates})


Open = Callable[[], Memory]
"""Opens the memory of one host as the next process would."""


def crashed(opened: Open, moment: int, wrap: Callable[[Memory], Any]) -> tuple[Run, Watched, bool]:
    memory = opened()
    watched = Watched(wrap(memory))
    watched.remember(EARLIER)
    run = Run(watched, PLAN, Fuse(moment))  # type: ignore[arg-type]
    try:
        run.scan()
        return run, watched, False
    except Crash:
        return run, watched, True
    finally:
        close(memory)


def close(memory: Memory) -> None:
    if isinstance(memory, Outbox):
        memory.close()


def noted(memory: Memory) -> list[Action]:
    return [one.action for one in memory.unsent(100)] if isinstance(memory, Outbox) else [one[2] for one in memory.outcomes]  # type: ignore[attr-defined]


def lost_after(opened: Open, run: Run, watched: Watched) -> set[bytes]:
    """What was promised and is neither waiting, nor cleared, nor acted upon; or not even after a second run; or is not told."""
    memory = opened()
    acted = {one.candidate.hashed.entry.place.path for one in run.hands.handled}
    safe = acted | set(paths(memory)) | {name for name, one in watched.promised.items() if memory.is_cleared(one)}
    lost = set(watched.promised) - safe
    again = Run(memory)
    again.confirm()
    assert set(paths(memory)) == {name for name in watched.promised if name.startswith(b"silent")}
    bad = {name for name in watched.promised if name.startswith(b"bad")}
    lost |= bad - acted - {one.candidate.hashed.entry.place.path for one in again.hands.handled}
    told = noted(memory)
    assert set(told) <= {Action.QUARANTINED}
    assert len(told) <= len(bad), "no outcome twice"
    close(memory)
    return lost | ({b"an outcome"} if len(told) < len(bad) else set())


def harness(openers: Callable[[int], Open], wrap: Callable[[Memory], Any], every: int = 1) -> tuple[int, set[bytes]]:
    """A crash at every (or every so many) step of the run; how many there are, and what any of them lost."""
    lost: set[bytes] = set()
    for moment in range(0, 10_000, every):
        opened = openers(moment)
        run, watched, burnt = crashed(opened, moment, wrap)
        lost |= lost_after(opened, run, watched)
        if not burnt:
            return moment, lost
    raise AssertionError("the run does not end")


def in_memory(moment: int) -> Open:
    memory = InMemory(Clock(1000.0))
    return lambda: memory


def test_a_crash_between_any_two_steps_loses_no_candidate() -> None:
    steps, lost = harness(in_memory, lambda memory: memory)
    assert not lost
    assert steps > 50
    print(f"{steps} crashes")


def test_nor_with_the_outbox_on_a_disk(tmp_path: Path) -> None:
    _, lost = harness(
        lambda moment: lambda: Outbox(tmp_path / str(moment) / "agent.sqlite", Clock(1000.0)), lambda memory: memory, every=7
    )
    assert not lost


def test_control_a_memory_that_forgets_too_early_is_noticed() -> None:
    _, lost = harness(in_memory, Eager)
    assert any(name.startswith(b"bad") for name in lost)


def test_hashed_files_are_what_the_sieve_is_asked_about(memory: InMemory) -> None:
    files: list[HashedFile] = []
    memory.remember([make("silent", 1)])
    run = Run(memory)
    run.sieve = Passing(files.append)
    run.confirm()
    assert files == [hashed(CONTENTS["silent"], b"silent/1")]
