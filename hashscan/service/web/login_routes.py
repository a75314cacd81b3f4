"""Logging in and out, and setting up an account with a code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio.to_thread
from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from hashscan.errors import UsageError
from hashscan.service.web import sessions, trail
from hashscan.service.web.entrance import Entered, Refused, Visit, checked, cookie_name, drop_cookie, safe_next, set_cookie
from hashscan.service.web.passwords import MAX_CHARACTERS
from hashscan.service.web.rendering import asset, page
from hashscan.service.web.sessions import Attempt
from hashscan.service.web.throttling import TooManyFailures

router = APIRouter()
HASHES_AT_ONCE = 2  # passwords that are looked at in the same moment: each takes 16 MiB and a core
MAX_FIELD = 4 * MAX_CHARACTERS  # characters


@router.get("/style.css", dependencies=[checked])
def style() -> Response:
    """The style sheet."""
    return asset("style.css", "text/css; charset=utf-8")


@router.get("/icon.svg", dependencies=[checked])
def icon() -> Response:
    """The icon in the tab of a browser."""
    return asset("icon.svg", "image/svg+xml")


@router.get("/login")
def login(visit: Entered) -> Response:
    """The form. A browser without a token gets one that belongs to nobody, so that the form is ours."""
    done = {"out": "You are logged out.", "password": "The password is changed."}.get(
        visit.request.query_params.get("done", "")
    )
    return _form(visit, "login.html", next=visit.request.query_params.get("next", ""), done=done, wrong=False)


@router.post("/login")
async def log_in(visit: Entered) -> Response:
    """Name, password, and the code where the account has a second factor."""
    attempt = _attempt(visit)
    token = await _one_of_few(visit, sessions.log_in, visit.service.store, attempt, visit.now, visit.cost)
    await anyio.to_thread.run_sync(_note, visit, attempt, "logged in" if token else "login failed")
    wanted = safe_next(visit.form.get("next", ""))
    if token is None:
        return page(visit, "login.html", status=403, next=wanted, done=None, wrong=True, name=attempt.name)
    return _welcome(visit, token, wanted)


@router.get("/welcome")
def welcome(visit: Entered) -> Response:
    """The form for a set-up code."""
    return _form(visit, "welcome.html", problem=None)


@router.post("/welcome")
async def set_up(visit: Entered) -> Response:
    """A set-up code becomes a password and a login."""
    attempt, problem, token = _attempt(visit), None, None
    if visit.form.get("again") != attempt.password:
        problem = "The two passwords are not the same."
    else:
        try:
            code = visit.form.get("code", "")[:MAX_FIELD]
            token = await _one_of_few(visit, sessions.use_code, visit.service.store, attempt, code, visit.now, visit.cost)
            problem = None if token else "Name or code is not right, or the code was used or is too old."
        except UsageError as error:
            problem = f"{error}."
    if token is None:
        await anyio.to_thread.run_sync(_note, visit, attempt, "set-up failed")
        return page(visit, "welcome.html", status=422, problem=problem, name=attempt.name)
    await anyio.to_thread.run_sync(_note, visit, attempt, "set up")
    return _welcome(visit, token, "/web/")


@router.post("/logout")
def log_out(visit: Entered) -> Response:
    """End this login, here and in the browser."""
    sessions.log_out(visit.service.store, visit.who.session_id)
    response = RedirectResponse("/web/login?done=out", status_code=303)
    drop_cookie(visit.request, response)
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return response


def _form(visit: Visit, template: str, **values: Any) -> Response:
    token = visit.request.cookies.get(cookie_name(visit.request))
    fresh = None if token else sessions.new_token()
    response = page(replace(visit, csrf=sessions.csrf_of(token or fresh or "")), template, name="", **values)
    if fresh is not None:
        set_cookie(visit.request, response, fresh)
    return response


def _attempt(visit: Visit) -> Attempt:
    name, password, code = (visit.form.get(one, "")[:MAX_FIELD] for one in ("name", "password", "code"))
    return Attempt(name.strip().lower(), password, code, visit.address)


async def _one_of_few(visit: Visit, act: Callable[..., str | None], *arguments: Any) -> str | None:
    """Run a function that hashes a password in a thread, a few at a time. Raises `Refused` 429."""
    try:
        return await anyio.to_thread.run_sync(act, *arguments, limiter=visit.request.app.state.hashing)
    except TooManyFailures as error:
        raise Refused(429, f"{error}".capitalize() + ".", retry_after=error.retry_after) from None


def _note(visit: Visit, attempt: Attempt, what: str) -> None:
    with visit.service.store.writing() as session:
        trail.note(session, trail.Who(attempt.name, "", attempt.address), what, "", visit.now)


def _welcome(visit: Visit, token: str, wanted: str) -> Response:
    """A new login has a new token, so that one that was planted before is worth nothing."""
    response = RedirectResponse(wanted, status_code=303)
    set_cookie(visit.request, response, token)
    return response


def new_limiter() -> anyio.CapacityLimiter:
    """What `_one_of_few` waits for."""
    return anyio.CapacityLimiter(HASHES_AT_ONCE)
