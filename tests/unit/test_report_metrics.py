"""The metrics of a status: the text format of Prometheus, and a file that is there whole or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import UsageError
from hashscan.model import Json
from hashscan.report import metrics

STATUS: Mapping[str, Json] = {
    "lists": [{"id": "police-nl", "version": 7, "epoch": 1, "bytes": 5, "created": "x"}, {"id": "b", "version": 2, "epoch": 3}],
    "open_findings": {"count": 2, "oldest_hours": 1.5, "hours_left": 22.5, "within_hours": 24.0},
    "lists_age_hours": 1.5,
    "lists_stale": False,
    "clock_ok": True,
    "pending": 3,
    "unsent_outcomes": 0,
    "cases": {"done": 2, "held": 1},
    "last_run": {"started_seconds": 1_790_000_000.5, "seconds": 12.25, "exit_code": 10, "complete": True, "findings": 2},
}
LINE = re.compile(r'hashscan_[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"\})? -?[0-9.e+]+')


def text(told: Mapping[str, Json] = STATUS, **more: Any) -> str:
    return metrics.written(metrics.metrics(told, now=1_790_000_100.0, exit_code=more.get("exit_code", 11)))


def test_every_line_is_in_the_format() -> None:
    lines = text().splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert all(LINE.fullmatch(line) for line in samples), samples
    assert len({line for line in lines if line.startswith("# TYPE")}) == 19
    for line in samples:
        name = re.split(r"[{ ]", line)[0]
        assert f"# TYPE {name} gauge" in lines
        assert any(one.startswith(f"# HELP {name} ") for one in lines)


def test_what_it_says() -> None:
    said = text()
    for line in (
        "hashscan_status_time_seconds 1790000100",
        "hashscan_status_exit_code 11",
        "hashscan_lists_age_seconds 5400",
        "hashscan_lists_stale 0",
        "hashscan_lists_usable 1",
        'hashscan_list_version{list="police-nl"} 7',
        'hashscan_list_epoch{list="b"} 3',
        "hashscan_clock_ok 1",
        "hashscan_open_findings 2",
        "hashscan_open_findings_oldest_seconds 5400",
        "hashscan_open_findings_left_seconds 81000",
        "hashscan_pending 3",
        "hashscan_unsent_outcomes 0",
        'hashscan_cases{state="held"} 1',
        "hashscan_last_run_time_seconds 1790000000.5",
        "hashscan_last_run_duration_seconds 12.25",
        "hashscan_last_run_exit_code 10",
        "hashscan_last_run_complete 1",
        "hashscan_last_run_findings 2",
    ):
        assert f"{line}\n" in said


def test_what_is_not_known_is_not_said() -> None:
    said = text({"service": "not configured", "pending": 0, "last_run": None, "cases": {}})
    assert "lists" not in said
    assert "last_run" not in said
    assert "hashscan_pending 0\n" in said


def test_lists_that_cannot_be_used() -> None:
    assert "hashscan_lists_usable 0\n" in text({"lists_problem": "there is no hash list on this host yet"})
    assert "hashscan_lists_usable 0\n" in text({**STATUS, "lists_problem": "too old"})


def test_a_hostile_label_stays_a_label() -> None:
    said = text({"lists": [{"id": 'a"} 1\nhashscan_pending 0\\é', "version": 1}]})
    assert said.isascii()
    assert len([line for line in said.splitlines() if line.startswith("hashscan_list_version")]) == 1
    assert "\nhashscan_pending" not in said
    samples = [line for line in said.splitlines() if line.startswith("hashscan_list_version")]
    assert all(LINE.fullmatch(line) for line in samples), samples


def test_the_file_is_replaced_in_one_step_and_readable(tmp_path: Path) -> None:
    path = tmp_path / "hashscan.prom"
    before = os.umask(0o077)
    try:
        for version in (1, 2):
            metrics.write(path, [metrics.Metric("x", "X.", (({}, float(version)),))])
            assert path.read_text(encoding="ascii") == f"# HELP hashscan_x X.\n# TYPE hashscan_x gauge\nhashscan_x {version}\n"
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["hashscan.prom"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        metrics.write(tmp_path / "no" / "x.prom", [])
