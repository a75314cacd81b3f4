"""Filters go out: for each provider one file of tokens, the delta to it, the tokens that were withdrawn, signed metadata.

A list is read once (`contents`), then each provider's files are made (`building`), by several processes where that pays. They
become known by one transaction; a publication that is broken off has published nothing, and the next one takes over the files
that are ready. A provider for whom nothing has changed keeps what it has. One publisher at a time (``publish.lock``).
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.atomic import fsync_directory
from hashscan.errors import LockedError, UsageError
from hashscan.known.container import MAX_ERROR_RATE, MIN_ERROR_RATE
from hashscan.service import contents, in_force, repository
from hashscan.service.batches import Built, Published, Reading, Terms
from hashscan.service.keys import OnlineKeys
from hashscan.service.store import Store
from hashscan.service.tables import HashList, Phase, Provider

_KINDS = ("*.filter", "*.delta", "*.withdrawn", "*.draft")
_USUAL = Terms()


def publish(
    store: Store, list_name: str | None = None, terms: Terms = _USUAL, *, now: Callable[[], float] = time.time
) -> list[Published]:
    """A new version of one list (None: of every list) for every provider that is not suspended and whom it changes.

    Raises `UsageError` (no such list, nothing to publish, no root yet), `LockedError`, `FilterError` where a filter fails its
    own checks. Costs: docs/performance.md.
    """
    if not MIN_ERROR_RATE <= terms.error_rate <= MAX_ERROR_RATE:
        raise UsageError(f"an error rate is from {MIN_ERROR_RATE:g} to {MAX_ERROR_RATE:g}")
    keys = OnlineKeys.open(store, now=now)
    with only_publisher(store.folder.publish_lock):
        with store.reading() as session:
            providers = session.scalars(select(Provider).where(Provider.phase != Phase.SUSPENDED).order_by(Provider.name)).all()
            lists = _lists(session, list_name)
            if not providers or not lists:
                missing = "provider" if lists else "hash list"
                raise UsageError(f"there is no {missing} to publish for", hint="import a list, admit a provider, then publish")
            keys.latest_root()  # raises where agents could not believe what is built now
            read = [Reading(store, session, one, terms, now()).read(providers) for one in lists]
        done = [one.build(terms) for one in read]
        _make_known(store, done, now())
        for provider in providers:
            repository.refresh(store, keys, provider, now)
            _remove_old_files(store, provider)
        for one in read:
            contents.remove_others(store.folder.contents, one.list_name, one.subject.content.id)
        return [published for batch in done for published in batch.published()]


def _lists(session: Session, name: str | None) -> Sequence[HashList]:
    query = select(HashList).order_by(HashList.name)
    if name is None:
        return session.scalars(query).all()
    found = session.scalars(query.where(HashList.name == name)).all()
    if not found:
        raise UsageError(f"there is no list {name!r}")
    return found


@contextmanager
def only_publisher(path: Path) -> Iterator[None]:
    """One at a time changes what is published. Raises `LockedError`."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LockedError("another publication is under way", hint="try again after it") from None
        yield
    finally:
        os.close(fd)


def _make_known(store: Store, done: Sequence[Built], now: float) -> None:
    """Everything at once: from here on the new versions can be asked about."""
    with store.writing() as session:
        for one in done:
            one.add_to(session, now)


def _remove_old_files(store: Store, provider: Provider) -> None:
    """Remove filters, deltas and withdrawn tokens that no agent can need any more, and notes of what is known now."""
    folder = store.folder.published(provider.name)
    if not folder.is_dir():
        return
    with store.reading() as session:
        keep = in_force.kept(in_force.published(session, provider.id))
    gone = [path for pattern in _KINDS for path in folder.glob(pattern) if path.name not in keep]
    for path in gone:
        path.unlink()
    if gone:
        fsync_directory(folder)
