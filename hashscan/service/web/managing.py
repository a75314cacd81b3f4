"""What ``hashscan service people`` does: one function a command, each opens the data folder and closes it.

Raises `UsageError`, `LockedError`, `HashscanError` as `service.admin` does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.orm import Session

from hashscan.service.actors import PersonRole
from hashscan.service.admin import BUSY_SECONDS
from hashscan.service.store import open_store
from hashscan.service.web import people, trail
from hashscan.service.web.passwords import COST, Cost
from hashscan.service.web.people import Account

AT_THE_MACHINE = trail.Who("(operator)", "", "command line")


def add(
    data: Path,
    name: str,
    role: PersonRole,
    *,
    provider: str | None = None,
    password: str | None = None,
    cost: Cost = COST,
) -> str:
    """A new account with a password, or without one: then a set-up code, which is returned (else "")."""
    with _writing(data, "account added", f"{name}, {role.value}" + (f" {provider}" if provider else "")) as (session, now):
        people.add(session, name, role, provider, now)
        session.flush()
        if password is None:
            return people.new_code(session, name, now)
        people.set_password(session, name, password, now, cost)
        return ""


def accounts(data: Path) -> tuple[Account, ...]:
    """All accounts, by name."""
    with open_store(data, busy_seconds=BUSY_SECONDS) as store, store.reading() as session:
        return people.accounts(session, time.time())


def set_role(data: Path, name: str, role: PersonRole, *, provider: str | None = None) -> None:
    """Another role; logins of the account end."""
    with _writing(data, "role changed", f"{name}, {role.value}" + (f" {provider}" if provider else "")) as (session, _):
        people.set_role(session, name, role, provider)


def set_password(data: Path, name: str, password: str | None, *, cost: Cost = COST) -> str:
    """Another password, or (None) a set-up code in its place, which is returned (else ""); logins end."""
    with _writing(data, "password set" if password is not None else "set-up code made", name) as (session, now):
        if password is None:
            return people.new_code(session, name, now)
        people.set_password(session, name, password, now, cost)
        return ""


def disable(data: Path, name: str) -> None:
    """Nobody logs in to the account any more; logins end."""
    with _writing(data, "account disabled", name) as (session, now):
        people.disable(session, name, now)


def enable(data: Path, name: str) -> None:
    """The account can be used again, also one with too many failed logins."""
    with _writing(data, "account enabled", name) as (session, _):
        people.enable(session, name)


@contextmanager
def _writing(data: Path, what: str, about: str) -> Iterator[tuple[Session, float]]:
    now = time.time()
    with open_store(data, busy_seconds=BUSY_SECONDS) as store, store.writing() as session:
        trail.note(session, AT_THE_MACHINE, what, about, now)
        yield session, now
