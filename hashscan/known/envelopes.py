"""The gate of securesystemslib: DSSE envelopes with Ed25519, opened by agents and made by the service.

To open one takes no compiled library (securesystemslib has Ed25519 in Python), to sign takes `cryptography`: extra `service`.
Source: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import FormatError, VerificationError
from securesystemslib.signer import Key, SSlibKey

from hashscan.errors import FilterError, UsageError
from hashscan.strict_json import StrictJsonError, parse_object

if TYPE_CHECKING:
    from securesystemslib.signer import CryptoSigner

LISTS = "application/vnd.hashscan.lists+json"
VERDICT = "application/vnd.hashscan.verdict+json"
RECEIPTS = "application/vnd.hashscan.receipts+json"

MAX_ENVELOPE_BYTES = 4 * 2**20
_KEY_ID = "hashscan-service-1"


def public_key(hex_digits: str) -> Key:
    """The pinned Ed25519 key from its 64 hex digits. Raises `UsageError`."""
    text = hex_digits.strip().lower()
    if len(text) != 64 or text.strip("0123456789abcdef"):
        raise UsageError("a service key is 64 hex digits", hint="copy the file 'service.pub' from the enrolment")
    return SSlibKey(_KEY_ID, "ed25519", "ed25519", {"public": text})


def open_envelope(data: bytes, payload_type: str, key: Key) -> bytes:
    """The payload, after its type and signature were checked. Raises `FilterError` saying what does not hold."""
    try:
        envelope = Envelope.from_dict(parse_object(data, max_bytes=MAX_ENVELOPE_BYTES, max_depth=4))
        if envelope.payload_type != payload_type:
            raise FilterError(f"the envelope holds {envelope.payload_type!r}, not {payload_type!r}")
        if len(envelope.signatures) > 8:  # each costs a verification; one is expected, a rotation needs two
            raise FilterError("the envelope has too many signatures")
        envelope.verify([key], 1)
    except StrictJsonError as error:
        raise FilterError(f"the envelope cannot be read: {error}") from None
    except VerificationError:
        raise FilterError("the signature does not hold", hint="is this the service whose key was pinned?") from None
    except (KeyError, ValueError, TypeError, AttributeError, FormatError) as error:
        # securesystemslib trusts the types inside the document.
        raise FilterError(f"the envelope cannot be read: {type(error).__name__}") from None
    return envelope.payload


class SigningKey:
    """The service's Ed25519 key; needs the extra `service`."""

    def __init__(self, signer: CryptoSigner) -> None:
        self._signer = signer

    @classmethod
    def generate(cls) -> SigningKey:
        """A new random key."""
        from securesystemslib.signer import CryptoSigner  # noqa: PLC0415 - cryptography is heavy and only the service needs it

        return cls(CryptoSigner.generate_ed25519(_KEY_ID))

    @classmethod
    def from_pem(cls, data: bytes) -> SigningKey:
        """The key from the bytes of `to_pem`. Raises `UsageError`."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - as above
        from securesystemslib.signer import CryptoSigner  # noqa: PLC0415 - as above

        try:
            private = load_pem_private_key(data, password=None)
        except (ValueError, TypeError):
            private = None
        if not isinstance(private, Ed25519PrivateKey):
            raise UsageError("this is not an Ed25519 private key in PEM", hint="restore the key file from its backup")
        public = private.public_key().public_bytes_raw().hex()
        return cls(CryptoSigner(private, SSlibKey(_KEY_ID, "ed25519", "ed25519", {"public": public})))

    def to_pem(self) -> bytes:
        """PKCS #8, unencrypted: for a file of mode 0600."""
        return self._signer.private_bytes

    def public_hex(self) -> str:
        """The public half: 64 lowercase hex digits, what agents pin."""
        return str(self._signer.public_key.keyval["public"])

    def seal(self, payload: bytes, payload_type: str) -> bytes:
        """A signed envelope over ``payload``."""
        envelope = Envelope(payload, payload_type, {})
        envelope.sign(self._signer)
        return json.dumps(envelope.to_dict(), separators=(",", ":")).encode()
