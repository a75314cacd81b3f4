"""What the service decides about an application for enrolment, and about keys that agents ask for (docs/wire.md)."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.errors import HashscanError
from hashscan.known.enrolment import MAX_ROOT_BYTES, Application, Handover, seal_handover, wrap_ring
from hashscan.service import agents
from hashscan.service.access import Caller, NotServed, key_ring
from hashscan.service.keys import OnlineKeys
from hashscan.service.store import Store
from hashscan.service.tables import ApiKey, EnrolmentCode, Phase, Provider, ProviderKeyRow

REPEAT_SECONDS = 86_400.0  # a reply that got lost is given again that long, unless the key was used before

# One answer for a code that is not known and for a wrong proof: guesses learn nothing.
_UNKNOWN = (401, "unauthorized", "this enrolment code is not known here")
_USED = (410, "used", "this enrolment code was used; if that was not you, tell the operator of the service")
_EXPIRED = (410, "expired", "this enrolment code has expired; ask the operator of the service for a new one")
_ENDED = (410, "ended", "this enrolment code does not work any more; ask the operator of the service for a new one")


@dataclass(frozen=True, slots=True)
class _Admitted:
    """What is needed to answer an application that was accepted."""

    handover: Handover
    secret: bytes = field(repr=False)


def enrol(store: Store, keys: OnlineKeys, application: Application, now: float) -> bytes:
    """The answer to an application: admits the agent, once for each code. Raises `NotServed` (401, 403, 409, 410)."""
    with store.reading() as session:
        if _code(session, application) is None:
            raise NotServed(*_UNKNOWN)  # without the write lock: anybody may guess
    roots = keys.root_files()
    with store.writing() as session:  # a wrong proof is counted, so a refusal must not undo the transaction
        result = _decide(session, application, roots, now)
    if isinstance(result, NotServed):
        raise result
    return seal_handover(result.handover, application, result.secret)


def _code(session: Session, application: Application) -> EnrolmentCode | None:
    return session.scalar(select(EnrolmentCode).where(EnrolmentCode.public_id == application.code_id))


def _decide(session: Session, application: Application, roots: list[Path], now: float) -> _Admitted | NotServed:
    row = _code(session, application)
    if row is None:
        return NotServed(*_UNKNOWN)
    if not row.secret or row.failures >= agents.MAX_FAILURES:
        return NotServed(*(_USED if row.used is not None else _ENDED))
    if not application.is_proven(row.secret):
        row.failures += row.used is None
        return NotServed(*_UNKNOWN)
    provider = session.get_one(Provider, row.provider_id)
    if provider.phase == Phase.SUSPENDED:
        return NotServed(403, "suspended", "this provider is suspended; ask the operator of the service")
    refused = _repeat(session, row, application, now) if row.used is not None else _first(session, row, application, now)
    if refused is not None:
        return refused
    handover = Handover(provider.name, key_ring(session, provider.id), _root(roots, row.root_sha256))
    return _Admitted(handover, row.secret)


def _first(session: Session, row: EnrolmentCode, application: Application, now: float) -> NotServed | None:
    if now >= row.expires:
        return NotServed(*_EXPIRED)
    key = agents.add_key(session, row.provider_id, bytes.fromhex(application.api_key_sha256), application.label, now)
    row.used, row.api_key_id = now, key.id
    key.site, key.country = row.site, row.country
    return None


def _repeat(session: Session, row: EnrolmentCode, application: Application, now: float) -> NotServed | None:
    """The reply may have been lost: the same agent, which is who knows the same API key, gets it again."""
    key = session.get_one(ApiKey, row.api_key_id)
    same = hmac.compare_digest(key.sha256, bytes.fromhex(application.api_key_sha256))
    if not same or row.used is None or now > row.used + REPEAT_SECONDS:
        return NotServed(*_USED)
    return None


def _root(roots: list[Path], sha256: str) -> bytes:
    """The root that the code was made for; newer ones follow with the first sync."""
    for path in reversed(roots):
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_ROOT_BYTES + 1)
        except OSError as error:
            raise HashscanError(f"cannot read {path}: {error.strerror}") from None
        if hashlib.sha256(data).hexdigest() == sha256:
            return data
    raise NotServed(*_ENDED)


def provider_keys(store: Store, caller: Caller, nonce: str, have: int, now: float) -> bytes:
    """The payload for an agent that meets an epoch without a key: its provider's keys, for who holds the one since ``have``.

    An API key that leaked does not open them. Raises `NotServed` (409).
    """
    with store.reading() as session:
        held = session.get(ProviderKeyRow, (caller.id, have))
        if held is None:
            raise NotServed(409, "unknown_key", "this provider never had a key since that epoch; enrol this agent again")
        wrapped = wrap_ring(caller.key, held.raw, caller.name, nonce)
    document = {"provider": caller.name, "nonce": nonce, "issued": now, "have": have, **wrapped}
    return json.dumps(document, separators=(",", ":")).encode()
