"""Starting is quick because little is imported. What a command brings in is held here: times depend on the machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.world import clean_environment

HEAVY = {
    "bitarray", "blake3", "cryptography", "fastapi", "pathspec", "pybloom_live", "pyrage", "requests", "rich",
    "securesystemslib", "sqlalchemy", "sqlite3", "tomllib", "tuf", "urllib3", "uvicorn", "xxhash",
}  # fmt: skip
STATUS_TEXT = {"blake3", "tomllib"}
OURS = {"hashscan.model.nouns", "hashscan.model.cases", "hashscan.model.walks", "hashscan.ports", "hashscan.report.tally"}
"""Nouns in their dozens: each frozen dataclass takes a millisecond to make."""
SHOW = """
import json, sys
from hashscan.cli.main import run
code = run(sys.argv[1:])
loaded = {name.split(".")[0] for name in sys.modules} | set(sys.modules)
print(json.dumps([code, sorted(loaded & set(%r)), len(sys.modules)]), file=sys.stderr)
"""


def imported(*arguments: str, home: Path) -> tuple[int, set[str]]:
    """The exit code of a command, and which heavy modules it brought in."""
    env = {**clean_environment(), **{f"XDG_{name}_HOME": str(home / name) for name in ("CONFIG", "STATE", "CACHE")}}
    line = [sys.executable, "-c", SHOW % sorted(HEAVY | OURS), *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=env)
    code, names, count = json.loads(done.stderr.splitlines()[-1])
    assert count > 30
    return code, set(names)


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.toml"
    path.write_text('[paths]\nstate = "state"\nrun = "run"\ncache = "cache"\n')
    return str(path)


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("--version",)])
def test_help_brings_nothing_heavy(arguments: tuple[str, ...], tmp_path: Path) -> None:
    assert imported(*arguments, home=tmp_path) == (0, set())


def test_status_brings_what_it_needs(config: str, tmp_path: Path) -> None:
    code, names = imported("--config", config, "status", home=tmp_path)
    assert code == 0
    assert names <= STATUS_TEXT, "a host without a service needs no signatures, and nobody is asked"
    code, names = imported("--config", config, "status", "--json", home=tmp_path)
    assert code == 0
    assert names <= STATUS_TEXT


def test_control_a_heavy_command_is_noticed(tmp_path: Path) -> None:
    _, names = imported("scan", "--help", home=tmp_path)
    assert {"rich", "securesystemslib", *OURS} <= names
