"""A new API key without a gap: at every moment, also after a crash, the key in the file works.

::

    api-key.new      the new key, before the service is told of it
    api-key.retire   SHA-256 of the old key, from before the new one takes its place until the service has ended it
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hashscan.atomic import fsync_directory, write_bytes
from hashscan.errors import RefusedError, StateError
from hashscan.jobs.settling import alone
from hashscan.known.enrolment import api_key_sha256, check_label, new_api_key

MAX_BYTES = 4096


class KeyDesk(Protocol):
    """Where API keys are changed: `central.enrolling.HttpKeys` with one key as its bearer."""

    def add_api_key(self, sha256: str, label: str) -> None:
        """Another key beside the one that asks."""

    def retire_api_key(self, sha256: str) -> None:
        """End the key by which the one that asks was added."""


Connect = Callable[[str], AbstractContextManager[KeyDesk]]
"""Opens the desk with an API key."""


@dataclass(frozen=True, slots=True)
class Files:
    """The API key and what lies beside it while it is changed."""

    key: Path

    @property
    def new(self) -> Path:
        """The key that is to come."""
        return self.key.with_name(self.key.name + ".new")

    @property
    def retire(self) -> Path:
        """The hash of the key that is to go."""
        return self.key.with_name(self.key.name + ".retire")


def rotate_key(current: str, files: Files, connect: Connect, label: str, step: Callable[[str], None] = lambda _: None) -> str:
    """Put a new API key into the place of ``current``, or finish a rotation that was interrupted; returns the key in force.

    ``step`` is told before each change. Raises `RefusedError`, `ServiceUnavailable`, `StateError`: then the old key is in
    force, or the new one is and the old one waits to be ended by the next call. `LockedError` where another call does it.
    """
    check_label(label)
    try:
        with alone(files.key.parent):
            waiting = _read(files.retire)
            if waiting and waiting != api_key_sha256(current):  # interrupted after the new key took its place
                return _end_old(current, waiting, files, connect, step)
            return _take_new(current, files, connect, label, step)
    except OSError as error:
        raise StateError(f"the API key beside {files.key} cannot be changed: {error.strerror}", hint="are you root?") from None


def _take_new(current: str, files: Files, connect: Connect, label: str, step: Callable[[str], None]) -> str:
    new = _read(files.new)
    if not new:
        new = new_api_key()
        step("write the new key")
        write_bytes(files.new, f"{new}\n".encode(), mode=0o600)
    try:
        _introduce(current, new, connect, label, step)
    except RefusedError:  # this one will not be wanted later either; the key in force stays
        files.new.unlink(missing_ok=True)
        raise
    step("note the old key")
    write_bytes(files.retire, f"{api_key_sha256(current)}\n".encode(), mode=0o600)
    step("take the new key")
    os.rename(files.new, files.key)
    fsync_directory(files.key.parent)
    return _end_old(new, api_key_sha256(current), files, connect, step)


def _introduce(current: str, new: str, connect: Connect, label: str, step: Callable[[str], None]) -> None:
    """Tell the service of the new key, then ask with the new one: it must work before it is relied on."""
    for key, what in ((current, "tell the service"), (new, "try the new key")):
        step(what)
        with connect(key) as desk:
            desk.add_api_key(api_key_sha256(new), label)


def _end_old(current: str, old_sha256: str, files: Files, connect: Connect, step: Callable[[str], None]) -> str:
    step("end the old key")
    try:
        with connect(current) as desk:
            desk.retire_api_key(old_sha256)
    except RefusedError as error:
        hint = f"the new key is in force; ask the hotline to revoke the old one, then remove {files.retire}"
        raise RefusedError(str(error), hint=hint) from None
    step("forget the old key")
    files.retire.unlink()
    fsync_directory(files.key.parent)
    return current


def _read(path: Path) -> str:
    """The text of a file beside the key, "" where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    with os.fdopen(fd, "rb") as stream:
        return stream.read(MAX_BYTES).decode("ascii", "replace").strip()
