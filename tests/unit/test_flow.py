"""The ledger alone, in random histories; and real processes that are killed, stopped and left behind."""

from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing

import pytest

from hashscan import flow
from hashscan.errors import IncompleteError, UsageError
from hashscan.flow.ledger import MAX_BARREN, MAX_DEATHS
from hashscan.flow.worker import Sender, framed, whole_messages
from tests.support import children as kids
from tests.support.budget import attempts
from tests.support.killing import kill_now_and_then, start_of_a_worker
from tests.support.trees import children, descriptors

Range = tuple[int, int]


class Counting:
    """A toy worker: an item is a range of numbers, a unit of work is one number, the result is the numbers that were done."""

    def __init__(self, act: Callable[[int], None] = lambda number: None) -> None:
        self.stack: list[Range] = []
        self.low = 0
        self.done: list[int] = []
        self.act = act
        self.careful = False

    def load(self, items: Sequence[Range], *, careful: bool) -> None:
        self.stack, self.low, self.careful = list(items), len(items), careful

    def idle(self) -> bool:
        return not self.stack

    def advance(self, until: float, hungry: Callable[[], bool]) -> None:
        while self.stack:
            low, high = self.stack.pop()
            self.low = min(self.low, len(self.stack))
            if high - low > 3:  # a directory, as it were: what is in it comes on top
                third = (high - low) // 3
                self.stack += [(low, low + third), (low + third, low + 2 * third), (low + 2 * third, high)]
            else:
                self.act(low)
                self.done.append(low)
                if low + 1 < high:
                    self.stack.append((low + 1, high))
            if self.careful or hungry() or time.monotonic() > until:
                return

    def commit(self, *, give: bool) -> flow.Commit[Range, list[int]]:
        pushed = self.stack[self.low :]
        low, self.low = self.low, len(self.stack)
        done, self.done = self.done, []
        if not give or len(self.stack) < 2:
            return flow.Commit(done, low, pushed, careful=self.careful)
        half = len(self.stack) // 2
        given, self.stack = self.stack[:half], self.stack[half:]
        self.low = len(self.stack)
        return flow.Commit(done, low, pushed, half, [], given, self.careful)

    def close(self) -> None:
        """Nothing is held."""


class Blame:
    """Numbers that were given up are negative in the result, those that hung minus 10,000,000."""

    def culprit(self, stack: Sequence[Range]) -> bytes:
        return b"%d" % stack[-1][0]

    def abandon(self, stack: Sequence[Range], *, hung: bool) -> tuple[list[Range], list[int]]:
        low, high = stack[-1]
        rest = [(low + 1, high)] if low + 1 < high else []
        return [*stack[:-1], *rest], [-low - 10_000_000 if hung else -low]


def test_a_ledger_loses_nothing_in_any_history() -> None:
    """Workers advance, commit, share, die between any two steps: the numbers that come out are the numbers that went in."""
    deaths = gifts = 0
    for seed in range(attempts(300)):
        rnd = random.Random(seed)
        ledger: flow.Ledger[Range, list[int]] = flow.Ledger(Blame())
        ledger.add([(1, 400), (400, 1000)])
        workers = {number: Counting() for number in range(3)}
        out: list[int] = []
        for number, worker in workers.items():
            worker.load([], careful=False)
            assert ledger.is_idle(number)
        while not ledger.finished:
            number = rnd.randrange(3)
            worker = workers[number]
            if rnd.random() < 0.02:  # it dies, with whatever it had not told
                out += ledger.lost(number, hung=False) or []
                workers[number] = Counting()
                deaths += 1
            elif ledger.is_idle(number):
                if (handover := ledger.assign(number)) is not None:
                    worker.load(handover[0], careful=handover[1])
            else:
                steps = rnd.randrange(1, 6)
                worker.advance(
                    0.0 if steps == 1 else time.monotonic() + 1, lambda steps=steps, rnd=rnd: rnd.random() < 1 / steps
                )
                if rnd.random() < 0.7:
                    commit = worker.commit(give=rnd.random() < 0.3)
                    gifts += bool(commit.given)
                    out += ledger.apply(number, commit)
                    assert ledger.held[number].stack == worker.stack
        assert Counter(map(abs, out)) == Counter(range(1, 1000))
    print(f"{deaths} deaths, {gifts} gifts")
    assert deaths > 1000
    assert gifts > 1000


def test_a_unit_that_kills_is_given_up_after_its_deaths() -> None:
    ledger: flow.Ledger[Range, list[int]] = flow.Ledger(Blame())
    ledger.add([(5, 7)])
    for death in range(1, MAX_DEATHS + 1):
        handover = ledger.assign(0)
        assert handover == ([(5, 7)], death > 1)
        ledger.apply(0, flow.Commit([], 1, [], careful=death > 1))
        assert ledger.lost(0, hung=False) == ([-5] if death == MAX_DEATHS else None)
    assert ledger.assign(0) == ([(6, 7)], True)


def test_a_unit_that_hangs_is_given_up_once_it_is_known() -> None:
    ledger: flow.Ledger[Range, list[int]] = flow.Ledger(Blame())
    ledger.add([(5, 7)])
    ledger.assign(0)
    assert ledger.lost(0, hung=True) is None
    ledger.assign(1)
    ledger.apply(1, flow.Commit([], 1, [], careful=True))
    assert ledger.lost(1, hung=True) == [-10_000_005]


def test_a_unit_that_was_not_begun_is_not_to_blame() -> None:
    ledger: flow.Ledger[Range, list[int]] = flow.Ledger(Blame())
    ledger.add([(5, 7)])
    for _ in range(10 * MAX_DEATHS // 2):
        ledger.assign(0)
        assert ledger.lost(0, hung=False) is None
    assert ledger.assign(0) == ([(5, 7)], True)


def test_workers_that_only_die_end_the_run() -> None:
    ledger: flow.Ledger[Range, list[int]] = flow.Ledger(Blame())
    for _ in range(MAX_BARREN):
        ledger.lost(0, hung=False)
    with pytest.raises(IncompleteError):
        ledger.lost(0, hung=False)


def share(act: Callable[[int], None], top: int, *, workers: int = 2, deadline: float = 60.0) -> list[int]:
    out = []
    for result in flow.share([[(1, top)]], lambda alive: Counting(act), Blame(), staff=flow.Staff(workers, deadline)):
        out += result or []
    return out


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_all_the_work_is_done_once(workers: int) -> None:
    assert sorted(share(lambda number: None, 20_000, workers=workers)) == list(range(1, 20_000))


def test_work_is_shared() -> None:
    """Sleeping parallelises on any machine: three workers need about a third of the time."""
    begin = time.monotonic()
    assert len(share(lambda number: time.sleep(0.002), 901, workers=3)) == 900
    assert time.monotonic() - begin < 0.75 * 900 * 0.002


@pytest.mark.parametrize("seed", range(3))
def test_killed_workers_lose_and_repeat_nothing(seed: int) -> None:
    parent = os.getpid()
    reading, writing = os.pipe()
    least = start_of_a_worker()
    killer = kids.start(lambda: kill_now_and_then(parent, seed, writing, least))
    try:
        out = share(lambda number: time.sleep(0.05 * least), 3000, workers=3)
    finally:
        os.kill(killer, signal.SIGKILL)
        kids.end(killer)
    kills = len(os.read(reading, 10_000))
    os.close(reading)
    os.close(writing)
    print(f"{kills} workers killed")
    assert kills >= 5
    # Should the same number be in hand at three deaths, it is given up, which is told too.
    assert Counter(map(abs, out)) == Counter(range(1, 3000))
    assert sum(1 for number in out if number < 0) <= 2


def die_at(*numbers: int) -> Callable[[int], None]:
    def act(number: int) -> None:
        if number in numbers:
            os.kill(os.getpid(), signal.SIGKILL)

    return act


def test_work_that_kills_its_worker_is_named_and_the_rest_is_done() -> None:
    out = share(die_at(1, 500, 501, 999), 1000)
    assert Counter(out) == Counter([number * (-1 if number in (1, 500, 501, 999) else 1) for number in range(1, 1000)])


def test_work_that_hangs_is_named_and_the_rest_is_done() -> None:
    out = share(lambda number: time.sleep(1000) if number in (77, 200) else None, 300, deadline=0.4)
    hung = [-10_000_077, -10_000_200]
    assert Counter(out) == Counter([*hung, *(number for number in range(1, 300) if number not in (77, 200))])
    assert children() == []


def test_a_slow_caller_is_not_taken_for_hanging_workers() -> None:
    out: list[int] = []
    start: flow.Start[Range, list[int]] = lambda alive: Counting(lambda number: time.sleep(0.01))  # noqa: E731
    for result in flow.share([[(1, 150)]], start, Blame(), staff=flow.Staff(2, 0.5)):
        out += result or []
        if len(out) < 100:
            time.sleep(0.8)
    assert sorted(out) == list(range(1, 150))


def test_errors_of_ours_and_bugs_arrive() -> None:
    def fail(number: int) -> None:
        raise UsageError("wrong", hint="do it right") if number > 500 else ZeroDivisionError("a bug")

    with pytest.raises(RuntimeError, match="ZeroDivisionError: a bug"):
        share(fail, 300, workers=1)
    with pytest.raises(UsageError, match="wrong") as caught:
        share(lambda number: fail(number + 1000), 300)
    assert caught.value.hint == "do it right"
    assert children() == []


def test_closing_early_leaves_nothing_behind() -> None:
    before = descriptors()
    for _ in range(10):
        start: flow.Start[Range, list[int]] = lambda alive: Counting(lambda number: time.sleep(0.001))  # noqa: E731
        with closing(flow.share([[(1, 9999)]], start, Blame(), staff=flow.Staff(4, 60.0))) as results:
            next(results)
            assert len(children()) == 4
        assert children() == []
    assert descriptors() == before


def test_a_host_that_gives_no_descriptors_ends_the_run() -> None:
    def body() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 4, 4096))
        with pytest.raises(IncompleteError, match="cannot start"):
            share(lambda number: None, 100, workers=8)

    assert kids.run(body) == 0


def test_workers_end_with_their_parent() -> None:
    reading, writing = os.pipe()

    def parent() -> None:
        start: flow.Start[Range, list[int]] = lambda alive: Counting(lambda number: time.sleep(0.001))  # noqa: E731
        for _ in flow.share([[(1, 999_999)]], start, Blame(), staff=flow.Staff(3, 60.0)):
            os.write(writing, " ".join(map(str, children())).encode())
            time.sleep(1000)

    child = kids.start(parent)
    workers = [int(pid) for pid in os.read(reading, 1000).split()]
    assert len(workers) == 3
    os.kill(child, signal.SIGKILL)
    assert kids.end(child) == -signal.SIGKILL
    until = time.monotonic() + 5
    while any(map(lives, workers)) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(map(lives, workers))
    os.close(reading)
    os.close(writing)


def lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_messages_come_whole_or_not_at_all() -> None:
    sent = [["x" * 100, 1], [], [b"y" * 5]]
    stream = b"".join(map(framed, sent))
    for cut in range(len(stream)):
        inbox = bytearray(stream[:cut])
        first = list(whole_messages(inbox))
        inbox += stream[cut:]
        assert first + list(whole_messages(inbox)) == sent
        assert not inbox


def test_a_message_without_measure_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="bytes"):
        list(whole_messages(bytearray(b"\xff" * 16)))


def test_signs_of_life_are_rationed() -> None:
    reading, writing = os.pipe()
    sender = Sender(writing, flow.never)
    for _ in range(100):
        sender.alive()
    time.sleep(flow.BEAT)
    sender.alive()
    sender.alive()
    assert os.read(reading, 100) == bytes(8)
    assert list(whole_messages(bytearray(8))) == []
    os.close(reading)
    os.close(writing)
