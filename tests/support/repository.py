"""A repository of The Update Framework in memory, with every knob that an attacker or a clumsy operator could turn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hashscan.errors import FilterError, NotPublishedError
from hashscan.known import chain, metadata
from hashscan.known.envelopes import SigningKey
from hashscan.known.metadata import ONLINE_ROLES, RootPlan, TargetFileSpec

DAY = 86_400.0  # seconds
PIECE = 100  # bytes of one piece of a fetched file


def make_keys(number: int) -> list[SigningKey]:
    return [SigningKey.generate() for _ in range(number)]


def make_online() -> dict[str, SigningKey]:
    return {role: SigningKey.generate() for role in ONLINE_ROLES}


def file_spec(name: str, data: bytes, custom: Mapping[str, Any]) -> TargetFileSpec:
    return TargetFileSpec(name, len(data), hashlib.sha256(data).hexdigest(), custom)


@dataclass
class Repository:
    """``files`` are what is served; ``roots`` all root files, of which agents pin the first. Times in seconds since 1970."""

    start: float
    provider: str
    root_keys: list[SigningKey] = field(default_factory=lambda: make_keys(1))
    threshold: int = 1
    online: dict[str, SigningKey] = field(default_factory=make_online)
    roots: list[bytes] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.roots:
            self.add_root()

    # The root.

    def plan(self, **changes: Any) -> RootPlan:
        fields: dict[str, Any] = {
            "version": len(self.roots) + 1,
            "expires": self.start + 365 * DAY,
            "root_keys": tuple(key.public_hex() for key in self.root_keys),
            "threshold": self.threshold,
            "online": {role: key.public_hex() for role, key in self.online.items()},
            **changes,
        }
        return RootPlan(**fields)

    def add_root(self, signers: list[SigningKey] | None = None, **changes: Any) -> bytes:
        """Publish the next root, signed by ``signers`` (all root keys); ``changes`` are fields of `RootPlan`."""
        plan = self.plan(**changes)
        data = metadata.draft_root(plan)
        for key in self.root_keys if signers is None else signers:
            data = metadata.sign(data, key)
        self.roots.append(data)
        self.files[f"{len(self.roots)}.root.json"] = data
        return data

    def rotate_root_keys(self, number: int = 1, threshold: int = 1) -> bytes:
        """The next root has new root keys; old and new ones sign it."""
        old, self.root_keys, self.threshold = self.root_keys, make_keys(number), threshold
        return self.add_root([*old, *self.root_keys])

    def rotate_online(self, *roles: str) -> bytes:
        """The next root has new online keys (all of them, or those of ``roles``)."""
        self.online = {**self.online, **{role: SigningKey.generate() for role in roles or ONLINE_ROLES}}
        return self.add_root()

    # What the online keys sign.

    def sign_targets(self, version: int, files: list[TargetFileSpec], **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "expires": self.start + 30 * DAY,
            "provider": self.provider,
            "wait": 3600.0,
            "jitter": 1800.0,
            "keys": [self.online["targets"]],
            **changes,
        }
        data = metadata.make_targets(version=version, files=files, **fields)
        self.files[f"{version}.targets.json"] = data
        return data

    def sign_snapshot(self, version: int, targets_version: int, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "expires": self.start + 30 * DAY,
            "targets": self.files.get(f"{targets_version}.targets.json"),
            "keys": [self.online["snapshot"]],
            **changes,
        }
        data = metadata.make_snapshot(version=version, targets_version=targets_version, **fields)
        self.files[f"{version}.snapshot.json"] = data
        return data

    def sign_timestamp(self, version: int, snapshot_version: int, **changes: Any) -> bytes:
        fields: dict[str, Any] = {
            "expires": self.start + 2 * DAY,
            "issued": self.start,
            "snapshot": self.files.get(f"{snapshot_version}.snapshot.json"),
            "keys": [self.online["timestamp"]],
            **changes,
        }
        data = metadata.make_timestamp(version=version, snapshot_version=snapshot_version, **fields)
        self.files["timestamp.json"] = data
        return data

    def proof(self, version: int) -> bytes:
        """What an agent keeps that has refreshed while timestamp, snapshot and targets had this one version."""
        return chain.pack(
            chain.Chain(
                tuple(self.roots),
                self.files["timestamp.json"],
                self.files[f"{version}.snapshot.json"],
                self.files[f"{version}.targets.json"],
                self.files[chain.VERDICT_KEYS],
            )
        )

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        """A `ports.Fetcher`."""
        self.asked.append(name)
        if name not in self.files:
            raise NotPublishedError(f"no {name}")
        data = self.files[name]
        if len(data) > max_bytes:
            raise FilterError(f"{name} is longer than allowed")
        yield from (data[start : start + PIECE] for start in range(0, len(data), PIECE))
