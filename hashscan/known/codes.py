"""The single-use enrolment code: what a hotline reads out or sends, and an agent types (docs/wire.md, "Enrolment").

``hse1-`` and 69 characters of base32, grouped by six: format (1 byte), public id (8), secret (16), the first half of the
SHA-256 of the service's root (16), and a CRC-16 (2). The CRC finds every single wrong character and every swap of
neighbours for certain: both are bursts of at most 10 bits (Peterson and Brown, "Cyclic Codes for Error Detection", 1961). It
protects against typing, not against anybody: what is secret is proven by `known.enrolment`.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import itertools
import secrets
import unicodedata
from dataclasses import dataclass, field

from hashscan.errors import UsageError

ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"  # base32 of RFC 4648: no 0, 1, 8 and 9, which look like letters
ID_BYTES, SECRET_BYTES, PIN_BYTES = 8, 16, 16
MAX_TYPED = 256  # characters, with dashes and spaces
GROUP = 6  # characters
_START = "hse1"
_FORMAT = 1
_CRC_START = 0xFFFF
_BODY_BYTES = 1 + ID_BYTES + SECRET_BYTES + PIN_BYTES
_CHARACTERS = 69  # ceil((41 + 2) * 8 / 5); the last bit is 0
_HINT = "ask the hotline for the code again, or for a new one"


@dataclass(frozen=True, slots=True)
class Code:
    """A code in parts. The secret, and so the whole, is not in its repr."""

    id: bytes
    secret: bytes = field(repr=False)
    pin: bytes

    @classmethod
    def generate(cls, root: bytes) -> Code:
        """A new code that pins ``root``, the bytes of a root.json."""
        return cls(secrets.token_bytes(ID_BYTES), secrets.token_bytes(SECRET_BYTES), pin_of(root))

    def text(self) -> str:
        """As people see it."""
        body = bytes([_FORMAT]) + self.id + self.secret + self.pin
        packed = body + binascii.crc_hqx(body, _CRC_START).to_bytes(2, "big")
        characters = base64.b32encode(packed).decode("ascii").lower()[:_CHARACTERS]
        return "-".join([_START, *(characters[at : at + GROUP] for at in range(0, _CHARACTERS, GROUP))])

    def pins(self, root: bytes) -> bool:
        """Whether ``root`` is the root.json that this code was made for."""
        return hmac.compare_digest(self.pin, pin_of(root))


def pin_of(root: bytes) -> bytes:
    """What a code keeps of a root: to find another root with the same half takes 2^128 attempts."""
    return hashlib.sha256(root).digest()[:PIN_BYTES]


def read_code(typed: str) -> Code:
    """The code that somebody typed; case, dashes and white space do not matter.

    Raises `UsageError` that says what is wrong and where, and never repeats the code: messages get into logs.
    """
    if len(typed) > MAX_TYPED:
        raise UsageError(f"an enrolment code has fewer than {MAX_TYPED} characters", hint=_HINT)
    plain = "".join(one for one in typed if not _is_gap(one)).lower()
    if not plain.startswith(_START):
        raise UsageError(f"an enrolment code begins with {_START!r}", hint="is the order URL CODE?")
    characters = plain.removeprefix(_START)
    _check_characters(characters)
    if len(characters) != _CHARACTERS:
        more = len(characters) - _CHARACTERS
        wrong = f"{abs(more)} too {'many' if more > 0 else 'few'}"
        raise UsageError(f"the enrolment code has {len(plain)} characters, {wrong}, dashes not counted", hint=_HINT)
    value = functools.reduce(lambda total, one: total << 5 | ALPHABET.index(one), characters, 0)
    if syndrome := _syndrome(value, _CRC_START):
        raise UsageError(f"the enrolment code has a typing error{_likely_place(characters, syndrome)}", hint=_HINT)
    body = (value >> 17).to_bytes(_BODY_BYTES, "big")
    if body[0] != _FORMAT:
        raise UsageError(f"the enrolment code has format {body[0]}, this program reads {_FORMAT}", hint="update hashscan")
    return Code(body[1:9], body[9:25], body[25:41])


def _is_gap(one: str) -> bool:
    """White space and dashes of all kinds: word processors put long ones into what is pasted."""
    return one.isspace() or unicodedata.category(one) in {"Pd", "Cf"}


def _check_characters(characters: str) -> None:
    """Raises `UsageError` naming the first character that no code has."""
    for at, one in enumerate(characters[: _CHARACTERS + GROUP]):
        if one not in ALPHABET:
            meant = {"0": "o", "1": "l or i", "8": "b", "9": "g or q"}.get(one)
            hint = f"is it the letter {meant}?" if meant else _HINT
            raise UsageError(f"character {at % GROUP + 1} of group {at // GROUP + 1} is {one!a}, which no code has", hint=hint)


def _syndrome(value: int, start: int) -> int:
    """0 where the CRC fits and the spare bit is 0. Linear in ``value`` with ``start`` 0: an error has its own syndrome."""
    body, checksum, spare = (value >> 17).to_bytes(_BODY_BYTES, "big"), value >> 1 & 0xFFFF, value & 1
    return binascii.crc_hqx(body, start) ^ checksum | spare << 16


@functools.cache
def _error(at: int, flips: int) -> int:
    """The syndrome of the bits ``flips`` (5 bits) in the character ``at``."""
    return _syndrome(flips << 5 * (_CHARACTERS - 1 - at), 0)


def _likely_place(characters: str, syndrome: int) -> str:
    """Where one wrong character or one swap explains the error, if that is one group only.

    Of the 2,207 things to try, each fits by chance with probability 1/131,072: in 2 % of the cases the hint is none or wrong.
    """
    places = {at // GROUP + 1 for at in range(_CHARACTERS) for flips in range(1, 32) if _error(at, flips) == syndrome}
    for at, (one, other) in enumerate(itertools.pairwise(characters)):
        flips = ALPHABET.index(one) ^ ALPHABET.index(other)
        if _error(at, flips) ^ _error(at + 1, flips) == syndrome:
            places.add(at // GROUP + 1)
    return f", most likely in group {places.pop()}" if len(places) == 1 else ""
