"""Gathers what `doctor` judges. It looks only: nothing is made but a probe in the state folder, which is removed again."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hashscan import fsops
from hashscan.errors import HashscanError
from hashscan.files.reading import RWF_DONTCACHE
from hashscan.jobs.doctor_facts import FolderFacts, MountFacts, RootFacts

_MAX_MOUNTINFO = 16 << 20  # bytes, as in files.filesystems
_MAX_STATUS = 1 << 16
_TIMEX_BYTES = 512  # struct timex has 208; the kernel writes no more
_STATUS_OFFSET = 40  # of its field `status`, where long has 8 bytes
_STA_UNSYNC = 0x40
_TIMERS = tuple(f"/etc/systemd/system/timers.target.wants/hashscan-{name}.timer" for name in ("scan", "read"))
_CRON = ("/etc/cron.d/hashscan", "/etc/cron.daily/hashscan")
_DEFAULTS = "/etc/default/hashscan"
_MAX_DEFAULTS = 1 << 16  # bytes
_SCANNED = [b"/home", b"/srv", b"/var/www"]  # where that file does not say; tests hold the units to it
_NO_DONTCACHE = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}


def capabilities() -> int:
    """The effective set as bits; 0 where /proc does not say."""
    with suppress(OSError), open("/proc/self/status", "rb") as stream:
        match = re.search(rb"^CapEff:\s*([0-9a-f]+)$", stream.read(_MAX_STATUS), re.MULTILINE)
        return int(match[1], 16) if match else 0
    return 0


def mounts() -> list[MountFacts]:
    """All mounts that this process sees, by proc_pid_mountinfo(5); none where it cannot be read."""
    try:
        with open("/proc/self/mountinfo", "rb") as stream:
            text = stream.read(_MAX_MOUNTINFO)
    except OSError:
        return []
    points = fsops.parse_mountinfo(text)
    found = []
    for line in text.splitlines():
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        if len(fields) > 5 and fields[0].isdigit() and after:
            number = int(fields[0])
            read_only = b"ro" in fields[5].split(b",") or b"ro" in after.split(b" ")[-1].split(b",")
            kind = after.split(b" ")[0].decode("ascii", "replace")
            found.append(MountFacts(number, os.fsdecode(points[number]), kind, read_only))
    return found


def root_of(path: bytes) -> RootFacts:
    """One folder to scan; whoever may hang on it was asked before (`files.roots.silent`)."""
    shown = os.fsdecode(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return RootFacts(shown, -1, error.strerror or "cannot be opened")
    try:
        return RootFacts(shown, fsops.mount_id(fd))
    except OSError as error:
        return RootFacts(shown, -1, error.strerror or "its mount is not known")
    finally:
        os.close(fd)


def folder_of(name: str, path: Path) -> FolderFacts:
    """One of our folders, or where it would be made."""
    here = path
    while not here.exists() and here != here.parent:
        here = here.parent
    space = os.statvfs(here)
    with _opened(here) as fd:
        mount = fsops.mount_id(fd)
    free, size = space.f_bavail * space.f_frsize, space.f_blocks * space.f_frsize
    return FolderFacts(name, str(path), mount, free, size, space.f_favail, space.f_files)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def synchronized() -> bool | None:
    """Whether the kernel takes its clock for synchronized: adjtimex(2) without changing anything. None where it is not told."""
    if ctypes.sizeof(ctypes.c_long) != 8:
        return None
    buffer = ctypes.create_string_buffer(_TIMEX_BYTES)
    try:
        done = ctypes.CDLL(None, use_errno=True).adjtimex(buffer)
    except AttributeError:
        return None
    if done < 0:
        return None
    status = int.from_bytes(buffer.raw[_STATUS_OFFSET : _STATUS_OFFSET + 4], "little", signed=True)
    return not status & _STA_UNSYNC


def schedule(top: Path = Path("/")) -> list[str]:
    """Timers that are switched on, and cron files."""
    return [path for path in (*_TIMERS, *_CRON) if os.path.lexists(top / path.lstrip("/"))]


def nightly_roots(top: Path = Path("/")) -> list[bytes]:
    """What a timer's scan will be given: SCAN_ROOTS of /etc/default/hashscan, or what the units have. Nothing without a timer.

    Drop-ins of the units are not looked into: what a scan was really given is known after the first.
    """
    if not any(os.path.lexists(top / path.lstrip("/")) for path in _TIMERS):
        return []
    with suppress(OSError, ValueError), (top / _DEFAULTS.lstrip("/")).open("rb") as stream:
        set_there = re.findall(r"^\s*SCAN_ROOTS=(.*)$", os.fsdecode(stream.read(_MAX_DEFAULTS)), re.MULTILINE)
        if set_there:  # the last one counts, and systemd splits it at spaces
            return [os.fsencode(root) for root in " ".join(shlex.split(set_there[-1])).split()]
    return list(_SCANNED)


def kernel(folder: Path) -> Mapping[str, bool]:
    """What kernel and filesystem can do, tried out in ``folder``; nothing where that is not there, or not ours to write."""
    told = {"openat2": _release() >= (5, 6)}
    if not os.access(folder, os.W_OK | os.X_OK):
        return told
    name = f".doctor-{secrets.token_hex(6)}".encode()
    fd = os.open(folder, fsops.DIRECTORY)
    try:
        told["O_TMPFILE"] = _works(lambda: os.close(fsops.open_unnamed(fd, 0o600)))
        probe = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600, dir_fd=fd)
        try:
            os.write(probe, b"x")
            told["RWF_DONTCACHE"] = _works(lambda: os.preadv(probe, [bytearray(1)], 0, RWF_DONTCACHE))
            told["renameat2"] = _works(lambda: fsops.rename_noreplace(fd, name, fd, name + b".2"))
        finally:
            os.close(probe)
            for left in (name, name + b".2"):
                with suppress(FileNotFoundError):
                    os.unlink(left, dir_fd=fd)
    finally:
        os.close(fd)
    return told


def _works(act: Callable[[], object]) -> bool:
    try:
        act()
    except OSError:
        return False
    return True


def _release() -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def lock_owner(path: Path) -> str:
    """Who holds the lock of runs; "" where nobody does."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, 200, 0).decode("ascii", "replace").strip() or "an unnamed process"
    finally:
        os.close(fd)
    return ""


def problem_of(read: Callable[[], object]) -> str:
    """Why something of ours cannot be read, or ""."""
    try:
        read()
    except HashscanError as error:
        return str(error)
    return ""


def readable_roots(paths: Sequence[bytes], silent: frozenset[bytes]) -> list[RootFacts]:
    """The folders to scan; those whose filesystem does not answer are not touched."""
    hangs = "its filesystem does not answer"
    return [RootFacts(os.fsdecode(path), -1, hangs) if path in silent else root_of(path) for path in paths]
