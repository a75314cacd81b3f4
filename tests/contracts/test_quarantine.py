"""What every implementation of `ports.Quarantine` promises: an answer about the very finding, and nothing moved unpermitted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hashscan.model import Act, Action, Grade, Source, Standing
from hashscan.ports import Quarantine
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.report_only import ReportOnly
from hashscan.quarantine.vault import Vault
from tests.support.findings import make_finding

Make = Callable[[Path], Quarantine]
IMPLEMENTATIONS = {
    "vault": lambda root: Vault(root, Limits()),
    "vault that may move nothing": lambda root: Vault(root, Limits(per_run=0)),
    "report only": lambda root: ReportOnly(),
}
UNFIT = (
    {"source": Source.LOCAL},
    {"grade": Grade.WEAK},
    {"standing": Standing.DISPUTED},
    {"standing": Standing.WITHDRAWN},
    {"standing": Standing.TEST},
    {"act": Act.REPORT},
    {"envelope": b""},
)


@pytest.fixture(params=IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS)
def make(request: pytest.FixtureRequest) -> Make:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "srv"
    tree.mkdir()
    (tree / "a").write_bytes(b"harmless")
    return tree


@pytest.mark.parametrize("change", UNFIT, ids=str)
def test_what_must_not_move_does_not_move(make: Make, tree: Path, tmp_path: Path, change: dict[str, object]) -> None:
    finding = make_finding(tree / "a", tree, **change)
    before = os.lstat(tree / "a")  # after it was read, which changes the time of access
    result = make(tmp_path / "vault").handle(finding)
    assert result.finding is finding
    assert result.action == Action.REPORTED
    assert result.reason
    assert not result.case_id
    assert os.lstat(tree / "a") == before
    assert not (tmp_path / "vault").exists()


def test_the_answer_is_an_action_and_says_what_is_true(make: Make, tree: Path, tmp_path: Path) -> None:
    finding = make_finding(tree / "a", tree)
    result = make(tmp_path / "vault").handle(finding)
    assert result.finding is finding
    assert Action(result.action) in (Action.QUARANTINED, Action.REPORTED, Action.HELD)
    assert (tree / "a").exists() == (result.action != Action.QUARANTINED)
    assert bool(result.case_id) == (result.action in (Action.QUARANTINED, Action.HELD))


def test_a_file_that_is_gone_is_a_result_and_no_error(make: Make, tree: Path, tmp_path: Path) -> None:
    finding = make_finding(tree / "a", tree)
    (tree / "a").unlink()
    result = make(tmp_path / "vault").handle(finding)
    assert result.action != Action.QUARANTINED
    assert result.reason
