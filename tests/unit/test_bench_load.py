"""The load generator: one short run of all of it, and that it would notice an answer that is not right."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from hashscan.errors import ServiceUnavailable
from scripts.benchlib import confirm_load, hotline, loading
from scripts.benchlib.confirm_load import Plan, Wrong
from scripts.benchlib.loading import Pace
from scripts.benchlib.ours import REPOSITORY, environment


def test_a_short_run_prints_its_table(tmp_path: Path) -> None:
    few = {"entries": 300, "providers": 1, "workers": 2, "seconds": 0.5, "connections": 3, "items": 4, "per-second": 40}
    words = [word for name, value in few.items() for word in (f"--{name}", str(value))]
    argv = [sys.executable, "-m", "scripts.benchlib.main", "confirm-load", *words, "--folder", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment())
    assert done.returncode == 0, done.stderr
    head, _, row = done.stdout.splitlines()
    cells = dict(zip(head.split("|"), row.split("|"), strict=True))
    assert (cells[" entries "], cells[" workers "], cells[" 5xx "]) == (" 300 ", " 2 ", " 0 ")
    assert "answers are signed and right" in done.stderr


def test_an_answer_that_is_not_right_is_noticed(tmp_path: Path) -> None:
    plan = Plan(entries=300, providers=2, items=3)
    made = hotline.make(tmp_path, plan.entries, plan.providers, None)
    with hotline.serving(made.data, 1) as server, tempfile.TemporaryFile() as bodies:
        asked = confirm_load.questions(made, plan, server.port)
        done = loading.load(server.port, asked.requests, Pace(2, 0.3), bodies, lambda: None)
        assert confirm_load.check(made, asked, done.answers, bodies) > 0
        first = next(one for one in done.answers if any(known for _, known in asked.asked[one.request.question][1]))
        with pytest.raises(ServiceUnavailable, match="nonce"):
            confirm_load.check(made, asked, [replace(first, nonce="x" * 43)], bodies)
        with pytest.raises(Wrong, match="status 503"):
            confirm_load.check(made, asked, [replace(first, status=503)], bodies)
        hidden = replace(asked, asked=tuple((one, tuple((d, not known) for d, known in items)) for one, items in asked.asked))
        with pytest.raises(Wrong, match="should"):
            confirm_load.check(made, hidden, [first], bodies)
        bodies.seek(first.at)
        envelope = json.loads(bodies.read(first.length))
        bodies.seek(first.at)
        bodies.write(json.dumps({**envelope, "payload": envelope["payload"][:-4] + "AAAA"}, separators=(",", ":")).encode())
        with pytest.raises(ServiceUnavailable, match="signature"):
            confirm_load.check(made, asked, [first], bodies)


def test_the_monitor_is_measured_on_a_service_that_is_made_for_it(tmp_path: Path) -> None:
    few = ["--findings", "300", "--providers", "2", "--open", "0.5", "--folder", str(tmp_path)]
    argv = [sys.executable, "-m", "scripts.benchlib.main", "monitor", *few]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment())
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[2:]
    assert [row.split("|")[3].strip() for row in rows][:3] == ["everything", "everything again", "90 days"]
    assert all(" 300 " in row for row in rows)
