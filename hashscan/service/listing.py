"""``lists.json``: the signed statement which filters are in force for a provider (docs/wire.md, "Lists and filters")."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from hashscan.known import envelopes
from hashscan.known.envelopes import SigningKey
from hashscan.service.access import Caller, NotServed
from hashscan.service.publishing import KEPT_VERSIONS
from hashscan.service.store import Store, is_busy
from hashscan.service.tables import HashList, Publication, SignedLists

LIFETIME = 48 * 3600  # seconds
SIGN_AGAIN_AFTER = 3600  # seconds
LISTS_NAME = "lists.json"


def must_sign(stored_lists: str | None, lists: str, *, age: float) -> bool:
    """Whether a new signature is due: nothing signed yet, another set, an hour old, or a clock that went back."""
    return stored_lists != lists or not 0 <= age < SIGN_AGAIN_AFTER


def lists_in_force(session: Session, caller: Caller) -> list[dict[str, str | int | float]]:
    """The newest publication of each list for this provider, by list id."""
    newest = (
        select(func.max(Publication.id))
        .where(Publication.provider_id == caller.id)
        .group_by(Publication.list_id)
        .scalar_subquery()
    )
    query = (
        select(Publication, HashList.name)
        .join(HashList, HashList.id == Publication.list_id)
        .where(Publication.id.in_(newest))
        .order_by(HashList.name)
    )
    return [
        {
            "id": name,
            "version": one.version,
            "epoch": one.epoch,
            "name": one.file_name,
            "length": one.length,
            "blake3": one.blake3,
            "created": one.created,
        }
        for one, name in session.execute(query)
    ]


def signed_lists(store: Store, key: SigningKey, caller: Caller, now: Callable[[], float]) -> bytes:
    """The envelope, signed anew where it is due. Raises `NotServed` (404) where nothing is published yet."""
    with store.reading() as session:
        lists = json.dumps(lists_in_force(session, caller))
        stored = session.get(SignedLists, caller.id)
    if lists == "[]":
        raise NotServed(404, "not_published", "nothing is published yet for this provider")
    if stored is not None and not must_sign(stored.lists, lists, age=now() - stored.issued):
        return stored.envelope
    try:
        return _sign(store, key, caller, now)
    except OperationalError as error:
        # An import holds the write lock for up to minutes; what is true and in date may be said again.
        if stored is not None and is_busy(error) and stored.lists == lists and 0 <= now() - stored.issued < LIFETIME // 2:
            return stored.envelope
        raise


def _sign(store: Store, key: SigningKey, caller: Caller, now: Callable[[], float]) -> bytes:
    """Sign what is in force at this moment, and count. Under the write lock, so no two signings share a sequence."""
    with store.writing() as session:
        lists = lists_in_force(session, caller)
        stored = session.get(SignedLists, caller.id)
        issued = now()
        sequence = 1 if stored is None else stored.sequence + 1
        payload = {
            "provider": caller.name,
            "sequence": sequence,
            "issued": issued,
            "expires": issued + LIFETIME,
            "lists": lists,
        }
        envelope = key.seal(json.dumps(payload).encode(), envelopes.LISTS)
        session.merge(
            SignedLists(provider_id=caller.id, sequence=sequence, issued=issued, lists=json.dumps(lists), envelope=envelope)
        )
        return envelope


def filter_path(store: Store, caller: Caller, name: str) -> Path:
    """The file of a filter that was published to this provider. Raises `NotServed` (404) for every other name."""
    with store.reading() as session:
        found = session.scalar(select(Publication).where(Publication.provider_id == caller.id, Publication.file_name == name))
    # The path is made of what the database holds, never of what was asked.
    if found is None or not (path := store.folder.published(caller.name) / found.file_name).is_file():
        raise NotServed(404, "not_found", f"no such file; the newest {KEPT_VERSIONS} versions of a list are kept")
    return path
