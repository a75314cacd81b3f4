"""Why was this file taken, and who may have it taken? As the sysadmin, the customer's lawyer and a second authority see it."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

from tests.support.world import LISTED, MD5_ONLY, World


def taken(world: World) -> str:
    """The case of one file that was moved."""
    world.plant(LISTED[0])
    assert world.scan("--quarantine").code == 10
    (case,) = world.cases()
    return str(case["case_id"])


def test_years_later_with_nothing_but_the_vault_and_the_root(world: World, tmp_path: Path) -> None:
    """The service is gone, and so are the keys of the host, its lists and its configuration."""
    case = taken(world)
    pinned = tmp_path / "kept-root.json"
    (world.etc / "root.json").rename(pinned)
    for name in ("api-key", "provider-key"):
        (world.etc / name).unlink()
    (world.state / "lists" / "in-force.json").unlink()
    world.configure(service={"url": "", "provider": ""})
    told = world.run("audit", "verdict", "--root", pinned, case)
    assert told.code == 0, told.out
    lines = told.out.decode().splitlines()
    assert all(line.startswith("holds ") for line in lines[:-1])
    assert len(lines) == 13
    assert "asked for its quarantine" in lines[-1]
    (event,) = world.run("audit", "verdict", "--json", "--root", pinned, case[:6]).of("status")
    assert (event["status"]["proved"], len(event["status"]["steps"])) == (True, 12)
    assert world.run("audit", "verdict", case).code == 2, "the root of the configuration is not there"


def test_what_does_not_hold_is_named(world: World, tmp_path: Path) -> None:
    case = taken(world)
    content = world.vault / "cases" / case / "content"
    before = content.read_bytes()
    content.write_bytes(b"X" + before[1:])
    told = world.run("audit", "verdict", case)
    assert told.code == 12
    assert "DOES NOT HOLD  content" in told.out.decode()
    assert "NOT proved" in told.out.decode()
    content.write_bytes(before)
    other = World(tmp_path / "elsewhere", tmp_path / "elsewhere" / "service")
    other.top.mkdir()
    other.service("init", "--name", "Another hotline", "--root-keys", tmp_path / "elsewhere" / "keys")
    (root,) = (other.hotline / "roots").iterdir()
    told = world.run("audit", "verdict", "--json", "--root", root, case)
    assert told.code == 20
    (event,) = told.of("status")
    assert [one["step"] for one in event["status"]["steps"] if not one["holds"]] == ["root"]
    assert world.run("audit", "verdict", "0" * 16).code == 2


def test_who_looks_at_a_case_does_not_get_the_key_of_the_verdict(world: World) -> None:
    case = taken(world)
    record = json.loads((world.vault / "cases" / case / "record.json").read_bytes())
    shown = world.run("quarantine", "show", case).out.decode()
    assert len(record["proof"]["confirm_key"]) == 64
    assert record["proof"]["confirm_key"] not in shown
    assert json.loads(shown)["proof"]["sha256"] == record["proof"]["sha256"]


def test_two_authorities_two_policies(world: World) -> None:
    """The police list may quarantine; on the old one this host lets MD5 count, and still only has it reported."""
    world.configure(lists={"md5_is_enough": ["old"], "report_only": ["old"]}, quarantine={"enabled": True})
    moved, reported = world.plant(LISTED[0], MD5_ONLY)
    told = world.scan()
    assert told.code == 10
    assert {one["path"]: one["action"] for one in told.of("action")} == {str(moved): "quarantined", str(reported): "reported"}
    (finding,) = (one for one in told.of("finding") if one["path"] == str(reported))
    assert (finding["grade"], finding["act"]) == ("match", "report")
    assert "report_only" in finding["reason"]
    assert (moved.exists(), reported.exists()) == (False, True)
    world.configure(lists={"report_only": []})
    assert world.scan().code == 10
    assert not reported.exists(), "the control: without that word it moves"


def test_while_the_clock_is_wrong_candidates_wait(world: World) -> None:
    (path,) = world.plant(LISTED[0])
    clock = world.state / "lists" / "clock"
    right = clock.read_bytes()
    clock.write_text(json.dumps({"format": 1, "last_sync": time.time() + 3 * 3600}))
    told = world.scan("--quarantine")
    assert told.code == 11
    assert [one["reason"] for one in told.of("pending")] == [told.of("pending")[0]["reason"]]
    assert "clock" in told.of("pending")[0]["reason"]
    assert path.exists()
    told = world.run("selftest")
    assert told.code == 20
    assert "-> hashscan doctor --online; candidates stay pending" in told.out.decode(), "a step that fails says what to do"
    clock.write_bytes(right)
    assert world.run("confirm", "-q", "--quarantine").code == 10
    assert not path.exists()


def test_a_verdict_that_could_not_be_acted_upon_is_kept(world: World) -> None:
    (path,) = world.plant(LISTED[0])
    world.vault.mkdir(mode=0o755)
    assert world.scan("--quarantine").code == 12
    assert path.exists()

    def kept() -> list[tuple[int]]:
        with sqlite3.connect(world.state / "agent.sqlite") as db:
            return db.execute("SELECT length(envelope) FROM verdict JOIN judged ON verdict.id = judged.verdict").fetchall()

    ((size,),) = kept()
    assert size > 500
    world.vault.chmod(0o700)
    assert world.run("confirm", "-q", "--quarantine").code == 10
    assert not path.exists()
    assert kept() == []
