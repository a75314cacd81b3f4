from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from hashscan.errors import LockedError, StateError
from hashscan.quarantine.lock import RunLock


def test_the_second_run_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "run/lock"
    owner = rf"pid {os.getpid()} since 1970-01-01T00:00:00\+00:00"
    with RunLock(path, clock=lambda: 0.0), pytest.raises(LockedError, match=owner):
        RunLock(path).__enter__()
    with RunLock(path):
        pass
    assert path.exists()


def test_what_runs_is_said_in_printable_letters(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with RunLock(path, clock=lambda: 0.0, command="hashscan scan '~/\u00fc\n\x1b[1m\x7f'" + "x" * 300):
        said = path.read_text("ascii").partition("+00:00")[2]
    assert said == ": " + ("hashscan scan '~/???[1m?'" + "x" * 300)[:200] + "\n"


def test_a_shorter_owner_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("x" * 500)
    with RunLock(path):
        assert path.read_text().startswith("pid ")
        assert "x" not in path.read_text()


def test_a_killed_owner_lets_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with RunLock(path):
            os.write(writing, b"x")
            signal.pause()
        os._exit(1)
    os.read(reading, 1)
    with pytest.raises(LockedError, match=f"pid {child} "):
        RunLock(path).__enter__()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with RunLock(path):
        pass
    os.close(reading)
    os.close(writing)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="cannot be opened"):
        RunLock(tmp_path / "lock").__enter__()
    assert not (tmp_path / "elsewhere").exists()


def test_a_close_that_fails_ends_no_run_with_a_traceback(tmp_path: Path) -> None:
    with RunLock(tmp_path / "lock") as lock:
        os.close(lock._fd)
    with RunLock(tmp_path / "lock"):
        pass


def test_the_file_says_who_runs_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with RunLock(path, clock=lambda: 0.0):
        assert path.read_bytes() == b"pid %d since 1970-01-01T00:00:00+00:00\n" % os.getpid()
        assert path.stat().st_mode & 0o777 == 0o600
        path.write_bytes(b"")
        with pytest.raises(LockedError, match=r"another run holds .*/lock: an unnamed process") as caught:
            RunLock(path).__enter__()
    assert caught.value.hint == "wait for it to end, or stop it: a scan with 'hashscan stop'"
