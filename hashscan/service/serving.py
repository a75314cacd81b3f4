"""What every route needs: the service behind the app, who asks, and a body that is read up to its limit only."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect

from hashscan.service.access import Caller, NotServed, authenticate
from hashscan.service.agents import Uses
from hashscan.service.keys import OnlineKeys
from hashscan.service.store import Store


@dataclass(frozen=True, slots=True)
class Served:
    """What requests need: the database, the online keys, the time in seconds since 1970, and which API keys are in use."""

    store: Store
    keys: OnlineKeys
    now: Callable[[], float]
    uses: Uses = field(default_factory=Uses)


def served(request: Request) -> Served:
    """The `Served` of the app that got this request."""
    found = request.app.state.served
    assert isinstance(found, Served)  # noqa: S101 - for the type checker; create_app sets it
    return found


def _authenticated(request: Request) -> Caller:
    service = served(request)
    caller = authenticate(service.store, request.headers.get("authorization"))
    service.uses.record(service.store, caller.api_key_id, service.now())
    return caller


Authenticated = Annotated[Caller, Depends(_authenticated)]
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
