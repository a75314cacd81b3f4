"""Recovery of what could not be finished: what it says, what it leaves alone, and what it writes into the log."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hashscan.model import CaseState
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.log import Log, raw_lines, read_line
from hashscan.quarantine.recovery import RecoveryResult
from hashscan.quarantine.vault import Recovered, Vault
from tests.support import children, mounts
from tests.support.findings import make_finding
from tests.support.interfering import DATA, INNOCENT, acting, stop

TAKEN_OR_GONE = "what was captured stays in the holding directory: its place is taken or gone, or its evidence is damaged"


def _log(tmp_path: Path) -> list[tuple[str, str, str]]:
    lines = [read_line(raw.rstrip(b"\n")) for raw in raw_lines(tmp_path / "vault/log")]
    return [(line.case, line.what, line.detail) for line in lines]


def _cut_off(tmp_path: Path, path: Path, moment: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        acting(tmp_path, moment, stop).handle(make_finding(path, path.parent))


def _recovered(tmp_path: Path) -> list[RecoveryResult]:
    return Vault(tmp_path / "vault", Limits()).recover()


@pytest.mark.parametrize("kind", ["a file", "a dangling link"])
def test_a_name_that_is_taken_is_not_tried(captured_another: Path, tmp_path: Path, kind: str) -> None:
    if kind == "a file":
        captured_another.write_bytes(b"new")
    else:
        captured_another.symlink_to("nowhere")
    steps: list[str] = []
    (result,) = Vault(tmp_path / "vault", Limits(), step=steps.append).recover()
    assert (result.outcome, result.detail) == (Recovered.ORPHAN, TAKEN_OR_GONE)
    assert "before put back" not in steps
    (case,) = Vault(tmp_path / "vault", Limits()).cases()
    assert (case.state, case.reason) == (CaseState.ORPHAN, TAKEN_OR_GONE)


@pytest.mark.parametrize("kind", ["gone", "another directory"])
def test_a_directory_that_is_gone_is_not_tried(captured_another: Path, tmp_path: Path, kind: str) -> None:
    captured_another.parent.rename(tmp_path / "moved")
    if kind == "another directory":
        captured_another.parent.mkdir()
    steps: list[str] = []
    (result,) = Vault(tmp_path / "vault", Limits(), step=steps.append).recover()
    assert (result.outcome, result.detail) == (Recovered.ORPHAN, TAKEN_OR_GONE)
    assert "before put back" not in steps


def test_what_is_put_back_is_there_again(captured_another: Path, tmp_path: Path) -> None:
    steps: list[str] = []
    (result,) = Vault(tmp_path / "vault", Limits(), step=steps.append).recover()
    assert result.outcome is Recovered.PUT_BACK
    moved = ["before put back", "after put back", "before sync move", "after sync move"]
    assert steps[steps.index(moved[0]) :][:4] == moved  # durable before its copy goes
    assert captured_another.read_bytes() == INNOCENT


@pytest.mark.parametrize("moment", ["after capture", "after commit"])
def test_another_directory_at_the_place_does_not_stop_the_end(tree: Path, tmp_path: Path, moment: str) -> None:
    _cut_off(tmp_path, tree / "www/a", moment)
    (tree / "www").rename(tmp_path / "moved")
    (tree / "www").mkdir()
    with_nothing_at_1 = os.dup(1)
    os.close(1)  # a number that stands for no directory is none
    try:
        assert [one.outcome for one in _recovered(tmp_path)] == [Recovered.DONE]
    finally:
        os.dup2(with_nothing_at_1, 1)
        os.close(with_nothing_at_1)


@pytest.mark.optional("own-mounts")
def test_a_case_that_waits_says_why_and_is_not_closed(tree: Path, tmp_path: Path) -> None:
    """And it does not keep the log from the end of another one."""

    def body() -> None:
        mounts.tmpfs(tmp_path / "disk", 1024)
        (tmp_path / "disk/a").write_bytes(b"x")
        _cut_off(tmp_path, tmp_path / "disk/a", "after capture")
        (waiting,) = [case.id for case in Vault(tmp_path / "vault", Limits()).cases()]
        with pytest.raises(KeyboardInterrupt):
            _last_line(tmp_path).handle(make_finding(tree / "www/a", tree))
        (other,) = [case.id for case in Vault(tmp_path / "vault", Limits()).cases() if case.id != waiting]
        (tmp_path / "disk/.hashscan-holding").rename(tmp_path / "disk/moved")
        (result,) = _recovered(tmp_path)
        why = f"its holding directory cannot be reached: [Errno 2] No such file or directory: {os.fsencode(tmp_path)!r}"
        assert (result.case_id, result.outcome) == (waiting, Recovered.WAITING)
        assert result.detail == f"{why[:-1]}/disk/.hashscan-holding'"
        said = [(case, what) for case, what, _ in _log(tmp_path)]
        assert said == [(waiting, "take-intent"), (other, "take-intent"), (other, "recovered")]

    mounts.with_own_mounts(body)


def _last_line(tmp_path: Path) -> Vault:
    """A vault that ends before it writes that the file was taken: at its second line."""
    seen: list[str] = []

    def step(name: str) -> None:
        seen.append(name)
        if name == "before write log" and seen.count(name) == 2:
            stop()

    return Vault(tmp_path / "vault", Limits(), step=step)


@pytest.mark.parametrize("act", ["dismiss", "settle", "hold", "lift"])
def test_what_was_announced_and_done_is_not_said_again(captured_another: Path, tree: Path, tmp_path: Path, act: str) -> None:
    captured_another.write_bytes(b"new")
    _recovered(tmp_path)
    vault = Vault(tmp_path / "vault", Limits(per_run=0))
    (orphan,) = [case.id for case in vault.cases()]
    if act == "dismiss":
        vault.dismiss(vault.handle(make_finding(captured_another, tree)).case_id, "no")
    elif act == "settle":
        (tmp_path / "vault/holding" / orphan).unlink()
        vault.settle(orphan, "moved")
    else:
        (tree / "www/b").write_bytes(b"x")
        taken = Vault(tmp_path / "vault", Limits()).handle(make_finding(tree / "www/b", tree)).case_id
        vault.hold(taken, by="police", reason="2026-17")
        if act == "lift":
            vault.lift(taken, vault.record(taken)["holds"][0]["id"], "over")
    before = _log(tmp_path)
    assert vault.recover() == []
    assert _log(tmp_path) == before


def test_descriptor_0_is_one_like_any_other(tree: Path, tmp_path: Path) -> None:
    """Started with stdin closed: the holding directory is 0, and what is in it counts and is made durable."""
    _cut_off(tmp_path, tree / "www/a", "after capture")
    inode = os.stat(tmp_path / "vault/holding").st_ino

    def body() -> None:
        durable: list[int] = []
        whole = os.fsync

        def fsync(fd: int) -> None:
            if fd == 0:
                durable.append(os.fstat(fd).st_ino)
            whole(fd)

        os.fsync = fsync
        os.close(0)
        assert [one.outcome for one in _recovered(tmp_path)] == [Recovered.DONE]
        assert durable.count(inode) == 3  # before the commit, after the unlinking, before the end

    assert children.run(body) == 0
    assert os.listdir(tmp_path / "vault/holding") == []


def test_the_log_is_read_near_its_end_only_as_far_as_it_goes(tmp_path: Path, tree: Path) -> None:
    """Of two announced acts without an end the later one is closed too."""
    for name in ("a", "b"):
        (tree / "www" / name).write_bytes(DATA + name.encode())
        with pytest.raises(KeyboardInterrupt):
            _last_line(tmp_path).handle(make_finding(tree / "www" / name, tree))
    log = Log(tmp_path / "vault/log", lambda: 1.0, "a test")
    assert len(log.unfinished()) == 2
    assert _recovered(tmp_path) == []
    assert log.unfinished() == []
