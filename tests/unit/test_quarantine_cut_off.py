"""A restore that was cut off: what its file is called by then, and what is believed about it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError
from hashscan.model import CaseState, Place
from hashscan.quarantine import cut_off
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.record import Restoring
from hashscan.quarantine.vault import Recovered, Vault
from tests.support import children, injecting
from tests.support.failing import Switch, failing
from tests.support.findings import make_finding
from tests.support.interfering import DATA, acting, stop


def _unnamed(_: object, flags: int, *__: object, **___: object) -> bool:
    return flags & os.O_TMPFILE == os.O_TMPFILE


def _temporary(path: object, flags: int, *__: object, **___: object) -> bool:
    return isinstance(path, bytes) and path.startswith(b".hashscan-")


@pytest.fixture
def case_id(tree: Path, tmp_path: Path) -> str:
    return Vault(tmp_path / "vault", Limits()).handle(make_finding(tree / "www/a", tree)).case_id


@pytest.mark.parametrize("moment", ["before record done", "after record done", "after make new file", "before write new file"])
def test_a_temporary_name_is_known_before_it_is_made(tree: Path, tmp_path: Path, case_id: str, moment: str) -> None:
    """A filesystem without unnamed files, and a run that ends at once: nothing of it stays in a customer's folder."""
    with failing("open", errno.EOPNOTSUPP, _unnamed), pytest.raises(KeyboardInterrupt):
        acting(tmp_path, moment, stop).restore(case_id)
    made = moment in ("after make new file", "before write new file")
    assert [name.startswith(".hashscan-") for name in os.listdir(tree / "www")] == [True] * made
    vault = Vault(tmp_path / "vault", Limits())
    outcomes = [result.outcome for result in vault.recover()]
    assert outcomes == ([] if moment == "before record done" else [Recovered.NOT_RESTORED])
    assert os.listdir(tree / "www") == []
    assert vault.case(case_id).state is CaseState.DONE
    assert vault.restore(case_id).state is CaseState.RESTORED
    assert (tree / "www/a").read_bytes() == DATA


def test_where_the_temporary_file_cannot_be_made_the_record_forgets_it(tree: Path, tmp_path: Path, case_id: str) -> None:
    vault = Vault(tmp_path / "vault", Limits())
    with (
        failing("open", errno.EOPNOTSUPP, _unnamed),
        failing("open", errno.ENOSPC, _temporary),
        pytest.raises(QuarantineError, match="was not restored: No space left"),
    ):
        vault.restore(case_id)
    assert vault.record(case_id)["restoring"] is None
    assert os.listdir(tree / "www") == []
    assert vault.recover() == []


def test_where_it_cannot_even_forget_recovery_does(tree: Path, tmp_path: Path, case_id: str) -> None:
    disk = Switch()

    def spoiled(path: object, flags: int, *_: object, **__: object) -> bool:
        disk.on = disk.on or _temporary(path, flags)
        return disk.on

    with (
        failing("open", errno.EOPNOTSUPP, _unnamed),
        failing("open", errno.EIO, spoiled),
        failing("rename", errno.EIO, lambda *_: disk.on),
        pytest.raises(QuarantineError),
    ):
        Vault(tmp_path / "vault", Limits()).restore(case_id)
    vault = Vault(tmp_path / "vault", Limits())
    assert str(vault.record(case_id)["restoring"]) != "None"
    assert [result.outcome for result in vault.recover()] == [Recovered.NOT_RESTORED]
    assert vault.record(case_id)["restoring"] is None


@pytest.mark.parametrize("kind", ["ours", "not empty", "another mode", "another name too", "no file", "a stranger's"])
def test_only_what_we_alone_can_have_made_is_removed(tmp_path: Path, kind: str) -> None:
    """Its inode was never written down, and a tenant reads names."""
    path = tmp_path / ".hashscan-x"
    if kind == "no file":
        path.mkdir(mode=0o600)
    else:
        path.write_bytes(b"x" if kind == "not empty" else b"")
        path.chmod(0o640 if kind == "another mode" else 0o600)
    if kind == "another name too":
        os.link(path, tmp_path / "other")
    if kind == "a stranger's":
        if os.geteuid():
            pytest.skip("not run: only root gives files away")
        os.chown(path, 1234, 1234)
    assert cut_off.is_back(Restoring(Place(os.fsencode(tmp_path), b"a"), 0, b".hashscan-x")) is False
    assert path.exists() == (kind != "ours")


def test_a_name_that_is_gone_is_gone(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    for path in (b"a", b"nothing/a", b"d", b"link/a", b"link"):
        restoring = Restoring(Place(os.fsencode(tmp_path), path), 1, b".hashscan-x")
        assert cut_off.is_back(restoring) is False, path
    assert cut_off.is_back(Restoring(Place(os.fsencode(tmp_path / "nothing"), b"a"), 1, b"")) is False


@pytest.mark.optional("answering")
def test_a_name_that_a_folder_lists_and_does_not_have_is_no_answer(tmp_path: Path) -> None:
    """A network filesystem that has lost its server says so: believed, a file that is back is called not restored."""
    (tmp_path / "a").write_bytes(b"x")
    inode = (tmp_path / "a").stat().st_ino
    restoring = Restoring(Place(os.fsencode(tmp_path), b"a"), inode, b"")

    def lied_to(number: int) -> None:
        def body() -> None:
            if number == 2:  # the first opens the folder
                with pytest.raises(OSError, match="contradicts itself") as caught:
                    cut_off.is_back(restoring)
                assert caught.value.errno == errno.ESTALE
            else:
                assert cut_off.is_back(restoring)

        assert injecting.failed_at(body, "openat2", number, "ENOENT")

    lied_to(1)
    lied_to(2)


def test_the_name_is_durable_before_the_record_rests_on_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    restoring = Restoring(Place(os.fsencode(tmp_path), b"a"), (tmp_path / "a").stat().st_ino, b"")

    def body() -> None:
        with failing("fsync", errno.EIO), pytest.raises(OSError, match="Input/output"):
            cut_off.is_back(restoring)

    assert children.run(body) == 0
