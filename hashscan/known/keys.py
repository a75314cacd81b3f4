"""Provider keys, and the tokens and tags made with them (docs/wire.md, "Keys and tokens")."""

from __future__ import annotations

import re
import secrets
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field

from blake3 import blake3

from hashscan.errors import UsageError
from hashscan.model import Algorithm

_FILTER_CONTEXT = "hashscan filter v1"
_CONFIRM_CONTEXT = "hashscan confirm v1"
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class ProviderKey:
    """``K_provider``: 32 bytes, never shown by repr."""

    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.raw) != KEY_BYTES:
            raise UsageError(f"a provider key has {KEY_BYTES} bytes, this one has {len(self.raw)}")

    @classmethod
    def generate(cls) -> ProviderKey:
        """A new random key."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def from_hex(cls, text: str) -> ProviderKey:
        """The key written as 64 hex digits, white space around it ignored. Raises `UsageError`."""
        try:
            return cls(bytes.fromhex(text.strip()))
        except ValueError:
            raise UsageError("a provider key is 64 hex digits", hint="copy the enrolment's 'provider-key' file") from None

    def hex(self) -> str:
        """64 lowercase hex digits, for the key file."""
        return self.raw.hex()

    def filter_key(self, list_id: str, epoch: int) -> bytes:
        """``K_filter`` of one list and epoch, 32 bytes."""
        return self._derive(_FILTER_CONTEXT, list_id, epoch)

    def confirm_key(self, list_id: str, epoch: int) -> bytes:
        """``K_confirm`` of one list and epoch, 32 bytes."""
        return self._derive(_CONFIRM_CONTEXT, list_id, epoch)

    def _derive(self, context: str, list_id: str, epoch: int) -> bytes:
        name = list_id.encode()
        material = self.raw + len(name).to_bytes(2, "little") + name + epoch.to_bytes(8, "little")
        return blake3(material, derive_key_context=context).digest()


_LINE = re.compile(r"(?:([1-9][0-9]{0,8}) +)?([0-9a-fA-F]{64})")
MAX_RING = 64  # keys; each rotation adds one


@dataclass(frozen=True, slots=True)
class KeyRing:
    """The keys of one provider by the epoch since which each is used. An epoch's key is that of the last change before it."""

    keys: Mapping[int, ProviderKey]

    def __post_init__(self) -> None:
        if not self.keys or min(self.keys) < 1 or len(self.keys) > MAX_RING:
            raise UsageError(f"a provider has from 1 to {MAX_RING} keys, the first since epoch 1 or later")

    @classmethod
    def from_text(cls, text: str) -> KeyRing:
        """The key file: a line ``EPOCH KEY`` for each key; the key alone is since epoch 1. Raises `UsageError`."""
        keys: dict[int, ProviderKey] = {}
        for line in text.strip().splitlines():
            match = _LINE.fullmatch(line.strip())
            since = int(match[1] or 1) if match else 0
            if match is None or since in keys:
                hint = "copy the enrolment's 'provider-key' file"
                raise UsageError("a provider key file has lines of an epoch and 64 hex digits", hint=hint)
            keys[since] = ProviderKey.from_hex(match[2])
        return cls(keys)

    def text(self) -> str:
        """The key file."""
        return "".join(f"{since} {key.hex()}\n" for since, key in sorted(self.keys.items()))

    def has(self, epoch: int) -> bool:
        """Whether an epoch is not before the first key."""
        return epoch >= min(self.keys)

    def at(self, epoch: int) -> ProviderKey:
        """The key of an epoch. Raises `UsageError` where there is none."""
        since = sorted(self.keys)
        place = bisect_right(since, epoch)
        if not place:
            raise UsageError(f"there is no provider key for epoch {epoch}", hint="run 'hashscan sync'")
        return self.keys[since[place - 1]]

    def filter_key(self, list_id: str, epoch: int) -> bytes:
        """``K_filter`` of one list and epoch, 32 bytes."""
        return self.at(epoch).filter_key(list_id, epoch)

    def confirm_key(self, list_id: str, epoch: int) -> bytes:
        """``K_confirm`` of one list and epoch, 32 bytes."""
        return self.at(epoch).confirm_key(list_id, epoch)


def token(key: bytes, algorithm: Algorithm, digest: bytes) -> str:
    """The token (or tag, by the key) of a raw digest: 64 lowercase hex digits as `str`.

    As `str`, because pybloom-live 4.0 hashes ``str(key)``: a token passed as bytes would never be found again.
    """
    return blake3(algorithm.code + digest, key=key).hexdigest()
