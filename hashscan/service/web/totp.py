"""A second factor: codes of six digits that change every 30 seconds (TOTP, RFC 6238, with SHA-1 as all apps have it)."""

from __future__ import annotations

import base64
import hmac
import os
from urllib.parse import quote

STEP_SECONDS = 30
DIGITS = 6
_DRIFT = 1  # steps that a clock may be off in either direction
SECRET_BYTES = 20  # the length of the hash (RFC 4226, section 4, R6)


def new_secret() -> bytes:
    """160 random bits."""
    return os.urandom(SECRET_BYTES)


def code(secret: bytes, step: int, *, digits: int = DIGITS, algorithm: str = "sha1") -> str:
    """The code of one step (RFC 4226, section 5.3)."""
    mac = hmac.digest(secret, step.to_bytes(8, "big"), algorithm)
    start = mac[-1] & 0xF
    number = int.from_bytes(mac[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**digits:0{digits}d}"


def matching_step(secret: bytes, typed: str, now: float, *, after: int | None) -> int | None:
    """The step whose code was ``typed``, or None. Steps up to ``after`` were used already: a code counts once."""
    wanted = "".join(typed.split())
    if not (wanted.isascii() and wanted.isdigit() and len(wanted) == DIGITS):
        return None
    here = int(now // STEP_SECONDS)
    found = None
    for step in range(here - _DRIFT, here + _DRIFT + 1):  # all of them, so that the time tells nothing
        if hmac.compare_digest(code(secret, step), wanted) and (after is None or step > after):
            found = step
    return found


def written(secret: bytes) -> str:
    """The secret as people type it into an app: base32 in groups of four."""
    text = base64.b32encode(secret).decode()
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def link(secret: bytes, name: str, service: str) -> str:
    """The ``otpauth`` link of the secret, which apps on the same device open."""
    label = quote(f"{service}:{name}", safe="")
    return f"otpauth://totp/{label}?secret={base64.b32encode(secret).decode()}&issuer={quote(service, safe='')}"
