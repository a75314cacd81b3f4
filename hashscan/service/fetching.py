"""A source is asked what has changed: all pages are fetched, then imported in one step with the time up to which they tell.

NCMEC's pages are not in the order of time, so that time moves with the last page only. A fetch that was stopped goes on at the
page where it was; an import that was stopped begins again with the pages that are here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from urllib.parse import quote

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.central.feed import FeedLine
from hashscan.central.link import Link
from hashscan.errors import HashscanError, ServiceUnavailable, UsageError
from hashscan.service.importers import ncmec
from hashscan.service.importers.opening import open_source
from hashscan.service.importers.port import BrokenSource
from hashscan.service.importing import ImportReport, ImportRequest, import_list
from hashscan.service.names import check_name, check_text
from hashscan.service.spool import Plan, Progress, Spool
from hashscan.service.store import Store
from hashscan.service.tables import HashList
from hashscan.service.tables_exchange import FeedCheckpoint

FORMAT = "ncmec"
MAX_PAGE_BYTES = 64 << 20
MAX_PAGES = 100_000
MAX_AGE = 86_400.0  # seconds: an older unfinished fetch begins anew, because what it has may have changed
OVERLAP = 3600.0  # seconds before the checkpoint that are asked for again: clocks differ


@dataclass(frozen=True, slots=True)
class FetchRequest:
    """What is fetched: the import that it becomes (its ``source`` is not used), and from where.

    ``since`` (seconds since 1970) overrides the checkpoint.
    """

    into: ImportRequest
    link: Link
    since: float | None = None


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch came to: the pages, how many of them were here already, and the time up to which all was taken."""

    imported: ImportReport
    pages: int
    resumed: int
    until: float


def fetch(
    store: Store, request: FetchRequest, line: FeedLine, *, now: Callable[[], float] = time.time, told: Callable[[int], None]
) -> FetchReport:
    """Fetch and import what has changed. ``told`` hears the number of each page.

    Raises `UsageError` (nothing of it is imported), `ServiceUnavailable` and `RefusedError` (what was fetched stays for the
    next run), `LockedError`, `HashscanError`. A dry run keeps the pages too.
    """
    into = request.into
    check_name(into.list_id, "list id")
    check_text(into.source_name, "source name", 128)
    if into.shape.format != FORMAT or not into.shape.categories:
        raise UsageError("a source needs the categories that are taken", hint="name each with --category")
    spool = Spool(store.folder.data, into.list_id, into.source_name)
    with spool.held():
        try:
            begun, resumed = _begun(store, spool, request, now())
            done = _pages(spool, line, begun, told)
            report = _import(store, spool, into, done, now())
            if not into.dry_run:
                spool.clear()
        except OSError as error:
            raise HashscanError(f"cannot write {spool.folder}: {error.strerror}", hint="is the disk full?") from None
    return FetchReport(report, done.pages, resumed, done.plan.until)


def _begun(store: Store, spool: Spool, request: FetchRequest, now: float) -> tuple[Progress, int]:
    """The fetch to go on with, and how many of its pages are here."""
    since = _since(store, request)
    found = spool.progress()
    if found is not None:
        plan = found.plan
        if plan.url == request.link.url and plan.since == since and 0 <= now - plan.until < MAX_AGE:
            return found, found.pages
    plan = Plan(request.link.url, since, float(int(now)))
    return spool.begin(plan, f"/v2/entries?from={_time(plan.since)}&to={_time(plan.until)}"), 0


def _since(store: Store, request: FetchRequest) -> float:
    if request.since is not None:
        return request.since
    with store.reading() as session:
        found = _checkpoint(session, request.into)
        return 0.0 if found is None else max(0.0, found.until - OVERLAP)


def _checkpoint(session: Session, into: ImportRequest) -> FeedCheckpoint | None:
    query = select(FeedCheckpoint).join(HashList, HashList.id == FeedCheckpoint.list_id)
    return session.scalar(query.where(HashList.name == into.list_id, FeedCheckpoint.source == into.source_name))


def _time(seconds: float) -> str:
    return quote(datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), safe="")


def _pages(spool: Spool, line: FeedLine, progress: Progress, told: Callable[[int], None]) -> Progress:
    """Fetch until there is no next page. Each page is read once before the next is asked for."""
    met: set[str] = set()
    while progress.next_path:
        if progress.next_path in met or progress.pages >= MAX_PAGES:
            raise ServiceUnavailable(f"page {progress.pages} of the source leads back to an earlier one, or they do not end")
        met.add(progress.next_path)
        number = progress.pages + 1
        path = spool.paths(number)[-1]
        line.page(progress.next_path, spool.saver(path), max_bytes=MAX_PAGE_BYTES)
        try:
            with open_source(path) as stream:
                after = ncmec.next_page(stream)
        except BrokenSource as error:
            raise ServiceUnavailable(f"page {number} of the source cannot be read: {error}", hint="try again later") from None
        progress = spool.note(Progress(progress.plan, number, after))
        told(number)
    return progress


def _import(store: Store, spool: Spool, into: ImportRequest, done: Progress, now: float) -> ImportReport:
    paths = spool.paths(done.pages)

    def keep_checkpoint(session: Session, list_id: int) -> None:
        row = session.get(FeedCheckpoint, (list_id, into.source_name))
        if row is None:
            session.add(FeedCheckpoint(list_id=list_id, source=into.source_name, until=done.plan.until, taken=now))
        else:
            row.until, row.taken = done.plan.until, now

    request = replace(into, source=paths[0], more=tuple(paths[1:]), may_be_empty=True)
    return import_list(store, request, finish=keep_checkpoint)
