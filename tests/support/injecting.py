"""An error from one system call of a piece of work in a forked child, as strace injects it, and without strace (seccomp(2)).

The kernel asks us about each call of that name (`SECCOMP_RET_USER_NOTIF`, Linux 5.5): the wanted one is answered with an error
and not made, the others go on. Nothing else is stopped, so a failure costs milliseconds, and a hundred thousand can be tried.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import platform
import select
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from tests.support import children

_SECCOMP, _PIDFD_OPEN, _PIDFD_GETFD = 317, 434, 438  # x86_64; the last two are the same everywhere
_NO_NEW_PRIVS, _SET_FILTER, _NEW_LISTENER = 38, 1, 8
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_NOTIFY, _ALLOW = 0x7FC0_0000, 0x7FFF_0000
_RECV, _SEND = 0xC050_2100, 0xC018_2101
_CONTINUE = 1
_SECONDS = 60.0  # a child that asks nothing for so long, and does not end, hangs

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

NUMBERS = {
    "read": 0, "write": 1, "open": 2, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "lseek": 8, "ioctl": 16, "pread64": 17,
    "pwrite64": 18, "access": 21, "dup": 32, "fcntl": 72, "flock": 73, "fsync": 74, "fdatasync": 75, "ftruncate": 77,
    "getcwd": 79, "rename": 82, "mkdir": 83, "rmdir": 84, "link": 86, "unlink": 87, "readlink": 89, "chmod": 90, "fchmod": 91,
    "chown": 92, "fchown": 93, "uname": 63, "getxattr": 191, "fgetxattr": 193, "listxattr": 194, "flistxattr": 196,
    "setxattr": 188, "fsetxattr": 190, "getdents64": 217, "openat": 257, "mkdirat": 258, "fchownat": 260, "newfstatat": 262,
    "unlinkat": 263, "renameat": 264, "linkat": 265, "readlinkat": 267, "fchmodat": 268, "utimensat": 280, "fallocate": 285,
    "dup3": 292, "pipe2": 293, "prlimit64": 302, "renameat2": 316, "getrandom": 318, "copy_file_range": 326, "statx": 332,
    "openat2": 437, "faccessat2": 439,
}  # fmt: skip
"""Of x86_64 (arch/x86/entry/syscalls/syscall_64.tbl)."""


@functools.cache
def works() -> bool:
    """Whether the kernel lets a process answer for another one; else strace does it."""
    if platform.machine() != "x86_64":
        return False
    try:
        return failed_at(_expect, "rmdir", 1, "EDQUOT")
    except (OSError, AssertionError):
        return False


def _expect() -> None:
    code = 0
    try:
        os.rmdir("/there is no such folder: a question of a test")
    except OSError as error:
        code = error.errno or 0
    assert code == errno.EDQUOT


def failed_at(body: Callable[[], object], call: str, number: int, error: str) -> bool:
    """Let the ``number``-th system call named ``call`` (from 1) of ``body`` fail with ``error``; whether it was met."""
    listener = _lowest_free()
    child = children.start(lambda: (_listen_to(NUMBERS[call]), body()))
    try:
        with_it = _take(child, listener)
    except BaseException:
        with suppress(ProcessLookupError):
            os.kill(child, 9)
        children.end(child)
        raise
    try:
        met = _answer(with_it, child, number, getattr(errno, error))
    finally:
        os.close(with_it)
    ended = children.end(child)
    assert ended == 0, ended
    return met


def _lowest_free() -> int:
    """The number that the next descriptor gets, in a child too."""
    fd = os.dup(2)
    os.close(fd)
    return fd


def _listen_to(number: int) -> None:
    steps = ((_LOAD, 0, 0, 0), (_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _NOTIFY), (_RETURN, 0, 0, _ALLOW))
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(steps), ctypes.addressof(code)))
    if _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if _libc.syscall(_SECCOMP, _SET_FILTER, _NEW_LISTENER, ctypes.byref(program)) < 0:
        raise OSError(ctypes.get_errno(), "seccomp is not to be had")


def _take(child: int, number: int) -> int:
    """Our own descriptor of the child's listener, as soon as it is there."""
    pidfd = os.pidfd_open(child)
    until = time.monotonic() + _SECONDS
    try:
        while time.monotonic() < until:
            fd: int = _libc.syscall(_PIDFD_GETFD, pidfd, number, 0)
            if fd >= 0:
                return fd
            if select.select([pidfd], [], [], 0.0005)[0]:
                raise OSError(errno.ESRCH, "the child ended before it could be asked about")
        raise OSError(errno.ETIMEDOUT, "the child cannot be listened to")
    finally:
        os.close(pidfd)


def _answer(listener: int, child: int, number: int, code: int) -> bool:
    """Answer until the child has ended; whether the wanted call came."""
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    seen = 0
    while True:
        ready = poll.poll(_SECONDS * 1000)
        if not ready:
            os.kill(child, 9)
            raise AssertionError("the child hangs")
        if not ready[0][1] & select.POLLIN:  # nobody is left who could ask
            return seen >= number
        question = bytearray(80)
        try:
            fcntl.ioctl(listener, _RECV, question)
        except FileNotFoundError:  # it was killed meanwhile
            continue
        (asked,) = struct.unpack_from("=Q", question)
        seen += 1
        answer = struct.pack("=QqiI", asked, 0, -code, 0) if seen == number else struct.pack("=QqiI", asked, 0, 0, _CONTINUE)
        with suppress(FileNotFoundError):
            fcntl.ioctl(listener, _SEND, answer)
