"""A list comes in: read in chunks, matched with what is there, written in one transaction.

Measured: see `import_list`. Memory is one chunk and the database's page cache.
"""

from __future__ import annotations

import base64
import io
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.known import selftest
from hashscan.known.hash_list import BadLine
from hashscan.model import Act, Algorithm, Standing
from hashscan.service import merging
from hashscan.service.merging import Fate, Known, Row
from hashscan.service.names import check_name, check_text
from hashscan.service.rows import Shape, read_rows
from hashscan.service.store import Store
from hashscan.service.tables import DIGEST_COLUMNS, Entry, HashList, History, ImportRun, prefix

CHUNK_ROWS = 10_000
MAX_NOTES = 10
TEST_CATEGORY = "test"
_BUFFER_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What is imported into which list. ``source_name`` is the authority, counted among the sources of each entry.

    With ``skip_bad`` bad lines are counted and left out; without, any bad line fails the whole import.
    """

    list_id: str
    source: Path
    source_name: str
    shape: Shape = field(default_factory=Shape)
    skip_bad: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    """A line worth telling about: its number and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did, in entries. ``conflicts`` are among ``added``; ``refused`` counts rows by reason.

    ``notes`` are the first `MAX_NOTES` of the refused and the conflicting.
    """

    list_id: str
    added: int
    merged: int
    unchanged: int
    conflicts: int
    refused: Mapping[str, int]
    notes: tuple[Note, ...]


def import_list(store: Store, request: ImportRequest, progress: Callable[[int], None] | None = None) -> ImportReport:
    """Import one file, all of it or nothing. ``progress`` is told the number of the last line read, every `CHUNK_ROWS` rows.

    Raises `UsageError` (bad lines, no digests, cannot be read) and leaves the database as it was.
    """
    check_name(request.list_id, "list id")
    check_text(request.source_name, "source name", 128)
    run = _Run(request)
    try:
        with io.BufferedReader(io.FileIO(request.source), _BUFFER_BYTES) as stream, store.writing() as session:
            run.list_id = ensure_list(session, request.list_id).id
            for chunk in _chunks(read_rows(stream, request.shape), run):
                run.take(session.connection(), chunk)
                if progress is not None:
                    progress(chunk[-1][0])
            run.finish(session)
    except OSError as error:
        raise UsageError(f"cannot read {request.source}: {error.strerror}") from None
    store.compact_log()
    return run.report()


def _chunks(rows: Iterable[tuple[int, Row | BadLine]], run: _Run) -> Iterator[list[tuple[int, Row]]]:
    chunk: list[tuple[int, Row]] = []
    for number, row in rows:
        if isinstance(row, BadLine):
            run.bad_line(number, row)
            continue
        chunk.append((number, row))
        if len(chunk) == CHUNK_ROWS:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class _Run:
    """The counts and notes of one import, and the writing of its chunks."""

    def __init__(self, request: ImportRequest) -> None:
        self.list_id = 0
        self._request = request
        self._source = request.source_name
        self._now = time.time()
        self._counts: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._bad: list[Note] = []
        self._notes: list[Note] = []

    def bad_line(self, number: int, reason: BadLine) -> None:
        """Count it or, where bad lines are not to be skipped, stop at the tenth."""
        note = Note(number, str(reason))
        if self._request.skip_bad:
            self._refuse("bad_line", note)
            return
        self._bad.append(note)
        if len(self._bad) == MAX_NOTES:
            self._stop_if_bad()

    def _stop_if_bad(self) -> None:
        if self._bad:
            lines = "; ".join(f"line {note.line}: {note.reason}" for note in self._bad)
            raise UsageError(
                f"{self._request.source} has bad lines, nothing was imported: {lines}",
                hint="mend the list, or leave such lines out with --skip-bad",
            )

    def _refuse(self, what: str, note: Note) -> None:
        self._refused[what] += 1
        self._note(note)

    def _note(self, note: Note) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes.append(note)

    def take(self, connection: Connection, chunk: Sequence[tuple[int, Row]]) -> None:
        """Match one chunk with the entries that share a digest with it, and write what changed."""
        if self._bad:
            return  # the import has failed; the rest is read for its line numbers only
        index = _Index(connection, self.list_id, [row for _, row in chunk])
        for number, row in chunk:
            self._decide(number, row, index)
        _insert(connection, self.list_id, index.new, self._now)
        _update(connection, [known for known in index.old if known.touched], self._now, f"import from {self._source}")

    def _decide(self, number: int, row: Row, index: _Index) -> None:
        fate, known = merging.decide(row, index.sharing(row))
        if fate in merging.REFUSALS:
            self._refuse(fate.value, Note(number, merging.REFUSALS[fate]))
        elif known is not None:
            changed = merging.absorb(known, row, self._source)
            self._counts["merged" if changed else "unchanged"] += 1
            if changed:
                index.enter(known, row.digests.items())
        else:
            index.add(merging.added(row, self._source))
            self._counts["added"] += 1
            if fate is Fate.CONFLICT:
                self._counts["conflicts"] += 1
                self._note(Note(number, merging.CONFLICT_NOTE))

    def finish(self, session: Session) -> None:
        """Refuse an import with bad lines or without any row; else record it."""
        self._stop_if_bad()
        report = self.report()
        refused = sum(report.refused.values())
        if report.added + report.merged + report.unchanged + refused == 0:
            raise UsageError(f"{self._request.source} holds no digest", hint="is it the right file and format?")
        session.add(
            ImportRun(
                list_id=self.list_id,
                at=self._now,
                source=self._source,
                added=report.added,
                merged=report.merged,
                unchanged=report.unchanged,
                refused=refused,
            )
        )

    def report(self) -> ImportReport:
        """What was counted so far."""
        counts = self._counts
        return ImportReport(
            list_id=self._request.list_id,
            added=counts["added"],
            merged=counts["merged"],
            unchanged=counts["unchanged"],
            conflicts=counts["conflicts"],
            refused=dict(self._refused),
            notes=tuple(self._notes),
        )


class _Index:
    """The entries that may share a digest with the rows of one chunk, those that the chunk adds included."""

    def __init__(self, connection: Connection, list_id: int, rows: Sequence[Row]) -> None:
        self.new: list[Known] = []
        self._by_digest: dict[Algorithm, defaultdict[bytes, list[Known]]] = {a: defaultdict(list) for a in Algorithm}
        by_id: dict[int, Known] = {}
        for algorithm in Algorithm:
            prefixes = {prefix(digest) for row in rows if (digest := row.digests.get(algorithm)) is not None}
            if prefixes:
                for known in _load(connection, list_id, algorithm, prefixes):
                    by_id.setdefault(known.id, known)
        self.old = list(by_id.values())
        for known in self.old:
            self.enter(known, known.digests.items())

    def enter(self, known: Known, digests: Iterable[tuple[Algorithm, bytes]]) -> None:
        """Let ``known`` be found by these digests."""
        for algorithm, digest in digests:
            found = self._by_digest[algorithm][digest]
            if known not in found:
                found.append(known)

    def add(self, known: Known) -> None:
        """An entry that this chunk makes."""
        self.new.append(known)
        self.enter(known, known.digests.items())

    def sharing(self, row: Row) -> list[Known]:
        """Those that share a digest with ``row``."""
        found: list[Known] = []
        for algorithm, digest in row.digests.items():
            found += [known for known in self._by_digest[algorithm].get(digest, ()) if known not in found]
        return found


_KNOWN_COLUMNS = (
    Entry.id, Entry.md5, Entry.sha1, Entry.sha256, Entry.blake3,
    Entry.size, Entry.category, Entry.act, Entry.standing, Entry.sources,
)  # fmt: skip


def _loader(algorithm: Algorithm) -> Any:
    """One statement for any number of prefixes: as JSON, because 10,000 parameters cost 15 ms to write out each time."""
    wanted = func.json_each(bindparam("prefixes")).table_valued("value")
    column = DIGEST_COLUMNS[algorithm][1]
    return select(*_KNOWN_COLUMNS).where(Entry.list_id == bindparam("list"), column.in_(select(wanted.c.value)))


_LOADERS = {algorithm: _loader(algorithm) for algorithm in Algorithm}


def _load(connection: Connection, list_id: int, algorithm: Algorithm, prefixes: set[int]) -> Iterator[Known]:
    for row in connection.execute(_LOADERS[algorithm], {"list": list_id, "prefixes": json.dumps(sorted(prefixes))}):
        digests = {one: digest for one, digest in zip(Algorithm, row[1:5], strict=True) if digest is not None}
        yield Known(row[0], digests, row[5], row[6], row[7], row[8], tuple(json.loads(row[9])))


def _digest_values(known: Known) -> dict[str, bytes | int | None]:
    values: dict[str, bytes | int | None] = {}
    for algorithm in Algorithm:
        digest = known.digests.get(algorithm)
        values[algorithm.value] = digest
        values[f"{algorithm}_p"] = None if digest is None else prefix(digest)
    return values


def new_public_ids(count: int) -> Iterator[str]:
    """Unguessable ids of 80 random bits: "e_" and 16 characters of base32."""
    random = os.urandom(10 * count)
    for start in range(0, 10 * count, 10):
        yield "e_" + base64.b32encode(random[start : start + 10]).decode().lower()


def _insert(connection: Connection, list_id: int, new: Sequence[Known], now: float) -> None:
    if not new:
        return
    values = [
        {
            "public_id": public_id,
            "list_id": list_id,
            **_digest_values(known),
            "size": known.size,
            "category": known.category,
            "standing": known.standing,
            "act": known.act,
            "sources": json.dumps(known.sources),
            "created": now,
            "changed": now,
        }
        for public_id, known in zip(new_public_ids(len(new)), new, strict=True)
    ]
    connection.execute(insert(Entry), values)


def _update(connection: Connection, touched: Sequence[Known], now: float, reason: str) -> None:
    if not touched:
        return
    values = [
        {
            "b_id": known.id,
            **_digest_values(known),
            "size": known.size,
            "category": known.category,
            "act": known.act,
            "sources": json.dumps(known.sources),
            "changed": now,
        }
        for known in touched
    ]
    table = Entry.__table__
    connection.execute(update(Entry).where(table.c.id == bindparam("b_id")), values)
    connection.execute(insert(History), [{"entry_id": k.id, "at": now, "what": "merged", "reason": reason} for k in touched])


def ensure_list(session: Session, list_id: str) -> HashList:
    """The list of that id; where it is new, it is made with the self-test entry in it."""
    found = session.scalar(select(HashList).where(HashList.name == list_id))
    if found is not None:
        return found
    now = time.time()
    made = HashList(name=list_id, version=0, created=now)
    session.add(made)
    session.flush()
    digests = {algorithm: selftest.digest(algorithm, selftest.CONTENT) for algorithm in Algorithm}
    entry = Known(0, digests, len(selftest.CONTENT), TEST_CATEGORY, Act.REPORT, Standing.TEST, ("hashscan",))
    _insert(session.connection(), made.id, [entry], now)
    return made
