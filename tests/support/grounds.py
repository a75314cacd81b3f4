"""Filesystems to work on, each a mount of its own: the temporary folder's, memory, and fresh ones in loop images.

Only inside `mounts.with_own_mounts`: what is mounted here ends with that child. A mount of its own matters even for a plain
folder, because a vault on another mount captures into a holding directory at the mount point of the file.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support import mounts

_BIND = 0x1000
_MAKE = {
    "ext4": (64, ["mkfs.ext4", "-q", "-F"]),
    "xfs": (320, ["mkfs.xfs", "-q", "-f"]),  # its least size is 300 MiB
    "btrfs": (160, ["mkfs.btrfs", "-q", "-f"]),
}
"""Size in MiB (of a sparse file) and the command, by filesystem."""
_libc = ctypes.CDLL(None, use_errno=True)


def can_loop() -> bool:
    """Whether this process may mount an image: root, with loop devices."""
    if os.geteuid() or not shutil.which("losetup") or not shutil.which("mount"):
        return False
    return subprocess.run(["losetup", "-f"], check=False, capture_output=True).returncode == 0


def make(kind: str, at: Path) -> Path:
    """An empty filesystem at ``at``: "folder" (that of the folder itself), "tmpfs", "ext4", "xfs" or "btrfs"."""
    at.mkdir(parents=True)
    if kind == "tmpfs":
        mounts.tmpfs(at, 256 << 10)
    elif kind == "folder":
        if _libc.mount(os.fsencode(at), os.fsencode(at), None, _BIND, None) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    else:
        _mount_image(kind, at)
    return at


def _mount_image(kind: str, at: Path) -> None:
    mebibytes, command = _MAKE[kind]
    memory = Path("/dev/shm")  # an image in memory: the kill of a process needs no disk, and fsync costs nothing there
    folder = memory if os.access(memory, os.W_OK) else at.parent
    with tempfile.NamedTemporaryFile(dir=folder, prefix=f"{kind}.") as image:  # the mount keeps what has no name any more
        image.truncate(mebibytes << 20)
        subprocess.run([*command, image.name], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", "-t", kind, image.name, at], check=True, capture_output=True)


@dataclass(frozen=True)
class Ground:
    """Where the files are and where the vaults are; ``sealed``: evidence is kept under a key."""

    name: str
    files: Path
    vaults: Path
    sealed: bool


def grounds(top: Path, kinds: dict[str, str]) -> list[Ground]:
    """For each kind, and the kind of the other filesystem that goes with it: same and another, plain and sealed."""
    made = {kind: make(kind, top / kind) for kind in {*kinds, *kinds.values()}}
    found = []
    for kind, other in kinds.items():
        for where in (kind, other):
            for sealed in (False, True):
                name = f"{kind}, vault on {'the same' if where == kind else where}, {'sealed' if sealed else 'plain'}"
                found.append(Ground(name, made[kind], made[where], sealed))
    return found
