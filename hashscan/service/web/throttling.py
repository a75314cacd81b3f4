"""How often a login may fail: for an account, and for the address that tries.

A failure is counted before the password is looked at, so that many attempts at once are bounded too; a success takes it back.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from hashscan.service.web.tables import LoginFailures


@dataclass(frozen=True, slots=True)
class Bound:
    """At most ``most`` failures in ``seconds``, counted from the first."""

    most: int
    seconds: float


OF_ACCOUNT = Bound(50, 3600.0)
"""Generous, because everybody can lock an account with it for an hour; 50 guesses an hour find no password of 12 characters."""
OF_ADDRESS = Bound(10, 900.0)
_LONGEST = max(OF_ACCOUNT.seconds, OF_ADDRESS.seconds)


class TooManyFailures(Exception):
    """No further attempt before ``retry_after`` seconds are over."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"too many failed logins; try again in {retry_after} seconds")
        self.retry_after = retry_after


def count_attempt(session: Session, account: str, address: str, now: float) -> None:
    """Count an attempt as failed. Raises `TooManyFailures`, in which case nothing is counted."""
    session.execute(delete(LoginFailures).where(LoginFailures.since < now - _LONGEST))
    counted = [(_row(session, key, bound, now), bound) for key, bound in _keys(account, address)]
    waits = [row.since + bound.seconds - now for row, bound in counted if row.count >= bound.most]
    if waits:
        raise TooManyFailures(max(1, math.ceil(max(waits))))
    for row, _ in counted:
        row.count += 1


def forgive(session: Session, account: str, address: str) -> None:
    """The attempt was right: the account's failures are forgotten, and this one of the address."""
    forget_failures(session, account)
    row = session.get(LoginFailures, _digest("address", network(address)))
    if row is not None and row.count:
        row.count -= 1


def forget_failures(session: Session, account: str) -> None:
    """Nothing is counted against an account any more."""
    session.execute(delete(LoginFailures).where(LoginFailures.what == _digest("account", account)))


def network(address: str) -> str:
    """What counts as one address: of IPv6 the 64 bits that a customer gets."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{found}/64", strict=False)) if found.version == 6 else str(found)


def _keys(account: str, address: str) -> tuple[tuple[bytes, Bound], ...]:
    return (_digest("account", account), OF_ACCOUNT), (_digest("address", network(address)), OF_ADDRESS)


def _row(session: Session, key: bytes, bound: Bound, now: float) -> LoginFailures:
    row = session.get(LoginFailures, key)
    if row is None:
        row = LoginFailures(what=key, since=now, count=0)
        session.add(row)
    elif row.since <= now - bound.seconds:
        row.since, row.count = now, 0
    return row


def _digest(kind: str, what: str) -> bytes:
    return hashlib.sha256(f"{kind}:{what}".encode("utf-8", "surrogatepass")).digest()
