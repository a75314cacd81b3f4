"""Files that only their owner may read: private keys, and the database beside them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from hashscan.atomic import write_bytes
from hashscan.errors import HashscanError, UsageError
from hashscan.known.envelopes import SigningKey

_MAX_KEY_BYTES = 65_536


def read_key(path: Path) -> SigningKey:
    """The private key in a PEM file. Raises `UsageError` where it is missing, damaged or readable by others."""
    try:
        refuse_readable(path)
        with path.open("rb") as stream:
            return SigningKey.from_pem(stream.read(_MAX_KEY_BYTES))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="restore it from its backup") from None


def refuse_readable(path: Path) -> None:
    """Raises `UsageError` where others than the owner may read ``path``, and OSError."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & 0o077:
        raise UsageError(f"{path} has mode {mode:04o}: others may read it", hint=f"chmod 600 {path}")


def write_key(path: Path, key: SigningKey) -> None:
    """A PEM file of mode 0600 that was not there before. Raises `UsageError` where it was, `HashscanError` (no space)."""
    write_new(path, key.to_pem(), mode=0o600)


def write_new(path: Path, data: bytes, *, mode: int) -> None:
    """A file that was not there before. Raises `UsageError` where it was, `HashscanError` where it cannot be written."""
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already", hint="name another file; a key that is overwritten is lost")
    try:
        write_bytes(path, data, mode=mode)
    except OSError as error:
        raise HashscanError(f"cannot write {path}: {error.strerror}") from None
