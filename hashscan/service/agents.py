"""The API keys of a provider's agents, and the codes that make more of them (docs/service.md, "Enrolment")."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.service.access import Caller, NotServed
from hashscan.service.store import Store, is_busy
from hashscan.service.tables import ApiKey, EnrolmentCode, Provider

MAX_KEYS = 10_000  # that work, of one provider: a stolen one could be made to add others for ever
MAX_FAILURES = 10  # wrong proofs, and a code is burnt
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class AgentKey:
    """One API key: ``used_day`` counts days since 1970, ``added_by`` is another key, ``code`` an id or empty.

    ``log`` is the head of the agent's log (lines and hash) as it last told it: what its own `audit verify` must agree with.
    """

    id: int
    label: str
    created: float
    used_day: int | None
    revoked: float | None
    added_by: int | None
    code: str
    log: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class OpenCode:
    """A code that can still be used: its public id, times in seconds since 1970, and how many wrong proofs there were."""

    id: str
    created: float
    expires: float
    failures: int


@dataclass(frozen=True, slots=True)
class Revoked:
    """What does not work any more; ``last``: no API key of this provider is left."""

    keys: tuple[int, ...]
    codes: tuple[str, ...]
    last: bool


def provider_row(session: Session, name: str) -> Provider:
    """The provider of that name. Raises `UsageError`."""
    found = session.scalar(select(Provider).where(Provider.name == name))
    if found is None:
        raise UsageError(f"there is no provider {name!r}", hint="'hashscan service status' names them")
    return found


def agents(store: Store, name: str) -> tuple[AgentKey, ...]:
    """All keys that a provider ever had, the oldest first. Raises `UsageError`."""
    with store.reading() as session:
        provider = provider_row(session, name)
        query = (
            select(ApiKey, EnrolmentCode.public_id)
            .outerjoin(EnrolmentCode, EnrolmentCode.api_key_id == ApiKey.id)
            .where(ApiKey.provider_id == provider.id)
            .order_by(ApiKey.id)
        )
        return tuple(
            AgentKey(row.id, row.label, row.created, row.used_day, row.revoked, row.added_by, code or "", _log(row))
            for row, code in session.execute(query)
        )


def _log(row: ApiKey) -> tuple[int, str] | None:
    return None if row.log_lines is None or row.log_hash is None else (row.log_lines, row.log_hash)


def codes(store: Store, name: str, *, now: float | None = None) -> tuple[OpenCode, ...]:
    """The codes of a provider that can still be used. Raises `UsageError`."""
    with store.reading() as session:
        rows = open_codes(session, provider_row(session, name).id, time.time() if now is None else now)
        return tuple(OpenCode(row.public_id, row.created, row.expires, row.failures) for row in rows)


def open_codes(session: Session, provider_id: int, now: float) -> list[EnrolmentCode]:
    """Codes that are not used, expired, burnt or revoked."""
    query = select(EnrolmentCode).where(
        EnrolmentCode.provider_id == provider_id,
        EnrolmentCode.used.is_(None),
        EnrolmentCode.expires > now,
        EnrolmentCode.failures < MAX_FAILURES,
        EnrolmentCode.secret != b"",
    )
    return list(session.scalars(query.order_by(EnrolmentCode.id)))


def revoke(store: Store, name: str, what: str, *, now: float | None = None) -> Revoked:
    """End a key (``what`` is its id) with all keys that came from it, or an open code (its 16 hex digits).

    Who stole a key may have added others with it: they go too. Raises `UsageError` where there is nothing to end.
    """
    at = time.time() if now is None else now
    with store.writing() as session:
        provider = provider_row(session, name)
        keys: tuple[int, ...] = ()
        ended: tuple[str, ...] = ()
        if len(what) == 16:
            ended = _revoke_code(session, provider, what, at)
        else:
            keys = _revoke_keys(session, provider, what, at)
        session.flush()
        return Revoked(keys, ended, last=bool(keys) and not working_keys(session, provider.id))


def _revoke_code(session: Session, provider: Provider, public_id: str, now: float) -> tuple[str, ...]:
    for row in open_codes(session, provider.id, now):
        if row.public_id == public_id:
            row.secret = b""
            return (public_id,)
    raise UsageError(f"{provider.name} has no open code {public_id!r}", hint="'hashscan service provider agents' names them")


def _revoke_keys(session: Session, provider: Provider, what: str, now: float) -> tuple[int, ...]:
    rows = {row.id: row for row in session.scalars(select(ApiKey).where(ApiKey.provider_id == provider.id))}
    first = rows.get(int(what)) if what.isascii() and what.isdigit() and len(what) < 19 else None
    if first is None:
        raise UsageError(f"{provider.name} has no API key {what!r}", hint="'hashscan service provider agents' names them")
    ended = [row for row in _with_descendants(first, rows.values()) if row.revoked is None]
    if not ended:
        raise UsageError(f"the API key {what} of {provider.name} is revoked already, and so are those that came from it")
    for row in ended:
        row.revoked = now
    _forget_secrets(session, [row.id for row in ended])
    return tuple(row.id for row in ended)


def _with_descendants(first: ApiKey, rows: Iterable[ApiKey]) -> list[ApiKey]:
    found = {first.id: first}
    for row in sorted(rows, key=lambda one: one.id):  # a key is younger than the one that added it
        if row.added_by in found:
            found[row.id] = row
    return list(found.values())


def _forget_secrets(session: Session, key_ids: list[int]) -> None:
    """The codes of these keys did their work: who reads this database later, or stole a code, can do nothing with them."""
    session.execute(update(EnrolmentCode).where(EnrolmentCode.api_key_id.in_(key_ids)).values(secret=b""))


def working_keys(session: Session, provider_id: int) -> int:
    """How many API keys of a provider are not revoked."""
    query = select(func.count()).select_from(ApiKey).where(ApiKey.provider_id == provider_id, ApiKey.revoked.is_(None))
    return session.scalar(query) or 0


def add_key(session: Session, provider_id: int, sha256: bytes, label: str, now: float) -> ApiKey:
    """A new key in a session that writes. Raises `NotServed` (409): there are too many, or it is another agent's."""
    if session.scalar(select(ApiKey.id).where(ApiKey.sha256 == sha256)) is not None:
        raise NotServed(409, "taken", "this API key was in use before; make a new one")
    if working_keys(session, provider_id) >= MAX_KEYS:
        raise NotServed(
            409, "too_many", f"this provider has {MAX_KEYS} API keys; ask the operator of the service to revoke some"
        )
    row = ApiKey(provider_id=provider_id, sha256=sha256, label=label, created=now, used_day=None, revoked=None, added_by=None)
    session.add(row)
    session.flush()
    return row


def introduce(store: Store, caller: Caller, sha256: bytes, label: str, now: float) -> None:
    """An agent makes itself a new key beside the one that it asks with. Asking again is fine, also with the new one.

    Raises `NotServed` (409).
    """
    with store.writing() as session:
        row = session.scalar(select(ApiKey).where(ApiKey.sha256 == sha256))
        if row is not None and row.revoked is None and caller.api_key_id in (row.id, row.added_by):
            return
        added = add_key(session, caller.id, sha256, label, now)
        old = session.get_one(ApiKey, caller.api_key_id)
        added.added_by, added.site, added.country = old.id, old.site, old.country


def retire(store: Store, caller: Caller, sha256: bytes, now: float) -> None:
    """An agent that works with its new key ends the one that added it, and no other: a stolen key cannot end its neighbours.

    Raises `NotServed` (409).
    """
    with store.writing() as session:
        old = session.scalar(select(ApiKey).where(ApiKey.sha256 == sha256, ApiKey.provider_id == caller.id))
        mine = session.get_one(ApiKey, caller.api_key_id)
        if old is None or mine.added_by != old.id:
            raise NotServed(409, "not_yours", "an API key can end the one by which it was added, and no other")
        if old.revoked is None:
            old.revoked = now
            _forget_secrets(session, [old.id])


class Uses:
    """Which key was used on which day: remembered here, so that it is at most one short write a day and key."""

    def __init__(self) -> None:
        self._noted: dict[int, int] = {}

    def record(self, store: Store, api_key_id: int, now: float) -> None:
        """Note a use; not while another writes (an import, say): no answer waits for this, and the next use tries again."""
        day = int(now // DAY_SECONDS)
        if self._noted.get(api_key_id) == day:
            return
        try:
            note_use(store, api_key_id, day)
        except OperationalError as error:
            if not is_busy(error):
                raise
            return
        self._noted[api_key_id] = day


def note_use(store: Store, api_key_id: int, day: int) -> None:
    """Write down that a key was used. With its first use the code that it came from has done its work."""
    with store.reading() as session:
        known = session.scalar(select(ApiKey.used_day).where(ApiKey.id == api_key_id))
    if known is not None and known >= day:
        return
    with store.writing(wait=False) as session:
        session.execute(update(ApiKey).where(ApiKey.id == api_key_id).values(used_day=day))
        if known is None:
            _forget_secrets(session, [api_key_id])
