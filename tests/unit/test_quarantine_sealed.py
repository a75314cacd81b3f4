"""Sealed cases: no plaintext in the vault, whole without a key, back with the right one, out as a bundle."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pyrage
import pytest

from hashscan.errors import QuarantineError, UsageError
from hashscan.model import Action, CaseState, Place
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.export import SUMS, Request
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.recovery import Recovered
from hashscan.quarantine.restore import Wish, beside
from hashscan.quarantine.seal import Identity, Recipients
from hashscan.quarantine.vault import Manner, Vault
from tests.support.children import Stopped, Stopping
from tests.support.findings import make_finding

CONTENT = b"harmless and easy to find again " * 5_000
SECRET = pyrage.x25519.Identity.generate()
TO = Recipients([str(SECRET.to_public())])


@pytest.fixture
def sealed(tree: Path, tmp_path: Path) -> tuple[Vault, str]:
    (tree / "www/a").write_bytes(CONTENT)
    os.chmod(tree / "www/a", 0o640)
    vault = Vault(tmp_path / "vault", Limits(), manner=Manner("scan", recipients=TO))
    result = vault.handle(make_finding(tree / "www/a", tree))
    assert result.action == Action.QUARANTINED
    return vault, result.case_id


def test_no_plaintext_is_in_the_vault(sealed: tuple[Vault, str], tmp_path: Path) -> None:
    vault, case_id = sealed
    files = [path for path in (tmp_path / "vault").rglob("*") if path.is_file()]
    assert files
    assert not any(CONTENT[:64] in path.read_bytes() for path in files)
    stored = vault.record(case_id)["stored"]
    data = (tmp_path / "vault/cases" / case_id / "content").read_bytes()
    assert (stored["form"], stored["size"], stored["recipients"]) == ("sealed", len(data), [str(SECRET.to_public())])
    assert vault.case(case_id).sealed


def test_back_with_the_key(sealed: tuple[Vault, str], tree: Path) -> None:
    vault, case_id = sealed
    with pytest.raises(QuarantineError, match="sealed") as caught:
        vault.restore(case_id)
    assert "--identity" in caught.value.hint
    other = Identity(str(pyrage.x25519.Identity.generate()))
    with pytest.raises(QuarantineError, match="cannot be opened"):
        vault.restore(case_id, Wish(identity=other))
    assert not list((tree / "www").iterdir())
    assert vault.case(case_id).state is CaseState.DONE
    assert vault.record(case_id)["restoring"] is None
    assert vault.restore(case_id, Wish(identity=Identity(str(SECRET)))).state is CaseState.RESTORED
    assert (tree / "www/a").read_bytes() == CONTENT
    assert (tree / "www/a").stat().st_mode & 0o777 == 0o640


def test_a_key_that_nobody_asked_for_does_no_harm(tree: Path, tmp_path: Path) -> None:
    """Whoever restores many cases gives the identity once, and some were taken before evidence was sealed."""
    (tree / "www/a").write_bytes(CONTENT)
    vault = Vault(tmp_path / "vault", Limits())
    case_id = vault.handle(make_finding(tree / "www/a", tree)).case_id
    assert vault.restore(case_id, Wish(identity=Identity(str(SECRET)))).state is CaseState.RESTORED
    assert (tree / "www/a").read_bytes() == CONTENT


def test_a_change_of_the_sealed_copy_is_noticed_without_the_key(sealed: tuple[Vault, str], tmp_path: Path) -> None:
    vault, case_id = sealed
    path = tmp_path / "vault/cases" / case_id / "content"
    data = path.read_bytes()
    for changed in (data[:-1], data + b"x", data[:100] + bytes([data[100] ^ 1]) + data[101:]):
        path.write_bytes(changed)
        assert not vault.kept(case_id).content_holds
        with pytest.raises(QuarantineError, match="evidence"):
            vault.restore(case_id, Wish(identity=Identity(str(SECRET))))
    path.write_bytes(data)
    assert vault.kept(case_id).content_holds


def test_killed_at_every_step_a_sealed_case_ends(tree: Path, tmp_path: Path) -> None:
    moment, seen = 0, set()
    while True:
        root = tmp_path / f"vault{moment}"
        (tree / "www/a").write_bytes(CONTENT)
        finding = make_finding(tree / "www/a", tree)
        try:
            Vault(root, Limits(), manner=Manner("scan", recipients=TO), step=Stopping(moment)).handle(finding)
        except Stopped:
            results = Vault(root, Limits()).recover()
        else:
            break
        done = [case.id for case in Cabinet(root).cases() if case.state is CaseState.DONE]
        assert (tree / "www/a").exists() == (not done), moment
        if done:
            assert Cabinet(root).kept(done[0]).content_holds
            Cabinet(root).restore(done[0], Wish(identity=Identity(str(SECRET))))
        assert (tree / "www/a").read_bytes() == CONTENT
        seen |= {result.outcome for result in results}
        moment += 1
    assert {Recovered.DONE, Recovered.DROPPED} <= seen
    assert moment > 20


@pytest.mark.parametrize("wanted", ["plain", "to a reader", "as it was"])
def test_a_bundle(wanted: str, tree: Path, tmp_path: Path) -> None:
    (tree / "www/a").write_bytes(CONTENT)
    recipients = TO if wanted == "as it was" else None
    vault = Vault(tmp_path / "vault", Limits(), manner=Manner("scan", recipients=recipients))
    case_id = vault.handle(make_finding(tree / "www/a", tree)).case_id
    out = tmp_path / "bundle"
    request = Request(out, TO if wanted == "to a reader" else None, plain=wanted == "plain")
    names = {path.name for path in vault.export(case_id, request)}
    content = "content" if wanted == "plain" else "content.age"
    assert names == {content, "record.json", "verdict.json", "log-excerpt.ndjson", "cover.txt", SUMS}
    assert out.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in out.iterdir())
    subprocess.run(["sha256sum", "-c", "--quiet", "--strict", SUMS], cwd=out, check=True, timeout=30)
    data = (out / content).read_bytes()
    if wanted == "plain":
        assert data == CONTENT
        assert "NOT encrypted" in (out / "cover.txt").read_text()
    else:
        assert CONTENT[:64] not in data
        opened = bytearray()
        Identity(str(SECRET)).open(iter([data]), opened.extend)
        assert bytes(opened) == CONTENT
    assert json.loads((out / "record.json").read_bytes())["id"] == case_id
    assert (out / "verdict.json").read_bytes() == b"signed\n"
    assert b'"what":"exported"' in (out / "log-excerpt.ndjson").read_bytes()
    cover = (out / "cover.txt").read_text()
    assert hashlib.sha1(CONTENT, usedforsecurity=False).hexdigest() in cover
    assert "www" not in cover


def test_what_a_bundle_refuses(sealed: tuple[Vault, str], tree: Path, tmp_path: Path) -> None:
    vault, sealed_id = sealed
    (tree / "www/b").write_bytes(CONTENT)
    plain_id = Vault(tmp_path / "vault", Limits()).handle(make_finding(tree / "www/b", tree)).case_id
    wrong = [
        (sealed_id, Request(tmp_path / "o1", TO), "sealed and leaves as it is"),
        (sealed_id, Request(tmp_path / "o1", plain=True), "sealed and leaves as it is"),
        (plain_id, Request(tmp_path / "o1"), "not sealed"),
        (plain_id, Request(tmp_path / "o1", TO, plain=True), "exclude"),
        (sealed_id, Request(tmp_path / "nowhere/o1"), "no folder"),
        (sealed_id, Request(tmp_path / "vault"), "not an empty folder"),
    ]
    for case_id, request, why in wrong:
        with pytest.raises(UsageError, match=why):
            vault.export(case_id, request)
    assert not (tmp_path / "o1").exists()


def test_damaged_evidence_is_not_exported(sealed: tuple[Vault, str], tmp_path: Path) -> None:
    vault, case_id = sealed
    path = tmp_path / "vault/cases" / case_id / "content"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(QuarantineError, match="not exported"):
        vault.export(case_id, Request(tmp_path / "out"))
    assert not (tmp_path / "out" / SUMS).exists()
    assert not (tmp_path / "out" / "content.age").exists()


def test_a_taken_name_is_left_alone_and_the_file_comes_back_beside_it(tree: Path, tmp_path: Path) -> None:
    vault = Vault(tmp_path / "vault", Limits())
    case_id = vault.handle(make_finding(tree / "www/a", tree)).case_id
    (tree / "www/a").write_bytes(b"what the customer has there now")
    with pytest.raises(QuarantineError, match="taken"):
        vault.restore(case_id)
    case = vault.restore(case_id, Wish(beside=True))
    name = f"a.restored-{case_id[:8]}"
    assert sorted(path.name for path in (tree / "www").iterdir()) == ["a", name]
    assert (tree / "www/a").read_bytes() == b"what the customer has there now"
    assert name in case.reason


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (Place(b"/srv", b"www/a"), Place(b"/srv", b"www/a.restored-01234567")),
        (Place(b"/srv", b"a"), Place(b"/srv", b"a.restored-01234567")),
        (Place(b"/srv/file", b""), Place(b"/srv/file.restored-01234567", b"")),
        (Place(b"/srv", b"d/" + b"x" * 255), Place(b"/srv", b"d/" + b"x" * 237 + b".restored-01234567")),
    ],
)
def test_the_root_stays_the_root(place: Place, path: Place) -> None:
    assert beside(place, "0123456789abcdef") == path
