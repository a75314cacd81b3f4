"""Entries that a source can take back: which of ours it means, who voted, and what happens when it deletes one.

A source names an entry (`importers.port.Named`); `FeedRef` remembers what that name is here. An entry is withdrawn when its
last name is gone and no other source states it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, bindparam, func, insert, select, update

from hashscan.model import Standing
from hashscan.service.importers.port import Named
from hashscan.service.tables import Entry, History
from hashscan.service.tables_exchange import FeedRef

T = TypeVar("T")
_BATCH = 1000  # parameters of a statement
_IN_FORCE = (Standing.ACTIVE, Standing.DISPUTED)


@dataclass(frozen=True, slots=True)
class Ref:
    """What a name is here: the entry, None where it is none of ours (any more), and when it changed at the source."""

    entry_id: int | None
    at: float


@dataclass(frozen=True, slots=True)
class Feed:
    """The names that one source uses in one list. ``connection`` is that of the import."""

    connection: Connection
    list_id: int
    source: str
    now: float

    def known(self, refs: Iterable[str]) -> dict[str, Ref]:
        """Those of ``refs`` that were met before."""
        table = FeedRef.__table__
        found: dict[str, Ref] = {}
        for some in _batches(sorted(set(refs))):
            query = select(table.c.ref, table.c.entry_id, table.c.at).where(self._mine(), table.c.ref.in_(some))
            found.update({row.ref: Ref(row.entry_id, row.at) for row in self.connection.execute(query)})
        return found

    def _mine(self) -> ColumnElement[bool]:
        table = FeedRef.__table__
        return (table.c.list_id == self.list_id) & (table.c.source == self.source)

    def remember(self, items: Sequence[tuple[Named, int | None]], before: Mapping[str, Ref]) -> set[int]:
        """Write down what each name is now; the entries that lost a name."""
        values = [
            {"b_list": self.list_id, "b_source": self.source, "b_ref": one.ref, "entry_id": entry_id, "at": one.at}
            | {"up": one.up, "down": one.down}
            for one, entry_id in items
        ]
        old = [value for value in values if value["b_ref"] in before]
        new = [value for value in values if value["b_ref"] not in before]
        table = FeedRef.__table__
        if new:
            names: dict[str, Any] = {"list_id": bindparam("b_list"), "source": bindparam("b_source"), "ref": bindparam("b_ref")}
            rest: dict[str, Any] = {name: bindparam(name) for name in ("entry_id", "at", "up", "down")}
            self.connection.execute(insert(FeedRef).values({**names, **rest}), new)
        if old:
            here = (table.c.list_id == bindparam("b_list")) & (table.c.source == bindparam("b_source"))
            self.connection.execute(update(FeedRef).where(here, table.c.ref == bindparam("b_ref")), old)
        held = {one.ref: before[one.ref].entry_id for one, _ in items if one.ref in before}
        return {was for one, now in items if (was := held.get(one.ref)) is not None and was != now}

    def release(self, entry_ids: Collection[int]) -> tuple[int, int]:
        """Take the source from entries that it names no more: how many were withdrawn, how many has another source."""
        withdrawn = released = 0
        for some in _batches(sorted(entry_ids)):
            named = self._named(some)
            for entry_id, sources, standing in self._entries([one for one in some if one not in named]):
                left = [one for one in json.loads(sources) if one != self.source]
                if standing not in _IN_FORCE:
                    continue
                self._let_go(entry_id, left)
                withdrawn, released = (withdrawn, released + 1) if left else (withdrawn + 1, released)
        return withdrawn, released

    def _named(self, entry_ids: Sequence[int]) -> set[int]:
        table = FeedRef.__table__
        query = select(table.c.entry_id).where(self._mine(), table.c.entry_id.in_(entry_ids))
        return set(self.connection.execute(query).scalars())

    def _entries(self, entry_ids: Sequence[int]) -> list[tuple[int, str, str]]:
        query = select(Entry.id, Entry.sources, Entry.standing).where(Entry.id.in_(entry_ids))
        return [(row.id, row.sources, row.standing) for row in self.connection.execute(query)]

    def _let_go(self, entry_id: int, left: Sequence[str]) -> None:
        """An entry keeps the name of its last source: who reads its history wants to know."""
        what = "source_gone" if left else Standing.WITHDRAWN.value
        values = {"sources": json.dumps(left)} if left else {"standing": Standing.WITHDRAWN.value}
        self.connection.execute(update(Entry).where(Entry.id == entry_id).values(**values, changed=self.now))
        reason = f"deleted by its source {self.source}"
        self.connection.execute(insert(History).values(entry_id=entry_id, at=self.now, what=what, reason=reason))

    def count(self) -> int:
        """How many names of this source mean an entry."""
        table = FeedRef.__table__
        query = select(func.count()).select_from(table).where(self._mine(), table.c.entry_id.is_not(None))
        return int(self.connection.execute(query).scalar_one())


def newest(items: Iterable[Named]) -> dict[str, Named]:
    """Of each name the newest state; of several of one second the last."""
    found: dict[str, Named] = {}
    for one in items:
        if one.ref not in found or found[one.ref].at <= one.at:
            found[one.ref] = one
    return found


def _batches(some: Sequence[T]) -> Iterable[Sequence[T]]:
    return (some[start : start + _BATCH] for start in range(0, len(some), _BATCH))
