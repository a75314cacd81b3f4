"""An authority changes its mind: entries are disputed, withdrawn, reinstated, never deleted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.known.hash_list import BadLine, parse_line
from hashscan.model import Standing
from hashscan.service.names import check_text
from hashscan.service.store import Store
from hashscan.service.tables import DIGEST_COLUMNS, Entry, HashList, History

MAX_REASON = 1000  # characters


@dataclass(frozen=True, slots=True)
class StandingChange:
    """The entries that were changed, and ``sharing``: those in force that share a digest with one of them and were not."""

    standing: Standing
    entries: tuple[str, ...]
    sharing: tuple[str, ...]


def set_standing(store: Store, list_name: str, named: str, standing: Standing, reason: str) -> StandingChange:
    """Give the entries that ``named`` means (an entry id, or any digest of it in hex) another standing, and write down why.

    The service answers so at once; filters follow with the next publication. Raises `UsageError`.
    """
    check_text(reason, "reason", MAX_REASON)
    now = time.time()
    with store.writing() as session:
        entries = _find(session, list_name, named)
        if any(entry.standing == Standing.TEST for entry in entries):
            raise UsageError("this is the self-test entry, without which a silent miss would not be noticed")
        changed = [entry for entry in entries if entry.standing != standing]
        for entry in changed:
            entry.standing = standing.value
            entry.changed = now
            session.add(History(entry_id=entry.id, at=now, what=standing.value, reason=reason))
        session.flush()
        sharing = _sharing(session, entries, standing)
        return StandingChange(standing, tuple(one.public_id for one in changed), tuple(one.public_id for one in sharing))


def _find(session: Session, list_name: str, named: str) -> Sequence[Entry]:
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
        query = query.where(or_(*(DIGEST_COLUMNS[one][0] == parsed.digest for one in parsed.algorithms)))
    entries = session.scalars(query).all()
    if not entries:
        raise UsageError(f"the list {list_name!r} has no such entry")
    return entries


def _sharing(session: Session, entries: Sequence[Entry], standing: Standing) -> Sequence[Entry]:
    same = [
        column == digest
        for entry in entries
        for algorithm, (column, _) in DIGEST_COLUMNS.items()
        if (digest := getattr(entry, algorithm.value)) is not None
    ]
    in_force = (Standing.ACTIVE, Standing.DISPUTED)
    query = select(Entry).where(
        Entry.list_id == entries[0].list_id,
        Entry.id.not_in([entry.id for entry in entries]),
        Entry.standing.in_(in_force),
        Entry.standing != standing,
        or_(*same),
    )
    return session.scalars(query).all()
