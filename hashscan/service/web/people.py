"""Accounts of the people who use the pages: made, changed and ended by who runs the service, at the machine.

An account is never removed, so that what its person did keeps a name. What ends a login: another password, role or disabling.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.service.actors import PersonRole, person
from hashscan.service.agents import provider_row
from hashscan.service.tables import Provider
from hashscan.service.web import passwords
from hashscan.service.web.passwords import COST, Cost
from hashscan.service.web.tables import PersonRow, WebSession
from hashscan.service.web.throttling import forget_failures

CODE_SECONDS = 2 * 86_400.0  # a set-up code can be used that long
MAX_PEOPLE = 10_000
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{1,63}")
_CODE_BYTES = 20


@dataclass(frozen=True, slots=True)
class Account:
    """One account as it is listed; times in seconds since 1970. ``waiting``: a set-up code can still be used."""

    name: str
    role: PersonRole
    provider: str | None
    created: float
    last_login: float | None
    disabled: float | None
    second_factor: bool
    waiting: bool
    has_password: bool


def add(session: Session, name: str, role: PersonRole, provider: str | None, now: float) -> None:
    """A new account that nobody can log in to yet. Raises `UsageError`."""
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} cannot be the name of an account", hint="2 to 64 of a-z, 0-9 and . _ @ + -")
    names = session.scalars(select(PersonRow.name)).all()
    if len(names) >= MAX_PEOPLE:
        raise UsageError(f"there are {MAX_PEOPLE} accounts already")
    alike = next((other for other in names if person(other) == person(name)), None)
    if alike is not None:  # else one person could be the two who decide about an entry
        raise UsageError(f"{name!r} is too much like the account {alike!r}", hint="accounts differ in letters or digits")
    row = PersonRow(name=name, role=role.value, provider_id=_provider_id(session, role, provider), created=now)
    session.add(row)


def find(session: Session, name: str) -> PersonRow:
    """The account of that name. Raises `UsageError`."""
    row = session.scalar(select(PersonRow).where(PersonRow.name == name))
    if row is None:
        raise UsageError(f"there is no account {name!r}", hint="'hashscan service people list' names them")
    return row


def accounts(session: Session, now: float) -> tuple[Account, ...]:
    """All accounts, by name."""
    query = select(PersonRow, Provider.name).outerjoin(Provider, Provider.id == PersonRow.provider_id).order_by(PersonRow.name)
    return tuple(
        Account(
            name=row.name,
            role=PersonRole(row.role),
            provider=provider,
            created=row.created,
            last_login=row.last_login,
            disabled=row.disabled,
            second_factor=row.totp is not None,
            waiting=row.code_sha256 is not None and (row.code_expires or 0) > now,
            has_password=row.password is not None,
        )
        for row, provider in session.execute(query)
    )


def set_role(session: Session, name: str, role: PersonRole, provider: str | None) -> None:
    """Another role from the next login on. Raises `UsageError`."""
    row = find(session, name)
    row.provider_id = _provider_id(session, role, provider)
    row.role = role.value
    end_sessions(session, row.id)


def set_password(session: Session, name: str, password: str, now: float, cost: Cost = COST) -> None:
    """Another password; open set-up codes end with it. Raises `UsageError`."""
    row = find(session, name)
    take_password(session, row, password, now, cost)
    forget_failures(session, name)


def take_password(session: Session, row: PersonRow, password: str, now: float, cost: Cost = COST) -> None:
    """Store a new password of an account and end its logins. Raises `UsageError` where it is too weak."""
    try:
        passwords.check_new(password, row.name)
    except passwords.WeakPassword as error:
        raise UsageError(str(error), hint="take a sentence, or let a password manager make one") from None
    row.password, row.password_changed = passwords.stored(password, cost), now
    row.code_sha256 = row.code_expires = None
    end_sessions(session, row.id)


def new_code(session: Session, name: str, now: float) -> str:
    """A set-up code: whoever has it chooses the password of the account, once. The password of before, the second factor and
    all logins end. Raises `UsageError`."""
    row = find(session, name)
    raw = os.urandom(_CODE_BYTES)
    row.code_sha256, row.code_expires = hashlib.sha256(raw).digest(), now + CODE_SECONDS
    row.password, row.totp, row.totp_step = None, None, None
    end_sessions(session, row.id)
    forget_failures(session, name)
    text = base64.b32encode(raw).decode().lower()
    return "-".join(text[at : at + 8] for at in range(0, len(text), 8))


def holds_code(row: PersonRow | None, typed: str, now: float) -> bool:
    """Whether ``typed`` is the set-up code of an account that still takes it."""
    try:
        raw = base64.b32decode("".join(typed.split()).replace("-", "").upper())
    except ValueError:
        return False
    if row is None or row.code_sha256 is None or row.disabled is not None or (row.code_expires or 0) <= now:
        return False
    return hmac.compare_digest(hashlib.sha256(raw).digest(), row.code_sha256)


def disable(session: Session, name: str, now: float) -> None:
    """Nobody logs in to this account any more. Raises `UsageError`."""
    row = find(session, name)
    row.disabled = now if row.disabled is None else row.disabled
    end_sessions(session, row.id)


def enable(session: Session, name: str) -> None:
    """The account can be used again; failed logins are forgotten. Raises `UsageError`."""
    find(session, name).disabled = None
    forget_failures(session, name)


def end_sessions(session: Session, person_id: int, *, but: int | None = None) -> int:
    """End all logins of a person, except the session ``but``; how many there were."""
    query = delete(WebSession).where(WebSession.person_id == person_id)
    if but is not None:
        query = query.where(WebSession.id != but)
    return int(session.connection().execute(query).rowcount)


def _provider_id(session: Session, role: PersonRole, provider: str | None) -> int | None:
    if (role is PersonRole.PROVIDER) != (provider is not None):
        raise UsageError(f"an account of role {role.value} {'needs a' if provider is None else 'has no'} provider")
    return None if provider is None else provider_row(session, provider).id
