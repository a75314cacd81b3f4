"""Reports as a person gets them: after a night, after an audit, of a run that failed."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import jsonschema
import pytest

from hashscan.report import schema
from tests.support.world import LISTED, World, hashscan

NAME = LISTED[0]


@pytest.fixture
def night(world: World) -> World:
    """After a scan that took one file and could not follow a link."""
    world.configure(quarantine={"enabled": True})
    world.plant(NAME, "innocent")
    assert world.run("scan", "-q", world.tree).code == 10
    return world


def test_the_last_run_in_every_form(night: World, tmp_path: Path) -> None:
    shown = night.run("report")
    assert shown.code == 0
    assert "1 confirmed file" in shown.out.decode()
    assert "quarantined" in shown.out.decode()
    told = json.loads(night.run("report", "--format", "json").out)
    jsonschema.Draft202012Validator(schema.load("report")).validate(told)
    assert (told["exit_code"], told["complete"], told["summary"]["paths"]["seen"]) == (10, True, 2)
    rows = list(csv.DictReader(io.StringIO(night.run("report", "--format", "csv").out.decode(), newline="")))
    assert [(row["kind"], row["action"]) for row in rows] == [("finding", "quarantined")]
    page = tmp_path / "report.html"
    assert night.run("report", told["run_id"][:6], "-o", page).code == 0
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert page.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("form", ["text", "json", "csv", "html"])
def test_names_only_when_asked_for_and_the_log_says_who(night: World, form: str) -> None:
    assert NAME not in night.run("report", "--format", form).out.decode()
    lines = (night.vault / "log").read_text().count("shown")
    assert NAME in night.run("report", "--format", form, "--names").out.decode()
    assert (night.vault / "log").read_text().count("shown") == lines + 1


def test_runs_are_listed_and_bounded(night: World) -> None:
    night.configure(report={"keep": 2})
    for _ in range(3):
        assert night.run("scan", "-q", night.tree).code == 0
    listed = night.run("report", "--list")
    assert listed.code == 0
    assert len([line for line in listed.out.decode().splitlines() if " scan " in line]) == 2
    assert len(os.listdir(night.state / "runs")) == 2


def test_a_run_that_failed_is_remembered_with_its_reason(night: World) -> None:
    night.configure(lists={"max_age": "1s"})
    assert night.run("scan", "-q", night.tree).code == 20
    told = json.loads(night.run("report", "--format", "json").out)
    assert (told["exit_code"], told["error"]["error"], told["summary"]) == (20, "FilterError", None)
    assert "The run ended early" in night.run("report", "--format", "html").out.decode()


def test_a_history_that_cannot_be_written_stops_nothing(world: World) -> None:
    world.plant(NAME)
    (world.state / "runs").write_text("in the way")
    told = world.scan()
    assert told.code == 10
    assert told.summary["sink_failures"] == {"report": 2}
    assert "report: the report of this run cannot be kept" in told.of("warning")[0]["message"]


def test_an_audit_hands_in_a_page_and_leaves_nothing_else(tmp_path: Path) -> None:
    folders = {f"HASHSCAN_PATHS_{name}": str(tmp_path / "home" / name) for name in ("STATE", "RUN", "CACHE")}
    home = {"HOME": str(tmp_path / "home"), **folders}
    (tmp_path / "home").mkdir()
    tree = tmp_path / "srv"
    tree.mkdir()
    (tree / "a").write_text("x")
    (tmp_path / "list").write_text("11f6ad8ec52a2984abaafd7c3b516503785c2072\n")
    told = hashscan("scan", "--known", tmp_path / "list", "--html", tmp_path / "r.html", "--json", tree, env=home)
    assert told.code == 10
    page = (tmp_path / "r.html").read_text()
    assert "1 confirmed file." in page
    assert "a plain list on this host" in page
    assert str(tree / "a") not in page
    assert os.listdir(tmp_path / "home") == []
    (tmp_path / "events").write_bytes(told.out)
    again = hashscan("report", "--events", tmp_path / "events", "--names", "--format", "csv", env=home)
    assert str(tree / "a") in again.out.decode()
    assert os.listdir(tmp_path / "home") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("report",), "no run is remembered"),
        (("report", "--events", "/nonexistent"), "cannot read the events"),
        (("report", "--events", "/dev/null"), "holds no event"),
        (("scan", "--html", "/nonexistent/x.html", "/srv"), "cannot be written there"),
        (("schema", "evnt"), "'evnt' is not one of"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    told = hashscan(*arguments, env={"HASHSCAN_PATHS_STATE": str(tmp_path), "HASHSCAN_PATHS_RUN": str(tmp_path)})
    assert told.code == 2
    assert words in told.complaint


@pytest.mark.parametrize("name", schema.NAMES)
def test_schemas_are_printed(name: str) -> None:
    told = hashscan("schema", name)
    assert told.code == 0
    assert json.loads(told.out) == schema.load(name)
