"""What people do with their own account: password, logins, second factor."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import RedirectResponse, Response

from hashscan.errors import UsageError
from hashscan.service.tables import ServiceRow
from hashscan.service.web import passwords, people, sessions, throttling, totp
from hashscan.service.web.entrance import Entered, Refused, Visit, set_cookie
from hashscan.service.web.rendering import page
from hashscan.service.web.tables import PersonRow

router = APIRouter(prefix="/account")
_DONE = {
    "logins": "All other logins have ended.",
    "password": "The password is changed, and all other logins have ended.",
    "factor": "From now on logging in asks for a code.",
    "no-factor": "Logging in asks for the password only.",
}


@router.get("")
def account(visit: Entered) -> Response:
    """Password, second factor, logins."""
    return _account(visit)


@router.post("/password")
def change_password(visit: Entered) -> Response:
    """Another password; this browser stays logged in, with a new token."""
    new = visit.form.get("password", "")
    if visit.form.get("again") != new:
        return _account(visit, "The two new passwords are not the same.")
    try:
        with _proved(visit) as (session, row):
            people.take_password(session, row, new, visit.now, visit.cost)
            token = sessions.begin(session, row.id, visit.address, visit.now)
    except UsageError as error:
        return _account(visit, f"{str(error).capitalize()}.")
    response = RedirectResponse("/web/account?done=password", status_code=303)
    set_cookie(visit.request, response, token)
    return response


@router.post("/logins")
def end_logins(visit: Entered) -> Response:
    """End all logins but this."""
    with visit.service.store.writing() as session:
        people.end_sessions(session, visit.who.person_id, but=visit.who.session_id)
    return RedirectResponse("/web/account?done=logins", status_code=303)


@router.get("/second-factor")
def second_factor(visit: Entered) -> Response:
    """A new secret, which counts for nothing until a code of it was typed."""
    return _secret(visit, totp.new_secret())


@router.post("/second-factor")
def start_second_factor(visit: Entered) -> Response:
    """From now on logging in asks for a code."""
    try:
        secret = base64.b32decode(visit.form.get("secret", ""))
    except ValueError:
        secret = b""
    if len(secret) != totp.SECRET_BYTES:
        raise Refused(422, "This form cannot be read.")
    step = totp.matching_step(secret, visit.form.get("code", ""), visit.now, after=None)
    if step is None:
        return _secret(visit, secret, "This is not the code of the app. Is its clock right?")
    try:
        with _proved(visit) as (_, row):
            row.totp, row.totp_step = secret, step
    except UsageError as error:
        return _secret(visit, secret, f"{str(error).capitalize()}.")
    return RedirectResponse("/web/account?done=factor", status_code=303)


@router.post("/second-factor/end")
def end_second_factor(visit: Entered) -> Response:
    """Logging in asks for the password only."""
    try:
        with _proved(visit) as (_, row):
            row.totp = row.totp_step = None
    except UsageError as error:
        return _account(visit, f"{str(error).capitalize()}.")
    return RedirectResponse("/web/account?done=no-factor", status_code=303)


@contextmanager
def _proved(visit: Visit) -> Iterator[tuple[Session, PersonRow]]:
    """A session that writes, for who has typed the password of the account again: a browser left open changes nothing.

    Raises `UsageError` where it is wrong, `Refused` 429 where that was so too often.
    """
    store, name = visit.service.store, visit.who.actor.name
    try:
        with store.writing() as session:
            throttling.count_attempt(session, name, visit.address, visit.now)
    except throttling.TooManyFailures as error:
        raise Refused(429, f"{str(error).capitalize()}.", retry_after=error.retry_after) from None
    with store.reading() as session:
        kept = session.get_one(PersonRow, visit.who.person_id).password
    if not passwords.agrees(visit.form.get("current", ""), kept):
        raise UsageError("the password is not right")
    with store.writing() as session:
        row = session.get_one(PersonRow, visit.who.person_id)
        if row.password != kept:
            raise UsageError("the password was changed in this moment")
        throttling.forgive(session, name, visit.address)
        yield session, row


def _account(visit: Visit, problem: str | None = None) -> Response:
    with visit.service.store.reading() as session:
        row = session.get_one(PersonRow, visit.who.person_id)
        return page(
            visit,
            "account.html",
            status=422 if problem else 200,
            problem=problem,
            done=None if problem else _DONE.get(visit.request.query_params.get("done", "")),
            second_factor=row.totp is not None,
            logins=sessions.logins(session, row.id, visit.now),
        )


def _secret(visit: Visit, secret: bytes, problem: str | None = None) -> Response:
    with visit.service.store.reading() as session:
        service = session.get_one(ServiceRow, 1).name
    return page(
        visit,
        "second_factor.html",
        status=422 if problem else 200,
        problem=problem,
        secret=base64.b32encode(secret).decode(),
        written=totp.written(secret),
        link=totp.link(secret, visit.who.actor.name, service),
    )
