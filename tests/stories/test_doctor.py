"""The doctor on a host that works, and on some that do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.world import LISTED, World, hashscan


def told(world: World, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    done = world.run("doctor", "--json", *arguments)
    (event,) = done.of("status")
    return done.code, event["status"]


def levels(status: dict[str, Any], name: str) -> set[str]:
    return {one["level"] for one in status["checks"] if one["name"] == name}


def test_a_host_that_works(world: World) -> None:
    world.plant("innocent")
    assert world.run("scan", "-q", world.tree).code == 0
    code, status = told(world, "--online")
    assert code in (0, 3), status
    for name in ("configuration", "rights", "folders", "lists", "service", "secrets", "cases", "kernel"):
        assert levels(status, name) == {"ok"}, status
    folders = next(one for one in status["checks"] if one["name"] == "folders")
    assert str(world.tree) in folders["seen"], "those of the last scan"


def test_what_is_wrong_is_found_with_what_to_do(world: World) -> None:
    world.configure(lists={"max_age": "1s"}, quarantine={"per_run": 0, "enabled": True})
    (world.etc / "api-key").chmod(0o644)
    code, status = told(world, world.tree, "/nonexistent")
    assert code == 20
    bad = {one["name"]: one for one in status["checks"] if one["level"] == "fail"}
    assert "/nonexistent" in bad["folders"]["seen"]
    assert "can be read by others" in bad["secrets"]["seen"]
    assert all(one["advice"] for one in bad.values())


def test_a_held_case_and_a_stopped_service(world: World) -> None:
    world.configure(quarantine={"enabled": True, "per_run": 0})
    world.plant(LISTED[0])
    assert world.run("scan", "-q", world.tree).code == 12
    code, status = told(world)
    assert code == 3
    assert "warn" in levels(status, "cases")
    world.configure(service={"url": "https://127.0.0.1:1"})
    code, status = told(world, "--online")
    assert code == 20
    assert levels(status, "service") == {"fail"}


def test_a_configuration_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[scan]\njbos = 1\n")
    done = hashscan("--config", tmp_path / "config.toml", "doctor")
    assert done.code == 20
    assert "jbos" in done.out.decode()
    assert "-> did you mean 'jobs'?" in done.out.decode()


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_the_terminal(world: World, columns: int) -> None:
    done = world.run("doctor", world.tree, env={"COLUMNS": str(columns)})
    lines = done.out.decode().splitlines()
    long = [line for line in lines if len(line) > columns and " " in line[20:].strip()]
    assert long == []
    assert "\x1b" not in done.out.decode(), "no colour in a pipe"


def test_on_a_host_with_nothing(tmp_path: Path) -> None:
    home = {f"HASHSCAN_PATHS_{name}": str(tmp_path / name) for name in ("STATE", "RUN", "CACHE")}
    done = hashscan("doctor", "--json", env={**home, "HASHSCAN_CONFIG": str(tmp_path / "none.toml")})
    assert done.code == 20
    (tmp_path / "none.toml").write_text("")
    done = hashscan("doctor", "--json", env={**home, "HASHSCAN_CONFIG": str(tmp_path / "none.toml")})
    assert done.code == 3
    assert json.loads(done.out)["status"]["doctor"] == "warn"
    assert list(tmp_path.iterdir()) == [tmp_path / "none.toml"], "looking leaves nothing"
