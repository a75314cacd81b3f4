"""What was withdrawn from a list, as tokens of one provider: earlier cases of these entries are proposed for restore."""

from __future__ import annotations

from dataclasses import dataclass

from blake3 import blake3
from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.known import withdrawn
from hashscan.known.keys import token
from hashscan.model import Algorithm, ListRef, Standing
from hashscan.service.guard import digests_of
from hashscan.service.tables import Entry

_ROW_BYTES = 80  # of an entry in the file, at most, and of each of its tokens
_TOKEN_BYTES = 67

_Row = tuple[str, tuple[tuple[Algorithm, bytes], ...], float]


@dataclass(frozen=True, slots=True)
class Told:
    """The entries that agents are told of, the last that were withdrawn first: public id, digests, when."""

    rows: tuple[_Row, ...]

    @property
    def id(self) -> str:
        """A digest of all that is told; empty where nothing is."""
        return blake3(repr(self.rows).encode()).hexdigest() if self.rows else ""


def told_of(session: Session, list_id: int) -> Told:
    """What is told of a list, the same to all providers.

    Agents take so many entries and bytes. Of more, the last that were withdrawn are told: the others are years old, and the
    answers to questions about them say so.
    """
    query = (
        select(Entry)
        .where(Entry.list_id == list_id, Entry.standing == Standing.WITHDRAWN)
        .order_by(Entry.changed.desc(), Entry.id.desc())
        .limit(withdrawn.MAX_WITHDRAWALS)
    )
    rows = []
    left = withdrawn.MAX_WITHDRAWN_BYTES - 1024
    for entry in session.scalars(query):
        digests = tuple(digests_of(entry))
        left -= _ROW_BYTES + _TOKEN_BYTES * len(digests)
        if left < 0:
            break
        rows.append((entry.public_id, digests, entry.changed))
    return Told(tuple(rows))


def file_of(told: Told, ref: ListRef, key: bytes) -> bytes:
    """The file for one provider whose K_filter is ``key``."""
    rows = [withdrawn.Withdrawal(name, tuple(token(key, *one) for one in digests), at) for name, digests, at in told.rows]
    return withdrawn.encode(ref, rows)
