"""The gate of `tuf.api`, the making side: root, targets, snapshot and timestamp of The Update Framework as bytes.

The canonical JSON that is signed knows no fractions: every time in these documents is a whole number of seconds since 1970,
rounded down here (``issued`` and ``created`` too, which readers may therefore see up to a second early).
Source: https://theupdateframework.github.io/specification/latest/ (sections 4.2 to 4.6), wire format in docs/wire.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack

from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature
from tuf.api.metadata import Key, Metadata, MetaFile, Role, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.api.serialization import DeserializationError, SerializationError

from hashscan.errors import UsageError
from hashscan.known.envelopes import SigningKey, key_id, public_key
from hashscan.strict_json import StrictJsonError, parse_object

ONLINE_ROLES = ("targets", "snapshot", "timestamp")
CUSTOM = "x-hashscan"
FORMAT = 1
MAX_ROOT_KEYS = 16
MAX_ROOT_BYTES = 64 * 1024  # 16 root keys and 16 signatures are 6 kB
MAX_METADATA_BYTES = 4 * 2**20
_MOST_SAID = 300  # characters of a foreign message
_MAX_TIME = 2.5e11  # seconds since 1970: the last year that a calendar can show


@dataclass(frozen=True, slots=True)
class RootPlan:
    """What a root says. Keys as 64 hex digits; ``expires`` in seconds since 1970; ``online`` by the names in `ONLINE_ROLES`."""

    version: int
    expires: float
    root_keys: tuple[str, ...]
    threshold: int
    online: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TargetFileSpec:
    """One published file: ``length`` in bytes, ``sha256`` in hex, ``custom`` what agents read of it (numbers become whole)."""

    name: str
    length: int
    sha256: str
    custom: Mapping[str, str | int | float | bool]


class Terms(TypedDict):
    """Whom the targets are for, and how often they may be asked for: seconds between two syncs, most seconds added to it."""

    provider: str
    wait: float
    jitter: float


def draft_root(plan: RootPlan) -> bytes:
    """A root without signatures. Raises `UsageError` where the plan makes no sense."""
    _check_plan(plan)
    return _bytes(Metadata(_root_of(plan)))


def _root_of(plan: RootPlan) -> Root:
    keys: dict[str, Key] = {key_id(one): public_key(one) for one in (*plan.root_keys, *plan.online.values())}
    roles = {name: Role([key_id(plan.online[name])], 1) for name in ONLINE_ROLES}
    roles["root"] = Role([key_id(one) for one in plan.root_keys], plan.threshold)
    return Root(version=plan.version, expires=_date(plan.expires), keys=keys, roles=roles, consistent_snapshot=True)


def _check_plan(plan: RootPlan) -> None:
    """Raises `UsageError`."""
    for one in (*plan.root_keys, *plan.online.values()):
        if one != one.lower():
            raise UsageError("a public key is 64 lowercase hex digits")
        public_key(one)
    if not (type(plan.version) is type(plan.threshold) is int and plan.version >= 1):
        raise UsageError("the version and the threshold of a root are whole numbers from 1 on")
    if not 1 <= len(plan.root_keys) <= MAX_ROOT_KEYS or len(set(plan.root_keys)) != len(plan.root_keys):
        raise UsageError(f"a root has from 1 to {MAX_ROOT_KEYS} different keys")
    if not 1 <= plan.threshold <= len(plan.root_keys):
        raise UsageError(f"a threshold of {plan.threshold} cannot be met with {len(plan.root_keys)} root keys")
    if set(plan.online) != set(ONLINE_ROLES):
        raise UsageError(f"a root names one online key for each of {', '.join(ONLINE_ROLES)}")
    if shared := set(plan.online.values()) & set(plan.root_keys):
        # Whoever takes the server would hold a root key.
        raise UsageError(f"{key_id(shared.pop())} cannot be a root key and an online key")


def read_root(data: bytes) -> RootPlan:
    """What a root says, whoever signed it. Raises `UsageError` where it is damaged, or not of the form of `draft_root`."""
    root = _root(data).signed
    try:
        public = {name: str(key.keyval["public"]) for name, key in root.keys.items()}
        owners = root.roles["root"]
        plan = RootPlan(
            version=root.version,
            expires=root.expires.timestamp(),
            root_keys=tuple(public[name] for name in owners.keyids),
            threshold=owners.threshold,
            online={name: _only(root.roles[name], public) for name in ONLINE_ROLES},
        )
        _check_plan(plan)
        again = _root_of(plan)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"this root cannot be read: {type(error).__name__}") from None
    again.spec_version = root.spec_version  # that of the library which made it
    if again != root:
        # Another key id, kind or field; one key under two ids would count twice towards the threshold.
        raise UsageError("this root says something that this program does not know", hint="was it made by a newer version?")
    return plan


def _only(role: Role, public: Mapping[str, str]) -> str:
    if len(role.keyids) != 1 or role.threshold != 1:
        raise ValueError("an online role has one key")
    return public[role.keyids[0]]


def _root(data: bytes) -> Metadata[Root]:
    metadata = _load(data, MAX_ROOT_BYTES)
    if not isinstance(metadata.signed, Root):
        raise UsageError(f"this is not a root but {metadata.signed.type} metadata")
    return metadata


def _load(data: bytes, max_bytes: int) -> Metadata[Any]:
    try:
        parse_object(data, max_bytes=max_bytes, max_depth=8)  # stricter than the library: no key twice, no depth
        return Metadata.from_bytes(data)
    except StrictJsonError as error:
        raise UsageError(f"this is not TUF metadata: {str(error)[:_MOST_SAID]}") from None
    except DeserializationError as error:
        raise UsageError(f"this is not TUF metadata: {str(error.__cause__ or error)[:_MOST_SAID]}") from None


def sign(metadata: bytes, key: SigningKey) -> bytes:
    """The same document of any role with the signature of ``key``, added or made anew. Raises `UsageError`."""
    document = _load(metadata, MAX_METADATA_BYTES)
    return _signed(document, [key], append=True)


def signed_by(metadata: bytes, publics: Iterable[str]) -> tuple[str, ...]:
    """Those of ``publics`` (64 hex digits each) whose signatures over the document hold. Raises `UsageError`."""
    document = _load(metadata, MAX_METADATA_BYTES)
    content = _content(document)
    return tuple(one for one in publics if _holds(public_key(one), document.signatures, content))


def _holds(key: Key, signatures: Mapping[str, Signature], content: bytes) -> bool:
    if (signature := signatures.get(key.keyid)) is None:
        return False
    try:
        key.verify_signature(signature, content)
    except UnverifiedSignatureError:
        return False
    return True


def check_root(new: bytes, old: bytes | None) -> None:
    """Whether agents that believe ``old`` will believe ``new``: next version, enough signatures of both.

    Its age is not judged here. Raises `UsageError` naming what is missing.
    """
    plan = read_root(new)
    before = plan if old is None else read_root(old)
    expected = 1 if old is None else before.version + 1
    if plan.version != expected:
        raise UsageError(f"this is root version {plan.version}, and version {expected} comes next")
    for one, which in ((before, "the root in force"), (plan, "the new root")):
        found = len(signed_by(new, one.root_keys))
        if found < one.threshold:
            raise UsageError(
                f"the new root has {found} of the {one.threshold} signatures that {which} asks for",
                hint="sign it with 'hashscan service keys sign'",
            )


def make_targets(
    *, version: int, expires: float, files: Iterable[TargetFileSpec], keys: Sequence[SigningKey], **terms: Unpack[Terms]
) -> bytes:
    """Signed targets of one provider, see `Terms`. Raises `UsageError` where a name occurs twice or a time is none."""
    custom = {"format": FORMAT, "provider": terms["provider"], "wait": _whole(terms["wait"]), "jitter": _whole(terms["jitter"])}
    targets: dict[str, TargetFile] = {}
    for one in files:
        if one.name in targets:
            raise UsageError(f"the target {one.name!r} occurs twice")
        facts = {name: _whole(value) if isinstance(value, float) else value for name, value in one.custom.items()}
        targets[one.name] = TargetFile(one.length, {"sha256": one.sha256}, one.name, {"custom": facts})
    signed = Targets(version, expires=_date(expires), targets=targets, unrecognized_fields={CUSTOM: custom})
    return _signed(Metadata(signed), keys)


def make_snapshot(
    *, version: int, expires: float, targets_version: int, targets: bytes | None = None, keys: Sequence[SigningKey]
) -> bytes:
    """Signed snapshot; with ``targets``, the bytes of that version, it names their length and SHA-256 too."""
    meta = {"targets.json": _meta(targets_version, targets)}
    return _signed(Metadata(Snapshot(version, expires=_date(expires), meta=meta)), keys)


def make_timestamp(
    *,
    version: int,
    expires: float,
    issued: float,
    snapshot_version: int,
    snapshot: bytes | None = None,
    keys: Sequence[SigningKey],
) -> bytes:
    """Signed timestamp, ``issued`` in seconds since 1970; with ``snapshot`` it names length and SHA-256 of those bytes too."""
    custom = {CUSTOM: {"issued": _whole(issued)}}
    meta = _meta(snapshot_version, snapshot)
    return _signed(Metadata(Timestamp(version, expires=_date(expires), snapshot_meta=meta, unrecognized_fields=custom)), keys)


def _meta(version: int, content: bytes | None) -> MetaFile:
    return MetaFile(version) if content is None else MetaFile.from_data(version, content, ["sha256"])


def _signed(document: Metadata[Any], keys: Iterable[SigningKey], *, append: bool = False) -> bytes:
    content = _content(document)  # first, because what cannot be signed is told apart here
    if not append:
        document.signatures.clear()
    for key in keys:
        signature = key.signer.sign(content)
        document.signatures[signature.keyid] = signature
    return _bytes(document)


def _content(document: Metadata[Any]) -> bytes:
    try:
        return document.signed_bytes
    except SerializationError as error:
        raise UsageError(f"this cannot be signed: {str(error.__cause__ or error)[:_MOST_SAID]}") from None


def _bytes(document: Metadata[Any]) -> bytes:
    return document.to_bytes()


def _whole(seconds: float) -> int:
    if not (math.isfinite(seconds) and 0 <= seconds <= _MAX_TIME):
        raise UsageError(f"{seconds} is not a number of seconds")
    return int(seconds)


def _date(seconds: float) -> datetime:
    return datetime.fromtimestamp(_whole(seconds), UTC)
