"""The engines: the same walk in forked workers, or in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from hashscan import flow
from hashscan.errors import UsageError
from hashscan.files.cache import Cache
from hashscan.files.checkpoint import Checkpoint, Saved, ScanKeeper, fingerprint_of
from hashscan.files.roots import RootFact, distinct_roots, survey
from hashscan.files.sifter import Abandon, starter
from hashscan.files.walk import FRAME_NAMES, Kind, Packed, WalkOptions, pack_names
from hashscan.model import Sifted
from hashscan.ports import Sieve

MAX_WORKERS = 256  # more readers than this help nobody; 4 to 8 saturate a disk


class LocalEngine:
    """A `ports.Engine` of ``workers`` forked processes. Best called from a process with one thread, which is what may fork.

    With a ``checkpoint`` what is left is written there now and then and where the walk is closed early; ``resumed`` is what
    such a one held. Its counts are not yielded again: they are in ``resumed.totals``. ``rest`` is asked at least once a
    `flow.BEAT`: whether the workers shall rest.
    """

    def __init__(
        self,
        options: WalkOptions,
        workers: int,
        *,
        checkpoint: Checkpoint | None = None,
        resumed: Saved | None = None,
        rest: Callable[[], bool] = flow.never,
    ) -> None:
        if not 1 <= workers <= MAX_WORKERS:
            raise UsageError(f"{workers} workers", hint=f"from 1 to {MAX_WORKERS}")
        self._options, self._workers = options, workers
        self._checkpoint, self._resumed, self._rest = checkpoint, resumed, rest

    def sift(self, roots: Sequence[bytes], sieve: Sieve) -> Generator[Sifted, None, None]:
        """See `ports.Engine`. A worker that dies or hangs is replaced, and what it had not reported is done again.

        Raises `UsageError` at once (also where this is not the scan that is to be resumed); on the way what the sieve raises,
        `IncompleteError` where workers keep dying, and `StateError` where a checkpoint cannot be written.
        """
        facts = _checked(roots)
        distinct = distinct_roots(facts)
        keeper = self._keeper(roots, distinct, sieve)
        results = flow.share(
            self._resumed.stacks if self._resumed else [_frames_of(distinct)],
            starter(self._options, sieve, distinct, _silent_mounts(facts)),
            Abandon(distinct),
            staff=flow.Staff(self._workers, self._options.file_deadline, self._rest),
            keeper=keeper,
        )
        return _remembering(_lively(results, keeper), self._options.cache)

    def resumes(self, saved: Saved, roots: Sequence[bytes], sieve: Sieve) -> bool:
        """Whether this is the scan that ``saved`` was written by. Raises as `sift`."""
        if self._checkpoint is None:
            return False
        fingerprint = fingerprint_of(self._options, sieve.algorithms, distinct_roots(_checked(roots)), self._checkpoint.purpose)
        return (saved.fingerprint, saved.roots) == (fingerprint, tuple(roots))

    def _keeper(self, roots: Sequence[bytes], distinct: Sequence[bytes], sieve: Sieve) -> ScanKeeper | None:
        if self._checkpoint is None:
            return None
        fingerprint = fingerprint_of(self._options, sieve.algorithms, distinct, self._checkpoint.purpose)
        resumed = self._resumed
        if resumed is not None and (resumed.fingerprint, resumed.roots) != (fingerprint, tuple(roots)):
            raise UsageError("the scan to be resumed had other paths or settings", hint="scan without --resume")
        return ScanKeeper(self._checkpoint, roots, fingerprint, resumed)


class InProcessEngine:
    """A `ports.Engine` without processes, for small trees and for tests. ``file_deadline`` is not kept: nobody is there to."""

    def __init__(self, options: WalkOptions) -> None:
        self._options = options

    def sift(self, roots: Sequence[bytes], sieve: Sieve) -> Generator[Sifted, None, None]:
        """See `ports.Engine`. Raises `UsageError` at once, and what the sieve raises."""
        facts = _checked(roots)
        distinct = distinct_roots(facts)
        results = flow.alone(_frames_of(distinct), starter(self._options, sieve, distinct, _silent_mounts(facts)))
        return _remembering(results, self._options.cache)


def _lively(results: Generator[Sifted | None, None, None], keeper: ScanKeeper | None = None) -> Generator[Sifted, None, None]:
    """Silence becomes an empty stretch; closing this closes ``results`` at once, not when it is collected."""
    with closing(results):
        for one in results:
            yield Sifted() if one is None else one
            if keeper is not None and one is not None:
                keeper.totals.add(one)


def _remembering(results: Generator[Sifted, None, None], cache: Cache) -> Generator[Sifted, None, None]:
    """The digest cache is there before the workers are forked, and put in order once they are gone after a complete walk."""
    scanned = cached = 0
    with closing(results):
        if warnings := cache.begin():
            yield Sifted(warnings=tuple(warnings))
        for one in results:
            scanned += one.scanned
            cached += one.cached
            yield one
    if warnings := cache.finish(scanned, cached):
        yield Sifted(warnings=tuple(warnings))


def _checked(roots: Sequence[bytes]) -> list[RootFact]:
    if sys.getfilesystemencoding() != "utf-8":
        # Names cross Python as str; only here is the way back to the same bytes certain.
        raise UsageError(f"file names are decoded as {sys.getfilesystemencoding()}", hint="set PYTHONUTF8=1")
    return survey(roots)


def _silent_mounts(facts: Sequence[RootFact]) -> frozenset[bytes]:
    """Mount points that are roots themselves."""
    return frozenset(path for fact in facts for path in (fact.path, fact.real))


def _frames_of(roots: Sequence[bytes]) -> list[Packed]:
    """The work as it begins: the roots, last one on top."""
    numbers = [str(index) for index in range(len(roots))]
    return [
        (Kind.ROOTS, -1, b"", 0, 0, pack_names(numbers[at : at + FRAME_NAMES])) for at in range(0, len(numbers), FRAME_NAMES)
    ]
