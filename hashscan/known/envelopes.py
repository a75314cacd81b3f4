"""The gate of securesystemslib: DSSE envelopes with Ed25519, opened by agents and made by the service.

To open one takes no compiled library (securesystemslib has Ed25519 in Python), to sign takes `cryptography`: extra `service`.
Source: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import Key, SSlibKey

from hashscan.errors import FilterError, UsageError
from hashscan.model import VerdictKey
from hashscan.strict_json import StrictJsonError, parse_object

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from securesystemslib.signer import CryptoSigner

VERDICT = "application/vnd.hashscan.verdict+json"
RECEIPTS = "application/vnd.hashscan.receipts+json"
PROVIDER_KEYS = "application/vnd.hashscan.provider-keys+json"
DISPUTE = "application/vnd.hashscan.dispute+json"
NOTIFICATION = "application/vnd.hashscan.notification+json"

MAX_ENVELOPE_BYTES = 4 * 2**20
MAX_SIGNATURES = 8  # each costs a verification; one is expected, a rotation needs two


def key_id(public_hex: str) -> str:
    """The id of an Ed25519 key from its 64 lowercase hex digits: the first 32 hex digits of SHA-256 over the raw key."""
    return hashlib.sha256(bytes.fromhex(public_hex)).hexdigest()[:32]


def public_key(hex_digits: str) -> Key:
    """An Ed25519 key from its 64 hex digits. Raises `UsageError`."""
    text = hex_digits.strip().lower()
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise UsageError("a public key is 64 hex digits")
    return SSlibKey(key_id(text), "ed25519", "ed25519", {"public": text})


@dataclass(frozen=True, slots=True)
class Opened:
    """What was signed, and the keys whose signatures hold: at least one."""

    payload: bytes
    signers: tuple[VerdictKey, ...]

    def check_issued(self, issued: float) -> None:
        """Raises `StrictJsonError` where no signer was in use at that time (seconds since 1970)."""
        if not any(key.since <= issued and (key.until is None or issued <= key.until) for key in self.signers):
            raise StrictJsonError("it was issued outside the time of its key")


def open_envelope(data: bytes, payload_type: str, keys: Sequence[VerdictKey]) -> Opened:
    """The payload, after its type and a signature were checked; whether it was in the key's time, its reader must check.

    Raises `FilterError` saying what does not hold.
    """
    try:
        envelope = Envelope.from_dict(parse_object(data, max_bytes=MAX_ENVELOPE_BYTES, max_depth=4))
        if envelope.payload_type != payload_type:
            raise FilterError(f"the envelope holds {str(envelope.payload_type)[:80]!r}, not {payload_type!r}")
        if len(envelope.signatures) > MAX_SIGNATURES:
            raise FilterError("the envelope has too many signatures")
        # Each by itself: the library stops at the first that holds, and that one may be out of use.
        signers = tuple(key for key in keys if _signed(envelope, key))
    except StrictJsonError as error:
        raise FilterError(f"the envelope cannot be read: {error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, FormatError) as error:
        # securesystemslib trusts the types inside the document.
        raise FilterError(f"the envelope cannot be read: {type(error).__name__}") from None
    if not signers:
        raise FilterError("the signature does not hold", hint="run 'hashscan sync': the service may have a new key")
    return Opened(envelope.payload, signers)


def _signed(envelope: Envelope, key: VerdictKey) -> bool:
    try:
        envelope.verify([public_key(key.public)], 1)
    except VerificationError:
        return False
    return True


class SigningKey:
    """The service's Ed25519 key; needs the extra `service`."""

    def __init__(self, signer: CryptoSigner) -> None:
        self._signer = signer

    @classmethod
    def generate(cls) -> SigningKey:
        """A new random key."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - only the service needs it

        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def from_pem(cls, data: bytes) -> SigningKey:
        """The key from the bytes of `to_pem`. Raises `UsageError`."""
        from cryptography.exceptions import InternalError, UnsupportedAlgorithm  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - as above

        try:
            private = load_pem_private_key(data, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm, InternalError):  # the last for an X448 key of 32 bytes
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise UsageError("this is not an Ed25519 private key in PEM", hint="restore the key file from its backup")
        return cls._of(private)

    @classmethod
    def _of(cls, private: Ed25519PrivateKey) -> SigningKey:
        from securesystemslib.signer import CryptoSigner  # noqa: PLC0415 - cryptography is heavy and only the service needs it

        public = private.public_key().public_bytes_raw().hex()
        return cls(CryptoSigner(private, SSlibKey(key_id(public), "ed25519", "ed25519", {"public": public})))

    @property
    def signer(self) -> CryptoSigner:
        """What signs the metadata of The Update Framework."""
        return self._signer

    def to_pem(self) -> bytes:
        """PKCS #8, unencrypted: for a file of mode 0600."""
        return self._signer.private_bytes

    def public_hex(self) -> str:
        """The public half: 64 lowercase hex digits, what agents pin."""
        return str(self._signer.public_key.keyval["public"])

    def seal(self, payload: bytes, payload_type: str) -> bytes:
        """A signed envelope over ``payload``."""
        return seal(payload, payload_type, [self])


def seal(payload: bytes, payload_type: str, keys: Iterable[SigningKey]) -> bytes:
    """An envelope over ``payload``, signed by each of ``keys``: while a key is rotated, agents know the old or the new one."""
    envelope = Envelope(payload, payload_type, {})
    for key in keys:
        envelope.sign(key.signer)
    return json.dumps(envelope.to_dict(), separators=(",", ":")).encode()
