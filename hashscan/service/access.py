"""Who asks: API keys and phases (docs/wire.md, "Authentication")."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from sqlalchemy import and_, bindparam, select
from sqlalchemy.orm import Session

from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.service.asking import Asking, Statement
from hashscan.service.store import Store
from hashscan.service.tables import ApiKey, Phase, Provider, ProviderKeyRow

_BEARER = re.compile(r"bearer +(hsk_[A-Za-z0-9_-]{43})", re.IGNORECASE)


class NotServed(Exception):
    """A request that is answered with an error: HTTP status, a code for programs, a message for people.

    ``retry_after``: seconds after which to ask again, where that helps.
    """

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Caller:
    """The provider behind a request."""

    id: int
    name: str
    phase: Phase
    api_key_id: int
    epoch: int
    key: KeyRing = field(repr=False)


def api_key_hash(api_key: str) -> bytes:
    """What is stored of an API key. It has 256 random bits: a slow hash would protect nothing more."""
    return hashlib.sha256(api_key.encode()).digest()


_CALLER = Statement(
    select(
        ApiKey.id, ApiKey.sha256, ApiKey.revoked, Provider.id, Provider.name, Provider.phase, Provider.epoch,
        ProviderKeyRow.since, ProviderKeyRow.raw,
    )
    .join(Provider, Provider.id == ApiKey.provider_id)
    .outerjoin(ProviderKeyRow, and_(ProviderKeyRow.provider_id == Provider.id, ProviderKeyRow.revoked.is_(None)))
    .where(ApiKey.sha256 == bindparam("sha256"))
)  # fmt: skip


def authenticate(store: Store, authorization: str | None) -> Caller:
    """The provider of an Authorization header. Raises `NotServed`: 401 unknown, 403 suspended."""
    api_key = shown_key(authorization)
    with store.asking() as asking:
        return caller(asking, api_key)


def shown_key(authorization: str | None) -> str:
    """The API key of an Authorization header. Raises `NotServed` (401) where there is none."""
    match = _BEARER.fullmatch(authorization or "")
    if match is None:
        raise NotServed(401, "unauthorized", "an API key is needed: Authorization: Bearer hsk_...")
    return match[1]


def caller(asking: Asking, api_key: str) -> Caller:
    """Whose API key it is, or `NotServed`; read each time: what was revoked or suspended a moment ago is refused."""
    wanted = api_key_hash(api_key)
    rows = asking.rows(_CALLER, sha256=wanted)
    if not rows or not hmac.compare_digest(bytes(rows[0][1]), wanted):
        raise NotServed(401, "unauthorized", "this API key is not known here")
    key_id, _, revoked, provider_id, name, phase, epoch, _, _ = rows[0]
    if revoked is not None:
        raise NotServed(401, "unauthorized", "this API key was revoked; ask the operator of the service")
    if phase == Phase.SUSPENDED:
        raise NotServed(403, "suspended", "this provider is suspended; ask the operator of the service")
    ring = KeyRing({row[7]: ProviderKey(bytes(row[8])) for row in rows if row[7] is not None})
    return Caller(provider_id, name, Phase(phase), key_id, epoch, ring)


def key_ring(session: Session, provider_id: int) -> KeyRing:
    """The keys of a provider that were not revoked."""
    query = select(ProviderKeyRow).where(ProviderKeyRow.provider_id == provider_id, ProviderKeyRow.revoked.is_(None))
    return KeyRing({row.since: ProviderKey(row.raw) for row in session.scalars(query)})
