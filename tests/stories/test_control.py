"""A scan that is told what to leave out, how long to work and who else is there, at the command line. Audits, so no service."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.trees import find, grow
from tests.support.world import TIMEOUT, Told, clean_environment, command, digest, hashscan


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "srv").mkdir()
    grow(tmp_path / "srv", 60, seed=3)
    (tmp_path / "srv" / "x.iso").write_bytes(b"an image")
    (tmp_path / "srv" / "cache").mkdir()
    (tmp_path / "srv" / "cache" / "f").write_bytes(b"not read")
    (tmp_path / "list").write_text(f"{digest('anything')}\n")
    (tmp_path / "config.toml").write_text('[paths]\nstate = "var"\nrun = "run"\ncache = "store"\n')
    return tmp_path


def audit(top: Path, *arguments: str | Path, **more: Any) -> Told:
    return hashscan("--config", top / "config.toml", "scan", "--known", top / "list", "--json", *arguments, **more)


def test_what_is_left_out_is_counted(top: Path) -> None:
    told = audit(top, "--exclude", "*.iso", "--exclude", f"{top}/srv/cache/", top / "srv")
    assert told.code == 0
    paths = told.summary["paths"]
    assert paths["skipped"] == {"excluded": 2}
    assert told.summary["directories"] + paths["seen"] == len(find(top / "srv")) - 1, "what is below a directory is not met"
    (top / "patterns").write_text("# ours\n*.iso\n")
    assert audit(top, "--exclude-from", top / "patterns", top / "srv").summary["paths"]["skipped"] == {"excluded": 1}
    (top / "config.toml").write_text((top / "config.toml").read_text() + '[scan]\nexclude = ["cache/"]\nroots = ["srv"]\n')
    assert audit(top, top / "srv").summary["paths"]["skipped"] == {"excluded": 1}
    assert "absolute" in audit(top).err
    (top / "config.toml").write_text((top / "config.toml").read_text().replace('["srv"]', f'["{top}/srv"]'))
    assert audit(top).summary["paths"]["skipped"] == {"excluded": 1}


def test_a_root_that_is_excluded_is_a_contradiction(top: Path) -> None:
    told = audit(top, "--exclude", f"{top}/srv/", top / "srv" / "cache")
    assert told.code == 2
    assert "is to be scanned and excluded" in told.err
    listed = f"{top}/srv/x.iso\n{top}/srv/cache/f\n".encode()
    told = audit(top, "--exclude", f"{top}/srv/*.iso", "--files-from", "-", stdin=listed)
    assert told.code == 0
    assert told.summary["paths"] == {
        "seen": 2, "scanned": 1, "cached": 0, "by_size": 0, "skipped": {"excluded": 1}, "errors": {},
    }  # fmt: skip


def test_shards_add_up_at_the_command_line(top: Path) -> None:
    whole = audit(top, top / "srv").summary
    parts = [audit(top, "--shard", f"{number}/3", top / "srv").summary for number in (1, 2, 3)]
    for name in ("directories", "bytes_hashed"):
        assert sum(part[name] for part in parts) == whole[name]
    assert sum(part["paths"]["seen"] for part in parts) == whole["paths"]["seen"]


def test_a_time_that_is_over_stops_it(top: Path) -> None:
    told = audit(top, "--max-iops", "10", "--max-duration", "1", top / "srv")
    assert told.code == 4
    assert told.summary["stopped_by"] == "max_duration"
    assert told.events[0]["settings"]["max_iops"] == 10
    assert 0 < told.summary["paths"]["seen"] < 62


def test_it_waits_for_its_hours_and_can_be_told_not_to(top: Path) -> None:
    hour = (time.localtime().tm_hour + 12) % 24
    line = command(
        "--config",
        top / "config.toml",
        "scan",
        "--known",
        top / "list",
        "--json",
        "--window",
        f"{hour:02}:00-{hour:02}:01",
        top / "srv",
    )
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()) as child:
        assert child.stderr is not None
        assert b"waiting for the window" in child.stderr.readline()
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=TIMEOUT)
    assert child.returncode == 4
    assert b"stopped before it began" in err
    assert b'"exit_error"' in out
    begun = audit(top, "--window", f"{(hour + 6) % 24:02}:00-{hour:02}:00", top / "srv")
    assert begun.code == 0, "within its hours it goes on at once"
    waited = hashscan("--config", top / "config.toml", "scan", "--known", top / "list", "--splay", "0.5", top / "srv")
    assert waited.code == 0
    assert "not all hosts begin at once" in waited.err
    told = hashscan("--config", top / "config.toml", "scan", "--window", f"{hour:02}:00-{hour:02}:01", top / "srv")
    assert told.code == 2, "what cannot work is told before the waiting"
    assert "no central service" in told.err


def test_niceness_and_class_reach_the_workers(top: Path) -> None:
    flags = ("--nice", "7", "--ionice", "idle", "--max-iops", "20")
    line = command("--config", top / "config.toml", "scan", "--known", top / "list", "--json", *flags, top / "srv")
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=clean_environment()) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.5)
        workers = Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split()
        assert workers
        nice = {int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[16]) for pid in workers}
        child.terminate()
        child.communicate(timeout=TIMEOUT)
    assert min(nice) >= 7


def test_nothing_runs_and_that_is_said(top: Path) -> None:
    for what in ("pause", "resume", "stop"):
        told = hashscan("--config", top / "config.toml", what)
        assert told.code == 2
        assert told.complaint.startswith("no scan is running")
