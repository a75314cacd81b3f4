"""Components that a test may need and a machine may lack. A test that lacks its component counts as not run."""

from __future__ import annotations

import array
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass

from hashscan.files.filesystems import filesystem_of
from tests.support import axe, chromium, injecting, postgres, slow_fuse
from tests.support.grounds import can_loop
from tests.support.mounts import can_mount
from tests.support.splitting import can_split


@dataclass(frozen=True)
class Component:
    """Something outside Python's own packages: how to see whether it is there, and what to do where it is not."""

    present: Callable[[], bool]
    hint: str


def _program(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name) is not None for name in names)


def _temporary_folder_on_disk() -> bool:
    """Whether the digest cache believes the filesystem of the tests' temporary folders with its shipped settings."""
    fd = os.open(tempfile.gettempdir(), os.O_RDONLY)
    try:
        return filesystem_of(fd, os.fstat(fd).st_dev).believed
    finally:
        os.close(fd)


def _inode_flags() -> bool:
    """Whether a file in the temporary folder can be made immutable: by root, on a filesystem that knows it."""
    with tempfile.NamedTemporaryFile() as file:
        flags = array.array("l", [0])
        try:
            fcntl.ioctl(file.fileno(), 0x80086601, flags)  # FS_IOC_GETFLAGS
            fcntl.ioctl(file.fileno(), 0x40086602, array.array("l", [flags[0] | 0x10]))  # FS_IOC_SETFLAGS
            fcntl.ioctl(file.fileno(), 0x40086602, flags)
        except OSError:
            return False
        return True


def _device_nodes() -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            os.mknod(os.path.join(folder, "x"), stat.S_IFCHR, os.makedev(1, 3))
        except OSError:
            return False
        return True


COMPONENTS = {
    "chromium": Component(lambda: chromium.program() is not None, "install chromium"),
    "axe-core": Component(lambda: axe.source() is not None, "install npm, and let it reach its registry"),
    "device-nodes": Component(_device_nodes, "run as root, outside a container that forbids mknod"),
    "own-mounts": Component(can_mount, "run as root, or allow user namespaces"),
    "fuse": Component(slow_fuse.present, "run as root, with /dev/fuse"),
    "split-host": Component(can_split, "install util-linux and systemd, run as root, in a checkout that other users can read"),
    "systemd": Component(_program("systemd-analyze"), "install systemd"),
    "git": Component(_program("git"), "install git"),
    "cc": Component(_program("cc"), "install a C compiler (gcc or clang)"),
    "postgresql": Component(postgres.present, "install postgresql"),
    "strace": Component(_program("strace"), "install strace"),
    "answering": Component(injecting.works, "Linux 5.5 or newer on x86_64, and no filter that forbids seccomp(2)"),
    "age": Component(_program("age"), "install age"),
    "inode-flags": Component(_inode_flags, "run as root, with TMPDIR on ext4, xfs or btrfs"),
    "loop": Component(can_loop, "run as root, with loop devices"),
    "mkfs.ext4": Component(_program("mkfs.ext4"), "install e2fsprogs"),
    "mkfs.xfs": Component(_program("mkfs.xfs"), "install xfsprogs"),
    "mkfs.btrfs": Component(_program("mkfs.btrfs"), "install btrfs-progs"),
    "jq": Component(_program("jq"), "install jq"),
    "bench-peers": Component(
        _program("hashdeep", "rhash", "b3sum", "clamscan"),
        "install hashdeep, rhash, b3sum and clamav, or scripts/bench --install-peers",
    ),
    "fincore": Component(_program("fincore"), "install util-linux"),
    "temporary-folder-on-disk": Component(_temporary_folder_on_disk, "set TMPDIR to a folder on ext4, xfs or btrfs"),
    "clamscan": Component(_program("clamscan"), "install clamav"),
    "hashdeep": Component(_program("hashdeep"), "install hashdeep"),
    "promtool": Component(_program("promtool"), "install prometheus"),
    "dpkg": Component(_program("dpkg-deb", "dpkg"), "install dpkg"),
    "rpm": Component(_program("rpmbuild", "rpm2cpio", "cpio"), "install rpm and cpio"),
    "man": Component(_program("man"), "install man-db"),
    "shellcheck": Component(_program("shellcheck"), "install shellcheck"),
}


def missing(name: str) -> str:
    """ "" where the component is there, else the line for the summary. Raises KeyError for an unknown name."""
    component = COMPONENTS[name]
    return "" if component.present() else f"optional component {name} is missing: {component.hint}"
