"""Write beside, fsync, rename, fsync the directory: after a crash there is the old file or the new one, never a torn one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def fsync_directory(path: Path | int) -> None:
    """Make names in a directory durable. ``path`` is a path or an open directory descriptor. Raises OSError."""
    if isinstance(path, int):
        os.fsync(path)
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def replace_file(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A new file beside ``path`` that takes its place when the block ends well, and leaves no trace when it does not.

    Until then ``stream.name`` is the name beside. Raises OSError (ENOSPC and the like); the file in place is then untouched.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.new")
    try:
        with open(beside, "xb", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, mode)) as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(beside, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(beside)
        raise
    fsync_directory(path.parent)


def write_bytes(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put ``data`` at ``path`` in one step. Raises OSError."""
    with replace_file(path, mode=mode) as stream:
        stream.write(data)


def make_private_directory(path: Path) -> None:
    """Make ``path`` (and what leads to it) as a directory of mode 0700, durable; fine where it is there. Raises OSError."""
    missing = []
    here = path
    while not here.exists():
        missing.append(here)
        here = here.parent
    # A run that was killed may have made it and not come to make its name durable. Where we may not write, none of ours did.
    if os.access(here.parent, os.R_OK | os.W_OK):
        fsync_directory(here.parent)
    for one in reversed(missing):
        with suppress(FileExistsError):
            one.mkdir(mode=0o700)
        fsync_directory(one.parent)
    if not path.is_dir():
        raise NotADirectoryError(path)
