"""What became of a restore that was cut off: does the new file have its name? Its temporary name goes.

The inode alone tells: the bytes are the tenant's again, who may have changed them since.
"""

from __future__ import annotations

import errno
import os
import stat

from hashscan import fsops
from hashscan.model import Place
from hashscan.quarantine import opening
from hashscan.quarantine.holding import absent
from hashscan.quarantine.record import Restoring

_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV)  # gone, or another thing stands in the path now


def is_back(restoring: Restoring) -> bool:
    """Whether the new file of a restore that was cut off has its name; a temporary name is removed.

    Raises OSError where nobody can tell.
    """
    try:
        parent_fd, name = _parent_for_sure(restoring.place)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return False
        raise
    with opening.closing(parent_fd):
        linked = _is(_look(parent_fd, name), restoring)
        os.fsync(parent_fd)  # the name may be there and not durable yet, and the record will rest on it
        if restoring.temporary and _is_left(_look(parent_fd, restoring.temporary), restoring):
            os.unlink(restoring.temporary, dir_fd=parent_fd)
    return linked


def _parent_for_sure(place: Place) -> tuple[int, bytes]:
    try:
        return opening.open_parent(place)
    except FileNotFoundError:  # believed wrongly, a file that is back is called not restored: asked again
        return opening.open_parent(place)


def _look(parent_fd: int, name: bytes) -> os.stat_result | None:
    """What has a name, or None. Raises OSError where nobody can tell, as where the directory contradicts itself."""
    try:
        fd = fsops.open_beneath(parent_fd, name, os.O_PATH | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ENOENT:
            absent(os.fsdecode(name), os.listdir(parent_fd))
        if error.errno in _NOT_THERE:
            return None
        raise
    with opening.closing(fd):
        return os.fstat(fd)


def _is(found: os.stat_result | None, restoring: Restoring) -> bool:
    return found is not None and found.st_ino == restoring.inode


def _is_left(found: os.stat_result | None, restoring: Restoring) -> bool:
    """Whether what has the temporary name is the new file; of one whose inode nobody lived to write down, whether it can be."""
    if found is None or restoring.inode:
        return _is(found, restoring)
    ours = found.st_uid == os.geteuid() and found.st_nlink == 1 and not found.st_size
    return ours and stat.S_ISREG(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o600
