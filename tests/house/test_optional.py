"""A test that could not run is said to be not run, with what to install; a component that nobody knows is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.house.source import REPOSITORY

TESTS = """
import pytest

@pytest.mark.optional("strace")
def test_one(): ...

@pytest.mark.optional("strace")
def test_two(): ...

@pytest.mark.optional("{unknown}")
def test_three(): ...

def test_four(): ...
"""


def run(folder: Path, unknown: str) -> str:
    """pytest on `TESTS` with our conftest, on a machine whose PATH is empty."""
    file = folder / "test_it.py"
    file.write_text(TESTS.format(unknown=unknown), encoding="utf-8")
    options = [
        "-q",
        "-W",
        "ignore::pytest.PytestUnknownMarkWarning",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        f"--rootdir={folder}",
    ]
    command = [sys.executable, "-m", "pytest", *options, str(file)]
    environment = {**os.environ, "PATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout


def test_what_is_missing_is_counted_and_named(tmp_path: Path) -> None:
    said = run(tmp_path, "systemd")
    assert "not run: 2 tests, optional component strace is missing: install strace" in said
    assert "not run: 1 test, optional component systemd is missing: install systemd" in said
    assert "1 passed, 3 skipped" in said


def test_an_unknown_component_is_a_failure(tmp_path: Path) -> None:
    said = run(tmp_path, "unobtainium")
    assert "name one component of tests/support/optional.py" in said
    assert "1 passed, 2 skipped, 1 error" in said
