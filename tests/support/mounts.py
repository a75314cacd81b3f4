"""A child process with mounts of its own: for a full disk and a second filesystem, without touching those of the machine."""

from __future__ import annotations

import ctypes
import os
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

_NEWNS, _NEWUSER = 0x20000, 0x10000000
_REC, _PRIVATE = 0x4000, 1 << 18
_DETACH = 2
_CANNOT = 77

_libc = ctypes.CDLL(None, use_errno=True)


def tmpfs(path: Path, size_kib: int) -> None:
    """Mount an empty filesystem at ``path``; only inside `with_own_mounts`."""
    path.mkdir(exist_ok=True)
    if _libc.mount(b"none", os.fsencode(path), b"tmpfs", 0, b"size=%dk" % size_kib) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def mount(source: bytes, target: bytes, kind: bytes | None, flags: int = 0, data: bytes | None = None) -> None:
    """mount(2); only inside `with_own_mounts`. Raises OSError."""
    if _libc.mount(source, target, kind, ctypes.c_ulong(flags), data) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), target)


def detach(below: bytes) -> None:
    """Take away all mounts below a folder, the last one first, without waiting for whoever still uses them."""
    points = [line.split(b" ")[4] for line in Path("/proc/self/mountinfo").read_bytes().splitlines()] if _has_mounts() else []
    for point in reversed([point for point in points if point.startswith(below + b"/")]):
        _libc.umount2(point, _DETACH)


def _has_mounts() -> bool:
    return Path("/proc/self/mountinfo").exists()


def _own_mounts() -> bool:
    uid, gid = os.geteuid(), os.getegid()
    if _libc.unshare(_NEWNS | (_NEWUSER if uid else 0)) != 0:
        return False
    if uid:
        try:
            Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
        except PermissionError:
            return False
    return bool(_libc.mount(b"none", b"/", None, _REC | _PRIVATE, None) == 0)


def can_mount() -> bool:
    """Whether a child of this process may have mounts of its own."""
    child = os.fork()
    if child == 0:
        os._exit(0 if _own_mounts() else 1)
    return os.waitpid(child, 0)[1] == 0


def with_own_mounts(body: Callable[[], None]) -> None:
    """Run ``body`` in a child; its failure is the failure of the test. Skipped where the kernel does not let us."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if _own_mounts():
                body()
                code = 0
            else:
                code = _CANNOT
        except BaseException:
            os.write(writing, traceback.format_exc().encode()[-30_000:])
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        told = stream.read().decode()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == _CANNOT:
        pytest.skip("not run: no permission to make mounts of our own")
    assert code == 0, told
