"""From the place of a finding to descriptors, as a hostile tenant sees it: no link followed, no mount crossed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from hashscan import fsops
from hashscan.model import FileEntry, Place


class UnmovedError(Exception):
    """One file cannot be taken, and is where it was: data for the result, never seen outside this room."""


_ASTRAY = "changed: a link, or no directory, stands in its path"
_PLAIN = {
    errno.ENOENT: "vanished: the name is gone",
    errno.ENOTDIR: _ASTRAY,  # what a link is called where the kernel has no openat2
    errno.ELOOP: _ASTRAY,
    errno.EXDEV: "changed: another mount stands in its path",
    errno.EAGAIN: "changed: somebody kept renaming on its path",
}


def plain(error: OSError) -> str:
    """Why a scanned file could not be reached, in plain words."""
    code = error.errno or 0
    return _PLAIN.get(code, f"{os.strerror(code)} ({errno.errorcode.get(code, '?')})")


def split(place: Place) -> tuple[bytes, bytes, bytes]:
    """The root to open, the directory below it and the name in that directory; a root that is a file lies in its parent."""
    root, path = (place.root, place.path) if place.path else os.path.split(place.root)
    parent, name = os.path.split(path)
    return root, parent, name


def open_parent(place: Place) -> tuple[int, bytes]:
    """The directory that the file's name is in, readable and open, and that name. Raises OSError."""
    root, parent, name = split(place)
    root_fd = fsops.open_root(root)
    try:
        return fsops.open_directory_fd(root_fd, parent), name
    finally:
        os.close(root_fd)


def open_scanned(parent_fd: int, name: bytes, entry: FileEntry) -> int:
    """An O_PATH descriptor of the file that was scanned. Raises `UnmovedError` where another thing has its name."""
    try:
        fd = fsops.open_beneath(parent_fd, name, os.O_PATH | os.O_NOFOLLOW)
    except OSError as error:
        linked = error.errno == errno.ELOOP
        raise UnmovedError("changed since the scan: no regular file any more" if linked else plain(error)) from error
    difference = _difference(os.fstat(fd), entry)
    if difference:
        os.close(fd)
        raise UnmovedError(f"changed since the scan: {difference}")
    return fd


def _difference(status: os.stat_result, entry: FileEntry) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "no regular file any more"
    if (status.st_dev, status.st_ino) != (entry.device, entry.inode):
        return "another file has its name"
    if status.st_size != entry.size:
        return "its size is another"
    # Fewer is fine: this run may have taken the other names.
    return "" if status.st_nlink <= entry.links else "it has got other names (hard links)"


def open_quietly(path_fd: int) -> int:
    """Readable, and where we may without changing the access time. Raises OSError."""
    try:
        return fsops.reopen(path_fd, os.O_RDONLY | os.O_NOATIME)
    except PermissionError:  # O_NOATIME is for the owner and for root
        return fsops.reopen(path_fd, os.O_RDONLY)


@contextmanager
def closing(fd: int) -> Iterator[int]:
    """Closes a descriptor when the block ends."""
    try:
        yield fd
    finally:
        os.close(fd)
