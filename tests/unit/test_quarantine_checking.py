"""Each state file of a vault is held against something else; what does not hold is named (at large: tests/hostile)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.log import What
from hashscan.quarantine.proofs import Grounds
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.vault import Manner, Vault
from tests.support.findings import make_finding

PROOF = hashlib.sha256(b"signed").hexdigest()

pytestmark = pytest.mark.usefixtures("no_descriptor_is_lost")


@pytest.fixture
def kept(tree: Path, tmp_path: Path) -> tuple[Vault, dict[str, str]]:
    """A case that is done, one that was purged, and a torn line; their ids."""
    vault = Vault(tmp_path / "vault", Limits(), manner=Manner("scan", grounds=Grounds("acme", b"signed", lambda _: bytes(32))))
    (tree / "b").write_bytes(b"x")
    done, purged = (vault.handle(make_finding(path, tree)).case_id for path in (tree / "www/a", tree / "b"))
    vault.purge(purged, by="ann", reason="time is over")
    with (tmp_path / "vault/log").open("ab") as stream:
        stream.write(b'{"half')
    vault.shown(done, "its names")
    return vault, {"done": done, "purged": purged}


def _flaws(vault: Vault) -> list[tuple[str, str]]:
    return [(flaw.file, flaw.problem) for flaw in (*vault.check_records(), *vault.check_certificates())]


def test_a_whole_vault_has_no_flaw(kept: tuple[Vault, dict[str, str]], tmp_path: Path) -> None:
    vault, ids = kept
    for folder, name in (("proofs", PROOF), ("certificates", ids["done"])):  # what a crash leaves is never read
        (tmp_path / "vault" / folder / f".{name}.json.0123456789ab.new").write_bytes(b"{")
    assert _flaws(vault) == []
    assert _flaws(Vault(tmp_path / "nowhere", Limits())) == []


def _spaced(path: Path) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes())))


def _longer(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"\n")


FLAWS: dict[str, tuple[str, Callable[[Path], object], list[tuple[str, str]]]] = {
    "white space in a record": (
        "cases/{done}/record.json",
        _spaced,
        [("cases/{done}/record.json", "it is not as it was written")],
    ),
    "another evidence": (
        "cases/{done}/content",
        _longer,
        [("cases/{done}/content", "missing, or not what the record describes")],
    ),
    "no evidence": (
        "cases/{done}/content",
        Path.unlink,
        [("cases/{done}/content", "missing, or not what the record describes")],
    ),
    "another certificate": (
        "certificates/{purged}.json",
        _longer,
        [("certificates/{purged}.json", "it is not the one that the log was told of")],
    ),
    "no certificate": ("certificates/{purged}.json", Path.unlink, [("certificates/{purged}.json", "missing")]),
    "a certificate of nothing": (
        "certificates/{done}.json",
        lambda path: path.write_bytes(b"{}"),
        [("certificates/{done}.json", "no case was purged with it")],
    ),
    "another torn line": ("log.torn-{torn}", _longer, [("log.torn-{torn}", "it is not what line {torn} of the log says")]),
    "no torn line": ("log.torn-{torn}", Path.unlink, [("log.torn-{torn}", "missing")]),
    "a proof too many": (
        f"proofs/{'0' * 64}.json",
        lambda path: path.write_bytes(b"x"),
        [(f"proofs/{'0' * 64}.json", "its content is another")],
    ),
}


@pytest.mark.parametrize(("file", "change", "flaws"), FLAWS.values(), ids=FLAWS)
def test_each_flaw_is_named(
    kept: tuple[Vault, dict[str, str]],
    tmp_path: Path,
    file: str,
    change: Callable[[Path], object],
    flaws: list[tuple[str, str]],
) -> None:
    vault, ids = kept
    names = {**ids, "torn": _torn(tmp_path)}
    change(tmp_path / "vault" / file.format(**names))
    assert _flaws(vault) == [(name.format(**names), problem.format(**names)) for name, problem in flaws]


def _torn(tmp_path: Path) -> str:
    (path,) = (tmp_path / "vault").glob("log.torn-*")
    return path.name.removeprefix("log.torn-")


def test_a_proof_that_changed_is_said_of_each_case_that_rests_on_it(kept: tuple[Vault, dict[str, str]], tmp_path: Path) -> None:
    vault, ids = kept
    name = f"proofs/{PROOF}.json"
    _longer(tmp_path / "vault" / name)
    rests = [(name, f"missing or damaged; case {case_id} rests on it") for case_id in sorted(ids.values())]
    assert _flaws(vault) == [*rests, (name, "its content is another")]
    (tmp_path / "vault" / name).unlink()
    assert _flaws(vault) == rests


def test_a_record_that_cannot_be_read_is_one_flaw(kept: tuple[Vault, dict[str, str]], tmp_path: Path) -> None:
    vault, ids = kept
    (tmp_path / "vault/cases" / ids["done"] / "record.json").write_bytes(b"{")
    ((file, problem),) = _flaws(vault)
    assert file == f"cases/{ids['done']}/record.json"
    assert "is damaged: not JSON" in problem


def test_a_certificate_that_the_log_was_never_told_of_is_not_believed(
    kept: tuple[Vault, dict[str, str]], tmp_path: Path
) -> None:
    """The bytes of a line are changed: what it said counts no longer."""
    vault, ids = kept
    path = tmp_path / "vault/log"
    path.write_bytes(path.read_bytes().replace(f'"what":"{What.CERTIFIED}"'.encode(), b'"what":"cert1f1ed"'))
    assert _flaws(vault) == [(f"certificates/{ids['purged']}.json", "the log knows of no certificate of this case")]


def test_the_last_certificate_counts(kept: tuple[Vault, dict[str, str]], tmp_path: Path) -> None:
    """A purge that was cut off and done again has two lines."""
    vault, ids = kept
    store = CaseStore(tmp_path / "vault", lambda: 1.0)
    store.log.append(What.CERTIFIED, ids["purged"], "0" * 64)
    assert _flaws(vault) == [(f"certificates/{ids['purged']}.json", "it is not the one that the log was told of")]


def test_a_record_that_is_not_as_it_was_written_proves_nothing(kept: tuple[Vault, dict[str, str]], tmp_path: Path) -> None:
    vault, ids = kept
    assert vault.kept(ids["done"]).proof == b"signed"
    path = tmp_path / "vault/cases" / ids["done"] / "record.json"
    _spaced(path)
    with pytest.raises(QuarantineError, match=f"{ids['done']}: its record is not as it was written"):
        vault.kept(ids["done"])
    path.unlink()
    with pytest.raises(QuarantineError, match=rf"case {ids['done']} has no record .*record\.json"):
        vault.kept(ids["done"])
