"""Filesystem primitives that a hostile tenant cannot bend: everything by directory descriptor and byte name.

Path strings are for display only. Nothing here follows a link or crosses a mount unless its docstring says so. Where the
kernel lacks `openat2` (before 5.6, or a seccomp filter that hides it) a path is opened one component at a time with O_NOFOLLOW
and the mount id of every step is compared; where it lacks `renameat2` nothing is moved at all.

Sources: openat2(2), renameat2(2), open(2) on O_PATH and O_TMPFILE, linkat(2) on /proc/self/fd.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import re
import signal
import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

_SYSCALLS = {"x86_64": (437, 316), "aarch64": (437, 276), "riscv64": (437, 276), "ppc64le": (437, 357), "s390x": (437, 347)}
_OPENAT2, _RENAMEAT2 = _SYSCALLS.get(platform.machine(), (None, None))

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
_STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV
_RENAME_NOREPLACE = 1

_AGAIN_TRIES = 32  # openat2 answers EAGAIN while somebody renames on the way; an attacker may do so for ever
CHUNK = 3072  # bytes of path per openat2 call: PATH_MAX is 4096, a name at most 255
DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
# A function object of its own with fixed types: half the time of wrapping each argument, and the walk calls it per directory.
_openat2_call = _libc["syscall"]
_openat2_call.restype = ctypes.c_long
_openat2_call.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)


_HOWS: dict[int, bytes] = {}  # struct open_how for each combination of flags: the walk asks for the same one each time


def _raise_errno(code: int, name: bytes) -> NoReturn:
    raise OSError(code, os.strerror(code), name)


def _openat2(dir_fd: int, path: bytes, flags: int) -> int:
    """One openat2 call under the strict rules. Raises OSError; ENOSYS where the kernel does not know it."""
    if _OPENAT2 is None:
        _raise_errno(errno.ENOSYS, path)
    how = _HOWS.get(flags)
    if how is None:
        how = _HOWS[flags] = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, _STRICT)
    code = errno.EAGAIN
    for _ in range(_AGAIN_TRIES):
        fd: int = _openat2_call(_OPENAT2, dir_fd, path, how, len(how))
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    _raise_errno(code, path)


def mount_id(fd: int) -> int:
    """The id of the mount that ``fd`` lives on: tells a bind mount apart, which has the same st_dev."""
    with open(f"/proc/self/fdinfo/{fd}", "rb") as info:
        for line in info:
            if line.startswith(b"mnt_id:"):
                return int(line.split()[1])
    raise OSError(errno.ENODATA, "no mnt_id in fdinfo")


def _open_by_steps(dir_fd: int, path: bytes, flags: int) -> int:
    """The same promise as `_openat2` without it: each component with O_NOFOLLOW, each step on the same mount."""
    home = mount_id(dir_fd)
    here = os.dup(dir_fd)
    try:
        parts = path.split(b"/")
        if path.startswith(b"/") or b".." in parts:
            raise OSError(errno.EXDEV, "the path leaves its directory", path)
        parts = [part for part in parts if part] or parts
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            step_flags = flags | os.O_NOFOLLOW if last else DIRECTORY | os.O_PATH
            if last and not flags & (os.O_PATH | os.O_DIRECTORY):
                # A device must not be opened to learn its mount: look first, by O_PATH.
                probe = os.open(part, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
                try:
                    if mount_id(probe) != home:
                        raise OSError(errno.EXDEV, "another mount", path)
                finally:
                    os.close(probe)
            step = os.open(part, step_flags | os.O_CLOEXEC, dir_fd=here)
            os.close(here)
            here = step
            if mount_id(here) != home:
                raise OSError(errno.EXDEV, "another mount", path)
            if stat.S_ISLNK(os.fstat(here).st_mode):  # O_PATH opens a link itself
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return here
    except BaseException:
        os.close(here)
        raise


def _probe_openat2() -> Callable[[int, bytes, int], int]:
    try:
        fd = os.open(b"/", DIRECTORY | os.O_PATH)
    except OSError:
        return _open_by_steps
    try:
        os.close(_openat2(fd, b".", os.O_PATH | os.O_DIRECTORY))
    except OSError:
        return _open_by_steps
    else:
        return _openat2
    finally:
        os.close(fd)


_open_strict = _open_by_steps if os.environ.get("HASHSCAN_NO_OPENAT2") else _probe_openat2()


def open_beneath(dir_fd: int, path: bytes, flags: int) -> int:
    """Open ``path`` below the directory ``dir_fd`` without following a link, leaving it or crossing a mount.

    Works for paths of any length. Raises OSError: ELOOP (a link on the way), EXDEV (another mount, or out of the directory),
    ENOENT, EAGAIN (somebody kept renaming) and the usual ones.
    """
    if len(path) <= CHUNK:
        return _open_strict(dir_fd, path, flags)
    parent, name = os.path.split(path)
    with open_directory(dir_fd, parent, os.O_PATH) as fd:
        return _open_strict(fd, name, flags)


@contextmanager
def open_directory(dir_fd: int, path: bytes, flags: int = os.O_RDONLY) -> Iterator[int]:
    """The directory ``path`` (b"" for itself) below ``dir_fd`` under the same rules, in steps of less than PATH_MAX."""
    fd = open_directory_fd(dir_fd, path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def open_directory_fd(dir_fd: int, path: bytes, flags: int = os.O_RDONLY) -> int:
    """Like `open_directory`; the caller closes the descriptor."""
    here = -1
    rest = path or b"."
    try:
        while len(rest) > CHUNK:
            cut = rest.rfind(b"/", 0, CHUNK)
            if cut <= 0:
                _raise_errno(errno.ENAMETOOLONG, path)
            step = _open_strict(dir_fd if here < 0 else here, rest[:cut], os.O_PATH | os.O_DIRECTORY)
            if here >= 0:
                os.close(here)
            here, rest = step, rest[cut + 1 :]
        return _open_strict(dir_fd if here < 0 else here, rest, flags | os.O_DIRECTORY)
    finally:
        if here >= 0:
            os.close(here)


def open_root(path: bytes, flags: int = os.O_RDONLY) -> int:
    """Open a configured root: the only place where links are followed, because the operator wrote the path."""
    return os.open(path, flags | os.O_DIRECTORY | os.O_CLOEXEC)


def reopen(path_fd: int, flags: int) -> int:
    """A working descriptor for the very inode behind an O_PATH descriptor. The caller has checked that it is a file."""
    return os.open(b"/proc/self/fd/%d" % path_fd, flags | os.O_CLOEXEC)


def rename_noreplace(src_dir: int, src: bytes, dst_dir: int, dst: bytes) -> None:
    """Rename within one mount; EEXIST where the new name is taken. ENOSYS or EINVAL where this cannot be promised."""
    if _RENAMEAT2 is None:
        _raise_errno(errno.ENOSYS, src)
    done = _libc.syscall(
        ctypes.c_long(_RENAMEAT2),
        ctypes.c_int(src_dir),
        ctypes.c_char_p(src),
        ctypes.c_int(dst_dir),
        ctypes.c_char_p(dst),
        ctypes.c_uint(_RENAME_NOREPLACE),
    )
    if done != 0:
        _raise_errno(ctypes.get_errno(), src)


def link_fd(fd: int, dst_dir: int, dst: bytes) -> None:
    """Give an O_TMPFILE (or any open file) the name ``dst``; EEXIST where it is taken."""
    # os.link follows /proc/self/fd only where a dir_fd makes it call linkat(AT_SYMLINK_FOLLOW).
    os.link(b"/proc/self/fd/%d" % fd, dst, dst_dir_fd=dst_dir)


def open_unnamed(dir_fd: int, mode: int) -> int:
    """A new file without a name on the filesystem of ``dir_fd`` (O_TMPFILE), readable and writable; `link_fd` names it.

    Raises OSError: EOPNOTSUPP, EISDIR or EINVAL where the filesystem or the kernel does not know it.
    """
    return os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, mode, dir_fd=dir_fd)


def has_writer(fd: int) -> bool | None:
    """Whether somebody has the file behind the read-only ``fd`` open for writing; None where the kernel does not say.

    A read lease is only granted where nobody has (fcntl(2), F_SETLEASE); it is given back at once. Whoever opens the file in
    that moment waits for microseconds, and we would be told by SIGIO, which kills: SIGURG is ignored.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None  # not ours and no CAP_LEASE, or a filesystem without leases
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def parse_mountinfo(text: bytes) -> dict[int, bytes]:
    """Mount id to mount point. Format: proc_pid_mountinfo(5); space, tab, newline and backslash stand there in octal."""
    points = {}
    for line in text.splitlines():
        fields = line.split(b" ")
        if len(fields) > 4 and fields[0].isdigit():
            points[int(fields[0])] = re.sub(rb"\\([0-7]{3})", lambda octal: bytes([int(octal[1], 8) & 0xFF]), fields[4])
    return points


def open_mount_point(fd: int) -> tuple[bytes, int]:
    """The mount point of the mount that ``fd`` lives on: its path, for display and records, and an open descriptor of it.

    Raises OSError: ENODATA where this process cannot see it, EXDEV where another mount covers it.
    """
    wanted = mount_id(fd)
    with open("/proc/self/mountinfo", "rb") as stream:
        point = parse_mountinfo(stream.read()).get(wanted)
    if point is None:
        raise OSError(errno.ENODATA, "the mount is not visible from here")
    point_fd = os.open(point, DIRECTORY)
    if mount_id(point_fd) != wanted:
        os.close(point_fd)
        raise OSError(errno.EXDEV, "another mount covers this one", point)
    return point, point_fd


@dataclass(frozen=True, slots=True)
class Xattrs:
    """Extended attributes by name; ``complete`` is false where some were left out (too large, or not readable)."""

    values: Mapping[bytes, bytes]
    complete: bool


def read_xattrs(fd: int, max_bytes: int) -> Xattrs:
    """The extended attributes of an open file, names and values together at most ``max_bytes`` bytes.

    Never raises for a filesystem without them: it has none.
    """
    try:
        names = [os.fsencode(name) for name in os.listxattr(fd)]
    except OSError as error:
        return Xattrs({}, complete=error.errno == errno.EOPNOTSUPP)
    values: dict[bytes, bytes] = {}
    complete, room = True, max_bytes
    for name in names:
        try:
            value = os.getxattr(fd, name)
        except OSError:  # gone since it was listed, or not for us to read
            complete = False
            continue
        if len(name) + len(value) > room:
            complete = False
            continue
        room -= len(name) + len(value)
        values[name] = value
    return Xattrs(values, complete)
