"""Giving back: the same bytes, owner, mode and times under the same name, or a clear refusal and nothing changed."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError
from hashscan.model import Action, CaseState, Place
from hashscan.quarantine import opening, restore
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.record import Restoring
from hashscan.quarantine.restore import Wish
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.vault import Recovered, Vault
from tests.support.failing import failing
from tests.support.findings import make_finding

DATA = b"harmless " * 200_000


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "srv"
    (tree / "www").mkdir(parents=True)
    path = tree / "www/a"
    path.write_bytes(DATA)
    path.chmod(0o2754)
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
        path.chmod(0o4754)
    os.utime(path, ns=(1_600_000_000_111_111_111, 1_500_000_000_222_222_222))
    return tree


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault", Limits())


def taken(vault: Vault, tree: Path) -> str:
    finding = make_finding(tree / "www/a", tree)
    os.utime(tree / "www/a", ns=(1_600_000_000_111_111_111, 1_500_000_000_222_222_222))
    result = vault.handle(finding)
    assert result.action == Action.QUARANTINED
    return result.case_id


def test_everything_is_as_it_was(vault: Vault, tree: Path) -> None:
    before = os.lstat(tree / "www/a")
    case_id = taken(vault, tree)
    case = vault.restore(case_id[:5])
    after = os.lstat(tree / "www/a")
    assert case.state is CaseState.RESTORED
    assert (tree / "www/a").read_bytes() == DATA
    assert (after.st_uid, after.st_gid, after.st_mtime_ns) == (before.st_uid, before.st_gid, before.st_mtime_ns)
    assert after.st_atime_ns == 1_600_000_000_111_111_111
    assert stat.S_IMODE(before.st_mode) & 0o6000
    assert stat.S_IMODE(after.st_mode) == stat.S_IMODE(before.st_mode) & ~0o6000
    assert os.listdir(tree / "www") == ["a"]
    assert vault.record(case_id)["restoring"] is None
    assert vault.recover() == []


@pytest.mark.parametrize("mode", [0o000, 0o600, 0o644, 0o777, 0o1644])
def test_modes(vault: Vault, tree: Path, mode: int) -> None:
    finding = make_finding(tree / "www/a", tree)
    (tree / "www/a").chmod(mode)
    if os.geteuid() and not mode & 0o400:
        assert vault.handle(finding).action == Action.FAILED
        return
    vault.restore(vault.handle(finding).case_id)
    assert stat.S_IMODE(os.lstat(tree / "www/a").st_mode) == mode


def test_extended_attributes_of_the_user_come_back_and_others_are_named(vault: Vault, tree: Path) -> None:
    os.setxattr(tree / "www/a", "user.origin", b"\x00upload")
    if os.geteuid() == 0:
        os.setxattr(tree / "www/a", "trusted.secret", b"1")
    case = vault.restore(taken(vault, tree))
    assert os.getxattr(tree / "www/a", "user.origin") == b"\x00upload"
    assert "trusted.secret" not in os.listxattr(tree / "www/a")
    assert case.reason == "restored" + (", without its extended attributes trusted.secret" if os.geteuid() == 0 else "")


def test_attributes_that_do_not_come_back_are_named_in_any_letters(vault: Vault, tree: Path) -> None:
    names = [b"user.a\xff", b"user.b"] + [b"trusted.\xff"] * (os.geteuid() == 0)
    for name in names:
        os.setxattr(tree / "www/a", name, b"1")
    case_id = taken(vault, tree)
    with failing("setxattr", errno.ENOSPC, lambda _, name, __: name == b"user.a\xff"):
        case = vault.restore(case_id)
    lost = r"trusted.\xff, " * (os.geteuid() == 0) + r"user.a\xff (No space left on device)"
    assert case.reason == f"restored, without its extended attributes {lost}"
    assert os.listxattr(tree / "www/a") == ["user.b"]


def test_attributes_that_were_never_recorded_are_said(vault: Vault, tree: Path) -> None:
    os.setxattr(tree / "www/a", "user.a", b"1")
    with failing("getxattr", errno.EIO):
        case_id = taken(vault, tree)
    assert vault.restore(case_id).reason == "restored, without its extended attributes (some were never recorded)"


def test_an_existing_name_is_never_replaced(vault: Vault, tree: Path) -> None:
    case_id = taken(vault, tree)
    for make in (lambda path: path.write_bytes(b"new"), lambda path: path.mkdir(), lambda path: path.symlink_to("/nowhere")):
        make(tree / "www/a")
        before = os.lstat(tree / "www/a")
        with pytest.raises(QuarantineError, match="its name is taken") as caught:
            vault.restore(case_id)
        assert "--to" in caught.value.hint
        assert os.lstat(tree / "www/a") == before
        assert os.listdir(tree / "www") == ["a"]
        assert vault.case(case_id).state is CaseState.DONE
        assert vault.record(case_id)["restoring"] is None
        (tree / "www/a").rmdir() if (tree / "www/a").is_dir() else (tree / "www/a").unlink()
    assert vault.restore(case_id).state is CaseState.RESTORED


def test_no_directory_is_made(vault: Vault, tree: Path) -> None:
    case_id = taken(vault, tree)
    (tree / "www").rmdir()
    with pytest.raises(QuarantineError, match="not restored: vanished"):
        vault.restore(case_id)
    assert not (tree / "www").exists()


def test_a_link_in_the_path_is_not_followed(vault: Vault, tree: Path, tmp_path: Path) -> None:
    case_id = taken(vault, tree)
    (tmp_path / "elsewhere").mkdir()
    (tree / "www").rmdir()
    (tree / "www").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QuarantineError, match="a link, or no directory, stands in its path"):
        vault.restore(case_id)
    assert os.listdir(tmp_path / "elsewhere") == []


def test_another_directory(vault: Vault, tree: Path, tmp_path: Path) -> None:
    case_id = taken(vault, tree)
    (tmp_path / "back").mkdir()
    assert vault.restore(case_id, Wish(to=tmp_path / "back")).state is CaseState.RESTORED
    assert (tmp_path / "back/a").read_bytes() == DATA
    assert not (tree / "www/a").exists()
    with pytest.raises(QuarantineError, match="restored already"):
        vault.restore(case_id)
    (tmp_path / "again").mkdir()
    assert vault.restore(case_id, Wish(to=tmp_path / "again")).state is CaseState.RESTORED
    assert (tmp_path / "again/a").read_bytes() == DATA
    with pytest.raises(QuarantineError, match="vanished"):
        vault.restore(case_id, Wish(to=tmp_path / "nowhere"))


def test_damaged_evidence_is_not_handed_out(vault: Vault, tree: Path, tmp_path: Path) -> None:
    case_id = taken(vault, tree)
    path = tmp_path / "vault/cases" / case_id / "content"
    for data in (DATA[:-1], DATA + b"x", b"X" + DATA[1:]):
        path.write_bytes(data)
        with pytest.raises(QuarantineError, match="evidence does not have the digests"):
            vault.restore(case_id)
        assert os.listdir(tree / "www") == []
    path.unlink()
    with pytest.raises(QuarantineError, match="evidence does not have the digests"):
        vault.restore(case_id)


def test_what_was_dropped_cannot_be_restored(vault: Vault, tree: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    (tree / "www/a").write_bytes(b"H" + DATA[1:])
    result = vault.handle(finding)
    with pytest.raises(QuarantineError, match="is dropped and cannot be restored: changed since the scan"):
        vault.restore(result.case_id)


def died_at(tmp_path: Path, moment: str, case_id: str) -> Vault:
    def step(name: str) -> None:
        if name == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Vault(tmp_path / "vault", Limits(), step=step).restore(case_id)
    return Vault(tmp_path / "vault", Limits())


@pytest.mark.parametrize(
    ("moment", "there"),
    [
        ("before make new file", False),
        ("after make new file", False),
        ("before write new file", False),
        ("after write new file", False),
        ("before name new file", False),
        ("after name new file", True),
        ("before sync new file", True),
        ("before record restored", True),
        ("after record restored", True),
    ],
)
def test_a_restore_that_is_cut_off_is_settled(vault: Vault, tree: Path, tmp_path: Path, moment: str, there: bool) -> None:
    case_id = taken(vault, tree)
    vault = died_at(tmp_path, moment, case_id)
    outcomes = [result.outcome for result in vault.recover()]
    assert outcomes in ([], [Recovered.RESTORED if there else Recovered.NOT_RESTORED])
    assert os.listdir(tree / "www") == (["a"] if there else [])
    assert vault.case(case_id).state is (CaseState.RESTORED if there else CaseState.DONE)
    assert vault.record(case_id)["restoring"] is None
    assert vault.recover() == []
    if not there:
        assert vault.restore(case_id).state is CaseState.RESTORED


class Fallback:
    """The way of a filesystem without unnamed files, up to the moment before the new file is filled."""

    def __init__(self, tmp_path: Path, tree: Path, case_id: str) -> None:
        self.store = CaseStore(tmp_path / "vault", lambda: 1.0)
        self.record = self.store.read(case_id)
        self.parent, self.name = opening.open_parent(self.record.place)
        self.new = restore.make_new(self.parent, self.refuse)
        self.begun = Restoring(self.record.place, os.fstat(self.new.fd).st_ino, self.new.temporary)

    @staticmethod
    def refuse(dir_fd: int, mode: int) -> int:
        raise OSError(errno.EOPNOTSUPP, "no unnamed files here")

    def end(self) -> CaseState:
        try:
            return restore.fill_and_name(self.store, self.record, self.begun, (self.new, self.parent, self.name)).state
        finally:
            os.close(self.new.fd)
            os.close(self.parent)


def test_without_unnamed_files(vault: Vault, tree: Path, tmp_path: Path) -> None:
    before = os.lstat(tree / "www/a")
    way = Fallback(tmp_path, tree, taken(vault, tree))
    assert stat.S_IMODE(os.lstat(tree / "www" / os.fsdecode(way.new.temporary)).st_mode) == 0o600
    assert way.end() is CaseState.RESTORED
    assert os.listdir(tree / "www") == ["a"]
    assert (tree / "www/a").read_bytes() == DATA
    assert os.lstat(tree / "www/a").st_mtime_ns == before.st_mtime_ns


def test_without_unnamed_files_a_taken_name_stays(vault: Vault, tree: Path, tmp_path: Path) -> None:
    way = Fallback(tmp_path, tree, taken(vault, tree))
    (tree / "www/a").write_bytes(b"new")
    with pytest.raises(QuarantineError, match="its name is taken"):
        way.end()
    assert os.listdir(tree / "www") == ["a"]
    assert (tree / "www/a").read_bytes() == b"new"


def test_without_unnamed_files_a_swapped_temporary_file_is_noticed(vault: Vault, tree: Path, tmp_path: Path) -> None:
    way = Fallback(tmp_path, tree, taken(vault, tree))
    temporary = tree / "www" / os.fsdecode(way.new.temporary)
    temporary.unlink()
    temporary.write_bytes(b"planted")
    with pytest.raises(QuarantineError, match="not restored"):
        way.end()
    assert vault.case(way.record.id).state is CaseState.DONE
    assert vault.record(way.record.id)["restoring"] is None


def test_without_unnamed_files_a_link_to_the_new_file_is_not_taken_for_it(vault: Vault, tree: Path, tmp_path: Path) -> None:
    """It would stay in the hands of who made the link."""
    way = Fallback(tmp_path, tree, taken(vault, tree))
    temporary = tree / "www" / os.fsdecode(way.new.temporary)
    temporary.rename(tree / "moved")
    temporary.symlink_to(tree / "moved")
    with pytest.raises(QuarantineError, match="somebody replaced the temporary file"):
        way.end()
    assert vault.case(way.record.id).state is CaseState.DONE


def test_without_unnamed_files_recovery_removes_the_temporary_name(vault: Vault, tree: Path, tmp_path: Path) -> None:
    way = Fallback(tmp_path, tree, taken(vault, tree))
    way.store.write(replace(way.record, restoring=way.begun))
    os.close(way.new.fd)
    os.close(way.parent)
    assert [result.outcome for result in vault.recover()] == [Recovered.NOT_RESTORED]
    assert os.listdir(tree / "www") == []


@pytest.mark.parametrize("below", [True, False], ids=["the name", "the directory"])
def test_recovery_waits_where_nobody_can_tell_whether_it_was_restored(
    vault: Vault, tree: Path, tmp_path: Path, below: bool
) -> None:
    """To say "not restored" of a file that is there would be wrong: only "it is not there" is an answer."""
    case_id = taken(vault, tree)
    store, long = CaseStore(tmp_path / "vault", lambda: 1.0), b"x" * 300
    record = store.read(case_id)
    place = Place(os.fsencode(tree), long) if below else Place(os.fsencode(tree), long + b"/a")
    store.write(replace(record, restoring=Restoring(place, 1, b"")))
    assert [result.outcome for result in vault.recover()] == [Recovered.WAITING]
    store.write(replace(record, restoring=Restoring(record.place, 1, b"")))
    assert [result.outcome for result in vault.recover()] == [Recovered.NOT_RESTORED]
