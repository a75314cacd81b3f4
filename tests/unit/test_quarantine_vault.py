"""Taking files, one run at a time, on a real disk and with nobody in the way (see tests/hostile for those)."""

from __future__ import annotations

import base64
import json
import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError
from hashscan.model import Action, Algorithm, CaseState
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.vault import Recovered, Vault
from tests.support import mounts
from tests.support.findings import BOTH, digests_of, make_finding

DATA = b"harmless " * 300_000  # more than two chunks


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "srv"
    (tree / "www").mkdir(parents=True)
    (tree / "www/a").write_bytes(DATA)
    return tree


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault", Limits(), clock=lambda: 1_700_000_000.5, trigger="test run 1")


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


def test_hard_links_stay_unless_allowed(tree: Path, tmp_path: Path) -> None:
    os.link(tree / "www/a", tree / "b")
    finding = make_finding(tree / "www/a", tree)
    assert Vault(tmp_path / "vault", Limits()).handle(finding).action == Action.REPORTED
    result = Vault(tmp_path / "vault", Limits(allow_hard_links=True)).handle(finding)
    assert result.action == Action.QUARANTINED
    assert "1 other names" in result.reason
    assert (tree / "b").read_bytes() == DATA


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


def test_ids(vault: Vault, tree: Path) -> None:
    assert list(vault.cases()) == []
    for number in range(17):  # two of them begin with the same digit
        (tree / f"f{number}").write_bytes(b"x")
        vault.handle(make_finding(tree / f"f{number}", tree))
    ids = [case.id for case in vault.cases()]
    firsts = [one[0] for one in ids]
    double = next(digit for digit in firsts if firsts.count(digit) > 1)
    with pytest.raises(QuarantineError, match=f"cases begin with {double}"):
        vault.case(double)
    with pytest.raises(QuarantineError, match="no case"):
        vault.case("../../etc")
    with pytest.raises(QuarantineError, match="no case"):
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
    assert content(tmp_path, case_id).exists()


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
        died_at = "after capture"

        def step(name: str) -> None:
            if name == died_at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Vault(tmp_path / "vault", Limits(), step=step).handle(make_finding(disk / "a", disk))
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
