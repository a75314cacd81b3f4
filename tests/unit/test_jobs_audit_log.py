"""The audit of the log names what is wrong with it, for people and for machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashscan.central.outbox import Outbox
from hashscan.errors import StateError
from hashscan.jobs.audit_log import audit_log
from hashscan.jobs.outcomes import OutcomeTools, tell_outcomes
from hashscan.model import Action
from hashscan.ports import LogHead
from hashscan.quarantine.cabinet import Cabinet
from tests.support.findings import make_finding
from tests.support.hotline import Hotline

NOW = 1_790_000_000.0


@pytest.fixture
def cabinet(tmp_path: Path) -> Cabinet:
    (tmp_path / "vault").mkdir(mode=0o700)
    cabinet = Cabinet(tmp_path / "vault", lambda: NOW, actor="ann")
    for _ in range(5):
        cabinet.shown("", "names")
    return cabinet


def test_a_whole_log_holds(cabinet: Cabinet) -> None:
    found = audit_log(cabinet, cabinet.log_head())
    assert (found.holds, found.facts()["lines"]) == (True, 5)
    assert found.lines()[0].startswith("the log holds: 5 lines")
    assert "could not be noticed" in audit_log(cabinet, None).lines()[1]


def test_a_missing_end_is_noticed_by_the_last_receipt(cabinet: Cabinet, tmp_path: Path) -> None:
    head = cabinet.log_head()
    path = tmp_path / "vault/log"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    assert audit_log(cabinet, None).holds
    found = audit_log(cabinet, head)
    assert (found.holds, found.cut, found.facts()["acknowledged_lines"]) == (False, True, 5)
    assert "END OF THE LOG IS MISSING" in found.lines()[0]
    path.unlink()
    assert not audit_log(cabinet, head).holds


def test_the_first_broken_line_is_named(cabinet: Cabinet, tmp_path: Path) -> None:
    path = tmp_path / "vault/log"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[2].replace(b'"ann"', b'"bob"'), *lines[3:]]))
    found = audit_log(cabinet, None)
    assert (found.holds, found.facts()["first_broken"], found.cut) == (False, 3, False)
    assert "line 3" in found.lines()[0]


def test_a_torn_line_is_said_and_no_alarm(cabinet: Cabinet, tmp_path: Path) -> None:
    head = cabinet.log_head()
    with (tmp_path / "vault/log").open("ab") as stream:
        stream.write(b'{"act')
    found = audit_log(cabinet, head)
    assert (found.holds, found.facts()["torn"]) == (True, True)
    assert "unfinished" in " ".join(found.lines())


def test_the_head_travels_with_the_outcomes_and_is_kept_with_the_receipt(tmp_path: Path) -> None:
    hotline, head = Hotline(), LogHead(7, "ab" * 32)
    outbox = Outbox(tmp_path / "agent.sqlite", lambda: NOW)
    assert outbox.log_head() is None
    (tmp_path / "f").write_bytes(b"x")
    outbox.add_outcome(make_finding(tmp_path / "f", tmp_path), Action.QUARANTINED, NOW)
    tools = OutcomeTools(hotline, hotline.verdict_keys, outbox, "acme", log_head=lambda: head)
    assert tell_outcomes(tools) == ""
    assert outbox.log_head() == head
    outbox.close()
    assert Outbox(tmp_path / "agent.sqlite", lambda: NOW).log_head() == head


def test_a_damaged_head_is_said(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "agent.sqlite", lambda: NOW)
    outbox.acknowledge([], LogHead(7, "no digest"))
    with pytest.raises(StateError, match="head of the log"):
        outbox.log_head()
