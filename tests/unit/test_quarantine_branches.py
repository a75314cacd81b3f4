"""Paths of the vault that the other tests have no reason to take: each says what it protects."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
import sys
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest
from blake3 import blake3

from hashscan.errors import QuarantineError, UsageError
from hashscan.model import CaseState
from hashscan.quarantine import proofs, record_codec
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.export import Request
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.log import START, Log, What, check, raw_lines, read_line
from hashscan.quarantine.proofs import Grounds
from hashscan.quarantine.record import Proof
from hashscan.quarantine.recovery import Recovered
from hashscan.quarantine.seal import Identity, Recipients
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.survey import Survey
from hashscan.quarantine.vault import Manner, Vault
from tests.support.findings import LIST, make_finding
from tests.support.interfering import INNOCENT, acting, stop

NOW = 1_790_000_000.0

pytestmark = pytest.mark.usefixtures("no_descriptor_is_lost")


def _store(tmp_path: Path) -> CaseStore:
    return CaseStore(tmp_path / "vault", lambda: NOW, actor="a test")


def _last(tmp_path: Path) -> tuple[str, str]:
    *_, raw = raw_lines(tmp_path / "vault/log")
    line = read_line(raw[:-1])
    return line.what, line.detail


@pytest.fixture
def case_id(vault: Vault, tree: Path) -> str:
    return vault.handle(make_finding(tree / "www/a", tree)).case_id


# What people ask of the cabinet.


def test_the_file_of_a_case_is_asked_about_again_as_the_scan_saw_it(tree: Path, tmp_path: Path) -> None:
    finding = make_finding(tree / "www/a", tree)
    held = Vault(tmp_path / "vault", Limits(per_run=0)).handle(finding)
    told, seen = Cabinet(tmp_path / "vault").hashed(held.case_id), finding.candidate.hashed
    assert told == replace(seen, entry=replace(seen.entry, mode=stat.S_IMODE(seen.entry.mode)))


def test_a_damaged_case_is_not_due_and_hides_no_other(tree: Path, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault", Limits(), lambda: NOW, manner=Manner("scan", keep=1.0))
    (tree / "b").write_bytes(b"x")
    ids = [vault.handle(make_finding(path, tree)).case_id for path in (tree / "www/a", tree / "b")]
    (tmp_path / "vault/cases" / ids[0] / "record.json").write_bytes(b"{")
    assert [case.id for case in Cabinet(tmp_path / "vault", lambda: NOW + 1).due()] == [ids[1]]


def test_there_is_nothing_to_hold_or_export_once_it_is_purged(vault: Vault, case_id: str, tmp_path: Path) -> None:
    vault.purge(case_id, by="ann", reason="time is over")
    with pytest.raises(QuarantineError, match="purged: there is no evidence to hold"):
        vault.hold(case_id, by="police", reason="case 7")
    with pytest.raises(QuarantineError, match="purged: there is no evidence to export"):
        vault.export(case_id, Request(tmp_path / "out", plain=True))
    assert not (tmp_path / "out").exists()


def test_the_term_of_a_profile_is_kept(tree: Path, tmp_path: Path) -> None:
    taker = Vault(tmp_path / "vault", Limits(), lambda: NOW, manner=Manner("scan", profile="us", keep=10.0))
    case_id = taker.handle(make_finding(tree / "www/a", tree)).case_id
    early, late = (Cabinet(tmp_path / "vault", lambda now=now: now) for now in (NOW + 9, NOW + 10))  # type: ignore[misc]
    for ask in (early.check_purge, lambda one: early.purge(one, by="ann", reason="x")):
        with pytest.raises(QuarantineError, match="is kept until 2026-09-21: the retention profile 'us'"):
            ask(case_id)
    late.check_purge(case_id)
    assert (tmp_path / "vault/cases" / case_id / "content").exists()
    assert late.purge(case_id, by="ann", reason="x").record.state is CaseState.PURGED


def test_a_bundle_goes_into_an_empty_folder_of_ours_with_the_lines_of_its_case_only(tree: Path, tmp_path: Path) -> None:
    grounds = Grounds("acme", b'{"signed": "lists"}', lambda _: bytes(32))
    vault = Vault(tmp_path / "vault", Limits(), manner=Manner("scan", grounds=grounds))
    (tree / "b").write_bytes(b"x")
    case_id, other = (vault.handle(make_finding(path, tree)).case_id for path in (tree / "www/a", tree / "b"))
    with (tmp_path / "vault/log").open("r+b") as stream:  # the first line is broken: `audit verify` is told of it
        stream.write(b"[")
    (tmp_path / "out").mkdir(mode=0o700)
    files = vault.export(case_id, Request(tmp_path / "out", plain=True))
    assert (
        {path.name for path in files}
        == {path.name for path in (tmp_path / "out").iterdir()}
        == {
            "SHA256SUMS",
            "content",
            "cover.txt",
            "log-excerpt.ndjson",
            "proof.json",
            "record.json",
            "verdict.json",
        }
    )
    assert (tmp_path / "out/proof.json").read_bytes() == grounds.proof
    excerpt = (tmp_path / "out/log-excerpt.ndjson").read_text().splitlines()
    assert [json.loads(line)["what"] for line in excerpt] == ["taken", "exported"]
    assert json.loads(excerpt[1])["detail"] == f"{tmp_path}/out (plain)"
    assert other not in "".join(excerpt)
    (tmp_path / "vault/proofs" / f"{vault.record(case_id)['proof']['sha256']}.json").unlink()
    names = [path.name for path in vault.export(case_id, Request(tmp_path / "again", plain=True))]
    assert "proof.json" not in names  # it is missing: the bundle says so by not having it


@pytest.mark.parametrize("kind", ["open to others", "not empty", "a file", "a link", "no parent"])
def test_a_bundle_goes_nowhere_else(vault: Vault, case_id: str, tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "out"
    if kind == "open to others":
        folder.mkdir()
        folder.chmod(0o710)
    elif kind == "not empty":
        folder.mkdir(mode=0o700)
        (folder / "mine").write_bytes(b"")
    elif kind == "a file":
        folder.write_bytes(b"")
        folder.chmod(0o600)
    elif kind == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o755)
        folder.symlink_to("elsewhere")
    else:
        folder = tmp_path / "nowhere/out"
    with pytest.raises(UsageError, match=r"not an empty folder of yours|there is no folder"):
        vault.export(case_id, Request(folder, plain=True))
    assert not list(tmp_path.rglob("record.json.*"))
    assert What.EXPORTED.encode() not in (tmp_path / "vault/log").read_bytes()


# The log.


@pytest.mark.parametrize("hole", [b"\0" * 40, b'{"actor":"a"' + b"\0" * 9])
def test_a_last_line_with_a_hole_is_torn_and_set_aside(tmp_path: Path, hole: bytes) -> None:
    """Power loss: the end of the line reached the disk before its beginning."""
    log = Log(tmp_path / "log", lambda: NOW, "a test")
    for whole in (0, 1, 2):
        heads = [log.head()]
        with log.path.open("ab") as stream:
            stream.write(hole + b"\n")
        told = check(raw_lines(log.path), heads)
        assert (told.head, told.torn, told.broken) == (heads[-1], True, 0)
        assert log.head() == heads[-1]
        assert log.append(What.TAKEN).lines == heads[-1].lines + 2, whole
        assert (tmp_path / f"log.torn-{heads[-1].lines + 1}").read_bytes() == hole + b"\n"
        assert not check(raw_lines(log.path)).torn


def test_a_hole_with_lines_behind_it_is_no_crash(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", lambda: NOW, "a test")
    log.append(What.TAKEN)
    line = log.path.read_bytes()
    log.path.write_bytes(b"\0" * 40 + b"\n" + line)
    told = check(raw_lines(log.path))
    assert (told.head, told.torn, told.broken) == (START, False, 1)


@pytest.mark.parametrize(
    ("what", "detail", "followed"),
    [
        (What.HOLD, "0badf00d for police: x", False),
        (What.UNHOLD, "0badf00d: x", True),
        (What.RELEASED, "taken as case 7", False),
        (What.DISMISSED, "no", False),
        (What.SETTLED, "moved", False),
    ],
)
def test_what_was_announced_and_not_done_is_said_once(
    vault: Vault, case_id: str, tmp_path: Path, what: What, detail: str, followed: bool
) -> None:
    head = _store(tmp_path).log.append(what, case_id, detail)
    assert vault.recover() == []
    said = (What.RECOVERED, f"interrupted: {what} was announced in line {head.lines} and not done")
    assert _last(tmp_path) == ((what, detail) if followed else said)
    lines = len(list(raw_lines(tmp_path / "vault/log")))
    vault.recover()
    assert len(list(raw_lines(tmp_path / "vault/log"))) == lines


def test_an_announcement_about_a_case_that_cannot_be_read_waits(vault: Vault, case_id: str, tmp_path: Path) -> None:
    _store(tmp_path).log.append(What.HOLD, case_id, "0badf00d for police: x")
    (tmp_path / "vault/cases" / case_id / "record.json").write_bytes(b"{")
    assert [result.outcome for result in vault.recover()] == [Recovered.DAMAGED]
    assert _last(tmp_path)[0] == What.HOLD


def test_a_log_that_cannot_be_read_ends_recovery(vault: Vault, case_id: str, tmp_path: Path) -> None:
    (tmp_path / "vault/log").unlink()
    (tmp_path / "vault/log").mkdir()
    with pytest.raises(QuarantineError, match=r"the log of the vault .* failed: .*Is a directory"):
        vault.recover()


# Recovery.


def test_a_place_that_is_gone_does_not_keep_a_case_from_its_end(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        acting(tmp_path, "after capture", stop).handle(make_finding(tree / "www/a", tree))
    (tree / "www").rmdir()
    vault = Vault(tmp_path / "vault", Limits())
    assert [result.outcome for result in vault.recover()] == [Recovered.DONE]
    assert next(vault.cases()).state is CaseState.DONE
    assert os.listdir(tmp_path / "vault/holding") == []


def test_evidence_that_was_damaged_after_the_commit_is_said_and_stays(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        acting(tmp_path, "after sync holding", stop).handle(make_finding(tree / "www/a", tree))
    (content,) = (tmp_path / "vault/cases").glob("*/content")
    content.write_bytes(b"other bytes")
    vault = Vault(tmp_path / "vault", Limits())
    for _ in range(2):
        (result,) = vault.recover()
        assert (result.outcome, result.detail) == (Recovered.DAMAGED, "its evidence does not have the digests of its record")
    assert content.read_bytes() == b"other bytes"
    content.unlink()
    assert [result.outcome for result in vault.recover()] == [Recovered.DAMAGED]


def test_a_name_that_is_taken_in_the_last_moment_makes_an_orphan(captured_another: Path, tmp_path: Path) -> None:
    late = acting(tmp_path, "before put back", lambda: captured_another.write_bytes(b"and another"))
    (result,) = late.recover()
    assert (result.outcome, result.detail) == (
        Recovered.ORPHAN,
        "what was captured stays in the holding directory: its name is taken",
    )
    assert captured_another.read_bytes() == b"and another"
    assert (tmp_path / "vault/holding" / result.case_id).read_bytes() == INNOCENT
    assert late.recover() == []


# The store.


def test_a_vault_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir(mode=0o700)
    (tmp_path / "vault/cases").write_bytes(b"")
    with pytest.raises(QuarantineError, match="cannot be read: Not a directory"):
        _store(tmp_path).ids()


def test_a_record_with_a_wrong_field_is_damaged_whatever_its_checksum_says(vault: Vault, case_id: str, tmp_path: Path) -> None:
    document = dict(vault.record(case_id))
    document["parent"] = "seven"
    canonical = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    whole = {**document, "checksum": blake3(canonical).hexdigest()}
    (tmp_path / "vault/cases" / case_id / "record.json").write_text(json.dumps(whole))
    with pytest.raises(QuarantineError, match=rf"{case_id}: .*record.json is damaged: field parent is missing or wrong"):
        _store(tmp_path).read(case_id)


def test_a_file_of_a_stranger_is_never_discarded(tmp_path: Path) -> None:
    store = _store(tmp_path)
    store.open()
    case = tmp_path / "vault/cases" / ("a" * 16)
    case.mkdir()
    for name in ("notes", "content", "commit.json", ".commit.json.0123456789ab.new"):
        (case / name).write_bytes(b"x")
    assert not store.half_made(case.name)
    with pytest.raises(OSError, match="not empty") as caught:
        store.discard(case.name)
    assert caught.value.errno == errno.ENOTEMPTY
    assert os.listdir(case) == ["notes"]


@pytest.mark.parametrize("wrong", [Proof("../" * 21 + "x", "acme", "ab" * 32), Proof("ab" * 32, "acme", "AB" * 32)])
def test_a_proof_that_is_no_digest_names_no_file(vault: Vault, case_id: str, tmp_path: Path, wrong: Proof) -> None:
    record = replace(_store(tmp_path).read(case_id), proof=wrong)
    with pytest.raises(ValueError, match="field proof is wrong"):
        record_codec.decode(record_codec.encode(record))


def test_a_proof_that_is_no_file_is_none(tmp_path: Path) -> None:
    """A FIFO among the proofs must not make anybody wait for ever."""
    grounds = Grounds("acme", b"signed", lambda _: bytes(32))
    name = proofs.keep(tmp_path, grounds, LIST).sha256
    assert proofs.read(tmp_path, name) == b"signed"
    path = tmp_path / "proofs" / f"{name}.json"
    path.unlink()
    os.mkfifo(path)
    assert proofs.read(tmp_path, name) == b""
    path.unlink()
    path.write_bytes(b"other")
    assert proofs.read(tmp_path, name) == b""
    assert proofs.keep(tmp_path, grounds, LIST).sha256 == name
    assert path.read_bytes() == b"signed"


def test_a_case_that_does_not_wait_changes_no_count(vault: Vault, case_id: str, tmp_path: Path) -> None:
    store = _store(tmp_path)
    survey = Survey(store)
    survey.let_go(store.read(case_id))
    assert survey.held == {}


# The seal.


def test_without_the_library_sealing_is_refused_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    key = str(pyrage.x25519.Identity.generate().to_public())
    monkeypatch.setitem(sys.modules, "pyrage", None)
    for make in (lambda: Recipients([key]), lambda: Identity("x")):
        with pytest.raises(UsageError, match="needs pyrage") as caught:
            make()
        assert re.search(r"pip install .*evidence", caught.value.hint)
