"""What every route needs: the service behind the app, who asks, and a body that is read up to its limit only."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request, Response, Security
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect

from hashscan.known import envelopes
from hashscan.known.envelopes import SigningKey
from hashscan.service.access import Caller, NotServed, caller, shown_key
from hashscan.service.agents import Uses
from hashscan.service.asking import Asking
from hashscan.service.journal import Journal
from hashscan.service.keys import OnlineKeys
from hashscan.service.limits import PER_KEY, PER_STRANGER, Gate, Rate
from hashscan.service.meters import Meters
from hashscan.service.metrics import named
from hashscan.service.quotas import Quotas
from hashscan.service.store import Store
from hashscan.service.tables import Role

ANSWERING = 2  # questions of one process at once: one computes, another waits for the database; more only wait for each other


@dataclass(frozen=True, slots=True)
class Options:
    """How the operator wants it: rates of requests, a descriptor for the journal, a folder for counts of several processes.

    ``metrics_token`` opens the metrics; without one they are for this host. A body is sent within ``body_seconds``.
    """

    per_key: Rate = PER_KEY
    per_stranger: Rate = PER_STRANGER
    journal_fd: int | None = None
    meters_folder: Path | None = None
    metrics_token: str | None = field(default=None, repr=False)
    body_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Served:
    """What requests need: the database, the online keys, the time in seconds since 1970, and what is remembered of callers."""

    store: Store
    keys: OnlineKeys
    now: Callable[[], float]
    options: Options = field(default_factory=Options)
    uses: Uses = field(default_factory=Uses)
    threads: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(ANSWERING))
    gate: Gate = field(init=False)
    meters: Meters = field(init=False)
    journal: Journal = field(init=False)
    quotas: Quotas = field(init=False)

    def __post_init__(self) -> None:
        options = self.options
        for name, value in (
            ("gate", Gate(options.per_key, options.per_stranger)),
            ("meters", Meters(options.meters_folder)),
            ("journal", Journal(options.journal_fd)),
            ("quotas", Quotas(self._slowed)),
        ):
            object.__setattr__(self, name, value)

    def _slowed(self, provider: str, api_key_id: int) -> None:
        self.meters.add(named("quota_refusals_total", provider=provider))
        self.journal.write(self.now(), "quota", provider=provider, api_key_id=api_key_id)

    def sealed(self, payload: bytes, payload_type: str, keys: Sequence[SigningKey] | None = None) -> Response:
        """An answer that agents believe: an envelope signed by the verdict keys in use, ``keys`` if they were read already."""
        envelope = envelopes.seal(payload, payload_type, self.keys.signing(Role.VERDICT) if keys is None else keys)
        return Response(envelope, media_type="application/json")


def served(request: Request) -> Served:
    """The `Served` of the app that got this request."""
    found = request.app.state.served
    assert isinstance(found, Served)  # noqa: S101 - for the type checker; create_app sets it
    return found


def authenticated(request: Request) -> Caller:
    """The provider behind a request. Raises `NotServed`: 401, 403, 429."""
    service = served(request)
    before(service, request)
    try:
        with service.store.asking() as asking:
            found = caller_of(service, request, asking)
    except NotServed as refused:
        stranger(service, request, refused)
        raise
    service.uses.record(service.store, found.api_key_id, service.now())
    return found


def before(service: Served, request: Request) -> None:
    """Raises `NotServed` (429): the address has shown too many bad keys to be looked up."""
    service.gate.before(request.headers.get("authorization"), address_of(request), service.now())


def caller_of(service: Served, request: Request, asking: Asking) -> Caller:
    """Who asks, and that it may ask now. Raises `NotServed`: 401, 403, 429."""
    shown = request.headers.get("authorization")
    found = caller(asking, shown_key(shown))
    request.state.provider = found.name
    service.gate.known(shown, found.api_key_id, service.now())
    return found


def stranger(service: Served, request: Request, refused: NotServed) -> None:
    """Remember who was refused because nobody knows its key."""
    if refused.status == 401:
        service.gate.stranger(address_of(request), service.now())


def address_of(request: Request) -> str:
    """Where a request comes from, as far as we know: a proxy on this host says it for its callers."""
    return request.client.host if request.client is not None else ""


Authenticated = Annotated[Caller, Depends(authenticated)]
"""The provider behind a request, before anything else of it is looked at."""

bearer = Security(HTTPBearer(auto_error=False, scheme_name="api key", description="An API key of the provider, hsk_..."))
"""For the document only; `Authenticated` decides."""


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request. Raises `NotServed`: 413 where it has more than ``limit`` bytes, the rest of which is not read."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                raise NotServed(413, "too_large", f"a request to this address has at most {limit} bytes")
    except ClientDisconnect:
        raise NotServed(400, "disconnected", "the request ended early") from None
    return bytes(body)


def body_up_to(limit: int) -> Callable[[Request, Caller], Awaitable[bytes]]:
    """A dependency: the body of a request of a known caller, at most ``limit`` bytes."""

    async def read(request: Request, _: Authenticated) -> bytes:
        return await read_body(request, limit)

    return read
