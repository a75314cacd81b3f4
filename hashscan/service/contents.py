"""What of a list is in force, in one file: read from the database once for all providers, and compared with the state before.

So a publication costs each provider the change and not the list. The change is the difference of two states and not what a
journal of the database says: known-good digests, standings, imports and a database that was restored are all in it, and nothing
depends on clocks or on the order of transactions. A file is named by a digest of what it holds (``LIST-ID.content`` in
``contents``), checked whenever it is read, and may be removed at any time: filters are then built from nothing.
"""

from __future__ import annotations

import json
import mmap
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from blake3 import blake3
from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from hashscan.atomic import make_private_directory
from hashscan.known import selftest
from hashscan.model import Algorithm
from hashscan.service.covering import cheapest_cover
from hashscan.service.guard import LeftOut, in_force, left_out
from hashscan.service.tables import DIGEST_COLUMNS, Entry, HashList

EMPTY_LIST_ALGORITHM = Algorithm.SHA256  # of the self-test entry where a list has no other
_HEADER_BYTES = 4096
_ROWS_AT_ONCE = 10_000
_RUN = 64  # rows compared at once
_MOST_CHANGED = 4  # more than one in so many, and building from nothing is cheaper
_SIZE_BYTES = 8

_Value = TypeVar("_Value", bytes, int)


@dataclass(frozen=True, slots=True)
class Content:
    """The self-test entry included: ``entries``; for each algorithm the distinct digests, ascending, back to back; and sizes.

    Every entry has a digest among them (`covering`); ``also``: the algorithms of those that are left out. ``sizes`` (8 bytes
    each, ascending, distinct) is None unless every entry has one.
    """

    id: str
    entries: int
    digests: Mapping[Algorithm, memoryview]
    also: tuple[Algorithm, ...]
    sizes: memoryview | None

    @property
    def algorithms(self) -> tuple[Algorithm, ...]:
        """Those of the digests. The self-test entry's do not count: each costs agents a hash of every file."""
        return tuple(self.digests)

    @property
    def tokens(self) -> int:
        """How many tokens a filter of it has, canaries not counted."""
        return sum(len(rows) // algorithm.digest_size for algorithm, rows in self.digests.items())

    def each(self) -> Iterator[tuple[Algorithm, bytes]]:
        """Every digest."""
        for algorithm, rows in self.digests.items():
            width = algorithm.digest_size
            for at in range(0, len(rows), width):
                yield algorithm, bytes(rows[at : at + width])


@dataclass(frozen=True, slots=True)
class Change:
    """What leads from the content ``before`` (its id) to another. Sizes only where both have them."""

    before: str
    added: tuple[tuple[Algorithm, bytes], ...]
    removed: tuple[tuple[Algorithm, bytes], ...]
    sizes: tuple[int, ...]


def path_of(folder: Path, list_name: str, content_id: str) -> Path:
    """Where a content lies."""
    return folder / f"{list_name}-{content_id[:32]}.content"


def read_list(session: Session, one: HashList, folder: Path) -> tuple[Content, LeftOut]:
    """Write what of ``one`` is in force into ``folder``; return it, and what was left out. Raises OSError.

    Measured: see docs/performance.md. Nothing of the list is in memory, the rest is the database's sorting.
    """
    out = left_out(session, one.id)
    condition = in_force(one.id, out.ids)
    entries, sized = session.execute(select(func.count(), func.count(Entry.size)).where(condition)).one()
    patterns = _patterns(session, condition)
    chosen = cheapest_cover(patterns)
    make_private_directory(folder)
    beside = folder / f"{one.name}.new"
    with open(beside, "wb", opener=partial(os.open, mode=0o600)) as stream:
        stream.write(bytes(_HEADER_BYTES))
        lengths = _write_digests(session.connection(), condition, stream, chosen)
        sizes = _write_sizes(session.connection(), condition, stream) if sized == entries else None
        also = [one for one in Algorithm if one not in chosen and any(one in pattern for pattern in patterns)]
        header = {"format": 2, "list": one.name, "entries": entries + 1, "digests": lengths, "also": also, "sizes": sizes}
        stream.seek(0)
        stream.write(json.dumps(header).encode().ljust(_HEADER_BYTES))
    content = _open(beside)
    os.rename(beside, path_of(folder, one.name, content.id))
    return content, out


def _patterns(session: Session, condition: Any) -> list[frozenset[Algorithm]]:
    """Which sets of digests entries have: at most 15."""
    columns = [digest.is_not(None) for digest, _ in DIGEST_COLUMNS.values()]
    rows = session.execute(select(*columns).where(condition).distinct())
    return [frozenset(a for a, there in zip(Algorithm, row, strict=True) if there) for row in rows]


def _write_digests(connection: Connection, condition: Any, stream: BinaryIO, chosen: Iterable[Algorithm]) -> dict[str, int]:
    """The sections of the digests of ``chosen`` algorithms; returns their lengths in bytes, by algorithm."""
    lengths = {}
    for algorithm in chosen:
        column, _ = DIGEST_COLUMNS[algorithm]
        query = select(column).where(condition, column.is_not(None)).distinct().order_by(column)
        parts = _parts(connection, query)
        if (first := next(parts, None)) is not None:
            start = stream.tell()
            stream.writelines(b"".join(part) for part in _inserted(first, parts, selftest.digest(algorithm, selftest.CONTENT)))
            lengths[algorithm.value] = stream.tell() - start
    if not lengths:
        alone = selftest.digest(EMPTY_LIST_ALGORITHM, selftest.CONTENT)
        lengths[EMPTY_LIST_ALGORITHM.value] = stream.write(alone)
    return lengths


def _write_sizes(connection: Connection, condition: Any, stream: BinaryIO) -> int:
    parts = _parts(connection, select(Entry.size).where(condition).distinct().order_by(Entry.size))
    start = stream.tell()
    stream.writelines(array("Q", part).tobytes() for part in _inserted(next(parts, []), parts, len(selftest.CONTENT)))
    return stream.tell() - start


def _parts(connection: Connection, query: Any) -> Iterator[list[Any]]:
    """The values of a query of one column, many at a time."""
    rows = connection.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
    for part in rows.partitions():
        yield [row[0] for row in part]


def _inserted(first: list[_Value], rest: Iterable[list[_Value]], extra: _Value) -> Iterator[list[_Value]]:
    """Ascending values in parts, with ``extra`` where it belongs, once."""
    waiting = True
    for part in chain([first] if first else [], rest):
        if waiting and part[-1] >= extra:
            place = bisect_left(part, extra)
            if part[place] != extra:
                part.insert(place, extra)
            waiting = False
        yield part
    if waiting:
        yield [extra]


def open_content(folder: Path, list_name: str, content_id: str) -> Content | None:
    """The content of that id; None where it is not there, or damaged: nothing depends on it."""
    if not content_id:
        return None
    try:
        found = _open(path_of(folder, list_name, content_id))
    except (OSError, ValueError, KeyError):
        return None
    return found if found.id == content_id else None


def _open(path: Path) -> Content:
    """Map a file, whatever its name says. Raises OSError, ValueError or KeyError where it is none."""
    with path.open("rb") as stream:
        data = memoryview(mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ))
    header = json.loads(bytes(data[:_HEADER_BYTES]))
    at = _HEADER_BYTES
    digests = {}
    for name, length in header["digests"].items():
        digests[Algorithm(name)] = _section(data, at, length)
        at += length
    sizes = None if header["sizes"] is None else _section(data, at, header["sizes"])
    told = blake3(json.dumps(header, sort_keys=True).encode())
    told.update(data[_HEADER_BYTES:])
    also = tuple(Algorithm(name) for name in header["also"])
    return Content(told.hexdigest(), header["entries"], digests, also, sizes)


def _section(data: memoryview, at: int, length: int) -> memoryview:
    if not 0 < length <= len(data) - at:
        raise ValueError("a section is not there")
    return data[at : at + length]


def change(old: Content, new: Content) -> Change | None:
    """What leads from ``old`` to ``new``; None where it is so much that nobody wants to know."""
    added: list[tuple[Algorithm, bytes]] = []
    removed: list[tuple[Algorithm, bytes]] = []
    empty = memoryview(b"")
    for algorithm in Algorithm:
        width = algorithm.digest_size
        for row, is_new in _differences(old.digests.get(algorithm, empty), new.digests.get(algorithm, empty), width):
            (added if is_new else removed).append((algorithm, row))
            if (len(added) + len(removed)) * _MOST_CHANGED > max(new.tokens, old.tokens):
                return None
    sizes: tuple[int, ...] = ()
    if old.sizes is not None and new.sizes is not None:
        found = _differences(_big_endian(old.sizes), _big_endian(new.sizes), _SIZE_BYTES)
        sizes = tuple(int.from_bytes(row, "big") for row, is_new in found if is_new)
    return Change(old.id, tuple(added), tuple(removed), sizes)


def _big_endian(sizes: memoryview) -> memoryview:
    """Numbers in an order that bytes have too."""
    values = array("Q", bytes(sizes))
    values.byteswap()
    return memoryview(values.tobytes())


def _differences(old: memoryview, new: memoryview, width: int) -> Iterator[tuple[bytes, bool]]:
    """The rows of ``width`` bytes that are in one only of two ascending sections, and whether that is the new one."""
    i = j = 0
    run = _RUN * width
    while i < len(old) or j < len(new):
        if old[i : i + run] == new[j : j + run]:  # nearly always
            i, j = i + run, j + run
            continue
        before, after = bytes(old[i : i + width]), bytes(new[j : j + width])
        if before and (not after or before < after):
            yield before, False
            i += width
        elif after and (not before or after < before):
            yield after, True
            j += width
        else:
            i, j = i + width, j + width


def remove_others(folder: Path, list_name: str, content_id: str) -> None:
    """Remove what was written for earlier publications of a list, or by one that did not come to its end."""
    keep = path_of(folder, list_name, content_id)
    for path in folder.iterdir():
        of_list = path.name == f"{list_name}.new" or (path.suffix == ".content" and path.stem.rpartition("-")[0] == list_name)
        if of_list and path != keep:
            path.unlink(missing_ok=True)
