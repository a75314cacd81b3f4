"""The rows, one after the other: each kind of measurement is one function."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any, Protocol

from hashscan.errors import HashscanError
from scripts.benchlib import measure
from scripts.benchlib.corpora import COMPLETE
from scripts.benchlib.desk import Desk, Scan
from scripts.benchlib.lists import ensure_clamav, plain_lines, random_sha1
from scripts.benchlib.measure import CommandError, Run
from scripts.benchlib.ours import Agent, WrongSummary, check_recheck, check_summary, summary_of
from scripts.benchlib.peers import MEMORY_FOLDER, PEERS, clamscan, find_printf, missing, parse_hashdeep, parse_nul
from scripts.benchlib.results import Result, Side, Status, spread
from scripts.benchlib.rows import Kind, Row
from scripts.benchlib.verifying import Verifier

_SETTLED_SECONDS = 130.0
_REACH_SECONDS = 30.0  # hashscan takes 2


# The lists of rows that need others than their own.
LISTS = {Kind.SIEVE: ("sized", "both"), Kind.RECHECK: ("both", "newer")}


class Timed(Protocol):
    """One side of a row; a run that is watched for memory is not timed."""

    def __call__(self, *, sample: bool = False) -> Run: ...


class NotRunError(Exception):
    """A row that cannot be measured here and now; says why and how that shows in the table."""

    def __init__(self, status: Status, note: str) -> None:
        super().__init__(note)
        self.status = status


class Runner:
    """Measures rows. A row that fails is a result; the next one runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._verifier = Verifier(desk)
        self._kinds: Mapping[Kind, Callable[[Row], Result]] = {
            Kind.PAIR: self._pair,
            Kind.COLD: self._cold,
            Kind.CLAMAV: self._clamav,
            Kind.RESCAN: self._rescan,
            Kind.RECHECK: self._recheck,
            Kind.GROWTH: self._growth,
            Kind.SIEVE: self._sieve,
            Kind.MEMORY: self._memory,
            Kind.REACH: self._reach,
        }

    def run(self, row: Row) -> Result:
        """Check, then measure."""
        load = os.getloadavg()[0]
        try:
            result = self._kinds[row.kind](row)
        except NotRunError as reason:
            result = replace(blank(row), status=reason.status, note=str(reason))
        except (CommandError, WrongSummary, CalledProcessError, HashscanError, OSError, ValueError) as error:
            result = replace(blank(row), status=Status.FAILED, note=f"{type(error).__name__}: {error}")
        if self._desk.options.quick and result.status is Status.MEASURED:
            result = replace(result, status=Status.EXERCISED)
        return replace(result, load=round(load, 2))

    # ------------------------------------------------------------------------------------------------- kinds of rows

    def _pair(self, row: Row) -> Result:
        self._agree(row)
        corpus = self._desk.corpus(row.corpus)
        theirs = PEERS[row.tool].argv(corpus, row.digests, row.at_once)
        with self._desk.scan(row) as scan:
            return self._pairs(row, _timed(scan), partial(measure.run, theirs))

    def _cold(self, row: Row) -> Result:
        self._agree(row)
        corpus = self._desk.corpus(row.corpus)
        theirs = PEERS[row.tool].argv(corpus, row.digests, row.at_once)
        forget = self._forgetter()

        def cold(side: Timed) -> Timed:
            def one(*, sample: bool = False) -> Run:
                forget()
                return side(sample=sample)

            return one

        with self._desk.scan(row) as scan:
            return self._pairs(row, cold(_timed(scan)), cold(partial(measure.run, theirs)))

    def _clamav(self, row: Row) -> Result:
        _need(("clamscan",))
        if not self._verifier.clamav_agrees(row.corpus):
            raise NotRunError(Status.FAILED, "the digests do not agree")
        entries = self._desk.options.entries
        lists = self._desk.options.folder / "lists"
        database = ensure_clamav(lists, f"random-{entries}", lambda: random_sha1(entries))
        theirs = clamscan(self._desk.corpus(row.corpus), database, self._memory_folder() if row.key.endswith("-shm") else None)
        with self._desk.scan(row) as scan:
            return self._pairs(row, _timed(scan), partial(measure.run, theirs))

    def _rescan(self, row: Row) -> Result:
        if not self._desk.able.cache:
            raise NotRunError(Status.UNAVAILABLE, "digests are not remembered yet")
        self._settle(row)
        theirs = find_printf(self._desk.corpus(row.corpus).tree)
        with self._desk.scan(row, remember=True) as scan:
            first = _timed(scan)()
            result = self._pairs(row, _timed(scan), partial(measure.run, theirs))
            remembered = _summary(scan)["paths"]["cached"]
        if not self._desk.options.quick:
            # One directory in 256 is read again each time, so that nothing hides for ever.
            holds = remembered >= 0.9 * scan.corpus.files
            self._desk.checks.that(f"{row.key}: {remembered} of {scan.corpus.files} files remembered", holds=holds)
        return replace(result, note=f"the first scan, which remembers, took {first.wall:.2f} s")

    def _recheck(self, row: Row) -> Result:
        if not self._desk.able.recheck or not self._desk.able.cache:
            raise NotRunError(Status.UNAVAILABLE, "there is no recheck yet")
        self._settle(row)
        with self._desk.scan(row, remember=True) as scan, self._desk.served("newer") as newer:
            first = _timed(scan)()
            # Two lists take turns, so that each time the filter is another one than before.
            turns = [replace(newer, cache=scan.agent.cache), scan.agent]
            files = 0 if self._desk.options.quick else scan.corpus.files
            runs = [_rechecked(turns[n % 2], files, sample=n == 0) for n in range(self._timed_runs() + 1)]
        return replace(_seconds(row, runs), note=f"the scan that remembered them took {first.wall:.1f} s")

    def _growth(self, row: Row) -> Result:
        _need((*PEERS[row.tool].programs, "fincore"))
        corpus = self._desk.corpus(row.corpus)
        theirs = PEERS[row.tool].argv(corpus, row.digests, row.at_once)
        forget = self._forgetter()

        def left_by(side: Timed) -> tuple[int, Run]:
            forget()
            before = measure.resident_bytes(corpus.tree)
            ended = side()
            return measure.resident_bytes(corpus.tree) - before, ended

        with self._desk.scan(row) as scan:
            (ours, our_run), (peer, peer_run) = left_by(_timed(scan)), left_by(partial(measure.run, theirs))
        if not self._desk.options.quick:  # the control: a measure that sees nothing grow where all must grow is broken
            seen = f"{peer} of {corpus.size} bytes"
            self._desk.checks.that("the peer's reading shows in the page cache", holds=peer > corpus.size // 2, seen=seen)
        note = f"the peer leaves {peer / 1e6:,.0f} MB, of {corpus.size / 1e6:,.0f} MB that are read"
        return replace(_measured(row, ours / 1e6), ours=_side([our_run]), theirs=_side([peer_run]), note=note)

    def _sieve(self, row: Row) -> Result:
        if not self._desk.able.sizes:
            raise NotRunError(Status.UNAVAILABLE, "sizes are not asked about yet")
        if not self._ruled_out(row):  # the list may be kept from a version that published no sizes
            self._desk.publish_again(row.service)
            if not self._ruled_out(row):
                raise NotRunError(Status.FAILED, "all entries have sizes, and no file was ruled out by its size")
        with self._desk.scan(row) as sized, self._desk.scan(row, service="both") as unsized:
            result = self._pairs(row, _timed(sized), _timed(unsized))
        return replace(result, note=f"{self._ruled_out(row)} files ruled out by size")

    def _ruled_out(self, row: Row) -> int:
        with self._desk.scan(row) as scan:
            return int(_summary(scan)["paths"]["by_size"])

    def _memory(self, row: Row) -> Result:
        with self._desk.scan(row) as scan:
            ended = _timed(scan)(sample=True)
        note = f"pages that are shared counted once; counted for each process: {ended.peak.rss / 1e6:,.0f} MB"
        return replace(_measured(row, ended.peak.pss / 1e6), ours=_side([ended], ended), note=note)

    def _reach(self, row: Row) -> Result:
        _need(("md5sum", "find"))
        corpus = self._desk.corpus(row.corpus)
        with self._desk.plain_agent() as (agent, folder):
            # -execdir goes into each directory, so it works at any depth; names are unique in this corpus.
            argv = ["find", str(corpus.tree), "-type", "f", "-execdir", "md5sum", "-z", "--", "{}", "+"]
            measure.run(argv, output=folder / "sums")
            digests = parse_nul((folder / "sums").read_bytes(), ("md5",))
            holds = len(digests) == corpus.files
            self._desk.checks.that(
                f"deep: find -execdir md5sum hashes {corpus.files} files", holds=holds, seen=str(len(digests))
            )
            known = folder / "known.txt"
            known.write_text("".join(plain_lines("md5", (one["md5"] for one in digests.values()))), encoding="ascii")
            flags: list[str | Path] = ["--known", known, *(["--no-cache"] if self._desk.able.no_cache else [])]
            argv = agent.scan(corpus.tree, *flags)
            # Not checked against the corpus: what it misses is what is measured.
            ended = measure.run(argv, output=folder / "out", environment=agent.environment(), codes=(3, 10))
            summary = summary_of((folder / "out").read_bytes())
            note = self._reach_of_hashdeep(row, folder)
        missed = float(corpus.files - summary["candidates"]["findings"])
        return replace(_measured(row, missed), ours=_side([ended]), note=note)

    def _reach_of_hashdeep(self, row: Row, folder: Path) -> str:
        if missing(("hashdeep",)):
            return "hashdeep is not installed"
        corpus = self._desk.corpus(row.corpus)
        argv = PEERS["hashdeep"].argv(corpus, row.digests, 1)
        # What it says of its success is not what is measured; it takes the time of the square of the depth.
        ended = measure.run(argv, output=folder / "hashdeep", codes=None, limit=_REACH_SECONDS)
        missed = corpus.files - len(parse_hashdeep((folder / "hashdeep").read_bytes(), row.digests))
        stopped = f" and had not ended after {_REACH_SECONDS:.0f} s" if ended.wall >= _REACH_SECONDS else ""
        return f"{corpus.files} files, {corpus.directories} directories; hashdeep missed {missed}{stopped}"

    # ------------------------------------------------------------------------------------------------------- helpers

    def _agree(self, row: Row) -> None:
        _need(PEERS[row.tool].programs)
        if not self._verifier.agree(row.corpus, row.tool, row.digests):
            raise NotRunError(Status.FAILED, "the digests do not agree")

    def _forgetter(self) -> Callable[[], None]:
        if self._desk.options.quick:
            return lambda: None  # a machine that only checks must not lose its caches
        if not measure.can_drop_caches():
            raise NotRunError(Status.NOT_RUN, "needs root, to empty the page cache")
        return measure.drop_caches

    def _settle(self, row: Row) -> None:
        """Files that have just been written are not remembered: hashscan waits until no clock's grain can hide a change."""
        if not self._desk.options.quick:
            made = (self._desk.corpus(row.corpus).tree.parent / COMPLETE).stat().st_mtime
            time.sleep(max(0.0, made + _SETTLED_SECONDS - time.time()))

    def _memory_folder(self) -> Path:
        if not os.access(MEMORY_FOLDER, os.W_OK):
            raise NotRunError(Status.NOT_RUN, f"{MEMORY_FOLDER} is not there")
        return MEMORY_FOLDER

    def _timed_runs(self) -> int:
        return 1 if self._desk.options.quick else self._desk.options.pairs

    def _pairs(self, row: Row, ours: Timed, theirs: Timed) -> Result:
        """A first run of each side, which warms the caches and is watched for memory; then pairs, which are timed."""
        first = (ours(sample=True), theirs(sample=True))
        pairs = [(ours(), theirs()) for _ in range(self._timed_runs())]
        side_a, side_b = (_side([pair[side] for pair in pairs], first[side]) for side in (0, 1))
        value, low, high = spread(side_a.wall, side_b.wall)
        return replace(_measured(row, value), low=low, high=high, ours=side_a, theirs=side_b)


def blank(row: Row) -> Result:
    """A row that has not been measured."""
    return Result(row.key, row.work, row.peer, row.target, row.unit, Status.NOT_RUN)


def _measured(row: Row, value: float) -> Result:
    return replace(blank(row), status=Status.MEASURED, value=value)


def _seconds(row: Row, runs: list[Run]) -> Result:
    """A row without a peer: the first run was watched, the others are timed."""
    side = _side(runs[1:], runs[0])
    return replace(_measured(row, statistics.median(side.wall)), low=min(side.wall), high=max(side.wall), ours=side)


def _side(runs: list[Run], watched: Run | None = None) -> Side:
    peak = watched.peak if watched else measure.Peak()
    return Side(tuple(one.wall for one in runs), tuple(one.cpu for one in runs), peak.pss, peak.rss)


def _need(programs: tuple[str, ...]) -> None:
    if todo := missing(programs):
        raise NotRunError(Status.PEER_MISSING, todo)


def _timed(scan: Scan) -> Timed:
    """Our side: every run is checked for having read every file and found nothing."""

    def one(*, sample: bool = False) -> Run:
        return _checked(scan, sample=sample)[0]

    return one


def _summary(scan: Scan) -> Mapping[str, Any]:
    return _checked(scan, sample=False)[1]


def _rechecked(agent: Agent, files: int, *, sample: bool) -> Run:
    with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
        out = Path(folder) / "events"
        argv = agent.argv("recheck", "--json", "-q", "-j", str(agent.jobs))
        ended = measure.run(argv, output=out, environment=agent.environment(), sample=sample)
        check_recheck(out.read_bytes(), files)
        return ended


def _checked(scan: Scan, *, sample: bool) -> tuple[Run, Mapping[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
        out = Path(folder) / "events"
        ended = measure.run(scan.argv, output=out, environment=scan.agent.environment(), sample=sample)
        return ended, check_summary(out.read_bytes(), scan.corpus)
