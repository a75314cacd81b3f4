"""One filter file: the tokens of a list under one provider's key, opened and asked as an agent would before it goes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from hashscan.atomic import write_bytes
from hashscan.errors import FilterError
from hashscan.known import bloom, delta, selftest
from hashscan.known.container import FilterHeader
from hashscan.known.keys import token
from hashscan.known.sizes import encode_sizes
from hashscan.model import Algorithm, ListRef
from hashscan.service.guard import LeftOut, in_force, left_out
from hashscan.service.tables import DIGEST_COLUMNS, Entry

EMPTY_LIST_ALGORITHM = Algorithm.SHA256  # of the self-test entry where a list has no other
_TRIES = 4
_ROWS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class Content:
    """What a filter of one list is made of; ``capacity`` is at least the number of distinct tokens, canaries not counted."""

    list_id: int
    algorithms: tuple[Algorithm, ...]
    entries: int
    capacity: int
    all_sized: bool
    left_out: LeftOut


def content_of(session: Session, list_id: int) -> Content:
    """What of the list is in force. The self-test entry's algorithms do not count: each costs agents a hash of every file."""
    out = left_out(session, list_id)
    columns = [func.count(digest.distinct()) for digest, _ in DIGEST_COLUMNS.values()]
    query = select(func.count(), func.count(Entry.size), *columns).where(in_force(list_id, out.ids))
    entries, sized, *counted = session.execute(query).one()
    by_algorithm = dict(zip(Algorithm, counted, strict=True))
    algorithms = tuple(a for a in Algorithm if by_algorithm[a]) or (EMPTY_LIST_ALGORITHM,)
    # Equal digests of two entries are one token. Agents refuse a filter that has more than twice the room it needs.
    capacity = sum(by_algorithm.values()) + len(algorithms)
    return Content(list_id, algorithms, entries + 1, capacity, sized == entries, out)


@dataclass(frozen=True, slots=True)
class Order:
    """One filter to be made: of which list and state, for whom, with which key and rate, from what.

    ``before`` is the capacity of the version before (`delta.capacity_of`), None where there is none to stay close to.
    """

    list: ListRef
    provider: str
    key: bytes
    error_rate: float
    content: Content
    before: int | None = None

    @property
    def capacity(self) -> int:
        """For how many tokens the filter is made: the same as before as long as that fits, so that a delta is small."""
        return delta.stable_capacity(self.content.capacity, self.before)

    def header(self, tokens: int, body_length: int, body_blake3: str) -> FilterHeader:
        """The header, once the body is known."""
        return FilterHeader(
            list=self.list,
            provider=self.provider,
            algorithms=self.content.algorithms,
            created=time.time(),
            entries=self.content.entries,
            tokens=tokens,
            error_rate=self.error_rate,
            body_length=body_length,
            body_blake3=body_blake3,
        )


def build(connection: Connection, order: Order, path: Path) -> tuple[bytes, int]:
    """Write the filter of ``order`` to ``path``; return its bytes and the number of its tokens. Raises `FilterError`."""
    sizes = _sizes(connection, order.content, order.key)

    def once(capacity: int) -> bytes:
        tokens = _tokens(connection, order.content, order.key)
        return bloom.build(order.header, order.key, tokens, capacity=capacity, error_rate=order.error_rate, sizes=sizes)

    return write_checked(path, order.list, order.key, once, order.capacity)


def write_checked(path: Path, ref: ListRef, key: bytes, build: Callable[[int], bytes], capacity: int) -> tuple[bytes, int]:
    """Write a filter that an agent will accept; return its bytes and the number of its tokens.

    At 1e-6 one filter in some 30,000 contains a trivial file or a random token by chance, and agents would refuse it. Another
    capacity moves all bits. What fails `_TRIES` times does not fail by chance.
    """
    for attempt in range(_TRIES):
        data = build(capacity + attempt * (capacity // 100 + 1))
        write_bytes(path, data)
        try:
            opened = bloom.open_filter(path, ref, key)
            bloom.check_order(opened, path.name)
            return data, len(opened)
        except FilterError:
            path.unlink()
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _sizes(connection: Connection, content: Content, key: bytes) -> bytes:
    """The size section, where every entry in force has a size; else nothing, and agents read files of every size."""
    if not content.all_sized:
        return b""
    condition = in_force(content.list_id, content.left_out.ids)
    query = select(Entry.size).where(condition).distinct().execution_options(yield_per=_ROWS_AT_ONCE)
    known = (size for size in connection.scalars(query) if size is not None)
    return encode_sizes(key, chain([len(selftest.CONTENT)], known))


def _tokens(connection: Connection, content: Content, key: bytes) -> Iterator[str]:
    """The distinct tokens of everything in force, the self-test entry's included."""
    condition = in_force(content.list_id, content.left_out.ids)
    for algorithm in content.algorithms:
        yield token(key, algorithm, selftest.digest(algorithm, selftest.CONTENT))
        column, _ = DIGEST_COLUMNS[algorithm]
        query = select(column).where(condition, column.is_not(None)).distinct().execution_options(yield_per=_ROWS_AT_ONCE)
        for digest in connection.scalars(query):
            if digest is not None:
                yield token(key, algorithm, digest)
