"""The commands around the digest cache, as an operator types them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hashscan.cli.main import run
from tests.support.caches import cache_in, lie, rewrite, scan, tree_in
from tests.support.sieves import FakeSieve
from tests.support.trees import flat

Say = Callable[..., tuple[int, list[dict[str, Any]]]]
KNOWN = b"5"  # what `flat` writes into f5


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten files that are remembered with MD5 and SHA-1."""
    root = tree_in(tmp_path)
    flat(root, 10)
    scan(cache_in(tmp_path), root, FakeSieve(set()))
    return root


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command with --json: its exit code and its events."""
    config = tmp_path / "config.toml"
    config.write_text('[paths]\nstate = "state"\nrun = "run"\ncache = "cache"\n[cache]\nreread = 0\n')
    (tmp_path / "list.txt").write_text(hashlib.sha1(KNOWN).hexdigest() + "\n")

    def said(*arguments: object, as_json: bool = True) -> tuple[int, list[dict[str, Any]]]:
        code = run(["--config", str(config), *map(str, arguments), *(["--json"] if as_json else [])])
        out = capsys.readouterr().out
        return code, [json.loads(line) for line in out.splitlines()] if as_json else []

    return said


def paths(events: list[dict[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = events[-1]["paths"]
    return {name: summary[name] for name in ("scanned", "cached")}


@pytest.mark.optional("temporary-folder-on-disk")
def test_a_scan_uses_it_unless_told_otherwise(say: Say, root: Path, tmp_path: Path) -> None:
    audit = ("scan", "--known", tmp_path / "list.txt", root)
    code, events = say(*audit)
    assert (code, paths(events)) == (10, {"scanned": 0, "cached": 10})
    before = cache_in(tmp_path).path.read_bytes()
    code, events = say(*audit, "--no-cache")
    assert (code, paths(events)) == (10, {"scanned": 10, "cached": 0})
    assert cache_in(tmp_path).path.read_bytes() == before


def test_recheck_finds_without_reading(say: Say, root: Path, tmp_path: Path) -> None:
    code, events = say("recheck", "--known", tmp_path / "list.txt")
    assert (code, paths(events)) == (10, {"scanned": 0, "cached": 10})
    assert [one["path"] for one in events if one["type"] == "finding"] == [str(root / "f5")]
    code, events = say("recheck", "--known", tmp_path / "list.txt", tmp_path / "elsewhere")
    assert (code, paths(events)) == (0, {"scanned": 0, "cached": 0})


def test_info_tells_and_clear_forgets(say: Say, root: Path, tmp_path: Path) -> None:
    code, events = say("cache", "info")
    assert code == 0
    told = events[-1]["status"]
    assert (told["rows"], told["runs"], told["last_run_scanned"]) == (1, 1, 10)
    assert say("cache", "clear", as_json=False)[0] == 0
    assert not cache_in(tmp_path).path.exists()
    assert say("cache", "info")[0] == 0
    code, events = say("recheck", "--known", tmp_path / "list.txt")
    assert (code, events[-1]["type"]) == (3, "exit_error")


def test_verify_tells_wrong_digests_by_its_exit_code(say: Say, root: Path, tmp_path: Path) -> None:
    code, events = say("cache", "verify", "--all")
    assert (code, events[-1]["status"]["verified"]["agreed"]) == (0, 10)
    rewrite(cache_in(tmp_path), lie)
    code, events = say("cache", "verify", "--all", root)
    assert (code, events[-1]["status"]["verified"]["wrong"]) == (3, 10)
    assert {one["path"] for one in events if one["type"] == "warning"} == {str(path) for path in root.iterdir()}
    assert say("cache", "verify", "--all")[0] == 0, "what was wrong is forgotten"


def test_its_folder_is_not_scanned(say: Say, root: Path, tmp_path: Path) -> None:
    _, events = say("scan", "--known", tmp_path / "list.txt", tmp_path)
    assert any(one["type"] == "skipped" and one["path"] == os.fspath(tmp_path / "cache") for one in events)
