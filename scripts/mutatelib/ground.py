"""Where it happens: a copy of the tree in memory, and mounts of our own in which nothing else can be written.

A change may do anything: what is below the quarantine runs as root, and a changed path may be any path.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.mutatelib.options import REPOSITORY

_PARTS = ("hashscan", "tests", "scripts", "packaging", "docs", "pyproject.toml", "README.md", "CHANGELOG.md", ".ci")
_NEWNS, _REC, _PRIVATE = 0x20000, 0x4000, 1 << 18
_REMOUNT, _BIND, _RDONLY = 0x20, 0x1000, 0x1
_KINDS = {b"proc", b"sysfs", b"devpts", b"devtmpfs", b"cgroup2", b"mqueue", b"bpf", b"securityfs"}


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """A folder with the copy (``tree``) and room for tests (``tmp``): in memory, where extended attributes work there."""
    with tempfile.TemporaryDirectory(prefix="hashscan-mutate-", dir=_memory()) as folder:
        home = Path(folder).resolve()
        (home / "tree").mkdir()
        (home / "tmp").mkdir()
        for name in _PARTS:
            source = REPOSITORY / name
            if source.is_dir():
                shutil.copytree(source, home / "tree" / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
            elif source.exists():
                shutil.copy2(source, home / "tree" / name)
        yield home


def _memory() -> str | None:
    try:
        with tempfile.TemporaryFile(dir="/dev/shm") as stream:
            os.setxattr(stream.fileno(), "user.x", b"1")
    except OSError:
        return None
    return "/dev/shm"


def shut_in(home: Path) -> bool:
    """From now on this process and its children can write below ``home`` only. False where the kernel does not let us.

    Descriptors that are open stay as they are.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if os.geteuid() != 0 or libc.unshare(_NEWNS) != 0 or libc.mount(b"none", b"/", None, _REC | _PRIVATE, None) != 0:
        return False
    place = os.fsencode(home)
    if libc.mount(place, place, None, _BIND, None) != 0:
        return False
    for fields in [line.split(b" ") for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]:
        point, kind = fields[4], fields[fields.index(b"-") + 1]
        if point != place and kind not in _KINDS:
            libc.mount(b"none", point, None, _REMOUNT | _BIND | _RDONLY, None)
    os.chdir(home / "tree")
    return True
