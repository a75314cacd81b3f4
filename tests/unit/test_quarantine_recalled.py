"""Cases that are remembered between two looks: never wrong, never fatal, and no names in the memo."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import QuarantineError
from hashscan.model import Case, CaseState, Place
from hashscan.quarantine import glance
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.recalled import MEMO, recalled
from hashscan.quarantine.vault import Vault
from tests.support.storytelling import NOW, Story

pytestmark = pytest.mark.usefixtures("no_descriptor_is_lost")


class Reading:
    """Reads real records, and remembers which."""

    def __init__(self, vault: Path) -> None:
        self.vault = vault
        self.asked: list[str] = []

    def __call__(self, case_ids: Sequence[str]) -> list[Case]:
        self.asked += case_ids
        return glance.some_at(self.vault, case_ids)

    def look(self, cache: Path) -> tuple[list[Case], list[str]]:
        self.asked = []
        return recalled(self.vault, cache, self), sorted(self.asked)


@pytest.fixture
def story(tmp_path: Path) -> Story:
    one = Story(tmp_path)
    for name in ("a", "b", "c"):
        one.take(name)
    (tmp_path / "cache").mkdir()
    return one


def _nobody(case_ids: Sequence[str]) -> list[Case]:
    """To read nothing costs the time of bringing in what reads: nobody is asked for nothing."""
    raise AssertionError(case_ids)


def nameless(cases: Sequence[Case]) -> list[tuple[str, CaseState, str, str, float]]:
    return [(case.id, case.state, case.entry, case.list_id, case.opened) for case in cases]


def vault(story: Story) -> Vault:
    return story.vault()


def test_what_has_not_changed_is_not_read_again(story: Story) -> None:
    reading, cache = Reading(story.top / "vault"), story.top / "cache"
    first, asked = reading.look(cache)
    assert len(asked) == 3
    second, asked = reading.look(cache)
    assert asked == []
    assert first == second == recalled(reading.vault, cache, _nobody)
    assert sorted(nameless(first)) == sorted(nameless(list(vault(story).cases())))
    assert not any(hasattr(case, "place") for case in first)
    assert (cache / MEMO).stat().st_mode & 0o777 == 0o600
    assert str(story.tree) not in (cache / MEMO).read_text()


def test_what_has_changed_is_read_again(story: Story) -> None:
    reading, cache = Reading(story.top / "vault"), story.top / "cache"
    reading.look(cache)
    (changed,) = [case_id for case_id, name in story.names.items() if name == "<b>"]
    Cabinet(story.top / "vault", lambda: NOW).restore(changed)
    story.take("d")
    cases, asked = reading.look(cache)
    assert changed in asked
    assert len(asked) == 2
    assert {case.id: case.state for case in cases}[changed] is CaseState.RESTORED
    assert reading.look(cache)[1] == []


def test_a_record_with_the_old_times_and_another_inode_is_read(story: Story) -> None:
    reading, cache = Reading(story.top / "vault"), story.top / "cache"
    reading.look(cache)
    (path, *_) = sorted((story.top / "vault/cases").glob("*/record.json"))
    status = path.stat()
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    os.rename(copy, path)
    assert reading.look(cache)[1] == [path.parent.name]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"[]",
        b"7",
        b'{"format": 1, "columns": [[], [], [], [], [], [], []]}',
        b'{"format": 2, "columns": [[], [], [], [], [], [], []]}',
        b'{"format": 2, "columns": 7}',
        b'{"format": 2, "columns": {"%s": 7}}',
        b'{"columns": []}',
        b'{"format": 2}',
    ],
)
def test_a_damaged_memo_is_a_memo_of_nothing(story: Story, damage: bytes) -> None:
    reading, cache = Reading(story.top / "vault"), story.top / "cache"
    whole, _ = reading.look(cache)
    (cache / MEMO).write_bytes(damage.replace(b"%s", whole[0].id.encode()))
    again, asked = reading.look(cache)
    assert again == whole
    assert len(asked) == 3


ODD: list[Callable[[list[list[Any]]], object]] = [
    lambda columns: columns[3].__setitem__(0, "dancing"),
    lambda columns: columns[6].__setitem__(1, "yesterday"),
    lambda columns: columns[1].__setitem__(2, None),
    lambda columns: columns[0].__setitem__(0, ["a"]),
    lambda columns: columns[4].pop(),
    lambda columns: columns.pop(),
    lambda columns: columns.append([]),
    lambda columns: columns.__setitem__(2, 7),
]


@pytest.mark.parametrize("change", ODD)
def test_a_memo_with_an_odd_column_is_believed_in_nothing(story: Story, change: Callable[[list[list[Any]]], object]) -> None:
    reading, cache = Reading(story.top / "vault"), story.top / "cache"
    whole, _ = reading.look(cache)
    memo = json.loads((cache / MEMO).read_text())
    change(memo["columns"])
    (cache / MEMO).write_text(json.dumps(memo))
    again, asked = reading.look(cache)
    assert (again, asked) == (whole, sorted(case.id for case in whole))
    assert reading.look(cache)[1] == [], "and it is made anew"


def test_a_case_that_is_gone_is_not_told(story: Story) -> None:
    reading, cache = Reading(story.top / "vault"), story.top / "cache"
    whole, _ = reading.look(cache)
    shutil.rmtree(story.top / "vault/cases" / whole[1].id)
    assert reading.look(cache) == ([whole[0], whole[2]], [])


def test_a_control_the_memo_is_read(story: Story) -> None:
    reading, cache = Reading(story.top / "vault"), story.top / "cache"
    whole, _ = reading.look(cache)
    memo = json.loads((cache / MEMO).read_text())
    memo["columns"][4][1] = "another entry"
    (cache / MEMO).write_text(json.dumps(memo))
    again, asked = reading.look(cache)
    assert ([case.entry for case in again], asked) == ([whole[0].entry, "another entry", whole[2].entry], [])


def test_a_damaged_record_is_looked_at_each_time(story: Story) -> None:
    reading, cache = Reading(story.top / "vault"), story.top / "cache"
    (path, *_) = sorted((story.top / "vault/cases").glob("*/record.json"))
    path.write_bytes(b"{")
    for _ in range(2):
        cases, asked = reading.look(cache)
        assert path.parent.name in asked
        assert sum(case.state is CaseState.DAMAGED for case in cases) == 1
    path.unlink()
    assert path.parent.name in reading.look(cache)[1]


def test_a_record_that_comes_and_goes_is_not_remembered_as_one_that_is_there(story: Story) -> None:
    """It was not there when it was looked at, came back before it was read, and is gone again."""
    reading, cache = Reading(story.top / "vault"), story.top / "cache"
    (path, *_) = sorted((story.top / "vault/cases").glob("*/record.json"))
    away = path.with_name("away")
    path.rename(away)

    def back(case_ids: Sequence[str]) -> list[Case]:
        away.rename(path)
        return reading(case_ids)

    assert {case.state for case in recalled(reading.vault, cache, back)} == {CaseState.DONE}
    path.rename(away)
    cases, asked = reading.look(cache)
    assert asked == [path.parent.name]
    assert {case.id: case.state for case in cases}[path.parent.name] is CaseState.DAMAGED


def test_without_a_cache_folder_everything_is_read_and_none_is_made(story: Story) -> None:
    reading = Reading(story.top / "vault")
    for _ in range(2):
        assert len(reading.look(story.top / "missing")[1]) == 3
    assert not (story.top / "missing").exists()


def test_no_vault_has_no_case_and_one_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    assert recalled(tmp_path / "none", tmp_path, lambda _: []) == []
    loop = tmp_path / "loop"
    loop.mkdir()
    (loop / "cases").symlink_to(loop / "cases")
    with pytest.raises(QuarantineError, match="cannot be read"):
        recalled(loop, tmp_path, lambda _: [])


def test_the_oldest_comes_first(tmp_path: Path) -> None:
    for name in ("a" * 16, "b" * 16):
        (tmp_path / "vault/cases" / name).mkdir(parents=True)

    def read(case_ids: Sequence[str]) -> list[Case]:
        return [Case(one, CaseState.DAMAGED, Place(b"", b""), 0, "", "", "", -float(ord(one[0]))) for one in case_ids]

    assert [case.id for case in recalled(tmp_path / "vault", tmp_path, read)] == ["b" * 16, "a" * 16]
