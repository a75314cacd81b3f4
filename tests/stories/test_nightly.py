"""The nightly run of a company with a service, as its sysadmin sees it: reports, moves, waits, asks again, gives back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.world import (
    COPIES,
    DISPUTED,
    LISTED,
    MD5_ONLY,
    REPORT_ONLY,
    TIMEOUT,
    WITHDRAWN,
    Hotline,
    World,
    clean_environment,
    command,
    content,
    digest,
    marks,
)

OwnHotline = Callable[[], AbstractContextManager[Hotline]]


def service_says(world: World) -> str:
    return world.service("status")


def test_a_fresh_installation_only_reports(world: World) -> None:
    world.plant(*LISTED, "innocent")
    before = marks(world.tree)
    told = world.scan()
    assert told.code == 10
    assert marks(world.tree) == before  # even the access times
    assert told.events[0]["mode"] == "report"
    assert sorted(one["path"] for one in told.of("finding")) == sorted(str(world.tree / "alice" / name) for name in LISTED)
    assert {one["action"] for one in told.of("action")} == {"reported"}
    assert told.summary["paths"]["seen"] == told.summary["paths"]["scanned"] == len(LISTED) + 1
    assert not world.vault.exists()


def test_nothing_found_is_0_and_quiet_is_silent(world: World) -> None:
    world.plant("innocent", "harmless")
    told = world.run("scan", "-q", world.tree)
    assert (told.code, told.out, told.err) == (0, b"", "")


def test_a_dry_run_moves_nothing_and_tells_nobody(world: World) -> None:
    world.configure(quarantine={"enabled": True})
    world.plant(*LISTED)
    before, counts = marks(world.tree), service_says(world)
    told = world.scan("--dry-run")
    assert told.code == 10
    assert told.events[0]["mode"] == "dry-run"
    assert {one["action"] for one in told.of("action")} == {"reported"}
    assert marks(world.tree) == before
    assert service_says(world) == counts
    assert world.pending() == 0
    assert not world.vault.exists()
    assert world.run("status").code == 0


def test_quarantine_moves_tells_and_gives_back(world: World) -> None:
    paths = world.plant(*LISTED, "innocent")
    world.configure(quarantine={"enabled": True})
    before, counts = marks(world.tree), service_says(world)
    told = world.scan()
    assert told.code == 10
    assert told.events[0]["mode"] == "quarantine"
    assert {one["action"] for one in told.of("action")} == {"quarantined"}
    assert [path.name for path in paths if path.exists()] == ["innocent"]
    assert service_says(world) != counts
    again = world.scan()
    assert again.code == 0
    cases = world.cases()
    assert {case["state"] for case in cases} == {"done"}
    for case in cases:
        assert world.run("quarantine", "restore", case["case_id"]).code == 0
    after = marks(world.tree)
    assert {path: mark.restored() for path, mark in after.items() if os.path.isfile(path)} == {
        path: mark.restored() for path, mark in before.items() if os.path.isfile(path)
    }
    (event,) = world.run("status", "--json").of("status")
    assert event["status"]["unsent_outcomes"] == len(LISTED)
    assert world.run("confirm", "-q").code == 0
    (event,) = world.run("status", "--json").of("status")
    assert event["status"]["unsent_outcomes"] == 0
    assert event["status"]["cases"] == {"restored": len(LISTED)}


def test_the_service_is_stopped_and_comes_back(world: World, own_hotline: OwnHotline, tmp_path: Path) -> None:
    with own_hotline() as hotline:
        world = hotline.admit(tmp_path / "company")
    world.plant(*LISTED, "innocent")
    world.configure(quarantine={"enabled": True}, service={"deadline": 1})
    before = marks(world.tree)
    told = world.scan()
    assert told.code == 11
    assert len(told.of("pending")) == told.summary["candidates"]["pending"] == len(LISTED)
    assert not any("digest" in key for one in told.of("pending") for key in one)
    assert marks(world.tree) == before
    assert world.run("status").code == 11
    assert world.run("confirm").code == 11
    assert world.pending() == len(LISTED)
    assert marks(world.tree) == before
    with own_hotline() as hotline:
        world.reach(hotline.url)
        told = world.run("confirm", "--json")
        assert told.code == 10
        assert {one["action"] for one in told.of("action")} == {"quarantined"}
        assert told.summary["candidates"] == {"seen": 6, "cleared": 0, "pending": 0, "findings": 6}
        assert world.pending() == 0
        assert world.run("confirm", "-q").code == 0
    assert len(world.cases()) == len(LISTED)
    assert [path.name for path in world.tree.rglob("*") if path.is_file()] == ["innocent"]


def test_a_dry_run_does_not_forget_what_waits(world: World) -> None:
    paths = world.plant(LISTED[0])
    url = world.options["service"]["url"]
    world.configure(quarantine={"enabled": True}, service={"url": "http://127.0.0.1:1", "deadline": 1})
    assert world.scan().code == 11
    world.configure(service={"url": url})
    assert world.scan("--dry-run").code == 10
    assert world.pending() == 1
    assert world.run("confirm", "-q").code == 10
    assert not paths[0].exists()


def test_on_trial_nothing_moves(hotline: Hotline, tmp_path: Path) -> None:
    world = hotline.admit(tmp_path / "newbie", "newbie")
    paths = world.plant(*LISTED)
    told = world.scan("--quarantine")
    assert told.code == 10
    assert {(one["act"], one["grade"]) for one in told.of("finding")} == {("report", "match")}
    assert {one["action"] for one in told.of("action")} == {"reported"}
    assert all(path.exists() for path in paths)


def test_entries_that_are_not_to_be_moved(world: World) -> None:
    """Disputed, report only, MD5 only: reported. Withdrawn: not even that."""
    world.service("withdraw", digest(WITHDRAWN), "--list", "police", "--reason", "a stock image", "--by", "anna", "--alone")
    world.service("dispute", digest(DISPUTED), "--list", "police", "--reason", "doubt", "--by", "anna")
    paths = world.plant(WITHDRAWN, DISPUTED, REPORT_ONLY, MD5_ONLY)
    told = world.scan("--quarantine")
    assert told.code == 10
    found = {Path(one["path"]).name: (one["grade"], one["standing"], one["act"]) for one in told.of("finding")}
    assert found == {
        DISPUTED: ("match", "disputed", "report"),
        REPORT_ONLY: ("match", "active", "report"),
        MD5_ONLY: ("weak", "active", "report"),
    }
    assert {one["action"] for one in told.of("action")} == {"reported"}
    assert told.summary["candidates"]["cleared"] == 1
    assert all(path.exists() for path in paths)
    world.configure(lists={"md5_is_enough": ["old"]})
    told = world.scan("--quarantine")
    moved = {Path(one["path"]).name for one in told.of("action") if one["action"] == "quarantined"}
    assert moved == {MD5_ONLY}
    assert [path.name for path in paths if not path.exists()] == [MD5_ONLY]


def test_hard_links(world: World) -> None:
    (path,) = world.plant(LISTED[0])
    (world.tree / "bob").mkdir()
    other = world.tree / "bob" / "other name"
    os.link(path, other)
    told = world.scan("--quarantine")
    assert told.code == 10
    assert len(told.of("finding")) == 2
    assert {one["action"] for one in told.of("action")} == {"reported"}
    assert path.exists()
    assert other.exists()


def test_overlapping_roots_are_scanned_once(world: World) -> None:
    world.plant(LISTED[0])
    (world.top / "link").symlink_to(world.tree)
    told = world.run("scan", "--json", world.tree, world.tree / "alice", world.top / "link", f"{world.tree}/alice/../alice/")
    assert told.code == 10
    assert len(told.of("finding")) == 1


def test_the_circuit_breaker_holds_the_rest(world: World) -> None:
    paths = world.plant(*LISTED)
    world.configure(quarantine={"per_run": 2})
    told = world.scan("--quarantine")
    assert told.code == 12
    assert sorted(one["action"] for one in told.of("action")) == ["held"] * 4 + ["quarantined"] * 2
    assert sum(path.exists() for path in paths) == 4
    assert world.run("scan", "-q", "--quarantine", "--exit-code", "77", world.tree).code == 77


def test_sync_says_what_changed(own_hotline: OwnHotline, tmp_path: Path) -> None:
    with own_hotline() as hotline:
        world = hotline.admit(tmp_path / "company")
        changes = {one["list"]["id"]: one["change"] for one in world.run("sync", "--json").of("sync")}
        assert changes == {"old": "unchanged", "police": "unchanged"}
        (tmp_path / "more").write_text(digest("new on the list") + "\n")
        world.service("import", tmp_path / "more", "--list", "police")
        world.plant("new on the list")
        assert world.scan().code == 0
        world.service("publish", "--list", "police")
        told = world.run("sync", "--json")
        assert told.code == 0
        assert {one["list"]["id"]: one["change"] for one in told.of("sync")} == {"old": "unchanged", "police": "updated"}
        assert world.scan().code == 10
        assert world.run("sync", "-q").err == ""


def test_sync_from_a_folder(world: World, tmp_path: Path) -> None:
    """The hotline's files for a company serve a host that has no network."""
    stick = tmp_path / "stick"
    assert "sync --from" in world.service("export", "acme", stick)
    (world.state / "lists").rename(tmp_path / "gone")
    assert world.run("status").code == 20
    world.configure(service={"url": "http://127.0.0.1:1"})
    told = world.run("sync", "--json", "--from", stick)
    assert told.code == 0, told.err
    assert {one["change"] for one in told.of("sync")} == {"new"}
    assert world.run("status").code == 0


def test_selftest_goes_the_whole_way(world: World) -> None:
    told = world.run("selftest")
    assert told.code == 0
    assert [line.split()[0] for line in told.out.decode().splitlines()] == ["ok", "ok", "ok"]
    assert "standing test, signature valid" in told.out.decode()


def test_status_for_people_and_machines(world: World) -> None:
    world.plant(LISTED[0])
    assert world.scan("--quarantine").code == 10
    told = world.run("status")
    assert told.code == 0
    assert "police" in told.out.decode()
    (event,) = world.run("status", "--json").of("status")
    assert event["status"]["pending"] == 0
    assert event["status"]["cases"] == {"done": 1}
    assert event["status"]["last_run"]["exit_code"] == 10
    assert {one["id"] for one in event["status"]["lists"]} == {"old", "police"}


def test_status_tells_a_scan_that_could_not_run(world: World) -> None:
    assert world.scan().code == 0
    (good,) = world.run("status", "--json").of("status")
    world.configure(lists={"max_age": "0s"})
    assert world.scan().code == 20
    told = world.run("status", "--json")
    assert told.code == 20
    (bad,) = told.of("status")
    last = bad["status"]["last_run"]
    assert (last["exit_code"], last["complete"]) == (20, False)
    assert "old" in last["error"]
    assert good["status"]["last_run"]["exit_code"] == 0


def test_a_case_from_beginning_to_end(world: World) -> None:
    (path,) = world.plant(LISTED[0])
    world.scan("--quarantine")
    (case,) = world.cases()
    short = case["case_id"][:6]
    plain = world.run("quarantine", "list")
    assert LISTED[0] not in plain.out.decode()
    assert LISTED[0] in world.run("quarantine", "list", "--names").out.decode()
    shown = json.loads(world.run("quarantine", "show", short).out)
    assert shown["id"] == case["case_id"]
    path.write_bytes(b"a newcomer")
    before = marks(world.tree)
    told = world.run("quarantine", "restore", short)
    assert told.code == 12
    assert "its name is taken" in told.complaint
    assert marks(world.tree) == before
    elsewhere = world.top / "elsewhere"
    elsewhere.mkdir()
    assert world.run("quarantine", "restore", "--to", elsewhere, short).code == 0
    assert (elsewhere / LISTED[0]).read_bytes() == content(LISTED[0])
    assert marks(world.tree) == before
    assert "restored already" in world.run("quarantine", "restore", short).complaint
    unknown = world.run("quarantine", "show", "0" * 16)
    assert unknown.code == 2
    assert "there is no case" in unknown.complaint


def test_a_case_that_a_limit_stopped_is_released_by_a_person(world: World) -> None:
    world.plant(*LISTED[:2])
    world.configure(quarantine={"enabled": True, "per_run": 1})
    assert world.scan().code == 12
    (held,) = world.run("quarantine", "list", "--state", "held", "--json").of("case")
    (done,) = world.run("quarantine", "list", "--state", "done", "--json").of("case")
    before = marks(world.tree)
    proposed = world.run("quarantine", "release", held["case_id"])
    assert (proposed.code, marks(world.tree)) == (10, before)
    assert "1 case waits and would be taken" in proposed.err
    wrong = world.run("quarantine", "release", held["case_id"], done["case_id"], "--yes")
    assert (wrong.code, marks(world.tree)) == (2, before)
    assert f"case {done['case_id']} does not wait: it is done" in wrong.complaint
    assert world.run("quarantine", "release", held["case_id"], "--yes").code == 10
    assert not [path for name in LISTED[:2] for path in world.tree.rglob(name)]
    assert "it is released" in world.run("quarantine", "release", held["case_id"], "--yes").complaint


def test_paths_from_a_file(world: World, tmp_path: Path) -> None:
    home = world.tree / "alice"
    world.plant(*LISTED[:2], "innocent")
    strange = home / "odd\nname"
    strange.write_bytes(content(LISTED[2]))
    listed = tmp_path / "paths"
    listed.write_bytes(b"\0".join(os.fsencode(one) for one in (strange, home / LISTED[0])) + b"\0")
    told = world.run("scan", "--json", "-0", "--files-from", listed)
    assert told.code == 10
    assert told.summary["paths"]["seen"] == len(told.of("finding")) == 2
    lines = f"alice/{LISTED[1]}\nalice/innocent\n".encode()
    told = world.run("scan", "--json", "--files-from", "-", stdin=lines, cwd=world.tree)
    assert told.code == 10
    assert [one["path"] for one in told.of("finding")] == [str(home / LISTED[1])]
    assert told.summary["paths"]["seen"] == 2


def test_check_asks_nobody(world: World) -> None:
    world.configure(service={"url": "http://127.0.0.1:1"})
    bad, good = world.plant(LISTED[0], "innocent")
    told = world.run("check", "--json", bad, good)
    assert told.code == 11
    assert [one["candidate"] for one in told.of("check")] == [True, False]
    assert world.run("check", good).code == 0
    assert world.run("check", "-", stdin=content(LISTED[0])).code == 11
    assert world.run("check", "-", stdin=b"nothing known").code == 0
    assert bad.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_scan_says_so(world: World, number: signal.Signals) -> None:
    """It is stopped once it reads a file that takes long; SIGINT goes to the whole group, as a terminal sends it."""
    world.plant(*(f"innocent-{n}" for n in range(300)))
    with (world.tree / "large").open("wb") as large:
        large.truncate(40 << 30)  # sparse: minutes of hashing, no disk
    line = command("--config", world.config, "scan", "--json", "-q", world.tree)
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=clean_environment(), start_new_session=True) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(0.5)
        if number == signal.SIGINT:
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
        began = time.monotonic()
        last = child.stdout.read().splitlines()[-1]
        assert child.wait(20) == 4
    (world.tree / "large").unlink()  # nobody else shall read it
    assert time.monotonic() - began < 5
    assert json.loads(first)["type"] == "scan_start"
    summary = json.loads(last)
    assert (summary["type"], summary["complete"], summary["stopped"], summary["exit_code"]) == ("summary", False, True, 4)


def test_a_scan_that_is_stopped_while_it_moves(world: World) -> None:
    """It ends after the case in hand; what is left stays pending and in its place, and ``confirm`` goes on with it."""
    world.configure(quarantine={"per_owner": 1000})
    paths = [path for customer in "abc" for path in world.plant(*(f"copy-{n}" for n in range(COPIES)), at=customer)]
    line = command("--config", world.config, "scan", "--json", "-q", "--quarantine", world.tree)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=clean_environment()) as child:
        assert child.stdout is not None
        while json.loads(child.stdout.readline())["type"] != "action":
            pass
        child.send_signal(signal.SIGTERM)
        summary = json.loads(child.stdout.read().splitlines()[-1])
        assert child.wait(TIMEOUT) == summary["exit_code"] == 10
    moved = summary["actions"]["quarantined"]
    assert (summary["complete"], summary["stopped"]) == (False, True)
    assert 1 <= moved < len(paths)
    assert sum(path.exists() for path in paths) == len(paths) - moved
    assert world.pending() == len(paths) - moved == summary["candidates"]["pending"]
    assert world.run("confirm", "-q", "--quarantine").code == 10
    assert not any(path.exists() for path in paths)
    assert world.pending() == 0
