"""The pages as an app of their own below ``/web``: their routes, and errors in the same clothes."""

from __future__ import annotations

import math

from fastapi import APIRouter, FastAPI, Request
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount

from hashscan.errors import UsageError
from hashscan.service.access import NotServed
from hashscan.service.actors import NotAllowedError
from hashscan.service.disputing.rules import NoSuchDisputeError
from hashscan.service.serving import Served
from hashscan.service.store import is_away, is_busy
from hashscan.service.tables import ServiceRow
from hashscan.service.web import account_routes, dispute_routes, export_routes, figure_routes, login_routes, record_routes
from hashscan.service.web.entrance import LogInFirst, Refused, login_address
from hashscan.service.web.passwords import COST, Cost
from hashscan.service.web.rendering import bare

PREFIX = "/web"
_BUSY_RETRY_SECONDS = 10
_HEADINGS = {
    403: "Not for this account",
    404: "There is no such page",
    405: "Not that way",
    408: "Too slow",
    413: "Too long",
    414: "Too long",
    431: "Too long",
    422: "This cannot be read",
    429: "Too many attempts",
    503: "The service is busy",
}

_front_door = APIRouter()


@_front_door.get(PREFIX, include_in_schema=False)
@_front_door.get("/", include_in_schema=False)
def to_the_pages() -> Response:
    """People type the host's name only."""
    return RedirectResponse(f"{PREFIX}/", status_code=303)


def mount(app: FastAPI) -> None:
    """Put the pages below `PREFIX` of the service's app, without a service behind them: `connect` gives them one."""
    app.include_router(_front_door)
    app.mount(PREFIX, new_pages(), name="pages")


def connect(app: FastAPI, served: Served, cost: Cost = COST) -> None:
    """Put a service behind the pages of its app. ``cost`` is what a password costs (tests have no time)."""
    with served.store.reading() as session:
        name = session.scalars(select(ServiceRow.name)).one()
    pages = pages_of(app)
    pages.state.served, pages.state.name, pages.state.cost = served, name, cost


def pages_of(app: FastAPI) -> FastAPI:
    """The app of the pages."""
    found = next(one.app for one in app.routes if isinstance(one, Mount) and one.name == "pages")
    assert isinstance(found, FastAPI)  # noqa: S101 - for the type checker; mount made it
    return found


def new_pages() -> FastAPI:
    """The pages alone. Their documents are no part of the OpenAPI document: nobody else is meant to ask for them."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    for one in (login_routes, record_routes, account_routes, figure_routes, export_routes, dispute_routes):
        app.router.routes.extend(one.router.routes)  # so that `app.routes` names each of them
    app.add_exception_handler(Refused, _on_refused)
    app.add_exception_handler(LogInFirst, _on_nobody)
    app.add_exception_handler(NotAllowedError, _on_not_allowed)
    app.add_exception_handler(NoSuchDisputeError, _on_no_such)
    app.add_exception_handler(UsageError, _on_usage)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(OperationalError, _on_database_error)
    app.add_exception_handler(PoolTimeout, _on_database_error)
    app.add_exception_handler(Exception, _on_bug)
    app.state.hashing = login_routes.new_limiter()
    return app


def is_page(path: str) -> bool:
    """Whether a person asks, in a browser."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def refusal(app: FastAPI, refused: NotServed) -> Response:
    """What a `NotServed` becomes that was raised around the pages of ``app``, not in them."""
    wait = None if refused.retry_after is None else math.ceil(refused.retry_after)
    return _page(pages_of(app).state.name, refused.status, f"{str(refused).capitalize()}.", wait)


def _error(request: Request, status: int, message: str, retry_after: int | None = None) -> Response:
    return _page(request.app.state.name, status, message, retry_after)


def _page(service: str, status: int, message: str, retry_after: int | None) -> Response:
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if status in (408, 413):
        headers["Connection"] = "close"  # what is still to come is not waited for
    heading = _HEADINGS.get(status, "This did not work")
    values = {"service": service, "heading": heading, "message": message, "retry_after": retry_after}
    return bare("error.html", status=status, headers=headers, code=status, **values)


def _on_refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)  # noqa: S101 - registered for that class only
    return _error(request, error.status, str(error), error.retry_after)


def _on_nobody(request: Request, _error_raised: Exception) -> Response:
    return RedirectResponse(login_address(request), status_code=303)


def _on_not_allowed(request: Request, error: Exception) -> Response:
    return _error(request, 403, f"{str(error).capitalize()}.")


def _on_no_such(request: Request, _error_raised: Exception) -> Response:
    return _error(request, 404, "There is no such dispute, or it is not yours to see.")


def _on_usage(request: Request, error: Exception) -> Response:
    return _error(request, 422, f"{str(error).capitalize()}.")


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for that class only
    message = {404: "There is no such page, or it is not yours to see."}.get(error.status_code, f"{error.detail}.")
    return _error(request, error.status_code, message)


def _on_database_error(request: Request, error: Exception) -> Response:
    if isinstance(error, OperationalError) and is_away(error):
        return _error(request, 503, "The database does not answer. Try again in a moment.", _BUSY_RETRY_SECONDS)
    if isinstance(error, OperationalError) and not is_busy(error):
        raise error
    return _error(request, 503, "Something large is being written. Try again in a moment.", _BUSY_RETRY_SECONDS)


def _on_bug(request: Request, _error_raised: Exception) -> Response:
    return _error(request, 500, "The service failed; its operator finds the reason in its log.")
