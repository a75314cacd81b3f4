"""Every restore waits for the service, once: also one that was cut off when its file was back."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hashscan.central.outbox import Outbox
from hashscan.errors import QuarantineError
from hashscan.jobs.restore import note_restored, restore
from hashscan.model import Action
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.restore import Wish
from hashscan.quarantine.vault import Recovered, Vault
from tests.support.failing import Switch, failing
from tests.support.findings import make_finding
from tests.support.interfering import acting, stop

HERE = Wish()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "state/agent.sqlite", lambda: 5.0)
    yield opened
    opened.close()


@pytest.fixture
def case_id(tree: Path, tmp_path: Path) -> str:
    return Vault(tmp_path / "vault", Limits()).handle(make_finding(tree / "www/a", tree)).case_id


def _waiting(outbox: Outbox) -> list[str]:
    return [one.action.value for one in outbox.unsent(10)]


def test_a_restore_is_noted_and_each_one_once(tmp_path: Path, tree: Path, case_id: str, outbox: Outbox) -> None:
    times = iter(range(100, 200))
    vault = Vault(tmp_path / "vault", Limits(), lambda: float(next(times)))
    restore(vault, outbox, case_id, HERE)
    (told,) = outbox.unsent(10)
    assert told.action is Action.RESTORED
    assert 100 <= told.acted_at < 200
    (tmp_path / "other").mkdir()
    restore(vault, outbox, case_id, Wish(to=tmp_path / "other"))
    note_restored(vault, outbox)
    assert _waiting(outbox) == ["restored", "restored"]


@pytest.mark.parametrize("moment", ["after name new file", "after sync new file", "after record restored"])
def test_one_that_was_cut_off_is_noted_by_the_next_run(
    tmp_path: Path, tree: Path, case_id: str, outbox: Outbox, moment: str
) -> None:
    with pytest.raises(KeyboardInterrupt):
        restore(acting(tmp_path, moment, stop), outbox, case_id, HERE)
    vault = Vault(tmp_path / "vault", Limits())
    note_restored(vault, outbox)
    assert _waiting(outbox) == [], "not before recovery has settled it"
    vault.recover()
    for _ in range(2):
        note_restored(vault, outbox)
    assert _waiting(outbox) == ["restored"]
    assert os.listdir(tree / "www") == ["a"]


def test_one_whose_disk_failed_when_the_file_was_back_is_noted_too(
    tmp_path: Path, tree: Path, case_id: str, outbox: Outbox
) -> None:
    disk = Switch()
    with failing("fsync", errno.EIO, lambda _: disk.on), pytest.raises(QuarantineError, match="but the disk failed"):
        restore(acting(tmp_path, "before sync new file", disk.turn), outbox, case_id, HERE)
    vault = Vault(tmp_path / "vault", Limits())
    assert [one.outcome for one in vault.recover()] == [Recovered.RESTORED]
    note_restored(vault, outbox)
    assert _waiting(outbox) == ["restored"]


@pytest.mark.parametrize("moment", ["after write log", "before name new file"])
def test_what_did_not_happen_is_not_noted(tmp_path: Path, tree: Path, case_id: str, outbox: Outbox, moment: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        restore(acting(tmp_path, moment, stop), outbox, case_id, HERE)
    vault = Vault(tmp_path / "vault", Limits())
    vault.recover()
    note_restored(vault, outbox)
    assert _waiting(outbox) == []
    (tree / "www/a").write_bytes(b"another")
    with pytest.raises(QuarantineError, match="its name is taken"):
        restore(vault, outbox, case_id, HERE)
    assert _waiting(outbox) == []


def test_a_record_that_cannot_be_read_hides_no_other(tmp_path: Path, tree: Path, case_id: str, outbox: Outbox) -> None:
    vault = Vault(tmp_path / "vault", Limits())
    (tree / "www/b").write_bytes(b"another")
    other = vault.handle(make_finding(tree / "www/b", tree)).case_id
    for one in (case_id, other):
        vault.restore(one)
    (tmp_path / "vault/cases" / case_id / "record.json").write_bytes(b"{")
    note_restored(vault, outbox)
    assert _waiting(outbox) == ["restored"]


def test_before_there_is_a_log_nothing_is_noted(tmp_path: Path, outbox: Outbox) -> None:
    note_restored(Vault(tmp_path / "vault", Limits()), outbox)
    assert _waiting(outbox) == []
