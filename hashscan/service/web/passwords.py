"""Passwords: kept as scrypt (RFC 7914) with the parameters beside them, compared in constant time."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
from dataclasses import dataclass

MIN_CHARACTERS = 12
MAX_CHARACTERS = 256
_STORED = re.compile(r"scrypt\$(\d{1,2})\$(\d{1,2})\$(\d{1,2})\$([A-Za-z0-9+/=]{24})\$([A-Za-z0-9+/=]{44})")
_SALT_BYTES, _HASH_BYTES = 16, 32


@dataclass(frozen=True, slots=True)
class Cost:
    """What one hash costs: 128 * r * 2^log_n bytes of memory, and p times the time."""

    log_n: int
    r: int
    p: int

    @property
    def memory(self) -> int:
        """Bytes that OpenSSL needs, with some room: it refuses exactly the size of the table."""
        return int(128 * self.r * (2**self.log_n + self.p + 2))


COST = Cost(14, 8, 5)
"""16 MiB and about a fifth of a second; one of the sets that OWASP's password storage cheat sheet (2023) calls equal."""


class WeakPassword(ValueError):
    """A password that is not taken; the message says what is wanted."""


def check_new(password: str, name: str) -> None:
    """Raises `WeakPassword` where ``password`` is too short or long, made of few characters, or holds the ``name``.

    No rule asks for digits or signs: length is what counts (NIST SP 800-63B, 5.1.1.2).
    """
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise WeakPassword(f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")
    if len(set(password)) < 5:
        raise WeakPassword("this password repeats a few characters")
    if len(name) > 2 and name.lower() in password.lower():
        raise WeakPassword("a password does not hold the name")


def stored(password: str, cost: Cost = COST) -> str:
    """What is kept of a password."""
    salt = os.urandom(_SALT_BYTES)
    parts = [base64.b64encode(one).decode() for one in (salt, _hash(password, salt, cost))]
    return f"scrypt${cost.log_n}${cost.r}${cost.p}${parts[0]}${parts[1]}"


def agrees(password: str, kept: str | None, usual: Cost = COST) -> bool:
    """Whether ``password`` is the one that was kept. For nobody's (None) it is never right, and takes as long."""
    match = _STORED.fullmatch(kept or "")
    if match is None:
        _hash(password, bytes(_SALT_BYTES), usual)
        return False
    cost = Cost(*map(int, match.group(1, 2, 3)))
    salt, wanted = (base64.b64decode(one) for one in match.group(4, 5))
    return hmac.compare_digest(_hash(password, salt, cost), wanted)


def is_outdated(kept: str, usual: Cost = COST) -> bool:
    """Whether ``kept`` was made at another cost than the ``usual``: the next login makes it anew."""
    match = _STORED.fullmatch(kept)
    return match is None or Cost(*map(int, match.group(1, 2, 3))) != usual


def _hash(password: str, salt: bytes, cost: Cost) -> bytes:
    return hashlib.scrypt(
        password[: MAX_CHARACTERS + 1].encode("utf-8", "surrogatepass"),
        salt=salt,
        n=2**cost.log_n,
        r=cost.r,
        p=cost.p,
        maxmem=cost.memory,
        dklen=_HASH_BYTES,
    )
