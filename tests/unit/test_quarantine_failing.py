"""A call of the system fails at one exact moment: what the vault says then, and what recovery makes of it."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.errors import LockedError, QuarantineError, StateError
from hashscan.model import Action, CaseState
from hashscan.quarantine.holding import Held, look
from hashscan.quarantine.lock import RunLock
from hashscan.quarantine.log import check, raw_lines
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.restore import make_new
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.vault import Recovered, Vault
from tests.support.failing import Switch, failing
from tests.support.findings import digests_of, make_finding
from tests.support.interfering import DATA, INNOCENT, acting, stop, swapping

pytestmark = pytest.mark.usefixtures("no_descriptor_is_lost")


def _whats(tmp_path: Path) -> list[str]:
    """What the log says, in order; its chain holds."""
    lines = list(raw_lines(tmp_path / "vault/log"))
    assert not check(lines).broken
    return [line.split(b'"what":"')[1].split(b'"')[0].decode() for line in lines]


def _recovered(tmp_path: Path) -> list[Recovered]:
    vault = Vault(tmp_path / "vault", Limits())
    outcomes = [result.outcome for result in vault.recover()]
    assert vault.recover() == [] or set(outcomes) & {Recovered.WAITING, Recovered.DAMAGED}
    return outcomes


def test_a_file_that_cannot_be_read_stays(vault: Vault, tree: Path, tmp_path: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    with failing("pread", errno.EIO, lambda _, size, __: size > 100_000):  # not the log
        result = vault.handle(finding)
    assert (result.action, result.reason) == (Action.FAILED, "it cannot be read: Input/output error (EIO)")
    assert (tree / "www/a").read_bytes() == DATA
    assert [case.state for case in vault.cases()] == [CaseState.DROPPED]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_vault_is_a_failure_of_the_file(vault: Vault, tree: Path, code: int) -> None:
    with failing("mkdir", code, lambda path, *_, **__: "/cases/" in str(path)):
        result = vault.handle(make_finding(tree / "www/a", tree))
    assert result.action == Action.FAILED
    assert "cannot hold it" in result.reason
    assert (tree / "www/a").read_bytes() == DATA


def test_a_broken_vault_ends_the_run_and_the_file_is_where_it_was(vault: Vault, tree: Path) -> None:
    with (
        failing("mkdir", errno.EIO, lambda path, *_, **__: "/cases/" in str(path)),
        pytest.raises(QuarantineError, match="the file is where it was"),
    ):
        vault.handle(make_finding(tree / "www/a", tree))
    assert (tree / "www/a").read_bytes() == DATA
    assert list(vault.cases()) == []


def test_a_case_that_could_not_be_opened_leaves_no_half(vault: Vault, tree: Path, tmp_path: Path) -> None:
    def first_record(source: object, _: object) -> bool:
        return "/.record.json." in str(source)

    with failing("rename", errno.ENOSPC, first_record):
        assert vault.handle(make_finding(tree / "www/a", tree)).action == Action.FAILED
    assert os.listdir(tmp_path / "vault/cases") == []
    assert _whats(tmp_path) == ["take-intent", "dropped"]
    assert b"the case could not be opened: No space left on device" in (tmp_path / "vault/log").read_bytes()
    assert _recovered(tmp_path) == []


def test_a_commit_that_fails_is_finished_by_the_next_run(vault: Vault, tree: Path, tmp_path: Path) -> None:
    with (
        failing("rename", errno.EIO, lambda source, _: str(source).endswith("commit.json")),
        pytest.raises(QuarantineError, match=r"failed in case [0-9a-f]{16}: ") as caught,
    ):
        vault.handle(make_finding(tree / "www/a", tree))
    assert "next run" in caught.value.hint
    assert _recovered(tmp_path) == [Recovered.DONE]
    assert not (tree / "www/a").exists()


def test_a_last_line_that_cannot_be_written_is_written_by_recovery(tree: Path, tmp_path: Path) -> None:
    disk = Switch()
    vault = acting(tmp_path, "after sync holding", disk.turn)
    with failing("fsync", errno.ENOSPC, lambda _: disk.on):
        result = vault.handle(make_finding(tree / "www/a", tree))
    assert result.action == Action.QUARANTINED
    assert result.reason == (
        "the case is complete but its last line could not be written (No space left on device); recovery will write it"
    )
    assert _recovered(tmp_path) == [Recovered.DONE]
    assert vault.case(result.case_id).state is CaseState.DONE


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_case_that_cannot_be_dropped(vault: Vault, tree: Path, tmp_path: Path, code: int) -> None:
    finding = make_finding(tree / "www/a", tree)
    with open(tree / "www/a", "r+b") as stream:
        stream.write(b"H")
    with failing("unlink", code, lambda path, **_: str(path).endswith("/content")):
        if code == errno.ENOSPC:
            changed, late = "changed since the scan: its md5, sha1 is another", "recovery will"
            result = vault.handle(finding)
            assert result.action == Action.FAILED
            assert result.reason == f"{changed}; the case could not be closed on the full disk, {late}"
        else:
            with pytest.raises(QuarantineError, match="failed in case"):
                vault.handle(finding)
    assert (tree / "www/a").exists()
    assert _recovered(tmp_path) == [Recovered.DROPPED]
    assert not list((tmp_path / "vault/cases").glob("*/content"))


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("open", lambda path, flags, *_, **__: str(path).startswith("b'/proc/self/fd/") and not flags & os.O_NOATIME),
        ("pread", lambda _, size, __: size > 100_000),
    ],
)
def test_what_cannot_be_read_after_the_capture_goes_back(
    tree: Path, tmp_path: Path, name: str, when: Callable[..., bool]
) -> None:
    """It cannot be shown to be the file that was copied."""
    disk = Switch()
    finding = make_finding(tree / "www/a", tree)
    with failing(name, errno.EIO, lambda *args, **more: disk.on and when(*args, **more)):
        result = acting(tmp_path, "after capture", disk.turn).handle(finding)
    assert result.reason == "changed while it was taken: its content; put back"
    assert os.lstat(tree / "www/a").st_ino == finding.candidate.hashed.entry.inode
    assert _whats(tmp_path) == ["take-intent", "dropped"]


def test_what_cannot_be_put_back_is_an_orphan_that_a_person_settles(tree: Path, tmp_path: Path) -> None:
    path = tree / "www/a"
    step = swapping(path, "before put back", lambda: path.write_bytes(b"and another"))
    result = Vault(tmp_path / "vault", Limits(), step=step).handle(make_finding(path, tree))
    note = "changed while it was taken: another thing had its name; it could not be put back (its name is taken)"
    assert (result.action, result.reason) == (Action.FAILED, f"{note} and is kept in the holding directory")
    assert path.read_bytes() == b"and another"
    vault = Vault(tmp_path / "vault", Limits())
    assert vault.case(result.case_id).state is CaseState.ORPHAN
    assert vault.case(result.case_id).reason == result.reason
    assert _whats(tmp_path) == ["take-intent", "orphaned"]
    assert f'"detail":"{result.reason}"' in (tmp_path / "vault/log").read_text()
    with pytest.raises(QuarantineError, match="must be said"):
        vault.settle(result.case_id, " ")
    with pytest.raises(QuarantineError, match="something still lies in") as caught:
        vault.settle(result.case_id, "moved")
    assert caught.value.hint == "move it where it belongs first"
    (tmp_path / "vault/holding" / result.case_id).rename(path)
    assert vault.settle(result.case_id, "moved back").state is CaseState.SETTLED
    assert vault.case(result.case_id).reason == "moved back"
    assert _whats(tmp_path)[-1] == "settled"
    assert b'"detail":"moved back"' in (tmp_path / "vault/log").read_bytes()
    assert vault.recover() == []


def test_where_the_access_time_may_not_be_kept_it_is_read_nevertheless(vault: Vault, tree: Path) -> None:
    with failing("open", errno.EPERM, lambda _, flags, *__, **___: flags & os.O_NOATIME):
        assert vault.handle(make_finding(tree / "www/a", tree)).action == Action.QUARANTINED


def test_a_look_that_fails_says_nothing_about_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    inode, digests = os.stat(tmp_path / "a").st_ino, digests_of(b"x")
    fd = os.open(tmp_path, os.O_RDONLY)
    before = len(os.listdir("/proc/self/fd"))
    assert look(fd, "a", inode, 1, digests) is Held.OURS
    assert look(fd, "a", inode, 2, digests) is Held.CHANGED
    assert look(fd, "a", inode + 1, 1, digests) is Held.FOREIGN
    assert look(fd, "b", inode, 1, digests) is Held.EMPTY
    with failing("open", errno.EIO, lambda path, *_, **__: path == "a"), pytest.raises(OSError, match="Input/output"):
        look(fd, "a", inode, 1, digests)
    with failing("open", errno.ENOENT, lambda path, *_, **__: path == "a"), pytest.raises(OSError, match="contradicts itself"):
        look(fd, "a", inode, 1, digests)
    assert len(os.listdir("/proc/self/fd")) == before
    os.close(fd)


def test_another_thing_that_was_captured_goes_back_after_a_crash(captured_another: Path, tmp_path: Path) -> None:
    assert not captured_another.exists()
    vault = Vault(tmp_path / "vault", Limits())
    (result,) = vault.recover()
    assert (result.outcome, result.detail) == (Recovered.PUT_BACK, "what had been captured was another thing")
    assert captured_another.read_bytes() == INNOCENT
    case = vault.case(result.case_id)
    assert (case.state, case.reason) == (
        CaseState.DROPPED,
        "what had been captured was not the file that was copied; put back",
    )
    assert _whats(tmp_path)[-1] == "recovered"
    assert b'"detail":"put_back: what had been captured was another thing"' in (tmp_path / "vault/log").read_bytes()


# Restoring.


def _taken(vault: Vault, tree: Path) -> str:
    return vault.handle(make_finding(tree / "www/a", tree)).case_id


def test_where_no_file_can_be_made_nothing_is_restored(vault: Vault, tree: Path, tmp_path: Path) -> None:
    case_id = _taken(vault, tree)
    with (
        failing("open", errno.EROFS, lambda _, flags, *__, **___: flags & os.O_TMPFILE == os.O_TMPFILE),
        pytest.raises(QuarantineError, match=r"was not restored: Read-only file system \(EROFS\): /.*/www/a"),
    ):
        vault.restore(case_id)
    assert os.listdir(tree / "www") == []
    assert _whats(tmp_path)[-2:] == ["restore-intent", "not-restored"]
    assert vault.restore(case_id).state is CaseState.RESTORED


def test_a_disk_that_fails_after_the_name_is_settled_by_the_next_run(tree: Path, tmp_path: Path) -> None:
    case_id = _taken(Vault(tmp_path / "vault", Limits()), tree)
    disk = Switch()
    vault = acting(tmp_path, "before sync new file", disk.turn)
    with (
        failing("fsync", errno.EIO, lambda _: disk.on),
        pytest.raises(QuarantineError, match="was restored, but the disk failed") as caught,
    ):
        vault.restore(case_id)
    assert "next run" in caught.value.hint
    assert (tree / "www/a").read_bytes() == DATA
    assert _whats(tmp_path)[-1] == "restore-intent"
    assert _recovered(tmp_path) == [Recovered.RESTORED]
    assert _whats(tmp_path)[-1] == "recovered"


def test_evidence_that_changes_while_it_is_written_is_not_handed_out(tree: Path, tmp_path: Path) -> None:
    case_id = _taken(Vault(tmp_path / "vault", Limits()), tree)
    content = tmp_path / "vault/cases" / case_id / "content"
    vault = acting(tmp_path, "before make new file", lambda: content.write_bytes(b"H" + DATA[1:]))
    with pytest.raises(QuarantineError, match="not restored: Input/output error") as caught:
        vault.restore(case_id)
    assert caught.value.hint == ""
    assert os.listdir(tree / "www") == []
    assert vault.record(case_id)["restoring"] is None


def test_attributes_that_the_disk_refuses_are_named(vault: Vault, tree: Path) -> None:
    for name in ("user.a", "user.b"):
        os.setxattr(tree / "www/a", name, b"1")
    case_id = _taken(vault, tree)
    with failing("setxattr", errno.ENOSPC, lambda _, name, __: name == b"user.a"):
        case = vault.restore(case_id)
    assert case.reason == "restored, without its extended attributes user.a (No space left on device)"
    assert os.listxattr(tree / "www/a") == ["user.b"]


def test_other_failures_are_no_reason_for_a_temporary_name(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)

    def refuses(code: int) -> Callable[[int, int], int]:
        def open_unnamed(_: int, __: int) -> int:
            raise OSError(code, "no")

        return open_unnamed

    for code in (errno.ENOSPC, errno.EACCES, errno.EIO):
        with pytest.raises(OSError, match="no"):
            make_new(fd, refuses(code))
    assert os.listdir(tmp_path) == []
    for code in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
        new = make_new(fd, refuses(code))
        status = os.fstat(new.fd)
        assert re.fullmatch(rb"\.hashscan-[0-9a-f]{16}", new.temporary)
        assert (status.st_mode & 0o777, status.st_ino) == (0o600, os.stat(tmp_path / os.fsdecode(new.temporary)).st_ino)
        os.close(new.fd)
    assert len(os.listdir(tmp_path)) == 4
    new = make_new(fd)
    assert (os.fstat(new.fd).st_mode & 0o777, os.fstat(new.fd).st_nlink, new.temporary) == (0o600, 0, b"")
    os.close(new.fd)
    os.close(fd)


def test_a_place_that_is_gone_before_recovery_means_not_restored(tree: Path, tmp_path: Path) -> None:
    case_id = _taken(Vault(tmp_path / "vault", Limits()), tree)
    with pytest.raises(KeyboardInterrupt):
        acting(tmp_path, "after write new file", stop).restore(case_id)
    (tree / "www").rmdir()
    assert _recovered(tmp_path) == [Recovered.NOT_RESTORED]
    assert CaseStore(tmp_path / "vault", lambda: 1.0).read(case_id).restoring is None


def test_a_place_that_cannot_be_reached_makes_the_case_wait(tree: Path, tmp_path: Path) -> None:
    """To say "not restored" of a file that is there would be wrong."""
    case_id = _taken(Vault(tmp_path / "vault", Limits()), tree)
    with pytest.raises(KeyboardInterrupt):
        acting(tmp_path, "after name new file", stop).restore(case_id)
    vault = Vault(tmp_path / "vault", Limits())
    for path in (os.fsencode(tree), b"a"):
        with failing("open", errno.EIO, lambda opened, *_, path=path, **__: opened == path):
            told = vault.recover()
        if path == b"a":  # by openat2 the name is reached without `os`
            assert [result.outcome for result in told] == [Recovered.RESTORED]
        else:
            assert [(one.outcome, one.detail) for one in told] == [
                (Recovered.WAITING, "where it was to be restored cannot be reached: [Errno 5] Input/output error")
            ]
            assert _whats(tmp_path)[-1] == "restore-intent"
    assert vault.case(case_id).state is CaseState.RESTORED


# The lock.


def test_a_lock_that_cannot_be_had_is_said(tmp_path: Path) -> None:
    path = tmp_path / "state/lock"
    with (
        failing("flock", errno.ENOLCK, module=fcntl),
        pytest.raises(StateError, match="cannot be locked: No locks"),
        RunLock(path),
    ):
        pytest.fail("it is not locked")
    before = len(os.listdir("/proc/self/fd"))
    with failing("pwrite", errno.ENOSPC), pytest.raises(StateError, match="cannot be written: No space"), RunLock(path):
        pytest.fail("it is not locked")
    assert len(os.listdir("/proc/self/fd")) == before
    with RunLock(path), pytest.raises(LockedError), RunLock(path):
        pytest.fail("it is locked")
