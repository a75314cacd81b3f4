"""Niceness and I/O class of this process, and so of the workers that it forks."""

from __future__ import annotations

import ctypes
import os
import platform

from hashscan.errors import UsageError

# ioprio_set(2) has no wrapper in the C library.
_IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30, "ppc64le": 273, "s390x": 282}.get(platform.machine())
_WHO_PROCESS = 1
_CLASS_SHIFT = 13
_CLASSES = {"best-effort": (2 << _CLASS_SHIFT) | 7, "idle": 3 << _CLASS_SHIFT}


def be_nice(niceness: int) -> None:
    """Run at this niceness (0 to 19) at least. Raises nothing: everybody may be nicer."""
    if niceness > os.getpriority(os.PRIO_PROCESS, 0):
        os.setpriority(os.PRIO_PROCESS, 0, niceness)


def set_io_class(name: str) -> None:
    """Ask the disk's scheduler for "idle" or "best-effort" (its lowest step). Raises `UsageError` where that cannot be."""
    if not name:
        return
    if _IOPRIO_SET is None:
        raise UsageError(f"no I/O class can be set on {platform.machine()}", hint="leave pace.ionice and --ionice out")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(_IOPRIO_SET), _WHO_PROCESS, 0, _CLASSES[name]) != 0:
        code = ctypes.get_errno()
        raise UsageError(f"the I/O class {name} is refused: {os.strerror(code)}", hint="leave pace.ionice and --ionice out")
