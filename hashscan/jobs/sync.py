"""Sync: fetch the signed metadata and the filters that it names, and bring them into force only when all of them hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hashscan.errors import StateError
from hashscan.known.shelf import Shelf
from hashscan.known.trust import may_replace
from hashscan.ports import Fetcher, Lists, Reporter, Target, Trust
from hashscan.report import events


@dataclass(frozen=True, slots=True)
class SyncTools:
    """What a sync works with. ``clock`` is seconds since 1970."""

    trust: Trust
    fetcher: Fetcher
    shelf: Shelf
    reporter: Reporter
    clock: Callable[[], float]


def sync(tools: SyncTools) -> Lists:
    """The lists that are in force afterwards. Until all of the new ones are here and hold, the old ones stay.

    Raises `FilterError`, `ServiceUnavailable`, `RefusedError`, `StateError`.
    """
    held = tools.shelf.lists()
    offered = tools.trust.refresh(tools.fetcher)
    may_replace(held, offered, tools.clock())
    try:
        for target in offered.targets:
            if not tools.shelf.holds(target):
                tools.shelf.put(target, tools.fetcher.fetch(target.name, max_bytes=target.length))
        tools.shelf.bring_into_force(offered)
    except OSError as error:
        hint = "the lists in force are unchanged; is the disk full?"
        raise StateError(f"the lists cannot be stored: {error.strerror or error}", hint=hint) from None
    before = {target.list.id: target for target in held.targets} if held else {}
    for target in offered.targets:
        old = before.get(target.list.id)
        previous = old.list.version if old else None
        tools.reporter.tell(events.sync(target.list, _change(old, target), previous=previous, size=target.length))
    for gone in sorted(set(before) - {target.list.id for target in offered.targets}):
        tools.reporter.tell(events.sync(before[gone].list, "removed"))
    return offered


def _change(old: Target | None, new: Target) -> events.Change:
    if old is None:
        return "new"
    return "unchanged" if old.blake3 == new.blake3 else "updated"
