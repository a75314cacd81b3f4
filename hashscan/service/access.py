"""Who asks: API keys and phases (docs/wire.md, "Authentication")."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.known.keys import KeyRing, ProviderKey
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


def authenticate(store: Store, authorization: str | None) -> Caller:
    """The provider of an Authorization header. Raises `NotServed`: 401 unknown, 403 suspended."""
    match = _BEARER.fullmatch(authorization or "")
    if match is None:
        raise NotServed(401, "unauthorized", "an API key is needed: Authorization: Bearer hsk_...")
    wanted = api_key_hash(match[1])
    with store.reading() as session:
        row = session.execute(
            select(ApiKey, Provider).join(Provider, Provider.id == ApiKey.provider_id).where(ApiKey.sha256 == wanted)
        ).first()
        if row is None or not hmac.compare_digest(row[0].sha256, wanted):
            raise NotServed(401, "unauthorized", "this API key is not known here")
        key, provider = row
        if key.revoked is not None:
            raise NotServed(401, "unauthorized", "this API key was revoked; ask the operator of the service")
        if provider.phase == Phase.SUSPENDED:
            raise NotServed(403, "suspended", "this provider is suspended; ask the operator of the service")
        return Caller(provider.id, provider.name, Phase(provider.phase), key.id, provider.epoch, key_ring(session, provider.id))


def key_ring(session: Session, provider_id: int) -> KeyRing:
    """The keys of a provider that were not revoked."""
    query = select(ProviderKeyRow).where(ProviderKeyRow.provider_id == provider_id, ProviderKeyRow.revoked.is_(None))
    return KeyRing({row.since: ProviderKey(row.raw) for row in session.scalars(query)})
