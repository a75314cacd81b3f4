"""What a limit stops waits for a person, and nothing else of that entry moves meanwhile."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hashscan.errors import QuarantineError
from hashscan.model import Act, Action, CaseState, Finding
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.limits import DAY, Limits
from hashscan.quarantine.log import check, raw_lines
from hashscan.quarantine.tenants import Tenants
from hashscan.quarantine.vault import Manner, Vault
from tests.support.findings import make_finding

NOW = 1_790_000_000.0
OPEN = Limits(per_run=1000, per_day=1000, per_entry=1000, per_owner=1000)


class World:
    """A tree of files with one content, and vaults over it as one run after the other opens them."""

    def __init__(self, top: Path) -> None:
        self.top, self.tree, self.now = top, top / "srv", NOW
        self.tree.mkdir()

    def run(self, limits: Limits, *, tenants: tuple[str, ...] = ()) -> Vault:
        vault = Vault(self.top / "vault", limits, lambda: self.now, manner=Manner("scan", tenants=Tenants(tenants)))
        vault.recover()
        return vault

    def plant(self, name: str, **changes: object) -> Finding:
        path = self.tree / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"the same harmless bytes")
        return make_finding(path, self.tree, **changes)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_held_file_stays_and_is_one_case_however_often_it_is_found(world: World) -> None:
    first, second = world.plant("a"), world.plant("b")
    vault = world.run(replace(OPEN, per_run=1))
    assert vault.handle(first).action == Action.QUARANTINED
    held = vault.handle(second)
    assert (held.action, bool(held.case_id)) == (Action.HELD, True)
    assert "limit of 1 removals in one run" in held.reason
    assert vault.handle(second).case_id == held.case_id
    again = world.run(OPEN).handle(second)
    assert (again.action, again.case_id) == (Action.HELD, held.case_id)
    assert (world.tree / "b").exists()
    assert [case.state for case in vault.cases()].count(CaseState.HELD) == 1


def test_while_one_file_of_an_entry_waits_no_other_moves_on_another_day(world: World) -> None:
    rule = (f"{world.tree}/{{tenant}}/",)
    findings = [world.plant(f"tenant{number}/f") for number in range(4)]
    limits = replace(OPEN, per_entry=2)
    actions = [world.run(limits, tenants=rule).handle(one).action for one in findings]
    assert actions == [Action.QUARANTINED, Action.QUARANTINED, Action.HELD, Action.HELD]
    world.now += 2 * DAY
    late = world.run(limits, tenants=rule).handle(world.plant("tenant9/late"))
    assert late.action == Action.HELD
    assert "2 owners wait already" in late.reason
    other = world.run(limits, tenants=rule).handle(world.plant("tenant9/other", entry="entry-18"))
    assert other.action == Action.QUARANTINED


def test_one_owner_alone_cannot_keep_an_entry_waiting(world: World) -> None:
    rule = (f"{world.tree}/{{tenant}}/",)
    limits = replace(OPEN, per_owner=2)
    mine = [world.run(limits, tenants=rule).handle(world.plant(f"mallory/f{number}")).action for number in range(5)]
    assert mine == [Action.QUARANTINED] * 2 + [Action.HELD] * 3
    assert world.run(limits, tenants=rule).handle(world.plant("alice/f")).action == Action.QUARANTINED


def test_the_limits_count_over_runs_and_forget_after_a_day(world: World) -> None:
    limits = replace(OPEN, per_day=2)
    for number in range(2):
        assert world.run(limits).handle(world.plant(f"f{number}", entry=f"e{number}")).action == Action.QUARANTINED
    assert world.run(limits).handle(world.plant("third", entry="e3")).action == Action.HELD
    world.now += DAY + 1
    assert world.run(limits).handle(world.plant("fourth", entry="e4")).action == Action.QUARANTINED


def test_tenants_have_a_limit_of_their_own(world: World) -> None:
    limits = replace(OPEN, per_owner=1)
    rule = (f"{world.tree}/{{tenant}}/",)
    for tenant in ("alice", "bob"):
        result = world.run(limits, tenants=rule).handle(world.plant(f"{tenant}/a", entry=f"of {tenant}"))
        assert result.action == Action.QUARANTINED
    held = world.run(limits, tenants=rule).handle(world.plant("alice/b", entry="another"))
    assert held.action == Action.HELD
    assert "one owner (alice)" in held.reason
    assert {case.tenant for case in world.run(OPEN).cases()} == {"alice", "bob"}


def test_released_files_are_taken_whatever_the_limits_say(world: World) -> None:
    finding = world.plant("a")
    none = Limits(per_run=0, per_day=0, per_entry=0, per_owner=0)
    held = world.run(none).handle(finding)
    vault = world.run(none)
    result = vault.release(held.case_id, finding)
    assert result.action == Action.QUARANTINED
    assert not (world.tree / "a").exists()
    record = vault.record(held.case_id)
    assert (record["state"], record["released_to"]) == ("released", result.case_id)
    with pytest.raises(QuarantineError, match="does not wait"):
        vault.release(held.case_id, finding)
    assert vault.restore(result.case_id).state is CaseState.RESTORED


def test_what_was_released_keeps_nothing_waiting(world: World) -> None:
    """In the run that releases it, too."""
    rule = (f"{world.tree}/{{tenant}}/",)
    findings = [world.plant(f"tenant{number}/f") for number in range(2)]
    ids = [world.run(replace(OPEN, per_run=0), tenants=rule).handle(one).case_id for one in findings]
    vault, third = world.run(OPEN, tenants=rule), world.plant("tenant2/f")
    held = vault.handle(third)
    assert (held.action, "of 2 owners wait already" in held.reason) == (Action.HELD, True)
    vault.release(held.case_id, third)
    vault.release(ids[0], findings[0])
    assert vault.handle(world.plant("tenant3/f")).action == Action.QUARANTINED


def test_what_was_known_before_is_known_anew_after_recovery(world: World) -> None:
    vault, finding = world.run(OPEN), world.plant("a")
    assert vault.own_directories() == frozenset()
    held = world.run(replace(OPEN, per_run=0)).handle(finding)
    assert vault.recover() == []
    again = vault.handle(finding)
    assert (again.action, again.case_id) == (Action.HELD, held.case_id)
    assert again.reason == f"it waits as case {held.case_id}; a person must look"


def test_a_file_that_changed_since_is_not_released(world: World) -> None:
    finding = world.plant("a")
    held = world.run(Limits(per_run=0)).handle(finding)
    (world.tree / "a").write_bytes(b"other harmless bytes!!!")
    vault = world.run(OPEN)
    result = vault.release(held.case_id, finding)
    assert result.action == Action.FAILED
    assert vault.case(held.case_id).state is CaseState.HELD
    assert (world.tree / "a").read_bytes() == b"other harmless bytes!!!"


def test_another_file_is_not_released_in_its_place(world: World) -> None:
    held = world.run(Limits(per_run=0)).handle(world.plant("a"))
    with pytest.raises(QuarantineError, match="another file"):
        world.run(OPEN).release(held.case_id, world.plant("b"))
    assert (world.tree / "b").exists()


def test_what_must_only_be_reported_is_not_released(world: World) -> None:
    finding = world.plant("a")
    held = world.run(Limits(per_run=0)).handle(finding)
    result = world.run(OPEN).release(held.case_id, replace(finding, act=Act.REPORT))
    assert (result.action, result.case_id, result.reason) == (Action.REPORTED, held.case_id, f"report only: {finding.reason}")
    assert (world.tree / "a").exists()


def test_a_dismissed_case_waits_no_longer(world: World) -> None:
    finding = world.plant("a")
    held = world.run(Limits(per_run=0)).handle(finding)
    case = Cabinet(world.top / "vault", actor="a person").dismiss(held.case_id, "a stock image")
    assert (case.state, case.reason) == (CaseState.DISMISSED, "a stock image")
    with pytest.raises(QuarantineError, match="does not wait"):
        Cabinet(world.top / "vault").dismiss(held.case_id, "again")
    assert world.run(OPEN).handle(finding).action == Action.QUARANTINED


def test_every_act_is_a_line(world: World) -> None:
    finding, other = world.plant("a"), world.plant("b")
    held = world.run(Limits(per_run=0)).handle(finding)
    world.run(Limits(per_run=0)).handle(other)
    vault = world.run(OPEN)
    vault.release(held.case_id, finding)
    vault.dismiss(world.run(OPEN).handle(other).case_id, "no")
    told = check(raw_lines(world.top / "vault/log"))
    assert not told.broken
    text = (world.top / "vault/log").read_text()
    assert [word for word in ("held", "released", "dismissed", "take-intent", "taken") if f'"what":"{word}"' in text] == [
        "held",
        "released",
        "dismissed",
        "take-intent",
        "taken",
    ]


def test_a_vault_that_others_can_enter_holds_nothing(world: World) -> None:
    (world.top / "vault").mkdir()
    os.chmod(world.top / "vault", 0o755)
    with pytest.raises(QuarantineError, match="not private"):
        world.run(Limits(per_run=0)).handle(world.plant("a"))
