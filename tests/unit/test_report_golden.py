"""What machines parse stays as it is, byte for byte. ``python -m tests.support.golden`` writes the files anew."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from hashscan.report import schema
from tests.support.golden import FOLDER, all_files
from tests.support.telling import TYPES

FILES = all_files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_it_is_as_it_was(path: Path) -> None:
    said = f"{path.name}: what others parse has changed. If that is meant: python -m tests.support.golden, and CHANGELOG.md"
    assert FILES[path] == path.read_text(encoding="ascii"), said


def test_there_is_a_file_for_every_type_and_none_for_another() -> None:
    assert {path.stem for path in (FOLDER / "events").iterdir()} == TYPES
    assert {path for path in FOLDER.rglob("*") if path.is_file()} == set(FILES)


def test_what_is_golden_is_valid() -> None:
    event = jsonschema.Draft202012Validator(schema.load("event"))
    for path in (FOLDER / "events").iterdir():
        for line in path.read_text(encoding="ascii").splitlines():
            event.validate(json.loads(line))
    jsonschema.Draft202012Validator(schema.load("report")).validate(json.loads((FOLDER / "report.json").read_text("ascii")))


def test_control_a_changed_field_is_noticed() -> None:
    path = FOLDER / "events" / "finding.ndjson"
    assert FILES[path].replace('"entry":', '"entry_id":') != path.read_text(encoding="ascii")
