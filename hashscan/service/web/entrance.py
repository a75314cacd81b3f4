"""Who may enter: the table of pages and roles, and the one check that stands before each of them.

Order of a request: the way it came (TLS, or loopback), who it is, whether the role may, whether the page itself made the form.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, NoReturn
from urllib.parse import parse_qsl, quote, urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from hashscan.service.access import NotServed
from hashscan.service.actors import PersonRole
from hashscan.service.serving import Served, read_body, served
from hashscan.service.web import sessions, trail
from hashscan.service.web.passwords import Cost
from hashscan.service.web.sessions import Visitor

MAX_FORM_BYTES = 16_384
_MAX_FIELDS = 50
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}

_H, _R, _A, _P = PersonRole.HOTLINE, PersonRole.REVIEWER, PersonRole.AUTHORITY, PersonRole.PROVIDER
ANYBODY: frozenset[PersonRole] = frozenset()
EVERY_ROLE = frozenset(PersonRole)
PAGES = {
    "style": ANYBODY,
    "icon": ANYBODY,
    "login": ANYBODY,
    "log_in": ANYBODY,
    "welcome": ANYBODY,
    "set_up": ANYBODY,
    "start": EVERY_ROLE,
    "log_out": EVERY_ROLE,
    "account": EVERY_ROLE,
    "change_password": EVERY_ROLE,
    "end_logins": EVERY_ROLE,
    "second_factor": EVERY_ROLE,
    "start_second_factor": EVERY_ROLE,
    "end_second_factor": EVERY_ROLE,
    "overview": frozenset({_H, _R, _A}),
    "export_json": frozenset({_H, _A}),
    "export_csv": frozenset({_H, _A}),
    "own": frozenset({_P}),
    "provider": frozenset({_H, _A, _P}),
    "disputes": frozenset({_H, _R, _P}),
    "dispute": frozenset({_H, _R, _P}),
    "new_dispute": frozenset({_H, _R, _P}),
    "open_dispute": frozenset({_H, _R, _P}),
    "give_opinion": frozenset({_H, _R}),
    "withdraw_alone": frozenset({_H}),
    "trail": frozenset({_H}),
    "people": frozenset({_H}),
}
"""Which roles may open a page, by the name of its route; what is on the page follows the role again (`actors.MAY`)."""


class Refused(Exception):
    """A page that is not shown: HTTP status, and what the person can do."""

    def __init__(self, status: int, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class LogInFirst(Exception):
    """Nobody is logged in: the browser is sent to the login page."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One request that may be answered. ``visitor`` is None on pages for anybody; ``form`` has the last of equal fields."""

    request: Request
    service: Served
    visitor: Visitor | None
    csrf: str
    form: Mapping[str, str]
    now: float

    @property
    def who(self) -> Visitor:
        """The person; on pages that are not for anybody there is one."""
        if self.visitor is None:
            raise LogInFirst
        return self.visitor

    @property
    def cost(self) -> Cost:
        """Of a password."""
        found = self.request.app.state.cost
        assert isinstance(found, Cost)  # noqa: S101 - for the type checker; mount.connect sets it
        return found

    @property
    def address(self) -> str:
        """Of the browser, as far as a proxy on this machine tells."""
        return address_of(self.request)

    def trail_of(self) -> trail.Who:
        """For a row of the trail."""
        if self.visitor is None:
            return trail.Who("", "", self.address)
        return trail.Who(self.visitor.actor.name, self.visitor.actor.role.value, self.address)


def address_of(request: Request) -> str:
    """Where a request came from."""
    return request.client.host if request.client else ""


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to a proxy on this machine that says so."""
    return request.url.scheme == "https"


def cookie_name(request: Request) -> str:
    """``__Host-``: only this very host sets it, over TLS, for all paths. Without TLS (loopback) browsers refuse that name."""
    return "__Host-hashscan" if is_secure(request) else "hashscan-loopback"


def set_cookie(request: Request, response: Response, token: str) -> None:
    """Give the browser a token. It ends with the browser; how long it counts is decided here."""
    response.set_cookie(cookie_name(request), token, path="/", secure=is_secure(request), httponly=True, samesite="strict")


def drop_cookie(request: Request, response: Response) -> None:
    """Take the token back."""
    response.delete_cookie(cookie_name(request), path="/", secure=is_secure(request), httponly=True, samesite="strict")


async def _enter(request: Request) -> Visit:
    """Everything that is checked before a page. Raises `Refused`, `LogInFirst`."""
    _check_way(request)
    service = served(request)
    token = request.cookies.get(cookie_name(request))
    name = request.scope["route"].name
    roles = PAGES.get(name, EVERY_ROLE)
    visitor = None
    if roles:
        visitor = await run_in_threadpool(sessions.visitor, service.store, token, service.now())
        if visitor is None:
            raise LogInFirst
    csrf = sessions.csrf_of(token) if token else ""
    form = await _form(request, csrf) if request.method == "POST" else {}
    visit = Visit(request, service, visitor, csrf, form, service.now())
    if visitor is not None:
        allowed = name in PAGES and visitor.actor.role in roles
        await run_in_threadpool(_note, visit, name if allowed else "refused")
        if not allowed:
            refuse(403)
    return visit


checked = Depends(_enter)
Entered = Annotated[Visit, checked]
"""A request to a page, checked."""


def refuse(status: int) -> NoReturn:
    """Raises `Refused` with the words for 403 or 404."""
    words = {
        403: "Your account may not open this page. Ask the operator of the service where it should.",
        404: "There is no such page, or it is not yours to see.",
    }
    raise Refused(status, words[status])


def _note(visit: Visit, what: str) -> None:
    url = visit.request.url
    with visit.service.store.writing() as session:
        trail.note(session, visit.trail_of(), what, f"{url.path}?{url.query}" if url.query else url.path, visit.now)


def _check_way(request: Request) -> None:
    """Passwords and tokens cross no network in the clear: without TLS only this machine itself is served."""
    if is_secure(request):
        return
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    if host not in _LOOPBACK or address_of(request) not in _LOOPBACK:
        message = "These pages need https. A reverse proxy must say so with X-Forwarded-Proto (docs/service.md)."
        raise Refused(403, message)


async def _form(request: Request, csrf: str) -> Mapping[str, str]:
    """The fields of a form that one of our pages has made. Raises `Refused`."""
    _check_origin(request)
    try:
        body = await read_body(request, MAX_FORM_BYTES)
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except NotServed as error:
        raise Refused(error.status, "This form is too long.") from None
    except ValueError:
        raise Refused(422, "This form cannot be read.") from None
    form = dict(pairs)
    if not csrf or not hmac.compare_digest(form.get("csrf", "").encode("utf-8", "surrogatepass"), csrf.encode()):
        raise Refused(403, "This form is out of date: your login has changed since. Open the page again.")
    return form


def _check_origin(request: Request) -> None:
    """A POST comes from a page of ours. Browsers say where from; who says nothing is no browser of today."""
    ours = f"{request.url.scheme}://{request.headers.get('host', '')}"
    if request.headers.get("origin") != ours:
        raise Refused(403, "This form was not sent from a page of this service.")


def login_address(request: Request) -> str:
    """The login page, which leads back to where the browser wanted to go."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?next={quote(wanted, safe='')}" if request.method == "GET" and wanted != "/web/" else ""
    return f"/web/login{back}"


def safe_next(wanted: str) -> str:
    """``wanted`` where it is a page of ours, else the start: a login must not send people to another site."""
    plain = wanted.isascii() and wanted.isprintable() and "\\" not in wanted
    return wanted if plain and wanted.startswith("/web/") and not wanted.startswith("/web//") else "/web/"
