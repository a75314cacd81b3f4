"""The case directories in detail: modes, what is durable, what a failure leaves, and what is counted at the start."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError
from hashscan.model import CaseState
from hashscan.quarantine import record_codec as records
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.store import COMMIT, CaseStore
from hashscan.quarantine.survey import Survey, entry_of
from hashscan.quarantine.vault import Vault
from tests.support import mounts
from tests.support.failing import failing
from tests.support.findings import make_finding
from tests.support.interfering import acting, stop

NOW = 1_700_000_000.5
ENTRY = "police-nl/entry-17"


@pytest.fixture
def case_id(vault: Vault, tree: Path) -> str:
    return vault.handle(make_finding(tree / "www/a", tree)).case_id


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    return CaseStore(tmp_path / "vault", lambda: NOW)


@contextmanager
def _synced() -> Iterator[list[str]]:
    """The names of what is made durable while the block runs."""
    found: list[str] = []
    whole = os.fsync

    def fsync(fd: int) -> None:
        found.append(os.readlink(f"/proc/self/fd/{fd}"))
        whole(fd)

    os.fsync = fsync
    try:
        yield found
    finally:
        os.fsync = whole


def test_nobody_else_may_look_into_a_case(case_id: str, tmp_path: Path) -> None:
    for path in (tmp_path / "vault", tmp_path / "vault/cases", tmp_path / "vault/holding", tmp_path / "vault/cases" / case_id):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path
    for path in (tmp_path / "vault/cases" / case_id).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_new_case_and_each_step_of_it_are_durable(case_id: str, store: CaseStore, tmp_path: Path) -> None:
    record = replace(store.read(case_id), id="0" * 16)
    cases = str(tmp_path / "vault/cases")
    with _synced() as synced:
        store.create(record)
    assert synced[0] == cases
    assert synced[-1] == f"{cases}/{record.id}"
    store.prepare(record)
    with _synced() as synced:
        store.commit(record.id)
    assert synced == [f"{cases}/{record.id}"]
    with _synced() as synced:
        store.remove_content(record.id)  # none is there: what a run removed before it was killed is durable then
    assert synced == [f"{cases}/{record.id}"]
    with _synced() as synced:
        store.sync(record.id)
    assert synced == [f"{cases}/{record.id}"]


def test_a_commit_that_is_no_longer_wanted_goes(case_id: str, store: CaseStore, tmp_path: Path) -> None:
    record = store.read(case_id)
    store.prepare(record)
    dropped = store.drop(record, "no")
    assert dropped.stored.size == 0
    assert store.read(case_id).stored == dropped.stored
    assert os.listdir(tmp_path / "vault/cases" / case_id) == ["record.json"]
    assert not store.path(case_id, COMMIT).exists()


def test_steps_are_told_before_and_after(case_id: str, tmp_path: Path) -> None:
    told: list[str] = []
    store = CaseStore(tmp_path / "vault", lambda: NOW, told.append)
    record = replace(store.read(case_id), id="0" * 16)
    store.create(record)
    store.prepare(record)
    store.commit(record.id)
    store.sync(record.id)
    store.remove_content(record.id)
    os.unlink(store.path(record.id, "record.json"))
    store.discard(record.id)
    names = ["make case", "record done", "prepare commit", "commit", "sync case", "remove copy", "discard case"]
    assert told == [f"{when} {name}" for name in names for when in ("before", "after")]


def test_a_vault_that_goes_away_in_a_run_is_not_made_again(store: CaseStore, tmp_path: Path) -> None:
    """Its disk was unmounted: what is made below the mount point would hide what comes back."""
    store.open()
    store.open()
    (tmp_path / "vault/holding").rmdir()
    with pytest.raises(FileNotFoundError):
        store.open()
    assert not (tmp_path / "vault/holding").exists()


def test_a_vault_that_is_open_to_others_says_what_it_must_be(tmp_path: Path) -> None:
    store = CaseStore(tmp_path / "vault", lambda: NOW)
    store.open()
    (tmp_path / "vault/cases").chmod(0o710)
    with pytest.raises(QuarantineError, match="vault/cases is not private") as caught:
        store.open()
    assert caught.value.hint == "it must be a directory of mode 0700 that belongs to the user hashscan runs as"


def test_a_case_that_cannot_be_opened_fails_for_its_own_reason(case_id: str, store: CaseStore, tmp_path: Path) -> None:
    """Also where the log cannot say so any more."""
    record = replace(store.read(case_id), id="0" * 16)
    log = (tmp_path / "vault/log").read_bytes()
    with failing("rename", errno.ENOSPC), pytest.raises(OSError, match="No space"):
        store.begin(record)
    assert (tmp_path / "vault/log").read_bytes().startswith(log)
    assert b'"dropped"' in (tmp_path / "vault/log").read_bytes()[len(log) :]
    assert store.ids() == [case_id]
    (tmp_path / "vault/log").write_bytes(log[:-20] + b"!" + log[-19:])
    with failing("rename", errno.ENOSPC), pytest.raises(OSError, match="No space"):
        store.begin(record)


def test_a_record_is_read_up_to_its_last_byte(case_id: str, store: CaseStore) -> None:
    path = store.path(case_id, "record.json")
    data = path.read_bytes().rstrip()
    path.write_bytes(b" " * (records.MAX_RECORD_BYTES - len(data)) + data)
    assert store.read(case_id).id == case_id
    path.write_bytes(b" " * (records.MAX_RECORD_BYTES + 1 - len(data)) + data)
    with pytest.raises(QuarantineError, match=f"case {case_id}: {path} is damaged: longer than"):
        store.read(case_id)
    path.unlink()
    with pytest.raises(QuarantineError, match=f"case {case_id} has no record {path}"):
        store.read(case_id)


def test_a_record_of_another_case_is_said(case_id: str, store: CaseStore, tmp_path: Path) -> None:
    path = tmp_path / "vault/cases" / ("0" * 16)
    (tmp_path / "vault/cases" / case_id).rename(path)
    with pytest.raises(QuarantineError, match=f"case {'0' * 16}: {path}/record.json is the record of case {case_id}"):
        store.read("0" * 16)


# What is known before anything is done.


def test_of_two_files_of_an_owner_one_goes_on_waiting(tree: Path, tmp_path: Path, store: CaseStore) -> None:
    vault = Vault(tmp_path / "vault", Limits(per_run=0))
    (tree / "www/b").write_bytes(b"another")
    one, other = (vault.handle(make_finding(tree / "www" / name, tree)).case_id for name in ("a", "b"))
    survey = Survey(store)
    assert survey.owners_waiting(ENTRY) == 1
    survey.let_go(store.read(one))
    assert survey.owners_waiting(ENTRY) == 1
    survey.let_go(store.read(one))
    assert survey.owners_waiting(ENTRY) == 1, "it waited no longer"
    survey.let_go(store.read(other))
    assert survey.owners_waiting(ENTRY) == 0


def test_a_file_that_no_case_is_about_has_none(case_id: str, tree: Path, store: CaseStore) -> None:
    (tree / "www/b").write_bytes(b"another")
    survey, entry = Survey(store), make_finding(tree / "www/b", tree).candidate.hashed.entry
    assert (survey.held_as(entry), survey.taken_as(entry)) == ("", "")


def test_an_entry_is_named_with_its_list(case_id: str, store: CaseStore) -> None:
    record = store.read(case_id)
    assert entry_of(record) == ENTRY
    assert entry_of(replace(record, finding={**record.finding, "list": None})) == "/entry-17"


def test_a_link_in_the_place_of_a_holding_directory_hides_nothing(tmp_path: Path, vault: Vault) -> None:
    """What our own directories are is not scanned: nobody may make that a folder of his own."""

    def body() -> None:
        disk = tmp_path / "disk"
        mounts.tmpfs(disk, 1024)
        (disk / "a").write_bytes(b"x")
        (disk / "evil").mkdir()
        vault.handle(make_finding(disk / "a", disk))
        own = Vault(tmp_path / "vault", Limits()).own_directories()
        holding = os.stat(disk / ".hashscan-holding")
        assert (holding.st_dev, holding.st_ino) in own
        (disk / ".hashscan-holding").rmdir()
        (disk / ".hashscan-holding").symlink_to("evil")
        evil = os.stat(disk / "evil")
        assert (evil.st_dev, evil.st_ino) not in Vault(tmp_path / "vault", Limits()).own_directories()

    mounts.with_own_mounts(body)


def test_states_that_count_as_taken(case_id: str, store: CaseStore) -> None:
    record = store.read(case_id)
    counted = []
    for state in CaseState:
        if state is not CaseState.DAMAGED:
            store.write(replace(record, state=state))
            counted += [state.value] * len(Survey(store).removed)
    assert counted == ["committed", "done", "restored", "orphan", "settled", "purged"]


def test_what_recovery_read_is_known(tree: Path, tmp_path: Path, case_id: str, store: CaseStore) -> None:
    """And as it is afterwards: a case that is brought to its end counts, a record that cannot be read does not."""
    for name, moment in (("b", "after commit"), ("c", "after write copy"), ("d", "after unlink held"), ("f", "after capture")):
        (tree / "www" / name).write_bytes(name.encode())
        with pytest.raises(KeyboardInterrupt):
            acting(tmp_path, moment, stop).handle(make_finding(tree / "www" / name, tree))
    (tree / "www/e").write_bytes(b"e")
    Vault(tmp_path / "vault", Limits(per_run=0)).handle(make_finding(tree / "www/e", tree))
    (tmp_path / "vault/cases" / ("0" * 16)).mkdir()
    (tmp_path / "vault/cases" / ("0" * 16) / "record.json").write_bytes(b"{")
    vault = Vault(tmp_path / "vault", Limits())
    assert len(vault.recover()) == 5
    read, heard = Survey(store), vault._survey
    assert (len(read.removed), len(read.held)) == (4, 1)
    assert (heard.removed, heard.held) == (read.removed, read.held)
    assert heard.own_directories() == read.own_directories()
