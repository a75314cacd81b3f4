"""Which filesystems tell the truth about a file's times, and what a filesystem is called in the digest cache.

The digest cache believes that a file whose inode, size, mtime and ctime are as they were holds the bytes that it held. Local
filesystems with write-back keep ctime so: a write sets it, and a store through a shared map sets it when the page was clean.
tmpfs has no write-back, so a map that stays open changes a file without a trace; FUSE, NFS and SMB say what somebody else tells
them.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

from hashscan import fsops

BELIEVED = frozenset({b"ext2", b"ext3", b"ext4", b"xfs", b"btrfs", b"f2fs", b"zfs", b"bcachefs", b"jfs", b"overlay"})
NETWORK = frozenset({
    b"9p", b"afs", b"beegfs", b"ceph", b"cifs", b"glusterfs", b"gpfs", b"lustre", b"ncpfs", b"nfs", b"nfs4", b"orangefs",
    b"smb3", b"smbfs",
})  # fmt: skip
_MAX_MOUNTINFO = 16 << 20  # bytes; a host with 50,000 mounts has about 8 MB


@dataclass(frozen=True, slots=True)
class Filesystem:
    """``number`` names it in keys (64 bits), ``believed`` is whether its times can be."""

    number: int
    believed: bool


def type_of_mount(mountinfo: bytes, mount: int) -> bytes:
    """The filesystem type of the mount with this id, b"" where it is not listed. Format: proc_pid_mountinfo(5)."""
    begin = b"%d " % mount
    for line in mountinfo.splitlines():
        if line.startswith(begin):
            return line.partition(b" - ")[2].split(b" ")[0]
    return b""


def lies_elsewhere(kind: bytes) -> bool:
    """Whether filesystems of this type lie on another machine, or a program of this one speaks for them (FUSE).

    The walk and the doctor both ask here. ``fuseblk`` (NTFS and the like) is a program before a disk of this machine.
    """
    return kind in NETWORK or kind == b"fuse" or kind.startswith(b"fuse.")


def network_mounts(mountinfo: bytes) -> frozenset[bytes]:
    """The mount points of filesystems of which `lies_elsewhere` holds."""
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        if len(fields) > 4 and after:
            found[unescaped(fields[4])] = lies_elsewhere(after.split(b" ")[0])
    return frozenset(point for point, is_network in found.items() if is_network)


def unescaped(field: bytes) -> bytes:
    """A path of mountinfo, in which blanks are written as octal."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8) & 0xFF]), field)


def is_network_mount(point: bytes) -> bool:
    """Whether a network filesystem is mounted at this path; false where the system does not say."""
    try:
        with open("/proc/self/mountinfo", "rb") as stream:
            return point in network_mounts(stream.read(_MAX_MOUNTINFO))
    except OSError:
        return False


def number_of(device: int, fsid: int) -> int:
    """The number of a filesystem by its st_dev and f_fsid.

    A fixed device number says which disk, f_fsid which filesystem lies on it: an image mounted over the same loop device is
    another one. btrfs, zfs and overlay get their numbers (major 0) in the order of mounting: there f_fsid alone is stable.
    """
    stable = os.major(device) or not fsid
    return xxh3_64_intdigest(f"{device if stable else 0} {fsid}".encode())


def filesystem_of(fd: int, device: int, believed: frozenset[bytes] = BELIEVED) -> Filesystem:
    """What is known of the filesystem of an open directory with this st_dev; not believed where the system does not say."""
    try:
        with open("/proc/self/mountinfo", "rb") as stream:
            mounts = stream.read(_MAX_MOUNTINFO)
        kind = type_of_mount(mounts, fsops.mount_id(fd))
        return Filesystem(number_of(device, os.fstatvfs(fd).f_fsid), kind in believed)
    except OSError:
        return Filesystem(0, believed=False)
