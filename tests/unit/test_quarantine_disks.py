"""Full disks, second mounts, and holding directories that are not ours."""

from __future__ import annotations

import base64
import os
import resource
import signal
import stat
from pathlib import Path

import pytest

from hashscan.model import Action, CaseState
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Recovered, Vault
from tests.support import mounts
from tests.support.findings import make_finding
from tests.support.interfering import DATA, acting, stop


def test_a_file_that_the_vault_cannot_hold_is_untouched(vault: Vault, tree: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
            result = vault.handle(finding)
            code = 0 if result.action == Action.FAILED and "cannot hold" in result.reason else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tree / "www/a").read_bytes() == DATA
    assert [case.state for case in vault.cases()] == [CaseState.DROPPED]


def test_a_full_disk_touches_nothing(tmp_path: Path) -> None:
    def body() -> None:
        counts = dict.fromkeys(Action, 0)
        for free_kib in (0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 64, 400, 440, 480):
            disk = tmp_path / f"disk{free_kib}"
            mounts.tmpfs(disk, 1024)
            (disk / "a").write_bytes(b"x" * (400 << 10))
            finding = make_finding(disk / "a", disk)
            vault = Vault(disk / "vault", Limits())
            (disk / "b").write_bytes(b"y")
            assert vault.handle(make_finding(disk / "b", disk)).action == Action.QUARANTINED  # the vault is made
            left = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            (disk / "ballast").write_bytes(b"z" * (left - (free_kib << 10)))
            result = vault.handle(finding)
            counts[Action(result.action)] += 1
            kept = list((disk / "vault/cases").glob("*/content"))
            if result.action == Action.QUARANTINED:
                assert not (disk / "a").exists()
                assert len(kept) == 2
            else:
                assert "cannot hold" in result.reason
                assert (disk / "a").read_bytes() == b"x" * (400 << 10)
                assert len(kept) == 1
            (disk / "ballast").unlink()
            assert {result.outcome for result in vault.recover()} <= {Recovered.DROPPED, Recovered.DONE}
            assert {case.state for case in vault.cases()} <= {CaseState.DROPPED, CaseState.DONE}
            assert not os.listdir(disk / "vault/holding")
        assert counts[Action.FAILED] >= 10
        assert counts[Action.QUARANTINED] >= 1

    mounts.with_own_mounts(body)


def test_on_another_mount_the_holding_directory_is_at_its_mount_point(tmp_path: Path, vault: Vault) -> None:
    def body() -> None:
        disk = tmp_path / "disk with a blank"
        mounts.tmpfs(disk, 1024)
        (disk / "d").mkdir()
        (disk / "d/a").write_bytes(b"x")
        result = vault.handle(make_finding(disk / "d/a", disk / "d"))
        assert result.action == Action.QUARANTINED
        recorded = base64.b64decode(vault.record(result.case_id)["holding"]["directory_b64"])
        assert recorded == os.fsencode(disk / ".hashscan-holding")
        assert stat.S_IMODE(os.stat(recorded).st_mode) == 0o700
        assert os.listdir(recorded) == []
        assert len(vault.own_directories()) == 2
        assert vault.restore(result.case_id).state is CaseState.RESTORED
        assert (disk / "d/a").read_bytes() == b"x"

    mounts.with_own_mounts(body)


@pytest.mark.parametrize("kind", ["open to others", "a link", "a file"])
def test_a_holding_directory_that_is_not_ours_is_refused(tmp_path: Path, vault: Vault, kind: str) -> None:
    def body() -> None:
        disk = tmp_path / "disk"
        mounts.tmpfs(disk, 1024)
        (disk / "a").write_bytes(b"x")
        (disk / "elsewhere").mkdir(mode=0o700)
        planted = disk / ".hashscan-holding"
        if kind == "open to others":
            planted.mkdir()
            planted.chmod(0o755)
        elif kind == "a link":
            planted.symlink_to("elsewhere")
        else:
            planted.write_bytes(b"")
        result = vault.handle(make_finding(disk / "a", disk))
        assert result.action == Action.FAILED
        assert "no holding directory" in result.reason
        assert (disk / "a").read_bytes() == b"x"
        assert not os.listdir(disk / "elsewhere")
        assert list(vault.cases()) == []

    mounts.with_own_mounts(body)


def test_a_holding_directory_that_is_gone_makes_the_case_wait(tmp_path: Path) -> None:
    def body() -> None:
        disk = tmp_path / "disk"
        mounts.tmpfs(disk, 1024)
        (disk / "a").write_bytes(b"x")
        with pytest.raises(KeyboardInterrupt):
            acting(tmp_path, "after capture", stop).handle(make_finding(disk / "a", disk))
        vault = Vault(tmp_path / "vault", Limits())
        (disk / ".hashscan-holding").rename(disk / "moved")
        (disk / ".hashscan-holding").mkdir(mode=0o700)
        for _ in range(2):
            assert [result.outcome for result in vault.recover()] == [Recovered.WAITING]
        (disk / ".hashscan-holding").rmdir()
        (disk / "moved").rename(disk / ".hashscan-holding")
        assert [result.outcome for result in vault.recover()] == [Recovered.DONE]
        assert not os.listdir(disk / ".hashscan-holding")

    mounts.with_own_mounts(body)
