"""A scan that is interrupted at random moments, in every way there is, and goes on by itself: what it comes to in the end.

Each round interrupts one scan until it is through: SIGTERM, SIGINT, kill -9, `hashscan stop`; pauses by command and by signal.
The union of what was told must be what an uninterrupted scan tells, the last counts those of the whole, every exit code right.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections import Counter
from typing import Any

import pytest

from tests.support.budget import attempts
from tests.support.trees import find, grow
from tests.support.world import LISTED, TIMEOUT, World, clean_environment, command

pytestmark = pytest.mark.slow

FILES = 150
WAYS = ("TERM", "INT", "KILL", "stop", "pause", "USR")


def planted(world: World) -> None:
    """A tree with listed files here and there, and one large file that takes a while."""
    world.tree.mkdir(parents=True, exist_ok=True)
    grow(world.tree, FILES, seed=7)
    world.plant(*LISTED[:3], at="alice")
    world.plant(*LISTED[3:], at="bob/deep/er")
    (world.tree / "large").write_bytes(random.Random(1).randbytes(6 << 20))
    (world.tree / "link").symlink_to("large")
    world.configure(
        scan={"resume": "auto", "checkpoint": "0.3s", "jobs": 2, "exclude": ["d7*/"]},
        pace={"bwlimit": "8M", "max_iops": 250},
        cache={"enabled": False},
    )


def interrupted(world: World, rnd: random.Random, done: Counter[str]) -> tuple[int, list[dict[str, Any]]]:
    """One scan that somebody disturbs at a random moment: its exit code, and what it told whole."""
    line = command("--config", world.config, "scan", "--json", "-q", world.tree)
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment()) as child:
        assert child.stdout is not None
        first = child.stdout.readline()
        way = rnd.choice(WAYS)
        time.sleep(rnd.uniform(0.0, 1.2))
        if child.poll() is None:
            done[way] += 1
            disturb(world, child, way, rnd)
        rest, err = child.communicate(timeout=TIMEOUT)
    assert b"Traceback" not in err, err.decode()
    lines = [one for one in (first + rest).split(b"\n") if one]
    if child.returncode == -signal.SIGKILL and not rest.endswith(b"\n"):
        lines = lines[:-1]
    return child.returncode, [json.loads(one) for one in lines]


def disturb(world: World, child: subprocess.Popen[bytes], way: str, rnd: random.Random) -> None:
    if way == "stop":
        assert world.run("stop").code in (0, 2), "2: it had just ended"
    elif way == "pause":
        if world.run("pause").code == 0:
            assert world.run("resume").code in (0, 2)
    elif way == "USR":
        child.send_signal(signal.SIGUSR1)
        time.sleep(rnd.uniform(0.1, 0.6))
        child.send_signal(signal.SIGUSR2)
    else:
        child.send_signal(getattr(signal, f"SIG{way}"))


def paths(events: list[dict[str, Any]]) -> set[str]:
    return {event["path"] for event in events if event["type"] == "finding"}


def counts(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: summary[key] for key in ("directories", "bytes_hashed", "paths")}


def test_whatever_happens_the_whole_is_the_whole(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    planted(world)
    whole = world.scan()
    assert whole.code == 10
    wanted, truth = counts(whole.summary), paths(whole.events)
    assert len(truth) == len(LISTED)
    assert wanted["paths"]["skipped"]["excluded"] >= 1
    excluded = len(find(world.tree)) - wanted["directories"] - wanted["paths"]["seen"]
    assert excluded >= 0
    rounds, runs, done = attempts(2), 0, Counter[str]()
    for number in range(rounds):
        rnd = random.Random(number)
        seen: set[str] = set()
        for _ in range(60):
            code, events = interrupted(world, rnd, done)
            runs += 1
            seen |= paths(events)
            if code == -signal.SIGKILL:
                continue
            last = events[-1]
            assert last["type"] == "summary", last
            if code not in (-signal.SIGTERM, -signal.SIGINT):  # it came when all was told, and ended what had ended
                assert last["exit_code"] == code
            code = last["exit_code"]
            found, waiting = last["candidates"]["findings"], last["candidates"]["pending"]
            assert code == (10 if found else 11 if waiting else 0 if last["complete"] else 4), last
            assert bool(found) == bool(paths(events))
            paths_told = last["paths"]
            ended = paths_told["scanned"] + sum(paths_told["skipped"].values()) + sum(paths_told["errors"].values())
            assert paths_told["seen"] == ended + paths_told["cached"] + paths_told["by_size"]
            if last["complete"]:
                assert counts(last) == wanted, "the whole, counted once"
                assert not (world.state / "checkpoint").exists()
                break
            assert last["stopped_by"] in ("signal", "asked")
            assert (world.state / "checkpoint").exists()
        else:
            pytest.fail("never through")
        assert seen == truth, "every finding was told by one of the runs"
    with capsys.disabled():
        told = ", ".join(f"{way} {count}" for way, count in sorted(done.items()))
        print(f"\n  interrupted: {rounds} scans in {runs} runs ({told}); each came to the whole")
