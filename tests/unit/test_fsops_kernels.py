"""The primitives where the kernel has less, says no, or shows mounts in odd ways: each in a child that can be spoiled."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan import fsops
from tests.support import children, mounts, seccomp
from tests.support.failing import failing

pytestmark = pytest.mark.usefixtures("no_descriptor_is_lost")

_BIND, _DETACH = 4096, 2


def _code(act: Callable[[], object]) -> int:
    """The errno that an act fails with, 0 where it does not."""
    try:
        act()
    except OSError as error:
        return error.errno or -1
    return 0


def _in_child(body: Callable[[], None]) -> None:
    assert children.run(body) == 0


def test_a_machine_whose_numbers_are_not_known_goes_by_steps_and_moves_nothing(tmp_path: Path) -> None:
    """PER_LINUX32 (personality(2)): uname says another machine, so that no number of a system call is known."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x")
    program = f"""
import errno, os
from hashscan import fsops
assert fsops._open_strict is fsops._open_by_steps
top = fsops.open_root({os.fsencode(tmp_path)!r})
assert os.read(fsops.open_beneath(top, b"d/f", os.O_RDONLY), 9) == b"x"
for act in (lambda: fsops._openat2(top, b"d", os.O_PATH), lambda: fsops.rename_noreplace(top, b"d", top, b"e")):
    try:
        act()
    except OSError as error:
        assert error.errno == errno.ENOSYS, error
    else:
        raise SystemExit("it did not fail")
"""
    before = (
        "import ctypes, os, sys; ctypes.CDLL(None).personality(8); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    again = [sys.executable, "-c", before, "-c", program]
    told = subprocess.run(again, capture_output=True, text=True, check=False, timeout=60)
    assert told.returncode == 0, told.stderr
    assert os.listdir(tmp_path) == ["d"]


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EINTR, errno.EACCES])
def test_a_kernel_that_always_says_again_is_asked_a_bounded_number_of_times(tmp_path: Path, code: int) -> None:
    assert fsops._OPENAT2 is not None

    def body() -> None:
        top = fsops.open_root(os.fsencode(tmp_path))
        seccomp.deny(fsops._OPENAT2 or 0, code)
        assert _code(lambda: fsops._openat2(top, b".", os.O_PATH)) == code

    _in_child(body)


def test_what_was_denied_is_not_believed_to_be_there(tmp_path: Path) -> None:
    def body() -> None:
        assert fsops._probe_openat2() is fsops._openat2
        seccomp.deny(fsops._OPENAT2 or 0, errno.ENOSYS)
        assert fsops._probe_openat2() is fsops._open_by_steps

    _in_child(body)


def test_without_a_descriptor_to_try_it_with_it_goes_by_steps() -> None:
    def body() -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        found = fsops._probe_openat2()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert found is fsops._open_by_steps

    _in_child(body)


def test_a_rename_that_the_kernel_does_not_know_moves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")

    def body() -> None:
        top = fsops.open_root(os.fsencode(tmp_path))
        seccomp.deny(fsops._RENAMEAT2 or 0, errno.ENOSYS)
        assert _code(lambda: fsops.rename_noreplace(top, b"a", top, b"b")) == errno.ENOSYS

    _in_child(body)
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("by_steps", [False, True])
def test_a_file_that_is_a_mount_is_not_opened(tmp_path: Path, by_steps: bool) -> None:
    """A bind mount has the same device number; a file opened for reading is looked at before."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x")
    (tmp_path / "other").write_bytes(b"y")
    open_strict = fsops._open_by_steps if by_steps else fsops.open_beneath

    def body() -> None:
        top = fsops.open_root(os.fsencode(tmp_path))
        mounts.mount(os.fsencode(tmp_path / "other"), os.fsencode(tmp_path / "d/f"), None, _BIND)
        before = len(os.listdir("/proc/self/fd"))
        for flags in (os.O_RDONLY, os.O_PATH):
            assert _code(lambda flags=flags: open_strict(top, b"d/f", flags)) == errno.EXDEV
        assert len(os.listdir("/proc/self/fd")) == before

    mounts.with_own_mounts(body)


def test_a_link_at_the_end_is_not_opened_by_steps_either(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    top = fsops.open_root(os.fsencode(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    assert _code(lambda: fsops._open_by_steps(top, b"link", os.O_PATH | os.O_NOFOLLOW)) == errno.ELOOP
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(top)


def test_a_name_longer_than_any_is_refused(tmp_path: Path) -> None:
    top = fsops.open_root(os.fsencode(tmp_path))
    before = len(os.listdir("/proc/self/fd"))
    for path in (b"x" * (fsops.CHUNK + 1) + b"/f", b"/" + b"x" * (fsops.CHUNK + 1) + b"/f"):
        assert _code(lambda path=path: fsops.open_beneath(top, path, os.O_PATH)) == errno.ENAMETOOLONG
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(top)


def test_a_mount_that_nobody_sees_any_more_has_no_point(tmp_path: Path) -> None:
    def body() -> None:
        mounts.tmpfs(tmp_path / "disk", 64)
        fd = os.open(tmp_path / "disk", fsops.DIRECTORY)
        assert fsops.open_mount_point(fd)[0] == os.fsencode(tmp_path / "disk")
        assert mounts._libc.umount2(os.fsencode(tmp_path / "disk"), _DETACH) == 0
        assert _code(lambda: fsops.open_mount_point(fd)) == errno.ENODATA

    mounts.with_own_mounts(body)


def test_a_mount_that_another_covers_is_not_mistaken_for_it(tmp_path: Path) -> None:
    def body() -> None:
        mounts.tmpfs(tmp_path / "disk", 64)
        fd = os.open(tmp_path / "disk", fsops.DIRECTORY)
        mounts.tmpfs(tmp_path / "disk", 64)
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(OSError, match="another mount covers this one") as caught:
            fsops.open_mount_point(fd)
        assert (caught.value.errno, caught.value.filename) == (errno.EXDEV, os.fsencode(tmp_path / "disk"))
        assert len(os.listdir("/proc/self/fd")) == before

    mounts.with_own_mounts(body)


def test_a_proc_that_does_not_tell_mounts_apart_is_an_error(tmp_path: Path) -> None:
    def body() -> None:
        fd = os.open(tmp_path, fsops.DIRECTORY)
        mounts.tmpfs(Path("/proc"), 64)
        Path("/proc/self/fdinfo").mkdir(parents=True)
        Path(f"/proc/self/fdinfo/{fd}").write_text("pos:\t0\nflags:\t0200000\n")
        assert _code(lambda: fsops.mount_id(fd)) == errno.ENODATA

    mounts.with_own_mounts(body)


def test_an_attribute_that_went_away_is_said_to_be_missing(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    for name in ("user.a", "user.b"):
        os.setxattr(path, name, b"1")
    first, second = map(os.fsencode, os.listxattr(path))  # in any order
    with path.open("rb") as stream, failing("getxattr", errno.ENODATA, lambda _, name: name == first):
        assert fsops.read_xattrs(stream.fileno(), 64 << 10) == fsops.Xattrs({second: b"1"}, complete=False)
    os.setxattr(path, first, bytes(1000))
    with path.open("rb") as stream:
        assert fsops.read_xattrs(stream.fileno(), 900) == fsops.Xattrs({second: b"1"}, complete=False)


def test_a_filesystem_without_attributes_has_all_of_none(tmp_path: Path) -> None:
    with failing("listxattr", errno.EOPNOTSUPP):
        assert fsops.read_xattrs(0, 100) == fsops.Xattrs({}, complete=True)


@pytest.mark.parametrize(("room", "kept"), [(7, 1), (13, 1), (14, 2)])
def test_attributes_fill_their_room_to_the_last_byte(tmp_path: Path, room: int, kept: int) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    for name in ("user.a", "user.b"):  # six bytes and one of value
        os.setxattr(path, name, b"1")
    with path.open("rb") as stream:
        told = fsops.read_xattrs(stream.fileno(), room)
    assert (len(told.values), told.complete) == (kept, kept == 2)
