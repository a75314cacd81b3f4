"""Sync: fetch the signed metadata and what it names, and bring it into force only when all of it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from hashscan.errors import FilterError, StateError
from hashscan.known import clock, delta
from hashscan.known.keys import KeyRing
from hashscan.known.shelf import Shelf, gather
from hashscan.known.trust import may_replace
from hashscan.known.withdrawn import Withdrawn
from hashscan.model import WITHDRAWABLE, Case, Lists, PublishedFile, Target, VerdictKey
from hashscan.ports import Fetcher, Reporter, Trust
from hashscan.report import events

MAX_WAIT = 86_400.0  # seconds: no service keeps its agents away for longer


def no_cases() -> Iterable[Case]:
    """This host has taken nothing."""
    return ()


@dataclass(frozen=True, slots=True)
class SyncTools:
    """What a sync works with. ``clock`` is seconds since 1970.

    ``keys_for`` brings the provider's keys up to an epoch, believing the verdict keys that it is given; None where nobody can
    be asked. ``cases`` are those of the quarantine, read when entries were withdrawn.
    """

    trust: Trust
    fetcher: Fetcher
    shelf: Shelf
    reporter: Reporter
    clock: Callable[[], float]
    keys_for: Callable[[Sequence[VerdictKey], int], KeyRing] | None = None
    cases: Callable[[], Iterable[Case]] = no_cases


@dataclass(slots=True)
class _Counted:
    """A fetcher that counts: ``fetched`` bytes of one list."""

    inner: Fetcher
    fetched: int = 0

    def pieces(self, file: PublishedFile) -> Iterator[bytes]:
        for piece in self.inner.fetch(file.name, max_bytes=file.length):
            self.fetched += len(piece)
            yield piece


@dataclass(frozen=True, slots=True)
class _Before:
    """What was in force until now."""

    targets: dict[str, Target] = field(default_factory=dict)
    withdrawn: frozenset[tuple[str, str]] = frozenset()


def sync(tools: SyncTools) -> Lists:
    """The lists that are in force afterwards. Until all of the new ones are here and hold, the old ones stay.

    Raises `FilterError` (also where the clock jumped back), `ServiceUnavailable`, `RefusedError`, `StateError`.
    """
    clock.refuse_doubt(tools.shelf.clock, tools.clock(), tools.shelf.clock_file)
    held = tools.shelf.lists()
    before = _before(tools.shelf, held)
    try:
        tools.shelf.sweep()
        offered = tools.trust.refresh(tools.fetcher)
        may_replace(held, offered, tools.clock())
        shelf = _with_keys(tools, offered)
        brought = [_bring(shelf, tools.fetcher, before.targets.get(one.list.id), one) for one in offered.targets]
        shelf.bring_into_force(offered, tools.clock())
    except OSError as error:
        hint = "the lists in force are unchanged; is the disk full?"
        raise StateError(f"the lists cannot be stored: {error.strerror or error}", hint=hint) from None
    for target, how in zip(offered.targets, brought, strict=True):
        _tell(tools.reporter, before.targets.get(target.list.id), target, how)
    for gone in sorted(set(before.targets) - {target.list.id for target in offered.targets}):
        tools.reporter.tell(events.sync(before.targets[gone].list, "removed"))
    _tell_withdrawn(replace(tools, shelf=shelf), offered, before)
    return offered


def _before(shelf: Shelf, held: Lists | None) -> _Before:
    if held is None:
        return _Before()
    try:
        known = _entries(shelf.withdrawn(held))
    except FilterError:  # damaged on this disk: then all of them are new
        known = frozenset()
    return _Before({target.list.id: target for target in held.targets}, known)


def _entries(withdrawn: Withdrawn) -> frozenset[tuple[str, str]]:
    return frozenset((ref.id, one.entry) for ref, one in withdrawn)


def _with_keys(tools: SyncTools, offered: Lists) -> Shelf:
    """The shelf with a key for every epoch that is offered: one that is later than all we know may have a new key."""
    newest = max((target.list.epoch for target in offered.targets), default=0)
    if tools.keys_for is None or newest <= max(tools.shelf.ring.keys):
        return tools.shelf
    return tools.shelf.with_ring(tools.keys_for(offered.verdict_keys, newest))


def _bring(shelf: Shelf, fetcher: Fetcher, held: Target | None, target: Target) -> events.Way:
    """Everything of one list onto the shelf: by deltas where they lead there, else whole."""
    counted = _Counted(fetcher)
    way = events.Way() if shelf.holds(target) else _bring_filter(shelf, counted, held, target)
    if target.withdrawn is not None and not shelf.holds_withdrawn(target):
        shelf.put_withdrawn(target, counted.pieces(target.withdrawn))
    return replace(way, fetched=counted.fetched)


def _bring_filter(shelf: Shelf, counted: _Counted, held: Target | None, target: Target) -> events.Way:
    fallback = ""
    steps = delta.chain(held, target)
    if held is not None and steps:
        try:
            shelf.patch(held, target, [gather(step.file, counted.pieces(step.file)) for step in steps])
            return events.Way("delta")
        except FilterError as error:  # whatever is wrong with deltas, the full filter is as good
            fallback = str(error)
    shelf.put(target, counted.pieces(target.filter))
    return events.Way("full", fallback=fallback)


def _tell(reporter: Reporter, old: Target | None, target: Target, way: events.Way) -> None:
    change: events.Change = "new" if old is None else "unchanged" if old.filter == target.filter else "updated"
    previous = old.list.version if old else None
    reporter.tell(events.sync(target.list, change, previous=previous, size=target.filter.length, way=way))


def _tell_withdrawn(tools: SyncTools, offered: Lists, before: _Before) -> None:
    """Of each list with withdrawn entries: how many, how many are new, and of how many cases here they are the entry."""
    withdrawn = tools.shelf.withdrawn(offered)
    now = _entries(withdrawn)
    if not now:
        return
    kept = [(case.list_id, case.entry) for case in tools.cases() if case.state in WITHDRAWABLE]
    for target in offered.targets:
        mine = {one for one in now if one[0] == target.list.id}
        new, concerned = len(mine - before.withdrawn), sum(case in mine for case in kept)
        if new or concerned:
            tools.reporter.tell(events.withdrawn(target.list, len(mine), new, concerned))


def seconds_left(known: clock.Seen, lists: Lists | None, now: float) -> float:
    """How long the next sync by a timer has to wait, at most a day; 0 where it is time, or the clock jumped back."""
    if lists is None or known.last_sync is None or known.behind(now):
        return 0.0
    return max(0.0, min(known.last_sync, now) + min(lists.wait, MAX_WAIT) - now)


def wait_for_turn(tools: SyncTools, sleep: Callable[[float], None], draw: Callable[[], float]) -> bool:
    """Whether a sync by a timer is due now, after a random part (``draw``: 0 to 1) of the service's jitter, at most a day.

    Says what it waits for. False where it is too early, or where somebody else has synced meanwhile.
    """
    lists, known = tools.shelf.lists(), tools.shelf.clock
    if known.behind(tools.clock()):
        return True  # the sync says what is wrong, and there is no reason to wait for that
    left = seconds_left(known, lists, tools.clock())
    if left:
        tools.reporter.tell(events.sync_wait("minimum", left))
        return False
    pause = draw() * min(lists.jitter, MAX_WAIT) if lists else 0.0
    if pause:
        tools.reporter.tell(events.sync_wait("jitter", pause))
        sleep(pause)
    return True
