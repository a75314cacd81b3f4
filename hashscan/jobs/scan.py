"""Scan: walk, hash, sieve, gather, confirm, quarantine. Each line of `scan` eats the line above."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from hashscan.central.wire import MAX_ITEMS
from hashscan.jobs.conclude import STOPPED, ActTools, Deferred, conclude, report_pending
from hashscan.jobs.confirm import confirm_waiting
from hashscan.jobs.gather import gather
from hashscan.model import Candidate, Reason
from hashscan.ports import Engine, Ruling, Sieve
from hashscan.report import events
from hashscan.report.tally import Tally

GATHER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ScanTools:
    """What a scan works with. ``clock`` is monotonic seconds, ``stop`` says whether somebody asked the run to end."""

    engine: Engine
    sieve: Sieve
    act: ActTools
    clock: Callable[[], float]
    stop: Callable[[], bool]


def scan(tools: ScanTools, roots: Sequence[bytes], tally: Tally) -> None:
    """Every file below ``roots`` once, every candidate asked about, every finding acted upon; ``tally`` counts along.

    ``tally`` comes from outside so that a scan which is stopped half-way can still say how far it came.
    """
    deferred = Deferred()
    sifted = _walk_hash_sieve(tools, roots, tally)
    for batch in gather(sifted, count=MAX_ITEMS, seconds=GATHER_SECONDS, clock=tools.clock):
        deferred.add(conclude(tools.act, batch, tally))
    if tally.stopped:
        _leave(tools.act, deferred, tally)
    else:
        confirm_waiting(tools.act, tools.sieve, tally, deferred)


def _leave(act: ActTools, deferred: Deferred, tally: Tally) -> None:
    """A stopped run asks nobody again: what it met and has no answer for stays pending."""
    for waiting in act.memory.waiting():
        if waiting.candidate in deferred:
            report_pending(act, [Ruling(waiting.candidate, pending=waiting.reason or STOPPED)], tally)


def _walk_hash_sieve(tools: ScanTools, roots: Sequence[bytes], tally: Tally) -> Iterator[Sequence[Candidate]]:
    reporter = tools.act.reporter
    with closing(tools.engine.sift(roots, tools.sieve)) as stretches:
        for sifted in stretches:
            tally.add(sifted)
            for skip in sifted.notes:
                reporter.tell(events.error(skip) if skip.reason is Reason.ERROR else events.skipped(skip))
            for warned in sifted.warnings:
                reporter.tell(events.warning(warned))
            reporter.tell(events.progress(tally))
            tools.act.memory.remember(sifted.candidates)
            yield sifted.candidates
            if tools.stop():
                tally.stopped = True
                return
