"""The alerting rules: they are about metrics that exist, and fire when they should; promtool runs their own tests."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hashscan.report import metrics
from tests.house.source import REPOSITORY

FOLDER = REPOSITORY / "packaging" / "prometheus"
RULES = (FOLDER / "hashscan.rules.yml").read_text(encoding="utf-8")
TESTS = (FOLDER / "hashscan.rules.test.yml").read_text(encoding="utf-8")


def unknown_metrics(rules: str) -> set[str]:
    known = {f"hashscan_{one.name}" for one in metrics.metrics({}, now=0.0, exit_code=0)}
    used = set(re.findall(r"\bhashscan_[a-z_]+", "\n".join(re.findall(r"^\s*expr: (.*)$", rules, re.MULTILINE))))
    assert len(used) > 8
    return used - known


def untested_alerts(rules: str, tests: str) -> set[str]:
    """Alerts for which no test expects that they fire."""
    fires = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", tests))
    return set(re.findall(r"alert: (\w+)", rules)) - fires


def test_rules_are_about_metrics_that_exist_and_each_is_tested() -> None:
    assert unknown_metrics(RULES) == set()
    assert untested_alerts(RULES, TESTS) == set()


def test_control_a_wrong_metric_and_an_untested_alert_are_noticed() -> None:
    assert unknown_metrics(RULES.replace("hashscan_pending", "hashscan_waiting")) == {"hashscan_waiting"}
    assert untested_alerts(RULES + "\n      - alert: Hashscan2\n", TESTS) == {"Hashscan2"}


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.optional("promtool")
def test_promtool_accepts_the_rules_and_their_tests_hold(tmp_path: Path) -> None:
    for name in ("hashscan.rules.yml", "hashscan.rules.test.yml"):
        shutil.copy(FOLDER / name, tmp_path)
    checked = promtool("check", "rules", tmp_path / "hashscan.rules.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = promtool("test", "rules", tmp_path / "hashscan.rules.test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.optional("promtool")
def test_control_promtool_notices_a_rule_that_does_not_fire(tmp_path: Path) -> None:
    (tmp_path / "hashscan.rules.yml").write_text(RULES.replace("hashscan_open_findings > 0", "hashscan_open_findings > 7"))
    shutil.copy(FOLDER / "hashscan.rules.test.yml", tmp_path)
    assert promtool("test", "rules", tmp_path / "hashscan.rules.test.yml").returncode != 0


@pytest.mark.optional("promtool")
def test_promtool_reads_our_metrics() -> None:
    told = metrics.written(metrics.metrics({"open_findings": {"count": 2, "oldest_hours": 1.0}}, now=1.0, exit_code=0))
    done = subprocess.run(["promtool", "check", "metrics"], input=told, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
