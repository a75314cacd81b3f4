"""Files that are not like others: each has an outcome that is defined here. Nothing is lost, and the reason is said."""

from __future__ import annotations

import array
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hashscan.model import Action, CaseState
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.log import raw_lines, read_line
from hashscan.quarantine.vault import Vault
from tests.support.findings import make_finding
from tests.support.interfering import DATA

_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS of ioctl_iflags(2) on 64 bits
_IMMUTABLE, _APPEND = 0x10, 0x20


@contextmanager
def _flagged(path: Path, flag: int) -> Iterator[None]:
    """The file with an inode flag of `chattr`."""
    fd = os.open(path, os.O_RDONLY)
    flags = array.array("l", [0])
    try:
        fcntl.ioctl(fd, _GETFLAGS, flags)
        fcntl.ioctl(fd, _SETFLAGS, array.array("l", [flags[0] | flag]))
        try:
            yield
        finally:
            fcntl.ioctl(fd, _SETFLAGS, flags)
    finally:
        os.close(fd)


@pytest.mark.optional("inode-flags")
@pytest.mark.parametrize("flag", [_IMMUTABLE, _APPEND], ids=["immutable", "append-only"])
def test_a_file_that_may_not_be_renamed_stays(vault: Vault, tree: Path, flag: int) -> None:
    finding = make_finding(tree / "www/a", tree)
    with _flagged(tree / "www/a", flag):
        result = vault.handle(finding)
    assert result.action == Action.FAILED
    assert "immutable" in result.reason
    assert (tree / "www/a").read_bytes() == DATA
    assert [case.state for case in vault.cases()] == [CaseState.DROPPED]
    assert vault.handle(finding).action == Action.QUARANTINED


@pytest.mark.optional("inode-flags")
def test_a_directory_that_may_not_change_keeps_its_file(vault: Vault, tree: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    with _flagged(tree / "www", _IMMUTABLE):
        assert vault.handle(finding).action == Action.FAILED
    assert (tree / "www/a").read_bytes() == DATA


def test_an_open_writer_is_said_and_the_evidence_is_the_copy(vault: Vault, tree: Path, tmp_path: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    with (tree / "www/a").open("ab") as writer:
        result = vault.handle(finding)
        writer.write(b" and what came after")
    assert result.action == Action.QUARANTINED
    assert result.reason == vault.case(result.case_id).reason == "somebody had it open for writing"
    assert (tmp_path / "vault/cases" / result.case_id / "content").read_bytes() == DATA


def test_all_that_is_to_be_said_of_a_file_is_said(tree: Path, tmp_path: Path) -> None:
    os.link(tree / "www/a", tree / "b")
    vault = Vault(tmp_path / "vault", Limits(allow_hard_links=True))
    with (tree / "www/a").open("ab"):
        result = vault.handle(make_finding(tree / "www/a", tree))
    assert result.reason == "1 other names of the file remain; somebody had it open for writing"
    assert vault.case(result.case_id).reason == result.reason
    *_, last = raw_lines(tmp_path / "vault/log")
    assert (read_line(last[:-1]).what, read_line(last[:-1]).detail) == ("taken", result.reason)


def test_an_open_reader_is_nobodys_business(vault: Vault, tree: Path) -> None:
    with (tree / "www/a").open("rb") as reader:
        result = vault.handle(make_finding(tree / "www/a", tree))
        assert reader.read() == DATA
    assert (result.action, result.reason) == (Action.QUARANTINED, "")


def test_attributes_of_the_customer_come_back_and_rights_do_not(vault: Vault, tree: Path) -> None:
    path = tree / "www/a"
    try:
        os.setxattr(path, "user.comment", b"mine")
    except OSError:
        pytest.fail("TMPDIR is on a filesystem without user attributes: set it to a folder on ext4, xfs or btrfs")
    acl = struct.pack("<I", 2) + b"".join(
        struct.pack("<HHI", tag, rights, who)
        for tag, rights, who in ((1, 6, 2**32 - 1), (2, 4, 65_534), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1))
    )
    has_acl = True
    try:
        os.setxattr(path, "system.posix_acl_access", acl)
    except OSError:
        has_acl = False
    case_id = vault.handle(make_finding(path, tree)).case_id
    case = vault.restore(case_id)
    assert os.getxattr(path, "user.comment") == b"mine"
    assert "system.posix_acl_access" not in os.listxattr(path)
    assert ("system.posix_acl_access" in case.reason) == has_acl


def test_setuid_does_not_come_back(vault: Vault, tree: Path) -> None:
    path = tree / "www/a"
    path.chmod(0o6755)
    case_id = vault.handle(make_finding(path, tree)).case_id
    vault.restore(case_id)
    assert path.stat().st_mode & 0o7777 == 0o755


def test_a_file_with_holes_comes_back_with_its_bytes(vault: Vault, tree: Path) -> None:
    path = tree / "www/holes"
    with path.open("wb") as stream:
        stream.truncate(3_000_000)
        stream.seek(2_000_000)
        stream.write(b"harmless")
    before = path.read_bytes()
    case_id = vault.handle(make_finding(path, tree)).case_id
    assert not path.exists()
    vault.restore(case_id)
    assert path.read_bytes() == before


def test_an_empty_file_is_a_file(vault: Vault, tree: Path) -> None:
    (tree / "www/empty").touch()
    case_id = vault.handle(make_finding(tree / "www/empty", tree)).case_id
    assert not (tree / "www/empty").exists()
    vault.restore(case_id)
    assert (tree / "www/empty").read_bytes() == b""
