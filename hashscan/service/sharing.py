"""Work for many providers, shared by forked processes: the same function on each item, results as they come.

Forked, so that a list that was read once is there for all of them; an open database is not used on the other side.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from hashscan import flow
from hashscan.errors import HashscanError
from hashscan.flow import Commit

Out = TypeVar("Out")
Work = Callable[[int, Callable[[], None]], Out]
"""What is done with the item of that number; it calls its second argument now and then, to say that it is alive."""

MAX_WORKERS = 16  # each holds two filters in memory
DEADLINE = 900.0  # seconds without a sign of life; the longest silence is one sorting of sizes


class _Hand(Generic[Out]):
    """A `flow.Worker`: one item after the other, told one by one."""

    def __init__(self, work: Work[Out], beat: Callable[[], None]) -> None:
        self._work, self._beat = work, beat
        self._stack: list[int] = []
        self._done: list[tuple[int, Out]] = []
        self._careful = False

    def load(self, items: Sequence[int], *, careful: bool) -> None:
        """Take over numbers."""
        self._stack, self._careful = list(items), careful

    def idle(self) -> bool:
        """Whether there are none left."""
        return not self._stack

    def advance(self, until: float, hungry: Callable[[], bool]) -> None:
        """At least one item: each is long compared with a commit."""
        while self._stack:
            number = self._stack[-1]
            self._done.append((number, self._work(number, self._beat)))
            self._stack.pop()
            if self._careful or time.monotonic() >= until or (hungry() and len(self._stack) > 1):
                return

    def commit(self, *, give: bool) -> Commit[int, list[tuple[int, Out]]]:
        """What was done since the last one; with ``give``, half of what is left is for a neighbour."""
        done, self._done = self._done, []
        low = len(self._stack)
        cut = low // 2 if give and not self._careful else 0
        given = self._stack[:cut]
        del self._stack[:cut]
        return Commit(done, low, [], cut, [], given, self._careful)

    def close(self) -> None:
        """Nothing is open."""


class _Blame(Generic[Out]):
    """One item that kills or holds up its process again and again is an error for all: nothing is published by halves."""

    def culprit(self, stack: Sequence[int]) -> bytes:
        """Its number."""
        return str(stack[-1]).encode()

    def abandon(self, stack: Sequence[int], *, hung: bool) -> tuple[list[int], list[tuple[int, Out]]]:
        """Raises `HashscanError`."""
        how = "did not end" if hung else "died"
        raise HashscanError(f"the process for {len(stack)} filters {how} several times", hint="is there enough memory?")


def shared(count: int, work: Work[Out], *, workers: int) -> Iterator[tuple[int, Out]]:
    """``work(n, beat)`` for each n below ``count``, with its number, in the order in which they are done.

    With one worker in this process. Raises what ``work`` raises; what is under way then is given up.
    """
    stack = list(reversed(range(count)))
    if workers == 1 or count < 2:
        for done in flow.alone(stack, lambda beat: _Hand(work, beat)):
            yield from done
        return
    stacks = [stack[first::workers] for first in range(min(workers, count))]
    blame: _Blame[Out] = _Blame()
    staff = flow.Staff(len(stacks), DEADLINE)
    for found in flow.share(stacks, lambda beat: _Hand(work, beat), blame, staff=staff):
        yield from found or ()


def cores() -> int:
    """How many processes this one may keep busy."""
    return min(len(os.sched_getaffinity(0)), MAX_WORKERS)
