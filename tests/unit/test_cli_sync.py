"""`hashscan sync` and `hashscan status` as an operator and a timer type them, with a folder as the source; nobody listens."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hashscan.cli.main import run
from hashscan.errors import ExitCode
from tests.support.hotline import LIST, SELF_TEST, Hotline, Known

Say = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def hotline() -> Hotline:
    return Hotline(now=time.time, lists={LIST: [SELF_TEST, Known(b"harmless")]})


@pytest.fixture
def published(tmp_path: Path, hotline: Hotline) -> Path:
    """A folder with what the hotline publishes."""
    hotline.publish()
    folder = tmp_path / "published"
    folder.mkdir()
    for name, data in hotline.files.items():
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def say(tmp_path: Path, hotline: Hotline, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command with --json: its exit code and its events."""
    files = {
        "api-key": b"harmless-key\n",
        "provider-key": hotline.key.text().encode(),
        "root.json": hotline.root,
        "config.toml": b'[service]\nurl = "http://127.0.0.1:9"\nprovider = "acme"\n[paths]\nstate = "state"\nrun = "run"\n',
    }
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        path.chmod(0o600)

    def said(*arguments: object) -> tuple[int, list[dict[str, Any]]]:
        code = run(["--config", str(tmp_path / "config.toml"), *map(str, arguments), "--json"])
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return said


def test_from_a_folder_and_then_a_timer_that_is_too_early(say: Say, published: Path, tmp_path: Path) -> None:
    code, told = say("sync", "--from", published)
    assert (code, [(one["type"], one["change"], one["how"]) for one in told]) == (0, [("sync", "new", "full")])
    code, told = say("sync", "--scheduled")
    assert (code, [(one["type"], one["reason"]) for one in told]) == (0, [("sync_wait", "minimum")])
    assert 3500 < told[0]["seconds"] <= 3600
    code, told = say("sync", "--from", published)
    assert (code, told[0]["how"]) == (0, "none"), "a person's sync goes at once"


def test_without_lists_a_timer_goes_at_once(say: Say) -> None:
    code, told = say("sync", "--scheduled")
    assert (code, told[-1]["type"]) == (ExitCode.PENDING, "exit_error"), "and finds nobody at that address"


def test_one_scheduled_sync_waits_at_a_time(say: Say, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    fd = os.open(tmp_path / "run" / "sync-waiting.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        code, told = say("sync", "--scheduled")
        assert (code, [(one["type"], one["reason"]) for one in told]) == (0, [("sync_wait", "another")])
    finally:
        os.close(fd)


def test_a_second_sync_is_refused(say: Say, published: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    fd = os.open(tmp_path / "run" / "sync.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        assert say("sync", "--from", published)[0] == ExitCode.LOCKED
    finally:
        os.close(fd)


def test_a_folder_is_not_scheduled(say: Say, published: Path) -> None:
    code, told = say("sync", "--scheduled", "--from", published)
    assert (code, told) == (ExitCode.USAGE, [])


def test_a_clock_that_jumped_back(say: Say, published: Path, hotline: Hotline, tmp_path: Path) -> None:
    assert say("sync", "--from", published)[0] == 0
    ahead = {"format": 1, "last_sync": time.time() + 7200}
    (tmp_path / "state" / "lists" / "clock").write_text(json.dumps(ahead))
    code, told = say("sync", "--from", published)
    assert (code, told[-1]["error"]) == (ExitCode.FILTER, "FilterError")
    assert "2.0 hours before" in told[-1]["message"]
    assert say("sync", "--scheduled")[0] == ExitCode.FILTER, "a timer does not hide it"
    metrics = tmp_path / "hashscan.prom"
    code, told = say("status", "--metrics", metrics)
    assert (code, told[0]["status"]["clock_ok"]) == (ExitCode.FILTER, False)
    assert "hashscan_clock_ok 0\n" in metrics.read_text()
    (tmp_path / "state" / "lists" / "clock").unlink()
    assert say("sync", "--from", published)[0] == 0


def test_status_and_its_metrics(say: Say, published: Path, tmp_path: Path) -> None:
    metrics = tmp_path / "hashscan.prom"
    assert say("status", "--metrics", metrics)[0] == ExitCode.FILTER
    assert "hashscan_lists_usable 0\n" in metrics.read_text()
    say("sync", "--from", published)
    code, told = say("status", "--metrics", metrics)
    assert (code, told[0]["status"]["clock_ok"], told[0]["status"]["lists_stale"]) == (0, True, False)
    said = metrics.read_text()
    for line in (
        "hashscan_lists_usable 1",
        "hashscan_lists_stale 0",
        'hashscan_list_version{list="police"} 7',
        "hashscan_clock_ok 1",
    ):
        assert f"{line}\n" in said
    assert say("status", "--metrics", tmp_path / "no" / "x.prom")[0] == ExitCode.USAGE
