"""Legal holds, purging with a certificate, and orphans that a person settles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError, UsageError
from hashscan.model import CaseState
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.keeping import MAX_HOLDS, MAX_TEXT_CHARS, keeping_time
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.log import check, raw_lines
from hashscan.quarantine.recovery import Recovered
from hashscan.quarantine.vault import Manner, Vault
from tests.support.children import Stopped, Stopping
from tests.support.findings import make_finding
from tests.support.interfering import DATA

NOW = 1_790_000_000.0
DAYS = 86_400.0


@pytest.fixture
def case_id(tree: Path, tmp_path: Path) -> str:
    vault = Vault(tmp_path / "vault", Limits(), lambda: NOW, manner=Manner("scan", profile="nl", keep=30 * DAYS))
    return vault.handle(make_finding(tree / "www/a", tree)).case_id


def _cabinet(tmp_path: Path, now: float = NOW) -> Cabinet:
    return Cabinet(tmp_path / "vault", lambda: now, actor="a person")


def test_purging_leaves_a_record_and_a_certificate(case_id: str, tmp_path: Path) -> None:
    cabinet = _cabinet(tmp_path)
    content = tmp_path / "vault/cases" / case_id / "content"
    assert content.read_bytes() == DATA
    purged = cabinet.purge(case_id, by="ann", reason="time is over")
    assert not content.exists()
    assert cabinet.case(case_id).state is CaseState.PURGED
    told = json.loads(purged.certificate.read_bytes())
    assert (told["case"], told["by"], told["reason"]) == (case_id, "ann", "time is over")
    assert told["file"]["size"] == len(DATA)
    assert told["stored"]["form"] == "plain"
    assert "Snapshots" in told["reminder"]
    assert purged.certificate.stat().st_mode & 0o777 == 0o600
    lines = list(raw_lines(tmp_path / "vault/log"))
    assert json.loads(lines[told["log_line"] - 1])["what"] == "purge-intent"
    assert not check(lines).broken
    with pytest.raises(QuarantineError, match="no evidence"):
        cabinet.purge(case_id, by="ann", reason="again")
    with pytest.raises(QuarantineError, match="cannot be restored"):
        cabinet.restore(case_id)


def test_a_hold_forbids_purging_until_it_is_lifted(case_id: str, tmp_path: Path) -> None:
    cabinet = _cabinet(tmp_path, NOW + 31 * DAYS)
    assert [case.id for case in cabinet.due()] == [case_id]
    cabinet.hold(case_id, by="police", reason="case 7")
    assert cabinet.due() == []
    with pytest.raises(QuarantineError, match="police"):
        cabinet.purge(case_id, by="ann", reason="x")
    (hold,) = cabinet.record(case_id)["holds"]
    with pytest.raises(QuarantineError, match="no legal hold") as caught:
        cabinet.lift(case_id, "nothing", "x")
    assert hold["id"] in caught.value.hint
    cabinet.lift(case_id, hold["id"], "case closed")
    assert [case.id for case in cabinet.due()] == [case_id]
    assert cabinet.purge(case_id, by="ann", reason="x").record.state is CaseState.PURGED


def test_a_case_is_due_when_its_time_is_over(case_id: str, tmp_path: Path) -> None:
    assert _cabinet(tmp_path, NOW + 30 * DAYS - 1).due() == []
    assert [case.id for case in _cabinet(tmp_path, NOW + 30 * DAYS).due()] == [case_id]


def test_holds_are_bounded_and_need_words(case_id: str, tmp_path: Path) -> None:
    cabinet = _cabinet(tmp_path)
    for by, reason in (("", "x"), ("x", " "), ("x" * (MAX_TEXT_CHARS + 1), "x")):
        with pytest.raises(QuarantineError, match="must be said"):
            cabinet.hold(case_id, by=by, reason=reason)
    for number in range(MAX_HOLDS):
        cabinet.hold(case_id, by="police", reason=f"case {number}")
    with pytest.raises(QuarantineError, match="legal holds already"):
        cabinet.hold(case_id, by="police", reason="one more")


def test_killed_at_every_step_a_purge_ends(tree: Path, tmp_path: Path) -> None:
    """Either nothing is gone yet and nobody says so, or recovery finishes what was announced."""
    moment = 0
    seen = set()
    while True:
        root = tmp_path / f"vault{moment}"
        (tree / "www/a").write_bytes(DATA)
        case_id = Vault(root, Limits(), lambda: NOW).handle(make_finding(tree / "www/a", tree)).case_id
        try:
            Cabinet(root, lambda: NOW, actor="ann", step=Stopping(moment)).purge(case_id, by="ann", reason="x")
        except Stopped:
            results = Vault(root, Limits(), lambda: NOW).recover()
        else:
            break
        state = Cabinet(root).case(case_id).state
        content = (root / "cases" / case_id / "content").exists()
        certificate = (root / "certificates" / f"{case_id}.json").exists()
        assert (state, content) in {(CaseState.DONE, True), (CaseState.PURGED, False)}, moment
        assert certificate == (state is CaseState.PURGED)
        assert all(result.outcome in (Recovered.PURGED, Recovered.NOT_PURGED) for result in results)
        assert not check(raw_lines(root / "log")).broken
        assert Vault(root, Limits(), lambda: NOW).recover() == []
        seen.add(state)
        moment += 1
    assert seen == {CaseState.DONE, CaseState.PURGED}
    assert moment >= 10


@pytest.mark.parametrize(
    ("profile", "after", "sealed", "kept"),
    [("custom", 0.0, False, 0.0), ("nl", 9.0, False, 9.0), ("us", 0.0, True, 365 * DAYS), ("us", 400 * DAYS, True, 400 * DAYS)],
)
def test_how_long_evidence_is_kept(profile: str, after: float, sealed: bool, kept: float) -> None:
    assert keeping_time(profile, after, sealed=sealed) == kept


@pytest.mark.parametrize(("profile", "after", "sealed"), [("uk", 0.0, True), ("us", 0.0, False), ("us", 30 * DAYS, True)])
def test_less_than_the_profile_asks_for_is_refused(profile: str, after: float, sealed: bool) -> None:
    with pytest.raises(UsageError, match="retention profile"):
        keeping_time(profile, after, sealed=sealed)


def test_only_an_orphan_with_nothing_left_is_settled(case_id: str, tmp_path: Path) -> None:
    with pytest.raises(QuarantineError, match="no orphan"):
        _cabinet(tmp_path).settle(case_id, "x")
