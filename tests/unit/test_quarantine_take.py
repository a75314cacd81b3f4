"""Taking files on a real disk, with nobody in the way but at exact moments (races are in tests/hostile)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError
from hashscan.model import Action, Algorithm, CaseState
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Recovered, Vault
from tests.support.findings import BOTH, digests_of, make_finding
from tests.support.interfering import DATA, INNOCENT, acting


def content(tmp_path: Path, case_id: str) -> Path:
    return tmp_path / "vault/cases" / case_id / "content"


def nothing_held(tmp_path: Path) -> bool:
    return not os.listdir(tmp_path / "vault/holding")


def test_a_file_is_taken(vault: Vault, tree: Path, tmp_path: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    status = os.lstat(tree / "www/a")
    result = vault.handle(finding)
    assert result.action == Action.QUARANTINED
    assert not (tree / "www/a").exists()
    assert content(tmp_path, result.case_id).read_bytes() == DATA
    assert nothing_held(tmp_path)
    case = vault.case(result.case_id[:4])
    assert (case.state, case.place.full, case.size) == (CaseState.DONE, os.fsencode(tree / "www/a"), len(DATA))
    record = vault.record(result.case_id)
    assert record["file"]["inode"] == status.st_ino
    assert record["file"]["mtime_ns"] == status.st_mtime_ns
    assert record["file"]["atime_ns"] == status.st_atime_ns
    assert record["finding"]["envelope_b64"] == "c2lnbmVk"
    assert record["trigger"] == "test run 1"
    assert record["digests"] == {one.value: digest for one, digest in digests_of(DATA, (*BOTH, Algorithm.BLAKE3)).items()}
    assert [line["state"] for line in record["history"]] == ["intent", "copied", "committed", "done"]
    assert sorted(os.listdir(tmp_path / "vault/cases" / result.case_id)) == ["content", "record.json"]
    assert vault.recover() == []


@pytest.mark.parametrize("data", [b"", b"x"])
def test_small_files(vault: Vault, tree: Path, tmp_path: Path, data: bytes) -> None:
    (tree / "www/a").write_bytes(data)
    result = vault.handle(make_finding(tree / "www/a", tree, algorithms=tuple(Algorithm)))
    assert result.action == Action.QUARANTINED
    assert content(tmp_path, result.case_id).read_bytes() == data


def test_a_root_that_is_itself_the_file(vault: Vault, tree: Path, tmp_path: Path) -> None:
    result = vault.handle(make_finding(tree / "www/a", tree / "www/a"))
    assert result.action == Action.QUARANTINED
    assert not (tree / "www/a").exists()
    vault.restore(result.case_id)
    assert (tree / "www/a").read_bytes() == DATA


@pytest.mark.parametrize("name", [b"\xff\n\x1b[0m", b"-rf", b" ", b"a" * 255])
def test_odd_names(vault: Vault, tree: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tree), name)
    with open(path, "wb") as stream:
        stream.write(b"x")
    result = vault.handle(make_finding(path, os.fsencode(tree)))
    assert result.action == Action.QUARANTINED
    assert not os.path.lexists(path)
    vault.restore(result.case_id)
    assert os.path.exists(path)


def replaced(path: Path) -> None:
    (path.parent / "other").write_bytes(DATA)
    (path.parent / "other").rename(path)


def linked(path: Path) -> None:
    path.rename(path.parent / "real")
    path.symlink_to("real")


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def parent_linked(path: Path) -> None:
    path.parent.rename(path.parent.parent / "moved")
    path.parent.symlink_to("moved")


def same_size(path: Path) -> None:
    with open(path, "r+b") as stream:
        stream.write(b"H")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (Path.unlink, "vanished"),
    "replaced": (replaced, "another file has its name"),
    "longer": (lambda path: path.write_bytes(DATA + b"x"), "size"),
    "other bytes": (same_size, "its md5, sha1 is another"),
    "link": (linked, "no regular file"),
    "fifo": (fifo, "no regular file"),
    "hard link": (lambda path: os.link(path, path.parent / "b"), "hard links"),
    "directory": (lambda path: (path.unlink(), path.mkdir()), "no regular file"),
    "parent is a link": (parent_linked, "a link, or no directory, stands in its path"),
    "parent gone": (lambda path: path.parent.rename(path.parent.parent / "moved"), "vanished"),
}


@pytest.mark.parametrize(("change", "reason"), CHANGES.values(), ids=CHANGES)
def test_what_is_no_longer_what_was_scanned_stays(
    vault: Vault, tree: Path, tmp_path: Path, change: Callable[[Path], object], reason: str
) -> None:
    finding = make_finding(tree / "www/a", tree)
    change(tree / "www/a")

    def survey() -> list[tuple[str, int, int]]:
        return [(path, os.lstat(path).st_ino, os.lstat(path).st_mode) for path in sorted(map(str, tree.rglob("*")))]

    before = survey()
    result = vault.handle(finding)
    assert (result.action, result.finding) == (Action.FAILED, finding)
    assert reason in result.reason
    assert survey() == before
    assert nothing_held(tmp_path)
    assert all(case.state is CaseState.DROPPED for case in vault.cases())
    assert not list((tmp_path / "vault/cases").glob("*/content"))


def test_a_twin_with_the_same_bytes_is_not_the_file(tree: Path, tmp_path: Path) -> None:
    path = tree / "www/a"
    finding = make_finding(path, tree)
    result = acting(tmp_path, "before capture", lambda: (path.rename(tree / "moved"), path.write_bytes(DATA))).handle(finding)
    assert result.action == Action.FAILED
    assert result.reason == "changed while it was taken: another thing had its name; put back"
    assert path.read_bytes() == (tree / "moved").read_bytes() == DATA


def test_a_write_between_copy_and_capture_is_noticed(tree: Path, tmp_path: Path) -> None:
    path = tree / "www/a"
    finding = make_finding(path, tree)
    result = acting(tmp_path, "before capture", lambda: same_size(path)).handle(finding)
    assert result.reason == "changed while it was taken: its content; put back"
    assert os.lstat(path).st_ino == finding.candidate.hashed.entry.inode


def test_space_is_reserved_before_the_first_byte(tree: Path, tmp_path: Path) -> None:
    blocks: list[int] = []

    def measure() -> None:
        blocks.extend(os.stat(path).st_blocks for path in (tmp_path / "vault").glob("cases/*/content"))

    assert (
        acting(tmp_path, "after reserve copy", measure).handle(make_finding(tree / "www/a", tree)).action == Action.QUARANTINED
    )
    assert blocks[0] * 512 >= len(DATA)


@pytest.mark.usefixtures("captured_another")
def test_nothing_is_put_back_into_another_directory(tree: Path, tmp_path: Path) -> None:
    (tree / "www").rename(tree / "moved")
    (tree / "www").mkdir()
    vault = Vault(tmp_path / "vault", Limits())
    assert [result.outcome for result in vault.recover()] == [Recovered.ORPHAN]
    assert os.listdir(tree / "www") == os.listdir(tree / "moved") == []
    (case,) = vault.cases()
    assert case.state is CaseState.ORPHAN
    assert (tmp_path / "vault/holding" / case.id).read_bytes() == INNOCENT
    with pytest.raises(QuarantineError, match="orphan and cannot be restored"):
        vault.restore(case.id)


def test_hard_links_stay_unless_allowed(tree: Path, tmp_path: Path) -> None:
    os.link(tree / "www/a", tree / "b")
    finding = make_finding(tree / "www/a", tree)
    assert Vault(tmp_path / "vault", Limits()).handle(finding).action == Action.REPORTED
    result = Vault(tmp_path / "vault", Limits(allow_hard_links=True)).handle(finding)
    assert result.action == Action.QUARANTINED
    assert "1 other names" in result.reason
    assert (tree / "b").read_bytes() == DATA
