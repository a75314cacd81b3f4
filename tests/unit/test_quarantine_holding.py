"""Holding directories in detail: what is opened and closed, made durable, and recognised."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hashscan import fsops
from hashscan.model import Algorithm
from hashscan.quarantine import holding
from hashscan.quarantine.evidence import Digester
from hashscan.quarantine.holding import Held
from hashscan.quarantine.record import HoldingPlace
from hashscan.quarantine.vault import Vault
from tests.support import mounts
from tests.support.failing import failing
from tests.support.findings import make_finding

pytestmark = pytest.mark.usefixtures("no_descriptor_is_lost")

DATA = b"harmless"


def _digests(data: bytes) -> dict[Algorithm, str]:
    digester = Digester([Algorithm.SHA1])
    digester.update(data)
    return digester.digests()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    own = tmp_path / "holding"
    own.mkdir(mode=0o700)
    return own


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_on_another_mount_one_descriptor_stays_open_and_the_name_is_durable(tmp_path: Path, own: Path) -> None:
    def body() -> None:
        mounts.tmpfs(tmp_path / "disk", 1024)
        near = os.open(tmp_path / "disk", fsops.DIRECTORY)
        before, top = _descriptors(), os.fstat(near).st_ino
        with (
            failing("fsync", errno.EIO, lambda fd: os.fstat(fd).st_ino == top),
            pytest.raises(OSError, match="Input/output"),
        ):
            holding.open_beside(own, near)
        assert _descriptors() == before
        for _ in range(2):  # made, and found
            held = holding.open_beside(own, near)
            assert _descriptors() == before + 1
            status = os.fstat(held.fd)
            directory = os.fsencode(tmp_path / "disk/.hashscan-holding")
            assert held.place == HoldingPlace(directory, status.st_dev, status.st_ino, fsops.mount_id(near))
            os.close(held.fd)

    mounts.with_own_mounts(body)


def test_a_directory_that_others_may_enter_is_refused_by_name(tmp_path: Path, own: Path) -> None:
    def body() -> None:
        mounts.tmpfs(tmp_path / "disk", 1024)
        (tmp_path / "disk/.hashscan-holding").mkdir()
        (tmp_path / "disk/.hashscan-holding").chmod(0o701)
        near = os.open(tmp_path / "disk", fsops.DIRECTORY)
        before = _descriptors()
        with pytest.raises(PermissionError, match="not a private directory") as caught:
            holding.open_beside(own, near)
        assert caught.value.filename == holding.HOLDING_NAME
        assert _descriptors() == before

    mounts.with_own_mounts(body)


def test_why_there_is_no_holding_directory_is_in_the_reason(tmp_path: Path, vault: Vault) -> None:
    def body() -> None:
        disk = tmp_path / "disk"
        mounts.tmpfs(disk, 1024)
        (disk / "a").write_bytes(DATA)
        finding, top, why = make_finding(disk / "a", disk), disk.stat().st_ino, "no holding directory can be had beside it"
        with failing("fsync", errno.EIO, lambda fd: os.fstat(fd).st_ino == top):
            assert vault.handle(finding).reason == f"{why}: Input/output error: its mount"
        (disk / ".hashscan-holding").chmod(0o701)
        said = "the holding directory is not a private directory of ours: .hashscan-holding"
        assert vault.handle(finding).reason == f"{why}: {said}"
        assert (disk / "a").read_bytes() == DATA

    mounts.with_own_mounts(body)


def test_a_directory_on_a_third_mount_is_refused(tmp_path: Path, own: Path) -> None:
    """Mounted over the name: a rename into it would fail, and what is in it is not ours."""

    def body() -> None:
        mounts.tmpfs(tmp_path / "disk", 1024)
        mounts.tmpfs(tmp_path / "disk/.hashscan-holding", 64)
        (tmp_path / "disk/.hashscan-holding").chmod(0o700)
        near = os.open(tmp_path / "disk", fsops.DIRECTORY)
        with pytest.raises(PermissionError, match="not a private directory"):
            holding.open_beside(own, near)

    mounts.with_own_mounts(body)


def test_another_directory_under_the_recorded_name_is_stale(tmp_path: Path, own: Path) -> None:
    place = HoldingPlace(os.fsencode(own), 0, own.stat().st_ino + 1, 0)
    with pytest.raises(OSError, match="another directory") as caught:
        holding.open_again(tmp_path, place)
    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, os.fsencode(own))
    for recorded in (HoldingPlace(os.fsencode(own), 0, own.stat().st_ino, 0), HoldingPlace(b"", 0, 7, 0)):
        fd = holding.open_again(own, recorded)
        assert os.fstat(fd).st_ino == own.stat().st_ino
        os.close(fd)


@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "directory", "another inode"])
def test_what_is_no_file_is_foreign_and_is_not_opened(tmp_path: Path, own: Path, kind: str) -> None:
    """A link may lead to the very file, and a FIFO waits for ever."""
    path, real = own / "case", tmp_path / "real"
    real.write_bytes(DATA)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    elif kind == "another inode":
        path.write_bytes(DATA)
    else:
        path.symlink_to(real if kind == "link" else "nowhere")
    fd = os.open(own, fsops.DIRECTORY)
    inode = real.stat().st_ino if kind in ("link", "another inode") else os.lstat(path).st_ino
    assert holding.look(fd, "case", inode, len(DATA), _digests(DATA)) is Held.FOREIGN
    os.close(fd)


def test_the_inode_with_its_bytes_is_ours(own: Path) -> None:
    (own / "case").write_bytes(DATA)
    fd, inode = os.open(own, fsops.DIRECTORY), (own / "case").stat().st_ino
    assert holding.look(fd, "case", inode, len(DATA), _digests(DATA)) is Held.OURS
    assert holding.look(fd, "case", inode, len(DATA), _digests(b"other")) is Held.CHANGED
    assert holding.look(fd, "case", inode, len(DATA) + 1, _digests(DATA)) is Held.CHANGED
    assert holding.look(fd, "no case", inode, len(DATA), _digests(DATA)) is Held.EMPTY
    for name in ("open", "pread"):
        with failing(name, errno.EIO, lambda path, *_, **__: isinstance(path, int) or b"/proc" in os.fsencode(path)):
            assert holding.look(fd, "case", inode, len(DATA), _digests(DATA)) is Held.CHANGED
    os.close(fd)


def test_a_directory_that_contradicts_itself_names_what(own: Path) -> None:
    with pytest.raises(OSError, match="contradicts itself") as caught:
        holding.absent("case", ["case"])
    assert (caught.value.errno, caught.value.filename) == (errno.ESTALE, "case")
