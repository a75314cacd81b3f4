"""All that a record says about a file, compared with what the system says of it: nothing is left out, nothing mixed up."""

from __future__ import annotations

import base64
import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest
from blake3 import blake3

from hashscan import fsops
from hashscan.errors import QuarantineError
from hashscan.model import Case, CaseState, ListRef
from hashscan.quarantine import proofs
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.proofs import Grounds
from hashscan.quarantine.record import owner_of
from hashscan.quarantine.seal import Recipients
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.tenants import Tenants
from hashscan.quarantine.vault import Manner, Vault
from tests.support.findings import make_finding

NOW = 1_700_000_000.5
DAY = 86_400.0
KEY = bytes(range(32))
DATA = b"harmless " * 1000


def _grounds(asked: list[ListRef]) -> Grounds:
    return Grounds("acme", b'{"signed": "lists"}', lambda ref: (asked.append(ref), KEY)[1])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "srv/alice/www/f \u00e9"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    path.chmod(0o2641)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
        path.chmod(0o2641)
    os.setxattr(path, "user.note", b"\0value")
    os.utime(path, ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321))
    return path


@pytest.mark.parametrize("sealed", [False, True])
def test_everything_that_is_known_is_in_the_record(file: Path, tmp_path: Path, sealed: bool) -> None:
    to = str(pyrage.x25519.Identity.generate().to_public())
    tenants = Tenants([f"{tmp_path}/srv/{{tenant}}/"])
    asked: list[ListRef] = []
    manner = Manner("night 7", _grounds(asked), Recipients([to]) if sealed else None, tenants, "nl", 30 * DAY)
    vault = Vault(tmp_path / "vault", Limits(), lambda: NOW, manner=manner)
    finding = make_finding(file, tmp_path / "srv")
    os.utime(file, ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321))
    status, parent = os.lstat(file), os.lstat(file.parent)
    result = vault.handle(finding)
    record = dict(vault.record(result.case_id))
    content = (tmp_path / "vault/cases" / result.case_id / "content").read_bytes()
    holding = os.stat(tmp_path / "vault/holding")
    fd = os.open(tmp_path / "vault/holding", os.O_RDONLY)
    mount = fsops.mount_id(fd)
    os.close(fd)
    history = record.pop("history")
    assert [(line["state"], line["at"], line["note"]) for line in history] == [
        (state, NOW, "") for state in ("intent", "copied", "committed", "done")
    ]
    assert record == {
        "schema": "hashscan.case/2",
        "id": result.case_id,
        "state": "done",
        "opened": NOW,
        "reason": "",
        "trigger": "night 7",
        "place": {
            "path": str(file),
            "root_b64": base64.b64encode(os.fsencode(tmp_path / "srv")).decode(),
            "path_b64": base64.b64encode(b"alice/www/" + os.fsencode(file.name)).decode(),
        },
        "parent": parent.st_ino,
        "file": {
            "device": status.st_dev,
            "inode": status.st_ino,
            "size": len(DATA),
            "mode": 0o2641,
            "uid": status.st_uid,
            "gid": status.st_gid,
            "links": 1,
            "atime_ns": status.st_atime_ns,
            "mtime_ns": status.st_mtime_ns,
            "ctime_ns": record["file"]["ctime_ns"],
            "xattrs_b64": {base64.b64encode(b"user.note").decode(): base64.b64encode(b"\0value").decode()},
            "xattrs_complete": True,
        },
        "digests": {
            "md5": hashlib.md5(DATA).hexdigest(),
            "sha1": hashlib.sha1(DATA).hexdigest(),
            "blake3": blake3(DATA).hexdigest(),
        },
        "finding": {
            "source": finding.source.value,
            "list": {"id": finding.list.id, "version": finding.list.version, "epoch": finding.list.epoch},
            "entry": finding.entry,
            "grade": "match",
            "standing": "active",
            "category": finding.category,
            "act": "quarantine",
            "reason": finding.reason,
            "verdict_id": finding.verdict_id,
            "envelope_b64": base64.b64encode(finding.envelope).decode(),
        },
        "holding": {"directory_b64": "", "device": holding.st_dev, "inode": holding.st_ino, "mount": mount},
        "proof": {
            "sha256": hashlib.sha256(b'{"signed": "lists"}').hexdigest(),
            "provider": "acme",
            "confirm_key": KEY.hex(),
        },
        "restoring": None,
        "tenant": "alice",
        "stored": {
            "form": "sealed" if sealed else "plain",
            "size": len(content),
            "blake3": blake3(content).hexdigest(),
            "recipients": [to] if sealed else [],
        },
        "holds": [],
        "retention": {"profile": "nl", "purge_after": NOW + 30 * DAY},
        "released_to": "",
    }
    assert asked == [finding.list]
    assert (content == DATA) != sealed
    place = finding.candidate.hashed.entry.place
    case = Case(
        result.case_id,
        CaseState.DONE,
        place,
        len(DATA),
        finding.entry,
        finding.list.id,
        finding.verdict_id,
        NOW,
        "",
        "alice",
        sealed,
    )
    assert vault.case(result.case_id) == case
    kept = vault.kept(result.case_id)
    assert (kept.proof, kept.content_holds, kept.record.envelope()) == (b'{"signed": "lists"}', True, finding.envelope)


def test_what_waits_says_what_the_scan_saw(file: Path, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault", Limits(per_run=0), lambda: NOW, manner=Manner("night 7"))
    finding = make_finding(file, tmp_path / "srv")
    entry = finding.candidate.hashed.entry
    result = vault.handle(finding)
    record = vault.record(result.case_id)
    assert record["state"] == "held"
    assert record["reason"] == result.reason == "the limit of 0 removals in one run is reached; a person must look"
    assert (record["tenant"], record["parent"], record["proof"], record["retention"]["purge_after"]) == ("", 0, None, None)
    assert record["file"]["mode"] == 0o2641
    assert record["file"]["xattrs_complete"] is False
    assert (record["file"]["xattrs_b64"], record["file"]["atime_ns"]) == ({}, 0)
    assert record["holding"] == {"directory_b64": "", "device": 0, "inode": 0, "mount": 0}
    seen = vault.hashed(result.case_id)
    assert seen.digests == finding.candidate.hashed.digests
    for name in ("place", "device", "inode", "size", "mtime_ns", "ctime_ns", "uid", "gid", "links"):
        assert getattr(seen.entry, name) == getattr(entry, name), name


def test_whose_a_file_is() -> None:
    assert owner_of("alice", 7) == "alice"
    assert owner_of("", 7) == "/uid/7"


def test_a_record_of_another_form_of_list_is_shown(file: Path, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault", Limits())
    record = CaseStore(tmp_path / "vault", lambda: NOW).read(vault.handle(make_finding(file, tmp_path / "srv")).case_id)
    other = replace(record, tenant="", finding={**record.finding, "list": None})
    assert (other.case().list_id, other.owner) == ("", f"/uid/{record.file.uid}")
    without = replace(record, finding={key: value for key, value in record.finding.items() if key != "envelope_b64"})
    assert without.envelope() == b""


def test_a_proof_is_read_as_what_its_name_says(tmp_path: Path) -> None:
    folder = tmp_path / "proofs"
    folder.mkdir()
    data = b"x" * proofs.MAX_PROOF_BYTES
    for one, expected in ((data, data), (data + b"x", b"")):
        name = hashlib.sha256(one).hexdigest()
        (folder / f"{name}.json").write_bytes(one)
        assert proofs.read(tmp_path, name) == expected
    assert proofs.read(tmp_path, "0" * 64) == b""
    os.mkfifo(folder / f"{'1' * 64}.json")
    assert proofs.read(tmp_path, "1" * 64) == b""


def test_what_was_restored_says_where_else_it_can_go(file: Path, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault", Limits())
    case_id = vault.handle(make_finding(file, tmp_path / "srv")).case_id
    vault.restore(case_id)
    with pytest.raises(QuarantineError, match=f"case {case_id} has been restored already") as caught:
        vault.restore(case_id)
    assert caught.value.hint == "name another directory with --to DIR"
