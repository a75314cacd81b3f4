"""Logins: who a browser's token belongs to, and for how long."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from hashscan.service.actors import Actor, PersonRole
from hashscan.service.store import Store
from hashscan.service.tables import Phase, Provider
from hashscan.service.web import passwords, people, throttling, totp
from hashscan.service.web.passwords import COST, Cost
from hashscan.service.web.tables import PersonRow, WebSession

IDLE_SECONDS = 30 * 60.0
MOST_SECONDS = 12 * 3600.0
_SEEN_EVERY = 60.0  # seconds: looking at a page writes at most that often
MAX_SESSIONS = 20  # of one person; the oldest ends when another begins


@dataclass(frozen=True, slots=True)
class Visitor:
    """A person who is logged in. ``csrf`` is what forms of this login carry."""

    person_id: int
    session_id: int
    actor: Actor
    csrf: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What somebody typed into the login form, and from which address."""

    name: str
    password: str = field(repr=False)
    code: str = field(repr=False)
    address: str = ""


@dataclass(frozen=True, slots=True)
class Login:
    """One login of a person as the account page lists it."""

    id: int
    created: float
    seen: float
    address: str


def new_token() -> str:
    """256 random bits as text."""
    return secrets.token_urlsafe(32)


def csrf_of(token: str) -> str:
    """What a form must carry that belongs to ``token``: nobody without the cookie can make it."""
    return hmac.digest(token.encode(), b"hashscan form", "sha256").hex()


def log_in(store: Store, attempt: Attempt, now: float, cost: Cost = COST) -> str | None:
    """A new token for who typed name, password and, where there is one, the second factor; None where something is wrong.

    What was wrong is not told. Raises `throttling.TooManyFailures`.
    """
    with store.writing() as session:
        throttling.count_attempt(session, attempt.name, attempt.address, now)
    with store.reading() as session:
        row = session.scalar(select(PersonRow).where(PersonRow.name == attempt.name))
        kept = row.password if row is not None and row.disabled is None else None
    if not passwords.agrees(attempt.password, kept, cost) or row is None or kept is None:
        return None
    with store.writing() as session:
        token = _begin(session, row.id, kept, attempt, now)
        if token and passwords.is_outdated(kept, cost):
            session.get_one(PersonRow, row.id).password = passwords.stored(attempt.password, cost)
        return token


def _begin(session: Session, person_id: int, kept: str, attempt: Attempt, now: float) -> str | None:
    """The rest of a login, under the write lock: what was read before may have changed while the password was hashed."""
    row = session.get_one(PersonRow, person_id)
    if row.password != kept or row.disabled is not None:
        return None
    if row.totp is not None:
        step = totp.matching_step(row.totp, attempt.code, now, after=row.totp_step)
        if step is None:
            return None
        row.totp_step = step
    throttling.forgive(session, attempt.name, attempt.address)
    row.last_login = now
    return begin(session, person_id, attempt.address, now)


def begin(session: Session, person_id: int, address: str, now: float) -> str:
    """A new login of a person who has proved to be that person; the token."""
    session.execute(
        delete(WebSession).where(or_(WebSession.seen < now - IDLE_SECONDS, WebSession.created < now - MOST_SECONDS))
    )
    ids = session.scalars(select(WebSession.id).where(WebSession.person_id == person_id).order_by(WebSession.id)).all()
    session.execute(delete(WebSession).where(WebSession.id.in_(ids[: max(0, len(ids) - MAX_SESSIONS + 1)])))
    token = new_token()
    session.add(WebSession(person_id=person_id, sha256=_digest(token), created=now, seen=now, address=address[:64]))
    return token


def use_code(store: Store, attempt: Attempt, code: str, now: float, cost: Cost = COST) -> str | None:
    """Choose the password of an account with a set-up code; a token, or None where the code is wrong.

    Raises `throttling.TooManyFailures`, and `UsageError` where the password is too weak: the code can be used again then.
    """
    with store.writing() as session:
        throttling.count_attempt(session, attempt.name, attempt.address, now)
    with store.writing() as session:
        row = session.scalar(select(PersonRow).where(PersonRow.name == attempt.name))
        if not people.holds_code(row, code, now) or row is None:
            return None
        people.take_password(session, row, attempt.password, now, cost)
        throttling.forgive(session, attempt.name, attempt.address)
        row.last_login = now
        return begin(session, row.id, attempt.address, now)


def visitor(store: Store, token: str | None, now: float) -> Visitor | None:
    """Who is behind a token, or None: unknown, ended, too long idle, disabled, or the provider is suspended."""
    if not token or len(token) > 64:
        return None
    query = (
        select(WebSession, PersonRow, Provider)
        .join(PersonRow, PersonRow.id == WebSession.person_id)
        .outerjoin(Provider, Provider.id == PersonRow.provider_id)
        .where(WebSession.sha256 == _digest(token))
    )
    with store.reading() as session:
        found = session.execute(query).first()
        if found is None:
            return None
        login, who = found[0], found[1]
        provider: Provider | None = found[2]  # of an outer join
        if not _holds(login, now) or who.disabled is not None or _is_suspended(provider):
            return None
        actor = Actor(who.name, PersonRole(who.role), provider.name if provider is not None else None)
        found_visitor = Visitor(who.id, login.id, actor, csrf_of(token))
        stale = login.seen < now - _SEEN_EVERY
    if stale:
        with store.writing() as session:
            if row := session.get(WebSession, found_visitor.session_id):
                row.seen = now
    return found_visitor


def _is_suspended(provider: Provider | None) -> bool:
    return provider is not None and provider.phase == Phase.SUSPENDED


def _holds(login: WebSession, now: float) -> bool:
    # The clock may have gone back: a login from the future is not believed.
    return login.seen - 60 <= now <= login.seen + IDLE_SECONDS and now <= login.created + MOST_SECONDS


def log_out(store: Store, session_id: int) -> None:
    """End one login."""
    with store.writing() as session:
        session.execute(delete(WebSession).where(WebSession.id == session_id))


def logins(session: Session, person_id: int, now: float) -> tuple[Login, ...]:
    """The logins of a person that hold, the newest first."""
    rows = session.scalars(select(WebSession).where(WebSession.person_id == person_id).order_by(WebSession.id.desc()))
    return tuple(Login(row.id, row.created, row.seen, row.address) for row in rows if _holds(row, now))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
