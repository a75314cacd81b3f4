"""Runs are remembered: in order, bounded, private; a damaged one does not hide the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hashscan.errors import StateError, UsageError
from hashscan.report.history import History


def run(number: int, **more: Any) -> dict[str, Any]:
    started = 1_790_000_000.0 + 60 * (number % (1 << 16))
    return {"schema": "hashscan.report/1", "run_id": f"{number:016x}", "started_seconds": started, **more}


def ids(history: History) -> list[str]:
    return [one["run_id"] for one in history.all() if isinstance(one, dict)]


def test_the_newest_are_kept_in_order(tmp_path: Path) -> None:
    history = History(tmp_path / "runs", 3)
    for number in (5, 1, 4, 2, 3):
        history.keep(run(number))
    assert ids(history) == [f"{number:016x}" for number in (3, 4, 5)]
    assert (tmp_path / "runs").stat().st_mode & 0o777 == 0o700
    assert {os.stat(tmp_path / "runs" / name).st_mode & 0o777 for name in history.names()} == {0o600}


def test_the_end_of_a_run_takes_the_place_of_its_beginning(tmp_path: Path) -> None:
    history = History(tmp_path, 3)
    history.keep(run(1, exit_code=None))
    history.keep(run(1, exit_code=10))
    (one,) = history.all()
    assert isinstance(one, dict)
    assert one["exit_code"] == 10


def test_bytes_are_bounded_and_the_newest_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = History(tmp_path, 100)
    for number in range(3):
        history.keep(run(number))
    for name in history.names():
        os.truncate(tmp_path / name, 100 << 20)  # sparse
    history.keep(run(7))
    assert len(history.names()) == 2
    assert history.names()[-1].endswith("0007.json")


def test_none_are_kept_where_none_are_wanted(tmp_path: Path) -> None:
    History(tmp_path / "runs", 0).keep(run(1))
    assert not (tmp_path / "runs").exists()


def test_a_run_is_found_by_its_first_digits(tmp_path: Path) -> None:
    history = History(tmp_path, 9)
    for number in (0xABCD << 48, (0x1234 << 48) + 1, (0xABCD << 48) + (1 << 44) + 2):
        history.keep(run(number))
    assert history.find("1234")["run_id"].startswith("1234")
    assert history.find("last")["run_id"] == "abcd100000000002"
    assert history.find("ABCD1")["run_id"].startswith("abcd1")
    for wrong, words in (("abcd", "several"), ("123", "no run"), ("ffff", "no run"), ("", "several")):
        with pytest.raises(UsageError, match=words):
            history.find(wrong)
    with pytest.raises(UsageError, match="no run is remembered"):
        History(tmp_path / "none", 9).find("last")


def test_a_damaged_one_is_named(tmp_path: Path) -> None:
    history = History(tmp_path, 9)
    history.keep(run(1))
    history.keep(run(2))
    (tmp_path / history.names()[0]).write_bytes(b"{")
    damaged, whole = history.all()
    assert isinstance(damaged, StateError)
    assert "damaged" in str(damaged)
    assert isinstance(whole, dict)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("mine")
    history = History(tmp_path, 1)
    history.keep(run(1))
    history.keep(run(2))
    assert sorted(os.listdir(tmp_path)) == [*history.names(), "notes.json"]


def test_a_place_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be kept"):
        History(tmp_path / "file" / "runs", 1).keep(run(1))
