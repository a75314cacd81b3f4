"""Root keys and drafts of a new root, without a data folder: what a key holder needs on a machine that is not the server.

A draft is a JSON file: ``{"format": 1, "kind": "hashscan root draft", "old": ROOT or null, "new": ROOT}``, signed or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hashscan.atomic import write_bytes
from hashscan.errors import HashscanError, UsageError
from hashscan.known.envelopes import SigningKey, key_id, public_key
from hashscan.known.metadata import MAX_ROOT_BYTES, ONLINE_ROLES, RootPlan, read_root, sign, signed_by
from hashscan.service.private_files import read_key, write_key, write_new
from hashscan.strict_json import StrictJsonError, parse_object

_KIND = "hashscan root draft"
_FORMAT = 1
_MAX_DRAFT_BYTES = 2 * MAX_ROOT_BYTES + 1024
_MAX_PUBLIC_BYTES = 4096


@dataclass(frozen=True, slots=True)
class RootKeyFile:
    """A root key that was made: where the halves lie, the public one in 64 hex digits, its id."""

    private: Path
    public_file: Path
    public: str
    id: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A root to come, and the one that it follows (None: it is the first). Both as TUF metadata."""

    old: bytes | None
    new: bytes

    @property
    def before(self) -> RootPlan | None:
        """What the old root says, as the draft has it. Raises `UsageError`."""
        return None if self.old is None else read_root(self.old)

    @property
    def plan(self) -> RootPlan:
        """What the new root says. Raises `UsageError`."""
        return read_root(self.new)

    def to_bytes(self) -> bytes:
        """The file."""
        old = None if self.old is None else json.loads(self.old)
        document = {"kind": _KIND, "format": _FORMAT, "old": old, "new": json.loads(self.new)}
        return json.dumps(document, indent=1).encode() + b"\n"


def make_root_key(path: Path) -> RootKeyFile:
    """A new key pair: the private half in ``path`` (PEM, mode 0600), the public one in ``path``.pub (hex).

    Raises `UsageError` where one is there already, `HashscanError` where they cannot be written.
    """
    key = SigningKey.generate()
    public_file = path.with_name(path.name + ".pub")
    write_key(path, key)
    write_new(public_file, key.public_hex().encode() + b"\n", mode=0o644)
    return RootKeyFile(path, public_file, key.public_hex(), key_id(key.public_hex()))


def read_public(text: str) -> str:
    """The public key in the file that ``text`` names, or in ``text`` itself: 64 lowercase hex digits. Raises `UsageError`."""
    path = Path(text)
    content = _read(path, _MAX_PUBLIC_BYTES).decode("ascii", "replace") if path.exists() else text
    if "PRIVATE KEY" in content:
        raise UsageError(f"{path} is a private key", hint="name the .pub file beside it; the private half stays where it is")
    public = content.strip().lower()
    try:
        public_key(public)
    except UsageError:
        raise UsageError(f"{text!r} is neither a file with a public key nor 64 hex digits") from None
    return public


def read_draft(path: Path) -> Draft:
    """The draft in a file. Raises `UsageError`."""
    try:
        document = parse_object(_read(path, _MAX_DRAFT_BYTES), max_bytes=_MAX_DRAFT_BYTES, max_depth=10)
        if (document.get("kind"), document.get("format")) != (_KIND, _FORMAT):
            raise StrictJsonError("it is no draft that this program knows")
        draft = Draft(None if document.get("old") is None else _bytes(document["old"]), _bytes(document.get("new")))
    except StrictJsonError as error:
        raise UsageError(f"cannot use {path}: {error}") from None
    _ = draft.plan, draft.before  # both can be read
    return draft


def _bytes(root: Any) -> bytes:
    return json.dumps(root, separators=(",", ":"), sort_keys=True).encode()  # as the library writes it


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(max_bytes + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def write_draft(path: Path, draft: Draft) -> None:
    """Put a draft into a file, in one step. Raises `HashscanError`."""
    try:
        write_bytes(path, draft.to_bytes(), mode=0o644)
    except OSError as error:
        raise HashscanError(f"cannot write {path}: {error.strerror}") from None


def sign_draft(path: Path, key_file: Path) -> Draft:
    """Add the signature of a root key to the draft in ``path``, unseen. Raises `UsageError`, `HashscanError`."""
    signed = add_signature(read_draft(path), read_key(key_file))
    write_draft(path, signed)
    return signed


def add_signature(draft: Draft, key: SigningKey) -> Draft:
    """The draft with the signature of ``key``; `describe` says what is signed. Raises `UsageError` where it cannot count."""
    if key.public_hex() not in asked(draft):
        raise UsageError(
            f"root key {key_id(key.public_hex())} is asked for neither by the old root nor by the new one",
            hint="'hashscan service keys show' lists the root keys",
        )
    return Draft(draft.old, sign(draft.new, key))


def asked(draft: Draft) -> tuple[str, ...]:
    """The public keys whose signatures can count, those of the old root first."""
    before = draft.before
    return tuple(dict.fromkeys((*(before.root_keys if before else ()), *draft.plan.root_keys)))


def missing(draft: Draft) -> list[str]:
    """What is still to be signed, a line for each of the two roots; empty where nothing is."""
    found = []
    for plan, which in ((draft.before, "the old root"), (draft.plan, "the new root")):
        if plan and (have := len(signed_by(draft.new, plan.root_keys))) < plan.threshold:
            found.append(f"{plan.threshold - have} more of the {len(plan.root_keys)} keys of {which}")
    return found


def describe(draft: Draft, key: str | None = None) -> list[str]:
    """What the new root changes, in words for the person who is about to sign with the public key ``key``.

    The whole new root is stated too: a taken server can write any "old" root into a draft.
    """
    lines = [*changes(draft.before, draft.plan), "", *summary(draft.plan)]
    if draft.old is not None and not (key and signed_by(draft.old, [key])):
        # What this key signed once, it vouches for. Without that the draft's word for the old root is all there is.
        lines += ["", "Your key has not signed the old root in this draft: compare the key ids with your own records."]
    return lines


def changes(old: RootPlan | None, new: RootPlan) -> list[str]:
    """What differs, a line each."""
    if old is None:
        return [f"This makes root version {new.version}, the first one."]
    lines = [f"This replaces root version {old.version} by version {new.version}:"]
    lines += [f"  root key added:   {key_id(one)}" for one in new.root_keys if one not in old.root_keys]
    lines += [f"  root key removed: {key_id(one)}" for one in old.root_keys if one not in new.root_keys]
    if (old.threshold, len(old.root_keys)) != (new.threshold, len(new.root_keys)):
        was, will = _threshold(old), _threshold(new)
        lines.append(f"  threshold:        {was} -> {will}")
    for role in ONLINE_ROLES:
        if old.online[role] != new.online[role]:
            lines.append(f"  {role} key:".ljust(20) + f"{key_id(old.online[role])} -> {key_id(new.online[role])}")
    lines.append(f"  expiry:           {day(old.expires)} -> {day(new.expires)}")
    return lines


def summary(plan: RootPlan) -> list[str]:
    """All that a root says, a line each."""
    return [
        f"root version {plan.version}, until {day(plan.expires)}, signed by {_threshold(plan)} root keys:",
        *(f"  {key_id(one)}  {one}" for one in plan.root_keys),
        "online keys:",
        *(f"  {role.ljust(10)} {key_id(plan.online[role])}" for role in ONLINE_ROLES),
    ]


def signatures(draft: Draft) -> Iterable[str]:
    """The ids of the root keys whose signatures the new root has."""
    return (key_id(one) for one in signed_by(draft.new, asked(draft)))


def _threshold(plan: RootPlan) -> str:
    return f"{plan.threshold} of {len(plan.root_keys)}"


def day(seconds: float) -> str:
    """A time in seconds since 1970 as a date in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
