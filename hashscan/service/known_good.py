"""The operator says what is harmless: digests of operating systems and stock trees, which no list may hold (see `guard`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine, ParsedDigest, read_list
from hashscan.model import Algorithm
from hashscan.service import guard
from hashscan.service.importers import nsrl3
from hashscan.service.importers.formats import AUTO, SQLITE_MAGIC, choose
from hashscan.service.importers.opening import open_source
from hashscan.service.importers.port import BrokenSource, Item, PeekableStream, Shape
from hashscan.service.importers.reading import Note
from hashscan.service.merging import Row
from hashscan.service.refusals import MAX_NOTES, Refusals, report_file
from hashscan.service.store import Store
from hashscan.service.tables import KnownGood

NSRL3 = "nsrl3"
_CHUNK_DIGESTS = 10_000
Pairs = Sequence[tuple[Algorithm, bytes]]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a known-good list is read; the fields are those of `importing.ImportRequest`."""

    shape: Shape = field(default_factory=Shape)
    skip_bad: bool = False
    dry_run: bool = False
    report: Path | None = None


@dataclass(frozen=True, slots=True)
class KnownGoodReport:
    """An import of known-good digests: how many the file holds and how many there are now; 64 hex digits of a plain list count
    twice. ``refused`` and ``notes`` as in `importing.ImportReport`.
    """

    read: int
    total: int
    refused: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[Note, ...] = ()
    dry_run: bool = False


class _Rehearsed(Exception):
    """A dry run has come to its end."""


def import_known_good(store: Store, source: Path, manner: Manner) -> KnownGoodReport:
    """Add the digests of a list to the known-good list: all of it or nothing. The self-test file stays known.

    Raises `UsageError` (bad lines, no digests, cannot be read).
    """
    failure: UsageError | None = None
    with report_file(manner.report) as out:
        run = _Run(source, manner, Refusals(out))
        try:
            run.transact(store)
        except UsageError as error:
            failure = error
        run.refusals.close({"read": run.counts["read"], "failure": str(failure or "")})
    store.compact_log()
    if failure is not None:
        raise failure
    counts, refusals = run.counts, run.refusals
    return KnownGoodReport(counts["read"], counts["total"], dict(refusals.counts), refusals.notes(), manner.dry_run)


class _Run:
    """One import."""

    def __init__(self, source: Path, manner: Manner, refusals: Refusals) -> None:
        self.counts: Counter[str] = Counter()
        self.refusals = refusals
        self._source = source
        self._manner = manner
        self._bad: list[Note] = []

    def transact(self, store: Store) -> None:
        """All of it, or nothing."""
        try:
            with store.writing() as session:
                for chunk in self._chunks():
                    self.counts["read"] += len(chunk)
                    guard.add(session.connection(), chunk)
                self._stop_if_bad()
                if not self.counts["read"]:
                    raise UsageError(f"{self._source} holds no digest", hint="is it the right file and format?")
                self.counts["total"] = session.scalars(select(func.count()).select_from(KnownGood)).one()
                if self._manner.dry_run:
                    raise _Rehearsed
        except _Rehearsed:
            return
        except BrokenSource as error:
            hint = "is the file whole, and in this format?"
            raise UsageError(f"{self._source} cannot be read, nothing was imported: {error}", hint=hint) from None
        except OSError as error:
            raise UsageError(f"cannot read {self._source}: {error.strerror or error}") from None

    def _chunks(self) -> Iterator[Pairs]:
        """Digests in bulk; after the tenth bad line nothing more is read, unless somebody wants to hear of all of them."""
        chunk: list[tuple[Algorithm, bytes]] = []
        patient = self._manner.skip_bad or self._manner.dry_run or self._manner.report is not None
        for note, item in _items(self._source, self._manner.shape):
            if isinstance(item, BadLine):
                self._bad_line(note.because(str(item)))
                if len(self._bad) == MAX_NOTES and not patient:
                    return
                continue
            chunk += item
            if len(chunk) >= _CHUNK_DIGESTS:
                yield chunk
                chunk = []
        if chunk:
            yield chunk

    def _bad_line(self, note: Note) -> None:
        self.refusals.refuse("bad_line", note)
        if not self._manner.skip_bad and len(self._bad) < MAX_NOTES:
            self._bad.append(note)

    def _stop_if_bad(self) -> None:
        if self._bad:
            lines = "; ".join(f"{note.place}: {note.reason}" for note in self._bad)
            raise UsageError(
                f"{self._source} has bad lines, nothing was imported: {lines}",
                hint="mend the list, or leave such lines out with --skip-bad",
            )


def _items(source: Path, shape: Shape) -> Iterator[tuple[Note, Pairs | BadLine]]:
    with open_source(source) as stream:
        if shape.format == NSRL3 or (shape.format == AUTO and stream.peek(16)[:16] == SQLITE_MAGIC):
            found, unit = nsrl3.read(source), "row"
            yield from ((Note(number, "", unit), _pairs(item)) for number, item in found)
            return
        chosen = choose(stream, shape, known_good=True)
        for number, item in _plain(stream, shape) if chosen.name == "plain" else chosen.read(stream, shape):
            yield Note(number, "", chosen.unit), _pairs(item)


def _plain(stream: PeekableStream, shape: Shape) -> Iterable[tuple[int, ParsedDigest | BadLine]]:
    return read_list(stream, default64=shape.algorithm)


def _pairs(item: Item | ParsedDigest) -> Pairs | BadLine:
    if isinstance(item, ParsedDigest):
        return [(algorithm, item.digest) for algorithm in item.algorithms]
    if isinstance(item, Row):
        return list(item.digests.items())
    return item if isinstance(item, BadLine) else BadLine("it is no row")
