"""Who has which work: what a worker is, what it reports, and the rules of the ledger. Touches nothing.

The invariant: what has not been yielded is, at any moment, exactly what stands in the ledger (the queue and, for each worker, a
mirror of its stack). A `Commit` moves both at once: it carries results together with how the stack changed while they
came about, and takes effect as a whole when the parent has read it whole. So whatever a worker did after its last whole
commit never happened, its mirror goes back to the queue, and nothing is lost or counted twice. The work is complete when the
queue and all mirrors are empty, which is exact: only the parent moves work between workers.

A stack that a worker died or hung on is handed out again as ``careful``: it begins with an empty commit, each unit of work is
committed on its own, and the next death points at the unit. A unit that hung is given up then; one that kills is given up after
`MAX_DEATHS`, counting the first, which nobody could tell.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, TypeVar

from hashscan.errors import IncompleteError

MAX_DEATHS = 3  # workers that one unit of work may kill
MAX_BARREN = 50  # deaths in a row between which nothing at all was achieved: the host is the problem, not a file

Item = TypeVar("Item")
Result_co = TypeVar("Result_co", covariant=True)


class Commit(NamedTuple, Generic[Item, Result_co]):
    """What a worker achieved since its last commit, and what that did to its stack.

    In this order: the stack is cut down to its ``low`` lowest items, ``pushed`` comes on top, then the ``cut`` lowest items are
    replaced by ``base``; what was in them is in ``given``, a stack for somebody else.
    """

    result: Result_co
    low: int
    pushed: Sequence[Item]
    cut: int = 0
    base: Sequence[Item] = ()
    given: Sequence[Item] = ()
    careful: bool = False


class Worker(Protocol[Item, Result_co]):
    """What runs in a worker process, made there by ``start``."""

    def load(self, items: Sequence[Item], *, careful: bool) -> None:
        """Take over a stack, last item first; one's own is empty."""

    def idle(self) -> bool:
        """Whether the stack is empty."""

    def advance(self, until: float, hungry: Callable[[], bool]) -> None:
        """Work until the monotonic time ``until``, until ``hungry()`` while there is something to give, or to the end.

        Where the stack was loaded ``careful``: for one unit of work.
        """

    def commit(self, *, give: bool) -> Commit[Item, Result_co]:
        """What was achieved; with ``give``, part with the lower half of the stack where it has one."""

    def close(self) -> None:
        """Let go of what it holds open. Not called in a worker process, which simply ends."""


class Blame(Protocol[Item, Result_co]):
    """What the parent must know about items when one cannot be done."""

    def culprit(self, stack: Sequence[Item]) -> bytes:
        """The name of the unit of work that is next in ``stack``."""

    def abandon(self, stack: Sequence[Item], *, hung: bool) -> tuple[list[Item], Result_co]:
        """``stack`` without that unit, and the result that says so."""


@dataclass(slots=True)
class _Held(Generic[Item]):
    stack: list[Item]
    careful: bool
    begun: bool = False


@dataclass(slots=True)
class Ledger(Generic[Item, Result_co]):
    """Who has which work: the rules of the module's docstring, touching nothing. Workers are known by number."""

    blame: Blame[Item, Result_co]
    queue: deque[_Held[Item]] = field(default_factory=deque)
    held: dict[int, _Held[Item]] = field(default_factory=dict)
    deaths: Counter[bytes] = field(default_factory=Counter)
    barren: int = 0
    untold: tuple[_Held[Item] | None, list[Item]] | None = None
    """What stands for a stack whose next unit was just given up, and the stack as it was; until the caller knows."""

    def add(self, stack: Sequence[Item]) -> None:
        """Put a stack where the next idle worker finds it."""
        if stack:
            self.queue.append(_Held(list(stack), careful=False))

    @property
    def finished(self) -> bool:
        """Whether every result has arrived."""
        return not self.queue and not any(one.stack for one in self.held.values()) and self.untold is None

    def left(self) -> list[Sequence[Item]]:
        """Everything that has not been yielded, and what was given up without the caller's knowing."""
        spare, stack = self.untold or (None, [])
        standing = [one.stack for one in (*self.queue, *self.held.values()) if one is not spare]
        return [one for one in (stack, *standing) if one]

    def is_idle(self, worker: int) -> bool:
        """Whether the worker has nothing left."""
        return worker not in self.held or not self.held[worker].stack

    def assign(self, worker: int) -> tuple[list[Item], bool] | None:
        """The next stack for an idle worker, and whether it is to be careful with it."""
        self.told()
        if not self.queue:
            return None
        self.held[worker] = held = self.queue.popleft()
        held.begun = False
        return list(held.stack), held.careful

    def apply(self, worker: int, commit: Commit[Item, Result_co]) -> Result_co:
        """Enter a commit; its result is due to the caller."""
        held = self.held[worker]
        held.stack[commit.low :] = commit.pushed
        held.stack[: commit.cut] = commit.base
        held.careful = commit.careful
        held.begun = True
        self.add(commit.given)
        self.barren = 0
        return commit.result

    def lost(self, worker: int, *, hung: bool) -> Result_co | None:
        """The worker is no more: its work goes back. Raises `IncompleteError` where workers die without achieving anything.

        A result says that a unit was given up; once it is told, `told` is to be called.
        """
        self.barren += 1
        if self.barren > MAX_BARREN:
            raise IncompleteError(f"{self.barren} worker processes in a row died", hint="is this host out of memory?")
        held = self.held.pop(worker, None)
        if held is None or not held.stack:
            return None
        result, stack, before = None, held.stack, held.stack
        if held.careful and held.begun:  # one that died before it said a word had not come to its work
            name = self.blame.culprit(stack)
            self.deaths[name] += 1
            # The first death, before anybody was careful, has no name to be counted under.
            if hung or self.deaths[name] >= MAX_DEATHS - 1:
                stack, result = self.blame.abandon(stack, hung=hung)
                self.deaths.pop(name)
                self.barren = 0
        again = _Held(list(stack), careful=True)
        if stack:
            self.queue.appendleft(again)
        if result is not None:
            self.untold = (again, list(before))
        return result

    def told(self) -> None:
        """The caller knows of everything that was given up."""
        self.untold = None


Start = Callable[[Callable[[], None]], Worker[Item, Result_co]]
"""Makes the worker inside its process; it may call the function it is given to say that it is alive."""
