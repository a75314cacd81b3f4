"""The HTTP door (docs/wire.md). Every answer is bounded, and signed where an agent believes it.

Order of a request: who asks (401, 403), how long is the body (413), what does it say (422), then the work in a worker thread.
"""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import FileResponse
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashscan import __version__
from hashscan.known import envelopes
from hashscan.service import confirm_route, dispute_routes, enrol_routes, parsing, receiving, repository, schemas, watch_routes
from hashscan.service.access import NotServed
from hashscan.service.answers import error, error_response
from hashscan.service.keys import OnlineKeys
from hashscan.service.observing import REQUEST_ID, Observed
from hashscan.service.serving import Authenticated, Options, Served, bearer, body_up_to, served
from hashscan.service.store import checked_store, is_away, is_busy
from hashscan.service.tables import Role
from hashscan.service.web import mount as pages
from hashscan.strict_json import StrictJsonError

BUSY_SECONDS = 5.0  # a request waits that long for a writer
BUSY_RETRY_SECONDS = 10  # and is then told to come back after that long

_USUAL = Options()

_SECURITY_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]


OutcomesBody = Annotated[bytes, Depends(body_up_to(parsing.MAX_OUTCOMES_BYTES))]

_agents = APIRouter(prefix="/v1", dependencies=[bearer])


@_agents.post(
    "/outcomes",
    operation_id="report_outcomes",
    summary="Tell what was done about findings",
    response_class=Response,
    responses=schemas.answers("A DSSE envelope over the receipts", schemas.ENVELOPE, 413, 422),
    openapi_extra=schemas.OUTCOMES_REQUEST,
)
def report_outcomes(request: Request, caller: Authenticated, body: OutcomesBody) -> Response:
    """Each outcome is counted once, by its id, however often it is sent."""
    report = parsing.parse_outcomes(body)
    service = served(request)
    with service.store.writing() as session:
        payload = receiving.receive(session, caller, report, service.now())
    return service.sealed(payload, envelopes.RECEIPTS)


@_agents.get(
    "/files/{name}",
    operation_id="file",
    summary="A file of this provider's repository: metadata, filters, deltas, withdrawn tokens",
    response_class=Response,
    responses=schemas.answers("The file", schemas.FILE, 404, 422),
)
def published_file(request: Request, caller: Authenticated, name: str) -> Response:
    """``timestamp.json`` is signed anew when it is an hour old or something has changed."""
    service = served(request)
    if name == repository.TIMESTAMP:
        found: Path | bytes = repository.timestamp(service.store, service.keys, caller, service.now)
    else:
        found = repository.served_file(service.store, caller, name)
    media_type = "application/json" if name.endswith(".json") else "application/octet-stream"
    return Response(found, media_type=media_type) if isinstance(found, bytes) else FileResponse(found, media_type=media_type)


def create_app(
    data: Path, *, now: Callable[[], float] = time.time, busy_seconds: float = BUSY_SECONDS, options: Options = _USUAL
) -> FastAPI:
    """The service in ``data`` as an ASGI app; the database is closed when its lifespan ends.

    Raises `UsageError` where there is no service, or a key that it signs answers with is missing.
    """
    store = checked_store(data, busy_seconds=busy_seconds)
    try:
        state = Served(store, OnlineKeys.open(store, now=now), now, options)
        state.keys.signing(Role.VERDICT)
    except BaseException:
        store.close()
        raise
    app = new_app()
    app.state.served = state
    pages.connect(app, state)
    return app


def new_app() -> FastAPI:
    """The routes without a service behind them, for `openapi_document`. No page with documentation is served."""
    app = FastAPI(
        title="hashscan central service",
        summary="Hash lists for providers: signed filters, answers to questions about candidates, receipts for outcomes.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
    )
    app.include_router(confirm_route.router)
    app.include_router(_agents)
    app.include_router(enrol_routes.router)
    app.include_router(dispute_routes.router)
    app.include_router(watch_routes.router)
    pages.mount(app)
    app.add_middleware(Observed)
    app.add_middleware(_SecurityHeaders)
    app.add_exception_handler(NotServed, _on_not_served)
    app.add_exception_handler(StrictJsonError, _on_bad_json)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(OperationalError, _on_database_error)
    app.add_exception_handler(PoolTimeout, _on_database_error)
    app.add_exception_handler(Exception, _on_bug)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    try:
        yield
    finally:
        app.state.served.store.close()


class _SecurityHeaders:
    """Puts the security headers on every answer, error or not; a page that has its own keeps them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.get("headers", ())
                own = {name.lower() for name, _ in headers}
                message["headers"] = [*headers, *(one for one in _SECURITY_HEADERS if one[0] not in own)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _on_not_served(_: Request, raised: Exception) -> Response:
    assert isinstance(raised, NotServed)  # noqa: S101 - registered for that class only
    return error_response(raised)


def _on_bad_json(_: Request, raised: Exception) -> Response:
    return error(422, "invalid", str(raised))


def _on_http_error(_: Request, raised: Exception) -> Response:
    assert isinstance(raised, HTTPException)  # noqa: S101 - registered for that class only
    code = {404: "not_found", 405: "method_not_allowed"}.get(raised.status_code, "refused")
    return error(raised.status_code, code, raised.detail, dict(raised.headers or {}))


def _on_database_error(request: Request, raised: Exception) -> Response:
    passing = not isinstance(raised, OperationalError) or is_busy(raised) or is_away(raised)
    if not passing and request.url.path != "/ready":
        raise raised
    return error(503, "busy", "the database is busy; try again", {"Retry-After": str(BUSY_RETRY_SECONDS)})


def _on_bug(request: Request, _raised: Exception) -> Response:
    response = error(500, "internal", "the service failed; its operator finds the reason in its log")
    for name, value in _SECURITY_HEADERS:  # this handler works outside the middleware
        response.headers[name.decode()] = value.decode()
    response.headers["x-request-id"] = getattr(request.state, REQUEST_ID, "")
    return response
