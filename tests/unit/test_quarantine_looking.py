"""What reads state files: links and FIFOs in their place, several at once, and texts that people compare."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError, UsageError
from hashscan.model import CaseState, Place
from hashscan.quarantine import cut_off, held, keeping, proofs
from hashscan.quarantine.export import Request
from hashscan.quarantine.glance import some_at
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.log import Log, What
from hashscan.quarantine.record import Restoring
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.vault import Vault
from tests.support import children
from tests.support.failing import failing
from tests.support.findings import make_finding

_PATIENCE = 60  # seconds; who opens a FIFO waits for ever


@pytest.fixture
def case_id(vault: Vault, tree: Path) -> str:
    return vault.handle(make_finding(tree / "www/a", tree)).case_id


def _at_once(body: Callable[[], None]) -> None:
    def limited() -> None:
        signal.alarm(_PATIENCE)
        body()

    assert children.run(limited) == 0


def test_a_fifo_in_the_place_of_evidence_is_not_waited_for(vault: Vault, case_id: str, tmp_path: Path) -> None:
    content = tmp_path / "vault/cases" / case_id / "content"
    content.unlink()
    os.mkfifo(content)

    def body() -> None:
        for look in (vault.check_records, lambda: vault.kept(case_id)):
            with pytest.raises(QuarantineError, match="Illegal seek"):
                look()

    _at_once(body)


def test_a_fifo_in_the_place_of_a_certificate_or_a_proof_is_not_waited_for(vault: Vault, case_id: str, tmp_path: Path) -> None:
    vault.purge(case_id, by="ann", reason="x")
    certificate = tmp_path / "vault/certificates" / f"{case_id}.json"
    certificate.unlink()
    (tmp_path / "vault/proofs").mkdir(exist_ok=True)
    proof = tmp_path / "vault/proofs" / f"{'0' * 64}.json"
    for path in (certificate, proof):
        os.mkfifo(path)

    def body() -> None:
        assert [flaw.problem for flaw in vault.check_certificates()] == ["it is not the one that the log was told of"]
        assert [flaw.problem for flaw in vault.check_records()] == ["its content is another"]

    _at_once(body)


def test_a_link_in_the_place_of_a_certificate_is_not_followed(vault: Vault, case_id: str, tmp_path: Path) -> None:
    vault.purge(case_id, by="ann", reason="x")
    certificate = tmp_path / "vault/certificates" / f"{case_id}.json"
    certificate.rename(tmp_path / "elsewhere")
    certificate.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(QuarantineError, match="Too many levels of symbolic links"):
        vault.check_certificates()


def test_a_link_in_the_place_of_evidence_is_not_followed(vault: Vault, case_id: str, tmp_path: Path) -> None:
    content = tmp_path / "vault/cases" / case_id / "content"
    content.rename(tmp_path / "elsewhere")
    content.symlink_to(tmp_path / "elsewhere")
    for look in (vault.check_records, lambda: vault.kept(case_id)):
        with pytest.raises(QuarantineError, match="Too many levels of symbolic links"):
            look()


def test_a_fifo_under_the_name_of_a_restored_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    restoring = Restoring(Place(os.fsencode(tmp_path), b"a"), 1, b"")
    _at_once(lambda: _is_not(cut_off.is_back(restoring)))


def _is_not(what: bool) -> None:
    assert what is False


def test_evidence_that_is_listed_and_cannot_be_found_is_not_called_missing(vault: Vault, case_id: str) -> None:
    """As on a network filesystem that has lost its server: called missing, a case is dropped and its copy with it."""
    with (
        failing("open", errno.ENOENT, lambda path, *_, **__: str(path).endswith("/content")),
        pytest.raises(QuarantineError, match="contradicts itself"),
    ):
        vault.kept(case_id)
    assert vault.kept(case_id).content_holds


def test_all_damaged_records_are_named(vault: Vault, tree: Path, tmp_path: Path) -> None:
    ids = []
    for name in ("x", "y", "z"):
        (tree / "www" / name).write_bytes(name.encode())
        ids.append(vault.handle(make_finding(tree / "www" / name, tree)).case_id)
    (tmp_path / "vault/cases" / min(ids) / "record.json").write_bytes(b"{")
    (tmp_path / "vault/cases" / sorted(ids)[1] / "content").write_bytes(b"{")
    (tmp_path / "vault/cases" / max(ids) / "content").unlink()
    flawed = [flaw.file for flaw in vault.check_records()]
    first, second, third = sorted(ids)
    assert flawed == [f"cases/{first}/record.json", f"cases/{second}/content", f"cases/{third}/content"]


def test_all_torn_lines_that_are_missing_are_named(vault: Vault, case_id: str, tmp_path: Path) -> None:
    log = Log(tmp_path / "vault/log", lambda: 1.0, "a test")
    torn = []
    for piece in (b'{"act', b'{"actor'):
        with log.path.open("ab") as stream:
            stream.write(piece)
        torn.append(f"log.torn-{log.append(What.SHOWN).lines - 1}")
    assert vault.check_certificates() == []
    for name in torn:
        (tmp_path / "vault" / name).unlink()
    assert [(flaw.file, flaw.problem) for flaw in vault.check_certificates()] == [(name, "missing") for name in torn]


def test_a_proof_may_be_as_large_as_it_may_be(vault: Vault, case_id: str, tmp_path: Path) -> None:
    folder = tmp_path / "vault/proofs"
    folder.mkdir(exist_ok=True)
    data = b"x" * proofs.MAX_PROOF_BYTES
    (folder / f"{hashlib.sha256(data).hexdigest()}.json").write_bytes(data)
    assert vault.check_records() == []


def test_certificates_and_exported_records_are_written_for_people(vault: Vault, case_id: str, tmp_path: Path) -> None:
    """A line for each field, in the order of their names: two of them can be compared."""
    vault.export(case_id, Request(tmp_path / "out", plain=True))
    vault.purge(case_id, by="ann", reason="x")
    for path in (tmp_path / "out/record.json", tmp_path / "vault/certificates" / f"{case_id}.json"):
        text = path.read_text()
        assert text == json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n", path


def test_the_cover_has_a_line_for_each_digest_hold_and_step(vault: Vault, case_id: str, tmp_path: Path) -> None:
    for authority in ("police", "court"):
        vault.hold(case_id, by=authority, reason=f"of the {authority}")
    vault.export(case_id, Request(tmp_path / "out", plain=True))
    lines = (tmp_path / "out/cover.txt").read_text().splitlines()
    record = vault.record(case_id)
    for name, digest in record["digests"].items():
        assert f"  {name:<8} {digest}" in lines
    for one in record["holds"]:
        assert f"  {one['id']}  {one['by']}: {one['reason']}" in lines
    states = [line.split()[3] for line in lines if " UTC  " in line]
    assert states == [line["state"] for line in record["history"]]


def test_what_forbids_an_export_says_what_helps(vault: Vault, case_id: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        vault.export(case_id, Request(tmp_path / "out"))
    assert caught.value.hint == "name the reader's public key with --recipient age1..., or say --plain"
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError) as caught:
        vault.export(case_id, Request(tmp_path / "out", plain=True))
    assert caught.value.hint == "name one that does not exist yet"


def test_a_glance_reads_the_cases_that_are_asked_for(vault: Vault, case_id: str, tmp_path: Path) -> None:
    assert [(case.id, case.state) for case in some_at(tmp_path / "vault", [case_id])] == [(case_id, CaseState.DONE)]
    assert some_at(tmp_path / "vault", []) == []
    (missing,) = some_at(tmp_path / "vault", ["0" * 16])
    assert (missing.id, missing.state) == ("0" * 16, CaseState.DAMAGED)


def test_a_restore_near_the_end_of_the_log_is_found(vault: Vault, case_id: str, tmp_path: Path) -> None:
    assert vault.restored_lately() == []
    vault.restore(case_id)
    ((case, at),) = vault.restored_lately()
    assert (case.id, at) == (case_id, 1_700_000_000.5)
    assert Vault(tmp_path / "none", Limits()).restored_lately() == []


def test_a_certificate_says_what_went(vault: Vault, case_id: str, tmp_path: Path) -> None:
    before = vault.record(case_id)
    vault.purge(case_id, by="ann", reason="time is over")
    document = json.loads((tmp_path / "vault/certificates" / f"{case_id}.json").read_bytes())
    reminder = document.pop("reminder")
    assert "Snapshots, backups" in reminder
    line = [one for one in (tmp_path / "vault/log").read_text().splitlines() if '"purge-intent"' in one]
    assert document == {
        "schema": "hashscan.purge-certificate/1",
        "case": case_id,
        "purged": 1_700_000_000.5,
        "by": "ann",
        "reason": "time is over",
        "opened": before["opened"],
        "entry": "police-nl/entry-17",
        "verdict": before["finding"]["verdict_id"],
        "file": {"size": before["file"]["size"], **before["digests"]},
        "stored": {"form": "plain", "size": before["stored"]["size"], "blake3": before["stored"]["blake3"]},
        "log_line": json.loads(line[0])["n"],
    }


def test_what_does_not_wait_is_not_released(vault: Vault, case_id: str, tmp_path: Path) -> None:
    store = CaseStore(tmp_path / "vault", lambda: 1.0)
    with pytest.raises(QuarantineError, match=f"case {case_id} is done and does not wait for a person"):
        held.release(store, store.read(case_id), "0" * 16)


def test_a_profile_that_asks_for_a_seal_says_how(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        keeping.keeping_time("us", 0.0, sealed=False)
    assert caught.value.hint == "set evidence.recipients to the public key of who may open it"


def test_an_orphan_is_settled_when_its_place_is_empty(vault: Vault, case_id: str, tmp_path: Path) -> None:
    """Whatever lies in the holding directory for others."""
    store = CaseStore(tmp_path / "vault", lambda: 1.0)
    orphan = store.step_to(store.read(case_id), CaseState.ORPHAN, "it stays")
    with pytest.raises(QuarantineError, match=r"^what became of it must be said"):
        keeping.settle(store, orphan, " ")
    held_name = tmp_path / "vault/holding" / case_id
    held_name.symlink_to("nowhere")
    with pytest.raises(QuarantineError, match=f"something still lies in '{held_name}'") as caught:
        keeping.settle(store, orphan, "moved")
    assert caught.value.hint == "move it where it belongs first"
    held_name.rename(tmp_path / "vault/holding/another")
    assert keeping.settle(store, orphan, "moved").state is CaseState.SETTLED
