"""A scan that was stopped, or killed, and is taken up again."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.support.trees import find
from tests.support.world import LISTED, TIMEOUT, World, clean_environment, command

INNOCENTS = 400


def leave(world: World, number: signal.Signals) -> None:
    """Start a scan of a tree with a file that takes for ever, and end it; then make the file an ordinary one."""
    world.plant(*(f"innocent-{n}" for n in range(INNOCENTS)))
    large = world.tree / "large"
    with large.open("wb") as stream:
        stream.truncate(40 << 30)  # sparse: minutes of hashing, no disk
    line = command("--config", world.config, "scan", "--json", "-q", world.tree)
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=clean_environment()) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(1.0)
        child.send_signal(number)
        child.stdout.read()
        assert child.wait(TIMEOUT) == (4 if number == signal.SIGTERM else -number)
    os.truncate(large, 10)


def test_a_stopped_scan_goes_on_and_tells_the_whole(world: World) -> None:
    leave(world, signal.SIGTERM)
    assert (world.state / "checkpoint").stat().st_mode & 0o777 == 0o600
    world.plant(*LISTED, at="bob")  # its directory was met before: what comes later is for the next scan
    told = world.run("scan", "--resume", "--json")
    assert told.code == 0
    assert told.events[0]["settings"]["resumed"] is True
    assert [one["path"] for one in told.events[0]["roots"]] == [str(world.tree)]
    summary = told.summary
    assert summary["complete"] is True
    assert summary["paths"]["scanned"] + summary["paths"]["cached"] == INNOCENTS + 1
    assert summary["directories"] + summary["paths"]["seen"] == len(find(world.tree)) - len(LISTED) - 1
    assert summary["bytes_hashed"] > 10, "the first part is in it"
    assert not (world.state / "checkpoint").exists()
    assert world.run("scan", "--resume").code == 2


def test_a_scan_that_ends_leaves_nothing_to_resume(world: World) -> None:
    world.plant("innocent")
    assert world.scan().code == 0
    assert not (world.state / "checkpoint").exists()
    told = world.run("scan", "--resume")
    assert told.code == 2
    assert "no scan was stopped" in told.err


def test_a_killed_scan_without_a_checkpoint_yet_is_begun_again(world: World) -> None:
    leave(world, signal.SIGKILL)
    assert world.run("scan", "--resume").code == 2
    assert world.scan().summary["paths"]["seen"] == INNOCENTS + 1


def test_only_the_same_scan_is_resumed(world: World) -> None:
    leave(world, signal.SIGTERM)
    assert world.run("scan", "--resume", world.tree).code == 2
    told = world.run("scan", "--resume", "--dry-run")
    assert told.code == 2
    assert "other paths or settings" in told.err
    damaged = world.state / "checkpoint"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    told = world.run("scan", "--resume")
    assert told.code == 3
    assert "without --resume" in told.err
    assert world.scan().code == 0, "a scan from the beginning is not kept from anything"
    assert not damaged.exists()


@pytest.mark.parametrize("more", [("--known", "list.txt"), ("--files-from", "paths")])
def test_what_cannot_be_resumed(world: World, more: tuple[str, str]) -> None:
    (world.top / more[1]).write_text("x\n")
    assert world.run("scan", "--resume", more[0], world.top / more[1]).code == 2
