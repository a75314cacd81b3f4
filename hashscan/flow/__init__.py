"""Processes: forked workers that share one growing pile of work, and lose none of it when one of them dies or hangs.

Knows nothing of files. A worker works down a stack of items (any picklable values); the parent hands stacks over, takes halves
of them back when a neighbour is idle, and keeps the ledger, which says what was done and what was not (`ledger`). One pipe
shared by all workers would spare the parent the handing over, but a worker that is killed between its read and its word about
it takes the packet along: with the parent in between, work is never in nobody's hands.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass

from hashscan.flow.crew import Crew
from hashscan.flow.herd import MAX_WORKERS, Herd
from hashscan.flow.keeper import Keeper
from hashscan.flow.ledger import Blame, Commit, Item, Ledger, Result_co, Start, Worker
from hashscan.flow.probe import unanswered
from hashscan.flow.worker import BEAT


def never() -> bool:
    """Nobody asks the workers to rest."""
    return False


@dataclass(frozen=True, slots=True)
class Staff:
    """How many ``workers`` there are; one without a sign of life for ``deadline`` seconds is killed.

    ``rest`` is asked in each round, at least once a `BEAT`: whether all shall rest from now on.
    """

    workers: int
    deadline: float
    rest: Callable[[], bool] = never


def alone(stack: Sequence[Item], start: Start[Item, Result_co]) -> Generator[Result_co, None, None]:
    """The same work in this process: one result a `BEAT`. A unit that hangs hangs the caller."""
    worker = start(lambda: None)
    try:
        worker.load(stack, careful=False)
        while not worker.idle():
            worker.advance(time.monotonic() + BEAT, lambda: False)
            yield worker.commit(give=False).result
    finally:
        worker.close()


def share(
    stacks: Sequence[Sequence[Item]],
    start: Start[Item, Result_co],
    blame: Blame[Item, Result_co],
    *,
    staff: Staff,
    keeper: Keeper[Item] | None = None,
) -> Generator[Result_co | None, None, None]:
    """Work ``stacks`` off with a ``staff`` of forked processes; None where nothing came for a `BEAT`.

    Closing the iterator ends all workers. Raises what a
    worker raised (a `HashscanError` as it is, a bug as RuntimeError with its traceback), and `IncompleteError`.
    """
    ledger: Ledger[Item, Result_co] = Ledger(blame)
    for stack in stacks:
        ledger.add(stack)
    crew: Crew[Item, Result_co] = Crew(start, ledger, staff.deadline)
    try:
        for slot in range(staff.workers):
            crew.hire(slot)
        said = time.monotonic()
        while not ledger.finished:
            crew.rest(staff.rest())
            crew.assign()
            quiet = True
            for result in crew.poll(max(0.0, said + BEAT - time.monotonic())):
                quiet = False
                yield result
            if not quiet or time.monotonic() - said >= BEAT:
                if quiet:
                    yield None
                said = time.monotonic()
            if keeper is not None and keeper.due():
                keeper.keep(ledger.left())
    finally:
        crew.dismiss()
        if keeper is not None:
            keeper.keep(ledger.left())


__all__ = [
    "BEAT",
    "MAX_WORKERS",
    "Blame",
    "Commit",
    "Herd",
    "Keeper",
    "Ledger",
    "Staff",
    "Start",
    "Worker",
    "alone",
    "never",
    "share",
    "unanswered",
]
