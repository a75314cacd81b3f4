"""What agent and service say to each other when an agent is enrolled: pure functions, the same on both sides.

Nothing of the code's secret goes over the wire. The application proves that its sender knows it, the handover is encrypted and
authenticated with it. Why each piece is there: docs/wire.md, "Enrolment", and docs/decisions/0021-enrolment-code.md.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from blake3 import blake3

from hashscan.errors import FilterError, HashscanError, UsageError
from hashscan.known.codes import ID_BYTES, Code
from hashscan.known.keys import KeyRing
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MAX_APPLICATION_BYTES = 4096
MAX_HANDOVER_BYTES = 256 * 1024
MAX_ROOT_BYTES = 64 * 1024
MAX_RING_BYTES = 16 * 1024  # 64 lines of at most 75 bytes are 5 kB
MAX_LABEL = 64  # characters

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{43}")
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_PROOF_CONTEXT = "hashscan enrolment proof v1"
_SEAL_CONTEXT = "hashscan enrolment handover v1"
_RING_CONTEXT = "hashscan provider keys v1"


def new_api_key() -> str:
    """``hsk_`` and 32 random bytes as 43 base64url characters: made by the agent, which sends its SHA-256 only."""
    return "hsk_" + secrets.token_urlsafe(32)


def api_key_sha256(api_key: str) -> str:
    """What the service knows of an API key, 64 hex digits."""
    return hashlib.sha256(api_key.encode()).hexdigest()


def check_label(label: str) -> str:
    """``label`` if it can name an agent. Raises `UsageError`."""
    if not _LABEL.fullmatch(label):
        hint = f"use 1 to {MAX_LABEL} of letters, digits, dot, dash and underscore, a letter or digit first"
        raise UsageError(f"{label!a} cannot be the label of an agent", hint=hint)
    return label


@dataclass(frozen=True, slots=True)
class Application:
    """What an agent sends: ``code_id`` (16 hex digits), ``nonce`` (43 base64url characters), its key's hash, and the proof."""

    code_id: str
    nonce: str
    api_key_sha256: str
    label: str
    proof: str

    @classmethod
    def make(cls, code: Code, api_key: str, label: str, nonce: str) -> Application:
        """The application of an agent that holds ``code``. Raises `UsageError`."""
        sha256 = api_key_sha256(api_key)
        return cls(code.id.hex(), nonce, sha256, check_label(label), _proof(code.secret, (code.id.hex(), nonce, sha256, label)))

    @classmethod
    def parse(cls, body: bytes) -> Application:
        """The body of POST /v1/enrol. Raises `StrictJsonError`."""
        fields = Fields(parse_object(body, max_bytes=MAX_APPLICATION_BYTES, max_depth=2), "request")
        nonce = fields.text("nonce", max_chars=43)
        if not _NONCE.fullmatch(nonce):
            raise StrictJsonError("request: 'nonce' is not 43 base64url characters")
        sha256, label = parse_key(fields)
        return cls(fields.hex("code_id", digits=2 * ID_BYTES), nonce, sha256, label, fields.hex("proof", digits=64))

    def encode(self) -> bytes:
        """The body of POST /v1/enrol."""
        return _encode({name: getattr(self, name) for name in ("code_id", "nonce", "api_key_sha256", "label", "proof")})

    def is_proven(self, secret: bytes) -> bool:
        """Whether the sender knows the secret of the code, and meant exactly this key and label. In constant time."""
        expected = _proof(secret, (self.code_id, self.nonce, self.api_key_sha256, self.label))
        return hmac.compare_digest(expected, self.proof)


def parse_key(fields: Fields) -> tuple[str, str]:
    """``api_key_sha256`` and ``label`` of a request. Raises `StrictJsonError`."""
    label = fields.text("label", max_chars=MAX_LABEL)
    if not _LABEL.fullmatch(label):
        raise StrictJsonError("request: 'label' is not letters, digits, dot, dash and underscore")
    return fields.hex("api_key_sha256", digits=64), label


def _proof(secret: bytes, said: Sequence[str]) -> str:
    key = blake3(secret, derive_key_context=_PROOF_CONTEXT).digest()
    return blake3(_joined([one.encode() for one in said]), key=key).hexdigest()


def new_nonce() -> str:
    """32 random bytes as 43 base64url characters."""
    return secrets.token_urlsafe(32)


@dataclass(frozen=True, slots=True)
class Handover:
    """What an agent gets: the name of its provider, the provider's keys, and the root.json that it pins from now on."""

    provider: str
    ring: KeyRing = field(repr=False)
    root: bytes = field(repr=False)


def seal_handover(handover: Handover, application: Application, secret: bytes) -> bytes:
    """The answer to a proven application. The same application and handover make the same answer."""
    bound = _bound(application, handover.provider, handover.root)
    wrapped, tag = _wrap(secret, _SEAL_CONTEXT, bound, handover.ring.text().encode())
    document = {"provider": handover.provider, "keys": _text64(wrapped), "root": _text64(handover.root), "mac": tag.hex()}
    return _encode(document)


def open_handover(data: bytes, application: Application, code: Code) -> Handover:
    """The answer, after its MAC and the pinned root were checked. Raises `FilterError`: it is not from who made the code."""
    try:
        fields = Fields(parse_object(data, max_bytes=MAX_HANDOVER_BYTES, max_depth=2), "answer")
        provider = fields.text("provider", max_chars=64)
        root = _bytes64(fields, "root", MAX_ROOT_BYTES)
        wrapped, tag = _bytes64(fields, "keys", MAX_RING_BYTES), bytes.fromhex(fields.hex("mac", digits=64))
    except StrictJsonError as error:
        raise FilterError(
            f"the answer to the enrolment cannot be read: {error}", hint="is this the address of the service?"
        ) from None
    if not code.pins(root):
        hint = "somebody may sit between this host and the service: ask the hotline before you try again"
        raise FilterError("the service handed over another root than the code names", hint=hint)
    ring = _ring(_unwrap(code.secret, _SEAL_CONTEXT, _bound(application, provider, root), (wrapped, tag)))
    if not _PROVIDER.fullmatch(provider):
        raise FilterError("the service named a provider that cannot be one")
    return Handover(provider, ring, root)


def _bound(application: Application, provider: str, root: bytes) -> list[bytes]:
    said = (application.code_id, application.nonce, application.api_key_sha256, application.label, provider)
    return [*(one.encode() for one in said), root]


def wrap_ring(ring: KeyRing, held: bytes, provider: str, nonce: str) -> dict[str, str]:
    """``keys`` and ``mac`` of an answer to GET /v1/provider-keys: readable by who holds ``held``, a provider key (32 bytes)."""
    wrapped, tag = _wrap(held, _RING_CONTEXT, [provider.encode(), nonce.encode()], ring.text().encode())
    return {"keys": _text64(wrapped), "mac": tag.hex()}


def unwrap_ring(fields: Fields, held: bytes, provider: str, nonce: str) -> KeyRing:
    """The ring in such an answer. Raises `StrictJsonError`, `FilterError`."""
    wrapped, tag = _bytes64(fields, "keys", MAX_RING_BYTES), bytes.fromhex(fields.hex("mac", digits=64))
    return _ring(_unwrap(held, _RING_CONTEXT, [provider.encode(), nonce.encode()], (wrapped, tag)))


def _ring(text: bytes) -> KeyRing:
    try:
        return KeyRing.from_text(text.decode("ascii"))
    except (UnicodeDecodeError, HashscanError):
        raise FilterError("the service handed over provider keys that are none") from None


def _wrap(secret: bytes, context: str, bound: Sequence[bytes], plain: bytes) -> tuple[bytes, bytes]:
    """Deterministic authenticated encryption: SIV (Rogaway and Shrimpton, 2006) with keyed BLAKE3 for both of its halves.

    The MAC over everything is also what makes the key stream: where a nonce is used again for other keys (a lost reply, and the
    provider's key was rotated in between), the stream is another one. Returns what is wrapped, and the MAC.
    """
    mac_key, stream_key = _keys(secret, context)
    tag = blake3(_joined([*bound, plain]), key=mac_key).digest()
    return _xor(plain, stream_key, tag), tag


def _unwrap(secret: bytes, context: str, bound: Sequence[bytes], sealed: tuple[bytes, bytes]) -> bytes:
    """Raises `FilterError` where the MAC does not hold."""
    wrapped, tag = sealed
    mac_key, stream_key = _keys(secret, context)
    plain = _xor(wrapped, stream_key, tag)
    if not hmac.compare_digest(blake3(_joined([*bound, plain]), key=mac_key).digest(), tag):
        hint = "somebody may sit between this host and the service: ask the hotline before you try again"
        raise FilterError("the answer does not come from the service, or was changed on its way", hint=hint)
    return plain


def _keys(secret: bytes, context: str) -> tuple[bytes, bytes]:
    material = blake3(secret, derive_key_context=context).digest(length=64)
    return material[:32], material[32:]


def _xor(data: bytes, key: bytes, tag: bytes) -> bytes:
    stream = blake3(tag, key=key).digest(length=len(data)) if data else b""
    return bytes(one ^ other for one, other in zip(data, stream, strict=True))


def _joined(parts: Sequence[bytes]) -> bytes:
    """Parts with their lengths (4 bytes, little-endian) before them: no two lists of parts are the same bytes."""
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def _text64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _bytes64(fields: Fields, key: str, most: int) -> bytes:
    """Raises `StrictJsonError`, also for base64 that is not what `_text64` writes."""
    text = fields.text(key, max_chars=(most + 2) // 3 * 4)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if not data or _text64(data) != text:
        raise StrictJsonError(f"{key!r} is not base64")
    return data


def _encode(document: dict[str, str]) -> bytes:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode()
