"""A host that is split into three units: each runs as its user with exactly the rights of its unit file."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.split_host import SplitHost, Unit, split_host
from tests.support.world import LISTED, World, content

READ, NET, ACT, SYNC = "hashscan-read.service", "hashscan-net.service", "hashscan-act.service", "hashscan-net-sync.service"
pytestmark = pytest.mark.optional("split-host")
MAY_FAIL = {"cachestat"}  # newer than some systemd; where it is refused, pages are dropped without asking


@pytest.fixture
def host(world: World) -> Iterator[SplitHost]:
    with split_host(world, quarantine={"enabled": True}) as made:
        yield made


def plant(host: SplitHost, name: str) -> Path:
    """A file that only its owner may read, in a home that only its owner may enter."""
    home = host.tree / "alice"
    home.mkdir(mode=0o700, exist_ok=True)
    os.chown(home, 4321, 4321)
    path = home / name
    path.write_bytes(content(name))
    path.chmod(0o600)
    os.chown(path, 4321, 4321)
    return path


def test_found_confirmed_quarantined_reported(host: SplitHost) -> None:
    known, innocent = plant(host, LISTED[0]), plant(host, "innocent")
    assert host.run(SYNC).code == 0
    read = host.run(READ, str(host.tree))
    assert (read.code, read.summary["paths"]["scanned"], read.summary["candidates"]["pending"]) == (11, 2, 1), read.err
    assert read.events[0]["mode"] == "hand-over"
    assert [one["reason"] for one in read.of("pending")] == ["handed over to the part that asks"]
    assert len(host.papers("read/candidates")) == 1
    net = host.run(NET)
    assert net.code == 10, net.err
    assert [(one["action"], one["reason"]) for one in net.of("action")] == [("reported", "handed over to the part that acts")]
    assert (host.papers("read/candidates"), len(host.papers("net/findings"))) == ([], 1)
    assert known.exists()
    act = host.run(ACT)
    assert act.code == 10, act.err
    assert [(one["path"], one["action"]) for one in act.of("action")] == [(str(known), "quarantined")]
    assert (known.exists(), innocent.exists(), host.papers("net/findings")) == (False, True, [])
    assert len(host.papers("act/outcomes")) == 2
    assert host.run(NET).code == 0
    assert host.papers("act/outcomes") == ["log-head.json"]
    (told,) = host.person("status", "--json").of("status")
    status = told["status"]
    assert (status["pending"], status["unsent_outcomes"], status["cases"]) == (0, 0, {"done": 1})
    assert status["last_run"]["exit_code"] == 11
    assert status["open_findings"]["count"] == 0
    assert "holds" in host.person("audit", "verify").out.decode()
    (case,) = host.person("quarantine", "list", "--json").of("case")
    assert host.person("quarantine", "restore", case["case_id"]).code == 0
    assert known.read_bytes() == content(LISTED[0])
    assert (known.stat().st_uid, known.stat().st_mode & 0o7777) == (4321, 0o600)


def test_a_verdict_that_grew_too_old_is_asked_for_again(host: SplitHost) -> None:
    known = plant(host, LISTED[1])
    assert host.run(SYNC).code == 0
    assert host.run(READ, str(host.tree)).code == 11
    assert host.run(NET).code == 10
    (paper,) = host.papers("net/findings")
    path = host.parts / "net/findings" / paper
    whole = path.read_text()
    path.write_text(whole.replace('"envelope":"', '"envelope":"AAAA'))
    told = host.run(ACT)
    assert (told.code, known.exists()) == (11, True), told.err
    assert (host.papers("net/findings"), host.papers("read/candidates")) == ([], [paper])
    assert host.run(NET).code == 10
    assert host.run(ACT).code == 10
    assert not known.exists()


def test_a_taken_part_gets_no_file_moved_and_no_key(host: SplitHost) -> None:
    known, innocent = plant(host, LISTED[2]), plant(host, "innocent")
    assert host.run(SYNC).code == 0
    assert host.run(READ, str(host.tree)).code == 11
    (paper,) = host.papers("read/candidates")
    # READ names an innocent file with the digests of a known one; NET believes it, ACT looks at the file.
    candidates = host.parts / "read/candidates"
    forged = _named_after(innocent, (candidates / paper).read_text())
    done = host.as_unit(
        READ, "sh", "-c", f"cat > {candidates}/{'0' * 64}.json <<'END'\n{forged}\nEND\nchmod 640 {candidates}/{'0' * 64}.json"
    )
    assert done.returncode == 0, done.stderr
    assert host.run(NET).code == 10
    told = host.run(ACT)
    assert told.code == 12
    assert {one["path"]: one["action"] for one in told.of("action")} == {str(known): "quarantined", str(innocent): "failed"}
    assert innocent.read_bytes() == content("innocent")

    keys = host.parts / "net/keys"
    for unit, words in (
        (READ, ["cat", str(keys / "api-key")]),
        (ACT, ["cat", str(keys / "api-key")]),
        (READ, ["touch", str(innocent)]),
        (READ, ["touch", str(host.parts / "net/findings/x")]),
        (READ, ["ls", str(host.parts / "net/findings/x")]),
        (NET, ["cat", str(innocent)]),
        (NET, ["ls", str(host.parts / "act/vault")]),
        (NET, ["touch", str(host.parts / "act/x")]),
    ):
        assert host.as_unit(unit, *words).returncode != 0, (unit, words)
    assert host.as_unit(READ, "cat", str(innocent)).stdout == content("innocent").decode(), "a control: READ reads everything"
    assert host.as_unit(NET, "cat", str(keys / "api-key")).returncode == 0, "a control: NET has the key"
    address = host.world.options["service"]["url"].removeprefix("http://").split(":")
    reach = ["bash", "-c", f"exec 3<>/dev/tcp/{address[0]}/{address[1].strip('/')}"]
    assert [host.as_unit(unit, *reach).returncode == 0 for unit in (READ, ACT, NET)] == [False, False, True]


def _named_after(path: Path, paper: str) -> str:
    whole = json.loads(paper)
    candidate = json.loads(whole["candidate"])
    status = path.stat()
    candidate["path"] = base64.b64encode(os.fsencode(f"alice/{path.name}")).decode()
    candidate["stat"] = [
        *(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns),
        *(status.st_mode, status.st_uid, status.st_gid, status.st_nlink),
    ]
    return json.dumps({**whole, "candidate": json.dumps(candidate)})


def test_nobody_does_the_work_of_another_part(host: SplitHost) -> None:
    for words in (["sync"], ["scan", str(host.tree)], ["confirm"]):
        told = host.person(*words)
        assert told.code == 2, words
        assert "this host is split" in told.complaint
    assert not any(path.stat().st_uid == 0 for path in (host.parts / "net").rglob("*"))


@pytest.mark.optional("strace")
def test_the_units_allow_every_system_call_that_the_parts_make(host: SplitHost) -> None:
    plant(host, LISTED[3])
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        for number, (unit, more) in enumerate(((SYNC, []), (READ, [str(host.tree)]), (NET, []), (ACT, []))):
            calls = Path(folder) / f"{number}"
            assert host.run(unit, *more, before=["strace", "-f", "-qq", "-o", str(calls)]).code in (0, 10, 11)
            made = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)(?:\(| resumed)", calls.read_text(errors="replace"), re.MULTILINE))
            assert len(made) > 40
            assert made - _allowed(unit) - MAY_FAIL == set(), unit


def _allowed(name: str) -> set[str]:
    allowed: set[str] = set()
    for value in Unit.read(name).settings["SystemCallFilter"]:
        for word in value.removeprefix("~").split():
            group = _calls_of(word) if word.startswith("@") else {word}
            allowed = allowed - group if value.startswith("~") else allowed | group
    return allowed


def _calls_of(group: str) -> set[str]:
    said = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True).stdout
    found = {line.strip() for line in said.splitlines() if line.startswith(" ") and not line.strip().startswith("#")}
    return {call for one in found for call in (_calls_of(one) if one.startswith("@") else {one})}
