"""The signed metadata in one document: what was believed and why, to be verified again at every start and years later.

::

    {"format": 1, "roots": [base64, ...], "timestamp": base64, "snapshot": base64, "targets": base64, "verdict_keys": base64}

Nothing is verified here: `known.proof` does that, and brings `tuf`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hashscan.errors import FilterError
from hashscan.strict_json import Fields, StrictJsonError, parse_object

FORMAT = 1
MAX_PROOF_BYTES = 4 * 2**20
MAX_ROTATIONS = 32  # roots after the pinned one: a rotation a year is a career
MAX_ROOT_BYTES = 512_000
MAX_TIMESTAMP_BYTES = 16_384
MAX_SNAPSHOT_BYTES = 65_536
MAX_TARGETS_BYTES = 2**20
MAX_VERDICT_KEYS_BYTES = 16_384
MAX_METADATA_DEPTH = 10  # signed > targets > NAME > custom > FIELD is 5; delegations go deeper
VERDICT_KEYS = "verdict-keys.json"


@dataclass(frozen=True, slots=True)
class Chain:
    """The files as they were published. ``roots`` in ascending order of their versions, the pinned one first."""

    roots: tuple[bytes, ...]
    timestamp: bytes
    snapshot: bytes
    targets: bytes
    verdict_keys: bytes


@dataclass(frozen=True, slots=True)
class Verified:
    """What the signatures of a chain cover. ``expires`` (of the timestamp) in seconds since 1970; the rest as `ports.Lists`."""

    root: int
    online: str
    sequence: int
    expires: float
    timestamp: Mapping[str, Any]
    targets: Mapping[str, Any]
    verdict_keys: bytes


def pack(chain: Chain) -> bytes:
    """The document. Raises `FilterError` where it would be too long."""
    document = {
        "format": FORMAT,
        "roots": [_text(root) for root in chain.roots],
        "timestamp": _text(chain.timestamp),
        "snapshot": _text(chain.snapshot),
        "targets": _text(chain.targets),
        "verdict_keys": _text(chain.verdict_keys),
    }
    proof = json.dumps(document, separators=(",", ":")).encode()
    if len(proof) > MAX_PROOF_BYTES:
        raise FilterError(f"the signed metadata is {len(proof)} bytes long, more than {MAX_PROOF_BYTES}")
    return proof


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def unpack(proof: bytes) -> Chain:
    """The files in the document, none of them verified. Raises `FilterError`."""
    try:
        fields = Fields(parse_object(proof, max_bytes=MAX_PROOF_BYTES, max_depth=2), "the proof")
        fields.integer("format", low=FORMAT, high=FORMAT)
        roots = fields.texts("roots", at_most=1 + MAX_ROTATIONS, max_chars=_base64_chars(MAX_ROOT_BYTES))
        return Chain(
            roots=tuple(_bytes(one) for one in roots),
            timestamp=_file(fields, "timestamp", MAX_TIMESTAMP_BYTES),
            snapshot=_file(fields, "snapshot", MAX_SNAPSHOT_BYTES),
            targets=_file(fields, "targets", MAX_TARGETS_BYTES),
            verdict_keys=_file(fields, "verdict_keys", MAX_VERDICT_KEYS_BYTES),
        )
    except StrictJsonError as error:
        raise FilterError(f"the stored list metadata cannot be used: {error}") from None


def _file(fields: Fields, key: str, max_bytes: int) -> bytes:
    return _bytes(fields.text(key, max_chars=_base64_chars(max_bytes)))


def _base64_chars(size: int) -> int:
    return 4 * -(-size // 3)


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise StrictJsonError("it holds no base64") from None
