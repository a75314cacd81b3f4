"""Who hears of a night: every sink at once, over a real scan; a dead receiver; what leaves; what a monitor is told."""

from __future__ import annotations

import base64
import json
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.receiver import Receiver, receiving
from tests.support.world import LISTED, World, digest

NAME = LISTED[0]
SECRET = base64.b64encode(b"k" * 32).decode()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture
def loud(world: World, receiver: Receiver, tmp_path: Path) -> World:
    """A company with all sinks, and one listed file."""
    for name, text in (("secret", f"whsec_{SECRET}\n"), ("ping", f"{receiver.url}/ping/0123-uuid\n")):
        (world.etc / name).write_text(text)
        (world.etc / name).chmod(0o600)
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\necho $HASHSCAN_EVENT >> {tmp_path}/called\ncat >> {tmp_path}/hooked\n")
    hook.chmod(0o755)
    world.configure(
        alerts={
            "file": str(tmp_path / "events.ndjson"),
            "syslog": str(tmp_path / "log"),
            "metrics_file": str(tmp_path / "hashscan.prom"),
            "ping_url_file": "ping",
            "webhook_url": f"{receiver.url}/webhook",
            "webhook_secret_file": "secret",
            "on_finding": [str(hook)],
            "on_finish": [str(hook)],
        }
    )
    world.plant(NAME, "innocent")
    return world


def drain(inbox: socket.socket) -> bytes:
    out = []
    while True:
        try:
            out.append(inbox.recv(65_536))
        except BlockingIOError:
            return b"\n".join(out)


def test_everybody_hears_and_no_name_or_digest_leaves(loud: World, receiver: Receiver, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(tmp_path / "log"))
        inbox.setblocking(False)
        told = loud.scan()
        logged = drain(inbox)
    assert told.code == 10
    assert told.summary["sink_failures"] == {}
    events = [json.loads(line) for line in (tmp_path / "events.ndjson").read_text().splitlines()]
    assert [one["type"] for one in events] == ["scan_start", "finding", "action", "summary"]
    assert {one["run_id"] for one in events} == {told.summary["run_id"]}, "one id for a run, wherever it is told"
    assert stat.S_IMODE(os.stat(tmp_path / "events.ndjson").st_mode) == 0o600
    assert (tmp_path / "called").read_text().split() == ["finding", "summary"]
    assert logged.count(b"type=") == 4
    paths = [one.path.partition("?")[0] for one in receiver.got]
    assert paths == ["/ping/0123-uuid/start", "/webhook", "/webhook", "/webhook", "/ping/0123-uuid/10"]
    metrics = (tmp_path / "hashscan.prom").read_text()
    assert "hashscan_open_findings 1\n" in metrics
    assert "hashscan_last_run_exit_code 10\n" in metrics
    files = [(tmp_path / name).read_bytes() for name in ("events.ndjson", "hooked", "hashscan.prom")]
    everything = b"\n".join([logged, receiver.everything, *files])
    for secret in (NAME, str(loud.tree), "alice", *(digest(NAME, algorithm) for algorithm in ("md5", "sha1", "sha256"))):
        assert secret.encode() not in everything
    assert told.of("finding")[0]["entry"].encode() in everything, "the control: ids are told"


def test_receivers_that_are_gone_change_no_verdict_and_hear_later(loud: World, receiver: Receiver, tmp_path: Path) -> None:
    quiet = loud.run("scan", "--json", "-q", loud.tree)  # nobody listens on the socket
    assert quiet.code == 10
    assert quiet.summary["sink_failures"]["syslog"] >= 3
    loud.configure(alerts={"syslog": "", "ping_url_file": "", "on_finding": ["/bin/false"], "on_finish": []})
    receiver.got.clear()
    receiver.default = 500
    told = loud.scan()
    assert told.code == 10
    assert told.summary["sink_failures"] == {"hook": 1, "webhook": 2}
    warned = [one["message"] for one in told.of("warning")]
    assert any("/bin/false ended with 1" in one for one in warned)
    assert any("the webhook answered 500; 3 messages wait on disk" in one for one in warned)
    assert len(list((loud.state / "spool").glob("*.json"))) == 3
    receiver.default = 204
    receiver.got.clear()
    sent = loud.run("alerts", "send")
    assert (sent.code, sent.out) == (0, b"3 sent, 0 wait\n")
    kinds = [json.loads(one.body)["type"] for one in receiver.got]
    assert kinds == ["hashscan.finding", "hashscan.action", "hashscan.summary"]


def test_an_audit_tells_nobody(loud: World, receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"{digest(NAME)}\n")
    assert loud.run("scan", "-q", "--known", tmp_path / "list", loud.tree).code == 10
    assert receiver.got == []
    assert not (tmp_path / "events.ndjson").exists()


def test_trying_it_out(loud: World, receiver: Receiver, tmp_path: Path) -> None:
    receiver.answers = [204, 404]
    told = loud.run("alerts", "test")
    assert told.code == 3
    lines = told.out.decode().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", "file"],
        ["FAILED", "syslog:"],
        ["ok", "metrics"],
        ["ok", "hook"],
        ["ok", "webhook"],
        ["FAILED", "ping:"],
    ]
    assert "0123-uuid" not in told.out.decode() + told.err, "the address of a monitor is a secret"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"webhook_secret_file": ""}, "needs an address and a secret"),
        ({"webhook_url": "http://example.org/x"}, "not encrypted"),
        ({"webhook_url": "ftp://x"}, "no address"),
        ({"file_format": "xml"}, "one of events, ecs, ocsf"),
        ({"ping_url_file": "missing"}, "cannot read the secret file"),
    ],
)
def test_settings_that_cannot_be_right_are_said_before_the_scan(loud: World, change: dict[str, Any], words: str) -> None:
    loud.configure(alerts={"on_finding": [], "on_finish": [], **change})
    told = loud.run("scan", "-q", loud.tree)
    assert told.code == 2
    assert words in told.complaint


def test_a_secret_that_others_can_read_is_refused(loud: World) -> None:
    (loud.etc / "secret").chmod(0o644)
    assert "can be read by others" in loud.run("scan", "-q", loud.tree).complaint


def test_the_clock_of_an_open_finding(world: World) -> None:
    (path,) = world.plant(NAME)
    assert world.run("scan", "-q", world.tree).code == 10
    clock = status(world)["open_findings"]
    assert (clock["count"], clock["within_hours"]) == (1, 24.0)
    assert 23.9 < clock["hours_left"] <= 24.0
    monitor = world.run("status", "--nagios")
    assert monitor.code == 1
    assert monitor.out.startswith(b"HASHSCAN WARNING - 1 open confirmed file, 24.0 h left | open=1;0;0;0 oldest=")
    world.configure(report={"removal_within": "0s"})
    assert world.run("status", "--nagios").code == 2
    path.unlink()
    world.plant("innocent")
    assert world.run("scan", "-q", world.tree).code == 0
    assert status(world)["open_findings"]["count"] == 0
    done = world.run("status", "--nagios")
    assert (done.code, done.out.partition(b" |")[0]) == (0, b"HASHSCAN OK - nothing open, lists in force")


def status(world: World) -> Any:
    (event,) = world.run("status", "--json").of("status")
    return event["status"]


def test_a_monitor_never_mistakes_an_error_for_a_state(world: World) -> None:
    world.config.write_text("nonsense")
    told = world.run("status", "--nagios")
    assert told.code == 3
    assert told.out.startswith(b"HASHSCAN UNKNOWN - ")
