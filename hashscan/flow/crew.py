"""The parent's side: worker processes hired, fed, listened to, replaced and dismissed. The ledger decides, this touches."""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
import selectors
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic

from hashscan.errors import HashscanError, IncompleteError
from hashscan.flow.ledger import Commit, Item, Ledger, Result_co, Start
from hashscan.flow.worker import BEAT, REST, framed, live, serve, whole_messages

_READ = 1 << 20  # bytes taken from a pipe at once
_PATIENCE = 2.0  # seconds that a killed worker is waited for; one in an uninterruptible read is left to the kernel


@dataclass(slots=True)
class _Hand:
    """One worker as the parent sees it: its two pipes, what came of a message so far, what must still be written to it."""

    slot: int
    pid: int
    results: int
    orders: int
    heard: float
    inbox: bytearray = field(default_factory=bytearray)
    outbox: bytearray = field(default_factory=bytearray)


class Crew(Generic[Item, Result_co]):
    """The worker processes: hired, fed, listened to, replaced, dismissed. Decides nothing that the ledger decides."""

    def __init__(self, start: Start[Item, Result_co], ledger: Ledger[Item, Result_co], deadline: float) -> None:
        self._start, self._ledger, self._deadline = start, ledger, deadline
        self._hands: dict[int, _Hand] = {}
        # One byte a worker: would somebody else like half of your stack? And one for all: shall you rest?
        self._wishes = mmap.mmap(-1, mmap.PAGESIZE)
        self._selector = selectors.DefaultSelector()
        self._looked = time.monotonic()
        self._gone: list[int] = []

    def hire(self, slot: int) -> None:
        """Fork one worker. The process should have one thread: a lock that another one holds stays locked in the child.

        Raises `IncompleteError` where the host lets us have no more processes or descriptors.
        """
        try:
            self._fork(slot)
        except OSError as error:
            raise IncompleteError(f"cannot start a worker process: {error}", hint="check the limits of this user") from error

    def _fork(self, slot: int) -> None:
        results, results_in = os.pipe2(os.O_CLOEXEC)
        orders_out, orders = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        # What was made so far is never looked at by a collection again: in the child that would touch, and so copy, every page
        # of the parent's objects, and at the end of the parent it takes 12 ms to find nothing.
        gc.freeze()
        pid = os.fork()
        if pid == 0:
            live(parent, lambda: self._settle(slot, orders_out, results_in, (results, orders)))
        os.close(results_in)
        os.close(orders_out)
        os.set_blocking(orders, False)
        os.set_blocking(results, False)
        self._wishes[slot] = 0
        self._hands[slot] = _Hand(slot, pid, results, orders, time.monotonic())
        self._selector.register(results, selectors.EVENT_READ, slot)

    def _settle(self, slot: int, orders: int, results: int, not_mine: tuple[int, int]) -> None:
        """In the child: keep no end of anybody's pipes but one's own, or a dead parent would leave the others waiting."""
        for fd in (*not_mine, *(fd for hand in self._hands.values() for fd in (hand.results, hand.orders))):
            os.close(fd)
        self._selector.close()
        serve(self._start, orders, results, self._wishes, slot)

    def rest(self, wanted: bool) -> None:  # noqa: FBT001 - a switch
        """Let all workers rest, with signs of life, or go on; they hear of it within a `BEAT` or so."""
        self._wishes[REST] = wanted

    def assign(self) -> None:
        """Hand queued stacks to idle workers; where some stay idle, ask the busy ones to share."""
        idle = [slot for slot in self._hands if self._ledger.is_idle(slot)]
        while idle and (handover := self._ledger.assign(idle[0])) is not None:
            hand = self._hands[idle.pop(0)]
            hand.outbox += framed(handover)
            hand.heard = time.monotonic()
            self._push(hand)
        for slot in self._hands:
            self._wishes[slot] = bool(idle) and not self._ledger.is_idle(slot)

    def _push(self, hand: _Hand) -> None:
        """Write what fits: a worker that has stopped must not stop the parent."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # a broken pipe is told by the end of its results
            while hand.outbox:
                del hand.outbox[: os.write(hand.orders, hand.outbox)]

    def poll(self, timeout: float) -> Iterator[Result_co]:
        """Results that came within ``timeout`` seconds; workers that died or hang are replaced on the way."""
        for hand in self._hands.values():
            if hand.outbox:
                timeout = min(timeout, 0.01)
                self._push(hand)
        ready = [key.data for key, _ in self._selector.select(timeout)]
        self._forgive_pause(timeout)
        for slot in ready:
            yield from self._hear(self._hands[slot])
        now = time.monotonic()
        for hand in list(self._hands.values()):
            if now - hand.heard > self._deadline and not self._ledger.is_idle(hand.slot):
                yield from self._hear(hand)  # whole commits that lie in the pipe still count
                if self._hands.get(hand.slot) is hand and now - hand.heard > self._deadline:
                    yield from self._replace(hand, hung=True)

    def _forgive_pause(self, timeout: float) -> None:
        """Time in which nobody looked (a slow caller, SIGSTOP to all of us) says nothing against a worker."""
        now = time.monotonic()
        pause = now - self._looked - timeout
        if pause > BEAT:
            for hand in self._hands.values():
                hand.heard += pause
        self._looked = now

    def _hear(self, hand: _Hand) -> Iterator[Result_co]:
        try:
            data = os.read(hand.results, _READ)
        except BlockingIOError:
            return
        hand.heard = time.monotonic()
        hand.inbox += data
        for message in whole_messages(hand.inbox):
            if not isinstance(message, Commit):
                raise message if isinstance(message, HashscanError) else RuntimeError(f"in a worker: {message}")
            yield message.result
            self._ledger.apply(hand.slot, message)  # not before somebody has asked for more: see `keeper.Keeper`
        if not data:
            yield from self._replace(hand, hung=False)

    def _replace(self, hand: _Hand, *, hung: bool) -> Iterator[Result_co]:
        del self._hands[hand.slot]
        self._end(hand)
        result = self._ledger.lost(hand.slot, hung=hung)
        if not self._ledger.finished:
            self.hire(hand.slot)
        if result is not None:
            yield result
            self._ledger.told()

    def _end(self, hand: _Hand) -> None:
        self._selector.unregister(hand.results)
        os.close(hand.results)
        os.close(hand.orders)
        with contextlib.suppress(ProcessLookupError):
            os.kill(hand.pid, signal.SIGKILL)
        self._gone.append(hand.pid)
        self._gone = [pid for pid in self._gone if not _reap(pid)]

    def dismiss(self) -> None:
        """End and reap every worker. They only read, so there is nothing to be gentle about."""
        for hand in self._hands.values():
            self._end(hand)
        self._hands.clear()
        until = time.monotonic() + _PATIENCE
        while (gone := [pid for pid in self._gone if not _reap(pid)]) and time.monotonic() < until:
            self._gone = gone
            time.sleep(0.001)
        self._selector.close()


def _reap(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True
