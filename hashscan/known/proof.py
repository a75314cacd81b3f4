"""The signed metadata in one document: what was believed and why, to be verified again at every start and years later.

::

    {"format": 1, "roots": [base64, ...], "timestamp": base64, "snapshot": base64, "targets": base64, "verdict_keys": base64}

Signatures, versions and hashes are checked by `tuf.api` from the pinned root on; age is not judged. The client part of `tuf`
(`known.updater`) is not imported: a scan starts with this. Measured: 5 ms of import on top of the envelopes, and 3.5 ms for
each signature where Ed25519 is computed in Python, three of them where the root has not changed since it was pinned.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from tuf.api.exceptions import BadVersionNumberError, RepositoryError
from tuf.api.metadata import Metadata, Root, Signed, Snapshot, Targets, Timestamp

from hashscan.errors import FilterError
from hashscan.known.refusals import refusing
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

_T = TypeVar("_T", Root, Timestamp, Snapshot, Targets)


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


def verify(chain: Chain, pinned: bytes) -> Verified:
    """Check every signature, version and hash from the root ``pinned`` on. Raises `FilterError` naming what fails."""
    if pinned not in chain.roots:
        raise FilterError("the stored list metadata does not begin with the root of this enrolment")
    root = _newest_root(chain.roots[chain.roots.index(pinned) :])
    with refusing(lambda: "timestamp.json"):
        timestamp = _signed_by(root, Timestamp, chain.timestamp, MAX_TIMESTAMP_BYTES)
    with refusing(lambda: "snapshot.json"):
        timestamp.snapshot_meta.verify_length_and_hashes(chain.snapshot)
        snapshot = _signed_by(root, Snapshot, chain.snapshot, MAX_SNAPSHOT_BYTES)
        _expect_version(snapshot, timestamp.snapshot_meta.version)
    with refusing(lambda: "targets.json"):
        meta = snapshot.meta["targets.json"]
        meta.verify_length_and_hashes(chain.targets)
        targets = _signed_by(root, Targets, chain.targets, MAX_TARGETS_BYTES)
        _expect_version(targets, meta.version)
    with refusing(lambda: VERDICT_KEYS):
        if VERDICT_KEYS not in targets.targets:
            raise RepositoryError("the targets do not name it")
        targets.targets[VERDICT_KEYS].verify_length_and_hashes(chain.verdict_keys)
    return Verified(
        root=root.version,
        online=_online(root),
        sequence=timestamp.version,
        expires=timestamp.expires.timestamp(),
        # Made again from what was signed: a document may say more than its signature covers.
        timestamp=timestamp.to_dict(),
        targets=targets.to_dict(),
        verdict_keys=chain.verdict_keys,
    )


def _newest_root(roots: tuple[bytes, ...]) -> Root:
    """Each root after the first is signed by the one before it and by itself; the first is the pinned one, byte for byte."""
    with refusing(lambda: "the pinned root"):
        trusted = _load(Root, roots[0], MAX_ROOT_BYTES).signed
    for data in roots[1:]:
        name = f"{trusted.version + 1}.root.json"
        with refusing(lambda name=name: name):  # type: ignore[misc]
            new = _load(Root, data, MAX_ROOT_BYTES)
            _expect_version(new.signed, trusted.version + 1)
            for signer in (trusted, new.signed):
                signer.verify_delegate(Root.type, new.signed_bytes, new.signatures)
            trusted = new.signed
    return trusted


def _signed_by(root: Root, kind: type[_T], data: bytes, max_bytes: int) -> _T:
    metadata = _load(kind, data, max_bytes)
    root.verify_delegate(kind.type, metadata.signed_bytes, metadata.signatures)
    return metadata.signed


def _load(kind: type[_T], data: bytes, max_bytes: int) -> Metadata[_T]:
    parse_object(data, max_bytes=max_bytes, max_depth=MAX_METADATA_DEPTH)  # tuf takes the last of two equal keys, and NaN
    metadata = Metadata[_T].from_bytes(data)
    if not isinstance(metadata.signed, kind):
        raise RepositoryError(f"it is {metadata.signed.type} metadata")
    return metadata


def _expect_version(signed: Signed, version: int) -> None:
    if signed.version != version:
        raise BadVersionNumberError(f"version {signed.version}, not {version}")


def _online(root: Root) -> str:
    """A digest of the keys that ``root`` appoints for timestamp, snapshot and targets: 64 hex digits."""
    keys = {
        role: sorted(json.dumps(root.keys[name].to_dict(), sort_keys=True) for name in root.roles[role].keyids)
        for role in ("timestamp", "snapshot", "targets")
    }
    return hashlib.sha256(json.dumps(keys, sort_keys=True).encode()).hexdigest()
