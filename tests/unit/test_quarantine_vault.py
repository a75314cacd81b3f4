"""What the vault says about its cases, and what it refuses."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError, UsageError
from hashscan.model import Action, CaseState
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.vault import Recovered, Vault
from tests.support.findings import make_finding
from tests.support.interfering import DATA


def test_the_vault_is_private(vault: Vault, tree: Path, tmp_path: Path) -> None:
    case_id = vault.handle(make_finding(tree / "www/a", tree)).case_id
    for path in (tmp_path / "vault", tmp_path / "vault/cases", tmp_path / "vault/holding", tmp_path / "vault/cases" / case_id):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    for name in ("content", "record.json"):
        assert stat.S_IMODE(os.stat(tmp_path / "vault/cases" / case_id / name).st_mode) == 0o600


def test_a_vault_that_others_can_enter_is_refused(vault: Vault, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir()
    (tmp_path / "vault").chmod(0o755)
    with pytest.raises(QuarantineError, match="not private"):
        vault.handle(make_finding(tree / "www/a", tree))
    assert (tree / "www/a").read_bytes() == DATA


def test_the_cap_holds_the_rest_and_failures_do_not_count(tree: Path, tmp_path: Path) -> None:
    for number in range(6):
        (tree / f"f{number}").write_bytes(b"same")
    findings = [make_finding(tree / f"f{number}", tree) for number in range(6)]
    (tree / "f0").unlink()
    vault = Vault(tmp_path / "vault", Limits(per_run=3))
    actions = [vault.handle(finding).action for finding in findings]
    assert actions == [Action.FAILED, *[Action.QUARANTINED] * 3, *[Action.HELD] * 2]
    assert sorted(path.name for path in tree.glob("f*")) == ["f4", "f5"]


def test_the_same_file_found_by_two_lists_is_one_case(tree: Path, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault", Limits(per_run=1))
    finding = make_finding(tree / "www/a", tree)
    first, second = vault.handle(finding), vault.handle(finding)
    assert (first.action, second.action) == (Action.QUARANTINED, Action.QUARANTINED)
    assert first.case_id == second.case_id
    assert len(list(vault.cases())) == 1


def test_ids(vault: Vault, tree: Path) -> None:
    assert list(vault.cases()) == []
    for number in range(17):  # two of them begin with the same digit
        (tree / f"f{number}").write_bytes(b"x")
        vault.handle(make_finding(tree / f"f{number}", tree))
    ids = [case.id for case in vault.cases()]
    firsts = [one[0] for one in ids]
    double = next(digit for digit in firsts if firsts.count(digit) > 1)
    with pytest.raises(UsageError, match=f"cases begin with {double}"):
        vault.case(double)
    with pytest.raises(UsageError, match="no case"):
        vault.case("../../etc")
    with pytest.raises(UsageError, match="no case"):
        vault.case("0" * 16)
    assert vault.case(ids[3]).id == ids[3]


def test_a_damaged_record_is_shown_and_named(vault: Vault, tree: Path, tmp_path: Path) -> None:
    case_id = vault.handle(make_finding(tree / "www/a", tree)).case_id
    path = tmp_path / "vault/cases" / case_id / "record.json"
    path.write_bytes(path.read_bytes().replace(b'"inode": ', b'"inode": 1'))
    (case,) = vault.cases()
    assert case.state is CaseState.DAMAGED
    assert case.id == case_id
    for ask in (vault.case, vault.record, vault.restore):
        with pytest.raises(QuarantineError, match=rf"{case_id}.*record\.json is damaged: its checksum"):
            ask(case_id)
    (result,) = vault.recover()
    assert (result.case_id, result.outcome) == (case_id, Recovered.DAMAGED)
    assert (tmp_path / "vault/cases" / case_id / "content").exists()


def test_a_record_of_another_case_is_no_record(vault: Vault, tree: Path, tmp_path: Path) -> None:
    case_id = vault.handle(make_finding(tree / "www/a", tree)).case_id
    other = "f" * 16
    (tmp_path / "vault/cases" / other).mkdir(mode=0o700)
    data = (tmp_path / "vault/cases" / case_id / "record.json").read_bytes()
    (tmp_path / "vault/cases" / other / "record.json").write_bytes(data)
    with pytest.raises(QuarantineError, match=f"record of case {case_id}"):
        vault.record(other)


def test_half_made_cases_go_and_strangers_files_stay(vault: Vault, tree: Path, tmp_path: Path) -> None:
    vault.handle(make_finding(tree / "www/a", tree))
    own, strange = tmp_path / "vault/cases" / ("a" * 16), tmp_path / "vault/cases" / ("b" * 16)
    for path in (own, strange):
        path.mkdir(mode=0o700)
        (path / "content").write_bytes(b"x")
        (path / ".record.json.0123456789ab.new").write_bytes(b"{")
    (strange / "notes").write_text("mine")
    outcomes = {result.case_id[0]: result.outcome for result in vault.recover() if result.case_id[1] == result.case_id[2]}
    assert outcomes == {"a": Recovered.DISCARDED, "b": Recovered.DAMAGED}
    assert not own.exists()
    assert (strange / "notes").read_text() == "mine"


def test_own_directories(vault: Vault, tree: Path, tmp_path: Path) -> None:
    assert vault.own_directories() == frozenset()
    vault.handle(make_finding(tree / "www/a", tree))
    status = os.stat(tmp_path / "vault")
    assert vault.own_directories() == {(status.st_dev, status.st_ino)}


def test_no_descriptor_is_lost(vault: Vault, tree: Path) -> None:
    (tree / "b").write_bytes(b"x")
    before = len(os.listdir("/proc/self/fd"))
    gone, there = make_finding(tree / "www/a", tree), make_finding(tree / "b", tree)
    (tree / "www/a").unlink()
    assert [vault.handle(finding).action for finding in (gone, there)] == [Action.FAILED, Action.QUARANTINED]
    vault.restore(next(vault.cases()).id)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_record_is_what_json_reads(vault: Vault, tree: Path, tmp_path: Path) -> None:
    case_id = vault.handle(make_finding(tree / "www/a", tree)).case_id
    document = json.loads((tmp_path / "vault/cases" / case_id / "record.json").read_bytes())
    assert document.pop("checksum")
    assert document == vault.record(case_id)


def test_a_file_that_a_cut_off_run_took_is_found_in_its_case(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"harmless")
    finding = make_finding(tree / "a", tree)
    first = Vault(tmp_path / "vault", Limits()).handle(finding)
    assert first.action is Action.QUARANTINED

    again = Vault(tmp_path / "vault", Limits()).handle(finding)
    assert (again.action, again.case_id) == (Action.QUARANTINED, first.case_id)

    (tree / "b").write_bytes(b"harmless")
    other = make_finding(tree / "b", tree)
    (tree / "b").unlink()
    assert Vault(tmp_path / "vault", Limits()).handle(other).action is Action.FAILED


def test_a_record_that_cannot_be_read_is_told_and_no_traceback(vault: Vault, tree: Path, tmp_path: Path) -> None:
    (tree / "b").write_bytes(b"x")
    case_id = vault.handle(make_finding(tree / "www/a", tree)).case_id
    record = tmp_path / "vault/cases" / case_id / "record.json"
    record.unlink()
    record.mkdir()
    (case,) = vault.cases()
    assert (case.state, "Is a directory" in case.reason) == (CaseState.DAMAGED, True)
    later = Vault(tmp_path / "vault", Limits())
    acts = (
        lambda: later.case(case_id),
        lambda: later.record(case_id),
        lambda: later.hashed(case_id),
        lambda: later.kept(case_id),
        lambda: later.restore(case_id),
        lambda: later.release(case_id, make_finding(tree / "b", tree)),
        lambda: later.handle(make_finding(tree / "b", tree)),
        later.own_directories,
        later.recover,
    )
    for act in acts:
        with pytest.raises(QuarantineError, match="Is a directory"):
            act()
    assert (tree / "b").exists()


def test_a_copy_that_a_dropped_case_still_has_is_removed(vault: Vault, tree: Path, tmp_path: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    case_id = vault.handle(finding).case_id
    store = CaseStore(tmp_path / "vault", lambda: 1.0)
    store.write(store.read(case_id).moved_to(CaseState.DROPPED, 1.0, "not taken"))
    assert [result.outcome for result in vault.recover()] == [Recovered.DROPPED]
    assert not (tmp_path / "vault/cases" / case_id / "content").exists()
    assert vault.recover() == []
