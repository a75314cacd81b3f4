"""Secrets: never settings, only names of files that nobody else can read; or credentials that systemd hands to a unit."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from hashscan.errors import UsageError

MAX_SECRET_BYTES = 4096
MAX_SECRET_LINES_BYTES = 8192  # a provider key file of 64 lines has 5 kB
CREDENTIALS = "CREDENTIALS_DIRECTORY"
PREFIX = "credential:"
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")


def credential(name: str, environ: Mapping[str, str]) -> str:
    """The file of the credential ``name`` of this unit. Raises ValueError saying what is wanted."""
    folder = environ.get(CREDENTIALS, "")
    if not _NAME.fullmatch(name):
        raise ValueError(f'a credential like "{PREFIX}api-key"')
    if not folder.startswith("/"):
        raise ValueError(f"a file outside a systemd unit with LoadCredential={name}:..., where ${CREDENTIALS} is not set")
    return os.path.join(folder, name)


def read_secret(path: Path, *, lines: bool = False) -> str:
    """The stripped text of a secret file that only its owner can read: one word, or with ``lines`` several lines of words.

    Raises `UsageError`.
    """
    most = MAX_SECRET_LINES_BYTES if lines else MAX_SECRET_BYTES
    try:
        data = _read_private(path, most + 1)
    except OSError as error:
        raise UsageError(f"cannot read the secret file {path}: {error.strerror}", hint="it comes with the enrolment") from None
    text = data.decode("ascii", "replace").strip()
    if not re.fullmatch("[ -~\n]+" if lines else "[!-~]+", text) or len(data) > most:
        raise UsageError(f"the secret file {path} does not hold a key")
    return text


def _read_private(path: Path, most: int) -> bytes:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for a writer for ever
    try:
        check_private(path, os.fstat(fd))
        return os.read(fd, most)
    finally:
        os.close(fd)


def _of_a_part(path: Path, status: os.stat_result) -> bool:
    """Whether root looks at a secret of a user in a folder that nobody but that user can enter: a part of a split host."""
    if os.geteuid() != 0:
        return False
    folder = os.stat(path.parent, follow_symlinks=False)
    return stat.S_ISDIR(folder.st_mode) and folder.st_uid == status.st_uid and folder.st_mode & 0o077 == 0


def check_private(path: Path, status: os.stat_result, environ: Mapping[str, str] = os.environ) -> None:
    """Whether a file is a secret of ours. Raises `UsageError`.

    Of a credential that root gave to a unit with another user the group bits are the mask of an access list: they must not be
    looked at, and the folder lets nobody else in.
    """
    if not stat.S_ISREG(status.st_mode) or not (status.st_uid in {os.geteuid(), 0} or _of_a_part(path, status)):
        raise UsageError(f"the secret file {path} must be a file of yours or root's")
    granted = status.st_uid == 0 and str(path.parent) == environ.get(CREDENTIALS)
    if status.st_mode & (0o007 if granted else 0o077):
        raise UsageError(f"the secret file {path} can be read by others", hint=f"chmod 600 {path}")
