"""Which entry is meant: by its id, or by any of its digests."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine, parse_line
from hashscan.model import Algorithm, Standing
from hashscan.service.tables import DIGEST_COLUMNS, Entry, HashList, prefix


def find(session: Session, list_name: str, named: str) -> Sequence[Entry]:
    """The entries of a list that ``named`` means: an entry id, or any digest in hex. Raises `UsageError`."""
    query = select(Entry).join(HashList, HashList.id == Entry.list_id).where(HashList.name == list_name)
    if named.startswith("e_"):
        query = query.where(Entry.public_id == named)
    else:
        try:
            parsed = parse_line(named.encode())
        except BadLine:
            parsed = None
        if parsed is None:
            raise UsageError("an entry is named by its id (e_...) or one of its digests in hex")
        query = query.where(or_(*(_holds(one, parsed.digest) for one in parsed.algorithms)))
    entries = session.scalars(query.order_by(Entry.id)).all()
    if not entries:
        raise UsageError(f"the list {list_name!r} has no such entry")
    return entries


def refuse_test(entry: Entry) -> None:
    """Raises `UsageError` for the self-test entry, without which a silent miss would not be noticed."""
    if entry.standing == Standing.TEST:
        raise UsageError("this is the self-test entry, without which a silent miss would not be noticed")


def _holds(algorithm: Algorithm, digest: bytes) -> ColumnElement[bool]:
    """The prefix is what has an index."""
    column, prefixes = DIGEST_COLUMNS[algorithm]
    return and_(prefixes == prefix(digest), column == digest)


def sharing(session: Session, entries: Sequence[Entry], standing: Standing) -> Sequence[Entry]:
    """Entries in force that share a digest with one of ``entries`` and have another standing than ``standing``."""
    same = [
        _holds(algorithm, digest)
        for entry in entries
        for algorithm in Algorithm
        if (digest := getattr(entry, algorithm.value)) is not None
    ]
    query = select(Entry).where(
        Entry.list_id == entries[0].list_id,
        Entry.id.not_in([entry.id for entry in entries]),
        Entry.standing.in_((Standing.ACTIVE, Standing.DISPUTED)),
        Entry.standing != standing,
        or_(*same),
    )
    return session.scalars(query).all()
