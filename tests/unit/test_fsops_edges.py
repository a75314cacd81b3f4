"""The primitives at their edges: descriptor 0, an answer that is "again" once, directories that may only be passed through."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan import fsops
from tests.support import children, injecting, mounts
from tests.support.failing import failing

pytestmark = pytest.mark.usefixtures("no_descriptor_is_lost")

_BIND = 4096
_PART = b"d" * 200
_LONG = b"/".join([_PART] * 40)  # 8 kB: three calls


def _in_child(body: Callable[[], None]) -> None:
    assert children.run(body) == 0


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A folder with a path below it that the kernel does not take at once."""
    here = fsops.open_root(os.fsencode(tmp_path))
    for _ in range(40):
        os.mkdir(_PART, dir_fd=here)
        deeper = os.open(_PART, fsops.DIRECTORY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open(b"f", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=here))
    os.close(here)
    return tmp_path


@pytest.mark.parametrize("path", [b".", b"/".join([_PART] * 20), _LONG, _LONG + b"/f"])
@pytest.mark.parametrize("taken", [0, 1])
def test_descriptor_0_is_one_like_any_other(deep: Path, path: bytes, taken: int) -> None:
    """A daemon may be started with stdin closed: then the first thing that is opened is 0."""

    def body() -> None:
        top = fsops.open_root(os.fsencode(deep))
        there = os.dup(top)
        for part in path.split(b"/"):
            there = os.open(part, os.O_PATH, dir_fd=there)
        for fd in range(taken, 3):
            os.close(fd)
        before = len(os.listdir("/proc/self/fd"))
        fd = fsops.open_beneath(top, path, os.O_RDONLY)
        assert len(os.listdir("/proc/self/fd")) == before + 1
        assert os.path.sameopenfile(fd, there)
        os.close(fd)
        if path != b"." and not path.endswith(b"/f"):
            with fsops.open_directory(top, path) as fd:
                assert os.path.sameopenfile(fd, there)
        assert len(os.listdir("/proc/self/fd")) == before

    _in_child(body)


@pytest.mark.parametrize("path", [_LONG + b"/nothing", b"/".join([_PART] * 20) + b"/nothing/" + _LONG])
def test_a_long_way_that_ends_nowhere_costs_no_descriptor(deep: Path, path: bytes) -> None:
    top = fsops.open_root(os.fsencode(deep))
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        fsops.open_directory_fd(top, path)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(top)


def test_directories_on_the_way_need_not_be_readable(deep: Path) -> None:
    """Mode 0711, as the folders of customers have it: who may only pass through passes."""
    deep.chmod(0o711)
    top = fsops.open_root(os.fsencode(deep))
    step, fds = top, [top]
    for _ in range(40):
        step = os.open(_PART, fsops.DIRECTORY, dir_fd=step)
        os.fchmod(step, 0o711)
        fds.append(step)
    os.chmod(b"f", 0o604, dir_fd=step)

    def body() -> None:
        if os.geteuid() == 0:
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        os.close(fsops.open_beneath(top, _LONG + b"/f", os.O_RDONLY))
        os.close(fsops._open_by_steps(top, b"/".join([_PART] * 3), os.O_PATH | os.O_DIRECTORY))
        os.close(fsops.open_directory_fd(top, _LONG, os.O_PATH))

    _in_child(body)
    for fd in fds:
        os.close(fd)


@pytest.mark.optional("answering")
@pytest.mark.parametrize("error", ["EAGAIN", "EINTR"])
def test_a_kernel_that_says_again_once_is_asked_again(tmp_path: Path, error: str) -> None:
    def body() -> None:
        top = fsops.open_root(os.fsencode(tmp_path))
        os.close(fsops._openat2(top, b".", os.O_PATH))

    assert injecting.failed_at(body, "openat2", 1, error)


@pytest.mark.optional("answering")
def test_a_kernel_that_says_no_is_not_asked_again(tmp_path: Path) -> None:
    """The second time it would open: a refusal is an answer."""

    def body() -> None:
        top = fsops.open_root(os.fsencode(tmp_path))
        with pytest.raises(PermissionError) as caught:
            fsops._openat2(top, b".", os.O_PATH)
        assert caught.value.filename == b"."

    assert injecting.failed_at(body, "openat2", 1, "EACCES")


@pytest.mark.optional("own-mounts")
def test_a_fifo_behind_a_mount_is_not_opened_by_steps(tmp_path: Path) -> None:
    """To open it is to wait for the other end, or to wake who waits there: its mount is looked at first."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_bytes(b"x")
    os.mkfifo(tmp_path / "fifo")

    def body() -> None:
        top = fsops.open_root(os.fsencode(tmp_path))
        mounts.mount(os.fsencode(tmp_path / "fifo"), os.fsencode(tmp_path / "d/f"), None, _BIND)
        with pytest.raises(OSError, match="another mount") as caught:
            fsops._open_by_steps(top, b"d/f", os.O_WRONLY | os.O_NONBLOCK)
        assert (caught.value.errno, caught.value.filename) == (errno.EXDEV, b"d/f")
        with pytest.raises(OSError, match="another mount") as caught:
            fsops._open_by_steps(top, b"d/f", os.O_PATH)
        assert caught.value.filename == b"d/f"

    mounts.with_own_mounts(body)


def test_no_path_leads_nowhere(tmp_path: Path) -> None:
    top = fsops.open_root(os.fsencode(tmp_path))
    for open_strict in (fsops.open_beneath, fsops._open_by_steps):
        with pytest.raises(FileNotFoundError):
            open_strict(top, b"", os.O_PATH)
    os.close(top)


def test_who_leads_astray_is_named(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    top = fsops.open_root(os.fsencode(tmp_path))
    for path, code in ((b"link", errno.ELOOP), (b"../x", errno.EXDEV)):
        with pytest.raises(OSError, match=r".") as caught:
            fsops._open_by_steps(top, path, os.O_PATH | os.O_NOFOLLOW)
        assert (caught.value.errno, caught.value.filename) == (code, path)
    os.close(top)


def test_asking_whether_the_kernel_knows_it_costs_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    fsops._probe_openat2()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_kernel_knows_it_also_where_the_top_may_only_be_passed_through(tmp_path: Path) -> None:
    """A root directory of mode 0711, and a user that is not root."""
    if os.geteuid():
        pytest.skip("not run: only root can change the root")
    (tmp_path / "top").mkdir(mode=0o711)

    def body() -> None:
        known = fsops._probe_openat2()
        os.chroot(tmp_path / "top")
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        with pytest.raises(PermissionError):
            os.listdir("/")
        assert fsops._probe_openat2() is known

    _in_child(body)


def test_descriptors_are_not_inherited(tmp_path: Path) -> None:
    """What is opened here is open to no program that is started meanwhile."""
    (tmp_path / "f").write_bytes(b"x")
    top = fsops.open_root(os.fsencode(tmp_path))
    fds = [
        top,
        fsops.open_beneath(top, b"f", os.O_PATH),
        fsops._open_by_steps(top, b"f", os.O_RDONLY),
        fsops._open_by_steps(top, b".", os.O_RDONLY),
        fsops.open_directory_fd(top, b""),
        fsops.open_unnamed(top, 0o600),
    ]
    fds.append(fsops.reopen(fds[1], os.O_RDONLY))
    assert [os.get_inheritable(fd) for fd in fds] == [False] * len(fds)
    for fd in fds:
        os.close(fd)


def test_a_directory_is_what_opens_as_one(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to(".")
    top = fsops.open_root(os.fsencode(tmp_path / "link"))  # the operator's own path: links are followed
    for path in (b"f", b"link"):
        with pytest.raises(OSError, match=r".") as caught:
            fsops.open_directory_fd(top, path)
        assert caught.value.errno in (errno.ENOTDIR, errno.ELOOP)
    with pytest.raises(NotADirectoryError):
        fsops.open_root(os.fsencode(tmp_path / "f"))
    os.close(top)


def test_a_lease_is_given_back(tmp_path: Path) -> None:
    """Whoever opened the file for writing later would wait, and we would be told by a signal."""
    (tmp_path / "f").write_bytes(b"x")
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    assert fsops.has_writer(fd) is False
    os.close(os.open(tmp_path / "f", os.O_WRONLY | os.O_NONBLOCK))  # EWOULDBLOCK while there is a lease
    os.close(fd)


def test_attributes_that_cannot_be_listed_are_not_all(tmp_path: Path) -> None:
    with failing("listxattr", errno.EACCES):
        assert fsops.read_xattrs(0, 100) == fsops.Xattrs({}, complete=False)
