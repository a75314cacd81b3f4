"""What was withdrawn from a list, as tokens of one provider: earlier cases of these entries are proposed for restore."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.known import withdrawn
from hashscan.known.keys import token
from hashscan.model import ListRef, Standing
from hashscan.service.guard import digests_of
from hashscan.service.tables import Entry

_ROW_BYTES = 80  # of an entry in the file, at most, and of each of its tokens
_TOKEN_BYTES = 67


@dataclass(frozen=True, slots=True)
class WithdrawnFile:
    """The bytes of a file of withdrawn tokens, and of how many entries they are."""

    data: bytes
    entries: int


def file_of(session: Session, list_id: int, ref: ListRef, key: bytes) -> WithdrawnFile | None:
    """The file for one provider whose K_filter is ``key``; None where nothing is withdrawn.

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
        tokens = tuple(token(key, algorithm, digest) for algorithm, digest in digests_of(entry))
        left -= _ROW_BYTES + _TOKEN_BYTES * len(tokens)
        if left < 0:
            break
        rows.append(withdrawn.Withdrawal(entry.public_id, tokens, entry.changed))
    return WithdrawnFile(withdrawn.encode(ref, rows), len(rows)) if rows else None
