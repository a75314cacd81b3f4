"""Recheck: the remembered digests against the lists in force, without reading a file. An engine that walks the digest cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from hashscan import flow, fsops
from hashscan.errors import IncompleteError
from hashscan.files.cache import DigestCache
from hashscan.files.completing import Picked
from hashscan.files.filesystems import filesystem_of
from hashscan.files.looks import seen_of
from hashscan.files.rows import IDENTITY, Marker, Row, decode, is_known, mask_of, where_of
from hashscan.files.store import LAST_ID, Store, StoreTrouble, Writes
from hashscan.files.tally import Tally, reason_of
from hashscan.flow import Commit
from hashscan.model import Place, Reason, Sifted, Skipped, Warned
from hashscan.ports import Sieve

STRETCH = 64  # rows that are read and sieved together: about 1,300 files, 4 ms
_LACKING = "ENODATA"


class Stretch(NamedTuple):
    """Rows between two ids; ``single`` are the files that are remembered on their own."""

    single: bool
    low: int
    high: int


class RecheckEngine:
    """A `ports.Engine` that looks at remembered digests. Files that changed since, or that are new, are a scan's."""

    def __init__(self, cache: DigestCache, workers: int, deadline: float) -> None:
        self._cache, self._workers, self._deadline = cache, workers, deadline

    def sift(self, roots: Sequence[bytes], sieve: Sieve) -> Generator[Sifted, None, None]:
        """What is remembered of files below ``roots``; of all, where none is named. Raises `IncompleteError` where nothing is.

        A file whose digest the lists do not contain is counted as cached; so is one that is found at its place. Where the lists
        need a digest that was never made the file counts as an error, ENODATA. See `ports.Engine` for the rest.
        """
        if why := self._cache.attach():
            raise IncompleteError(why, hint="run 'hashscan scan' first")
        stretches = self._stretches()
        start = partial(Rechecker, self._cache, sieve, tuple(roots))
        return _lively(flow.share([stretches], start, Forsake(), staff=flow.Staff(self._workers, self._deadline)))

    def _stretches(self) -> list[Stretch]:
        try:
            with closing(self._opened()) as store:
                bounds = {single: store.bounds(STRETCH, single=single) for single in (False, True)}
        except StoreTrouble as error:
            self._cache.condemn()
            raise IncompleteError(f"the digest cache is damaged: {error}", hint="the next scan makes it anew") from None
        return [stretch for single, lows in bounds.items() for stretch in _between(lows, single=single)]

    def _opened(self) -> Store:
        store = self._cache.open()
        if store is None:
            raise StoreTrouble("it is gone")
        return store


def _between(lows: list[int], *, single: bool) -> list[Stretch]:
    highs = [low - 1 for low in lows[1:]] + [LAST_ID] * bool(lows)
    return [Stretch(single, low, high) for low, high in zip(lows, highs, strict=True)]


def _lively(results: Generator[Sifted | None, None, None]) -> Generator[Sifted, None, None]:
    """Silence becomes an empty stretch; what the lists need and the cache lacks is said once."""
    said = False
    with closing(results):
        for one in results:
            yield Sifted() if one is None else one
            if one is not None and _LACKING in one.errors and not said:
                said = True
                yield Sifted(
                    warnings=(Warned("of some files a digest that the lists need was never made: only a scan reads them"),)
                )


class Rechecker:
    """A `flow.Worker` on `Stretch` items. ``roots`` limit it; none is no limit."""

    def __init__(self, cache: DigestCache, sieve: Sieve, roots: tuple[bytes, ...], alive: Callable[[], None]) -> None:
        self._cache, self._sieve, self._roots, self._alive = cache, sieve, roots, alive
        self._needed, self._mask = sieve.algorithms, mask_of(sieve.algorithms)
        self._tally = Tally(roots)
        self._stack: list[Stretch] = []
        self._low = 0
        self._at = b""
        self._fingerprint = sieve.fingerprint
        self._marks = Writes()
        self._markers: dict[int, Marker] = {}
        self._store = self._open()

    def _open(self) -> Store | None:
        try:
            return self._cache.open()
        except StoreTrouble as error:
            self._give_up(error)
            return None

    def _give_up(self, error: StoreTrouble) -> None:
        """What stands in the file from here on cannot be told: that is an error of this run, and a scan is needed."""
        if error.damaged:
            self._cache.condemn()
        self._tally.fail_at(OSError(5, str(error)), Place(os.fsencode(self._cache.path), b""))

    def load(self, items: Sequence[Stretch], *, careful: bool) -> None:  # noqa: ARG002 - the protocol
        """Take over a stack."""
        self._stack = list(items)
        self._low = len(self._stack)

    def idle(self) -> bool:
        """Whether the stack is empty."""
        return not self._stack

    def advance(self, until: float, hungry: Callable[[], bool]) -> None:  # noqa: ARG002 - a stretch is short
        """One stretch."""
        if self._stack:
            stretch = self._stack.pop()
            self._low = min(self._low, len(self._stack))
            self._sift(stretch)

    def commit(self, *, give: bool) -> Commit[Stretch, Sifted]:
        """What was looked at since the last one."""
        low, self._low = self._low, len(self._stack)
        given: list[Stretch] = []
        if give and len(self._stack) > 1:
            given = self._stack[: len(self._stack) // 2]
            del self._stack[: len(given)]
            self._low = len(self._stack)
        if not self._stack or len(self._marks) > STRETCH * 4:
            self._flush()
        return Commit(self._tally.take(self._at), low, [], len(given), [], given)

    def close(self) -> None:
        """Let go of the file."""
        self._flush()
        if self._store is not None:
            self._store.close()

    def _flush(self) -> None:
        if self._store is not None and len(self._marks):
            with suppress(StoreTrouble):  # a mark only saves asking again
                self._store.write(self._marks)
            self._marks = Writes()

    def _sift(self, stretch: Stretch) -> None:
        if self._store is None:
            return
        try:
            found = self._store.between(stretch.low, stretch.high, single=stretch.single)
        except StoreTrouble as error:
            self._give_up(error)
            return
        asked: list[Row] = []
        for data, mark in found:
            row = decode(data, None)
            if row is None or not self._concerns(row):
                continue
            self._at = Place(row.root, row.path).full
            if self._fingerprint and mark and (unknown := self._marker(row).unknown(mark, *_said(row))) is not None:
                self._tally.cached += len(row) - unknown
            elif any(algorithm not in row.columns for algorithm in self._needed):
                self._tally.lack(_LACKING, len(row))
            else:
                asked.append(row)
        self._ask(asked)

    def _concerns(self, row: Row) -> bool:
        if not self._roots:
            return True
        full = os.path.join(Place(row.root, row.path).full, b"")
        return any(full.startswith(os.path.join(root, b"")) for root in self._roots)

    def _ask(self, asked: list[Row]) -> None:
        """Digests of many rows in one question."""
        rows: list[tuple[bytes, ...]] = []
        origin: list[tuple[Row, int]] = []
        for row in asked:
            digests = row.rows(self._needed)
            whole = row.complete & self._mask == self._mask
            known = range(len(digests)) if whole else [at for at, one in enumerate(digests) if all(map(is_known, one))]
            rows += digests if whole else [digests[at] for at in known]
            origin += [(row, at) for at in known]
        chosen = self._sieve.survivors(rows) if rows else ()
        self._tally.cached += len(rows) - len(chosen)
        picked: dict[int, list[int]] = {}
        for one in chosen:
            row, _ = origin[one]
            picked.setdefault(id(row), []).append(one)
        for row in asked:
            if id(row) in picked:
                self._locate(row, [(origin[one][1], rows[one]) for one in picked[id(row)]])
            elif row.complete & self._mask == self._mask and self._fingerprint:
                self._marks.marks.append((row.key.id, self._marker(row).mark(*_said(row))))

    def _marker(self, row: Row) -> Marker:
        marker = self._markers.get(row.key.device)
        if marker is None:
            marker = self._markers[row.key.device] = Marker(self._cache.secret, self._fingerprint, row.key.device)
        return marker

    def _locate(self, row: Row, wanted: list[tuple[int, tuple[bytes, ...]]]) -> None:
        """Find files of a row at their place, by inode and identity; the sieve makes candidates of them."""
        try:
            names = _names_of(row)
        except OSError as error:
            reason = reason_of(error)
            self._lose(row, len(wanted), Reason.CHANGED if reason is Reason.ERROR else reason)
            return
        picked = []
        for at, digests in wanted:
            identity = row.block[at * IDENTITY.size : (at + 1) * IDENTITY.size]
            here = names.get(IDENTITY.unpack(identity)[0], [])
            same = [index for index, (_, status) in enumerate(here) if _identity(status) == identity]
            if not same:
                self._lose(row, 1, Reason.CHANGED if here else Reason.VANISHED)
                continue
            name, status = here.pop(same[0])
            place = Place(row.root, b"/".join(part for part in (row.path, name) if part))
            picked.append(Picked("", status, place, digests).hashed(self._needed))
        self._tally.cached += len(picked)
        self._tally.candidates += self._sieve.candidates(picked)

    def _lose(self, row: Row, count: int, reason: Reason) -> None:
        self._tally.skip(reason, count=count)
        message = (
            f"{count} remembered {'file' if count == 1 else 'files'} that the lists may know cannot be located here any more"
        )
        self._tally.warn(Warned(message, Place(row.root, row.path)))


def _said(row: Row) -> tuple[bytes, bytes]:
    """What a mark of the row is about."""
    return where_of(row.root, row.path), seen_of(row.block)


def _identity(status: os.stat_result) -> bytes:
    return IDENTITY.pack(status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _names_of(row: Row) -> dict[int, list[tuple[bytes, os.stat_result]]]:
    """Names and statuses by inode in the directory of a row, opened beneath its root. Raises OSError."""
    found: dict[int, list[tuple[bytes, os.stat_result]]] = {}
    wanted = {IDENTITY.unpack_from(row.block, at)[0] for at in range(0, len(row.block), IDENTITY.size)}
    root = fsops.open_root(row.root)
    try:
        fd = fsops.open_directory_fd(root, row.path)
    finally:
        os.close(root)
    try:
        if filesystem_of(fd, os.fstat(fd).st_dev).number != row.key.device:
            return found
        with os.scandir(fd) as entries:
            for entry in entries:
                if entry.inode() in wanted:
                    with suppress(FileNotFoundError):
                        status = os.stat(entry.name, dir_fd=fd, follow_symlinks=False)
                        found.setdefault(entry.inode(), []).append((os.fsencode(entry.name), status))
    finally:
        os.close(fd)
    return found


@dataclass(frozen=True, slots=True)
class Forsake:
    """The `flow.Blame` of a recheck: a stretch on which workers die is an error."""

    def culprit(self, stack: Sequence[Stretch]) -> bytes:
        """The stretch that is next."""
        return repr(stack[-1]).encode()

    def abandon(self, stack: Sequence[Stretch], *, hung: bool) -> tuple[list[Stretch], Sifted]:
        """Leave it out, and say so."""
        detail = "a worker hung on it" if hung else "the workers that read it died"
        note = Skipped(Place(b"/", b""), Reason.ERROR, "ENOTRECOVERABLE", f"remembered {stack[-1]}: {detail}")
        return list(stack[:-1]), Sifted(seen=1, errors={note.errno: 1}, notes=(note,))
