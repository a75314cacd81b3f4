"""The primitives against a real filesystem, with `openat2` and with the walk by steps that replaces it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hashscan import fsops


@pytest.fixture(params=["kernel", "steps"])
def open_strict(request: pytest.FixtureRequest) -> Callable[[int, bytes, int], int]:
    return fsops.open_beneath if request.param == "kernel" else fsops._open_by_steps


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "d/e/f").write_bytes(b"x")
    (tmp_path / "d/link").symlink_to("e")
    (tmp_path / "d/e/out").symlink_to("/etc/hostname")
    os.mkfifo(tmp_path / "d/fifo")
    return tmp_path


@pytest.fixture
def top(tree: Path) -> Iterator[int]:
    fd = fsops.open_root(os.fsencode(tree))
    yield fd
    os.close(fd)


def opened(fd: int) -> bool:
    os.close(fd)
    return True


@pytest.mark.parametrize("path", [b"d/e/f", b"d/e", b".", b"d//e/./f"])
def test_what_is_there_opens(open_strict: Callable[[int, bytes, int], int], top: int, path: bytes) -> None:
    assert opened(open_strict(top, path, os.O_RDONLY))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        (b"d/link/f", errno.ELOOP),
        (b"d/e/out", errno.ELOOP),
        (b"../x", errno.EXDEV),
        (b"/etc/hostname", errno.EXDEV),
        (b"d/nothing", errno.ENOENT),
        (b"d/e/f/g", errno.ENOTDIR),
    ],
)
def test_what_leads_astray_does_not(open_strict: Callable[[int, bytes, int], int], top: int, path: bytes, code: int) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        os.close(open_strict(top, path, os.O_RDONLY))
    # By steps, a link in the middle is met as "no directory": O_NOFOLLOW with O_DIRECTORY says ENOTDIR.
    assert caught.value.errno in ({code, errno.ENOTDIR} if path == b"d/link/f" else {code})


def test_another_mount_is_not_entered(open_strict: Callable[[int, bytes, int], int]) -> None:
    top = fsops.open_root(b"/")
    try:
        with pytest.raises(OSError, match=r".") as caught:
            os.close(open_strict(top, b"proc/self", os.O_RDONLY))
    finally:
        os.close(top)
    assert caught.value.errno == errno.EXDEV


def test_a_fifo_can_be_looked_at_without_opening_it(top: int) -> None:
    fd = fsops.open_beneath(top, b"d/fifo", os.O_PATH | os.O_NOFOLLOW)
    assert stat.S_ISFIFO(os.fstat(fd).st_mode)
    os.close(fd)


def test_a_path_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    part = b"d" * 200
    here = fsops.open_root(os.fsencode(tmp_path))
    for _ in range(60):  # 12 kB
        os.mkdir(part, dir_fd=here)
        deeper = os.open(part, fsops.DIRECTORY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open(b"f", os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=here))
    os.close(here)
    top = fsops.open_root(os.fsencode(tmp_path))
    path = b"/".join([part] * 60)
    assert opened(fsops.open_beneath(top, path + b"/f", os.O_RDONLY))
    with fsops.open_directory(top, path) as fd:
        assert os.listdir(fd) == ["f"]
    os.close(top)


def test_no_descriptor_is_lost(open_strict: Callable[[int, bytes, int], int], top: int) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for path in (b"d/e/f", b"d/link/f", b"../x", b"d/nothing", b"d/e/out"):
        try:
            os.close(open_strict(top, path, os.O_RDONLY))
        except OSError:
            continue
    assert len(os.listdir("/proc/self/fd")) == before


def test_reopen_reads_the_inode_and_not_the_name(top: int, tree: Path) -> None:
    path_fd = fsops.open_beneath(top, b"d/e/f", os.O_PATH)
    (tree / "d/e/f").rename(tree / "d/e/old")
    (tree / "d/e/f").write_bytes(b"another")
    fd = fsops.reopen(path_fd, os.O_RDONLY)
    assert os.read(fd, 10) == b"x"
    os.close(fd)
    os.close(path_fd)


def test_rename_never_replaces(top: int, tree: Path) -> None:
    (tree / "a").write_bytes(b"a")
    (tree / "b").write_bytes(b"b")
    with pytest.raises(FileExistsError):
        fsops.rename_noreplace(top, b"a", top, b"b")
    assert (tree / "b").read_bytes() == b"b"
    fsops.rename_noreplace(top, b"a", top, b"c")
    assert (tree / "c").read_bytes() == b"a"


def test_an_unnamed_file_gets_a_name_and_replaces_none(top: int, tree: Path) -> None:
    fd = fsops.open_unnamed(top, 0o600)
    os.write(fd, b"new")
    assert not list(tree.glob("*new*"))
    (tree / "there").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        fsops.link_fd(fd, top, b"there")
    fsops.link_fd(fd, top, b"free")
    os.close(fd)
    assert (tree / "there").read_bytes() == b"old"
    assert (tree / "free").read_bytes() == b"new"
    assert stat.S_IMODE(os.stat(tree / "free").st_mode) == 0o600


def test_mountinfo_with_odd_names() -> None:
    text = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /mnt/a\040b\011c\134d\012e rw,noatime master:1 - ext3 /dev/root rw,errors=continue
37 35 98:0 / /mnt/caf\303\251 rw - ext4 /dev/x rw
garbage
x y z / /no rw
"""
    assert fsops.parse_mountinfo(text) == {22: b"/proc", 36: b"/mnt/a b\tc\\d\ne", 37: "/mnt/caf\u00e9".encode()}


def test_the_mount_point_of_a_descriptor(tree: Path) -> None:
    proc = os.open("/proc/self", fsops.DIRECTORY & ~os.O_NOFOLLOW)
    point, fd = fsops.open_mount_point(proc)
    assert point == b"/proc"
    assert fsops.mount_id(fd) == fsops.mount_id(proc)
    os.close(fd)
    os.close(proc)


def test_extended_attributes_are_bounded(tree: Path) -> None:
    path = tree / "d/e/f"
    with suppress(OSError):  # where the filesystem has none there is nothing to read either
        os.setxattr(path, b"user.small", b"1")
        os.setxattr(path, b"user.large", b"2" * 1000)
    with open(path, "rb") as stream:
        everything = fsops.read_xattrs(stream.fileno(), 64 << 10)
        bounded = fsops.read_xattrs(stream.fileno(), 100)
    assert everything.complete
    if everything.values:
        assert everything.values[b"user.large"] == b"2" * 1000
        assert dict(bounded.values) == {b"user.small": b"1"}
        assert not bounded.complete


def test_extended_attributes_that_cannot_be_listed_are_said_to_be_missing(top: int) -> None:
    fd = fsops.open_beneath(top, b"d/e/f", os.O_PATH)
    assert fsops.read_xattrs(fd, 100) == fsops.Xattrs({}, complete=False)
    os.close(fd)


def test_who_has_a_file_open_for_writing_is_noticed(tree: Path) -> None:
    fd = os.open(tree / "d/e/f", os.O_RDONLY)
    try:
        assert fsops.has_writer(fd) is False
        with (tree / "d/e/f").open("ab"):
            assert fsops.has_writer(fd) is True
        with (tree / "d/e/f").open("rb"):
            assert fsops.has_writer(fd) is False
    finally:
        os.close(fd)


def test_where_the_kernel_does_not_say_nobody_claims_it() -> None:
    reading, writing = os.pipe()
    try:
        assert fsops.has_writer(reading) is None
    finally:
        os.close(reading)
        os.close(writing)
