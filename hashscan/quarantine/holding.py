"""Where a file is between its place and its end: a directory that only we can enter, on the same mount as the file.

A rename across mounts fails with EXDEV, and a bind mount has the same device number, so mounts are told apart by their id.
"""

from __future__ import annotations

import enum
import errno
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hashscan import atomic, fsops
from hashscan.model import Algorithm
from hashscan.quarantine import evidence
from hashscan.quarantine.record import HoldingPlace

HOLDING_NAME = b".hashscan-holding"


@dataclass(frozen=True, slots=True)
class Holding:
    """An open holding directory; whoever asked for it closes ``fd``."""

    fd: int
    place: HoldingPlace


class Held(enum.StrEnum):
    """What a holding directory has under the name of a case."""

    UNREACHABLE = "unreachable"  # the directory itself cannot be opened, or is another one
    EMPTY = "empty"
    OURS = "ours"  # the inode and the bytes that the evidence has
    CHANGED = "changed"  # the inode, but not (or not readably) those bytes
    FOREIGN = "foreign"  # anything else


def open_beside(own: Path, near: int) -> Holding:
    """A holding directory on the mount of the descriptor ``near``: the vault's ``own``, or one at the mount point.

    Raises OSError; EPERM where what is there is not a private directory of ours.
    """
    fd = os.open(own, fsops.DIRECTORY)
    if fsops.mount_id(fd) == fsops.mount_id(near):
        return Holding(fd, _describe(fd, b""))
    os.close(fd)
    point, point_fd = fsops.open_mount_point(near)
    try:
        with suppress(FileExistsError):
            os.mkdir(HOLDING_NAME, 0o700, dir_fd=point_fd)
        atomic.fsync_directory(point_fd)  # also where it was there: a run may have been killed right after making it
        fd = _open_private(HOLDING_NAME, point_fd, fsops.mount_id(near))
    finally:
        os.close(point_fd)
    return Holding(fd, _describe(fd, os.path.join(point, HOLDING_NAME)))


def open_again(own: Path, place: HoldingPlace) -> int:
    """The holding directory of a record. Raises OSError; ESTALE where another directory is there now.

    Device and mount numbers change over a restart, so the inode alone must agree.
    """
    directory = place.directory or os.fsencode(own)
    fd = _open_private(directory, None, None)
    if os.fstat(fd).st_ino != place.inode and place.directory:
        os.close(fd)
        raise OSError(errno.ESTALE, "another directory is there now", directory)
    return fd


def look(fd: int, name: str, inode: int, size: int, digests: Mapping[Algorithm, str]) -> Held:
    """What the holding directory ``fd`` has under ``name``; a FIFO, device or link is never opened. Raises OSError."""
    try:
        path_fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
    except FileNotFoundError:
        return absent(name, os.listdir(fd))
    try:
        status = os.fstat(path_fd)
        if not stat.S_ISREG(status.st_mode) or status.st_ino != inode:
            return Held.FOREIGN
        return Held.OURS if _readable_and_same(path_fd, size, digests) else Held.CHANGED
    finally:
        os.close(path_fd)


def absent(name: str, names: list[str]) -> Held:
    """What "no such file" means in a directory that lists ``names``: believed wrongly, the last copy of a file is dropped.

    Raises OSError where the two contradict each other, as on a network filesystem that has lost its server.
    """
    if name in names:
        raise OSError(errno.ESTALE, "the directory contradicts itself", name)
    return Held.EMPTY


def _readable_and_same(path_fd: int, size: int, digests: Mapping[Algorithm, str]) -> bool:
    try:
        fd = fsops.reopen(path_fd, os.O_RDONLY)
    except OSError:  # what cannot be read cannot be shown to be ours
        return False
    try:
        return evidence.agrees(fd, size, digests)
    except OSError:
        return False
    finally:
        os.close(fd)


def _describe(fd: int, directory: bytes) -> HoldingPlace:
    status = os.fstat(fd)
    return HoldingPlace(directory, status.st_dev, status.st_ino, fsops.mount_id(fd))


def _open_private(path: bytes, dir_fd: int | None, mount: int | None) -> int:
    fd = os.open(path, fsops.DIRECTORY, dir_fd=dir_fd)
    status = os.fstat(fd)
    private = status.st_uid == os.geteuid() and status.st_mode & 0o777 == 0o700
    if not private or (mount is not None and fsops.mount_id(fd) != mount):
        os.close(fd)
        raise OSError(errno.EPERM, "the holding directory is not a private directory of ours", path)
    return fd
