"""Who asks: API keys and phases (docs/wire.md, "Authentication")."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field

from sqlalchemy import select

from hashscan.known.keys import ProviderKey
from hashscan.service.store import Store
from hashscan.service.tables import Phase, Provider

_BEARER = re.compile(r"bearer +(hsk_[A-Za-z0-9_-]{43})", re.IGNORECASE)


class NotServed(Exception):
    """A request that is answered with an error: HTTP status, a code for programs, a message for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Caller:
    """The provider behind a request."""

    id: int
    name: str
    phase: Phase
    key: ProviderKey = field(repr=False)


def new_api_key() -> str:
    """``hsk_`` and 32 random bytes as 43 base64url characters."""
    return "hsk_" + secrets.token_urlsafe(32)


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
        found = session.scalar(select(Provider).where(Provider.api_key_sha256 == wanted))
    if found is None or not hmac.compare_digest(found.api_key_sha256, wanted):
        raise NotServed(401, "unauthorized", "this API key is not known here")
    if found.phase == Phase.SUSPENDED:
        raise NotServed(403, "suspended", "this provider is suspended; ask the operator of the service")
    return Caller(found.id, found.name, Phase(found.phase), ProviderKey(found.provider_key))
