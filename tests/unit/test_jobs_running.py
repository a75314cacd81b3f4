"""What a scan says of itself, what is asked of it, and what is not believed; and what follows from it all."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from hashscan.cli.stopping import Stop
from hashscan.errors import StateError
from hashscan.files.pressure import Neighbours, Sample
from hashscan.jobs.running import GO_ON, PAUSE, RUNNING, STOP, WISH, Word, ask, birth_of, running
from hashscan.jobs.steering import Orders, Steering
from hashscan.report.tally import Tally
from hashscan.settings.pressure import PressureLimits
from hashscan.settings.timetable import as_window
from tests.support.children import end, run, start


@pytest.fixture
def word(tmp_path: Path) -> Word:
    word = Word(tmp_path / "run", "hashscan scan /srv/a\nb")
    word.begin()
    word.say("scanning", "", 10, 1)
    return word


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_a_scan_says_who_it_is_and_hears_what_it_is_asked(word: Word, folder: Path) -> None:
    scan = running(folder)
    assert scan is not None
    assert (scan.pid, scan.command, scan.state, scan.seen, scan.findings) == (
        os.getpid(),
        "hashscan scan /srv/a?b",
        "scanning",
        10,
        1,
    )
    assert (folder / RUNNING).stat().st_mode & 0o777 == 0o600
    assert word.take() == ""
    for wish in (PAUSE, GO_ON, PAUSE, PAUSE, STOP):
        ask(folder, scan, wish)
        assert word.take() == wish
        assert word.take() == "", "once"
    word.end()
    assert running(folder) is None
    assert os.listdir(folder) == []


def test_a_wish_for_another_scan_is_not_ours(word: Word, folder: Path) -> None:
    scan = running(folder)
    assert scan is not None
    ask(folder, scan, STOP)
    later = Word(folder, "hashscan scan /srv")
    assert later.take() == "", "it names the one before"
    later.begin()
    assert not (folder / WISH).exists()


def test_what_is_not_believed(word: Word, folder: Path) -> None:
    wish = {"run": word.run, "wish": STOP}
    path = folder / WISH
    whole, nothing = json.dumps(wish), [("{", 0o600), ("", 0o600), ("[]", 0o600), ("x" * 9999, 0o600)]
    unlike = [(json.dumps({**wish, "wish": "dance"}), 0o600), (json.dumps({"run": word.run}), 0o600)]
    for text, mode in ((whole, 0o666), (whole, 0o620), *nothing, *unlike):
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(mode)
        assert word.take() == "", (text[:20], mode)
    path.unlink()
    (folder / "elsewhere").write_text(json.dumps(wish))
    path.symlink_to("elsewhere")
    assert word.take() == ""
    path.unlink()
    os.mkfifo(path, 0o600)
    assert word.take() == ""
    path.unlink()
    path.write_text(json.dumps(wish))
    path.chmod(0o600)
    assert word.take() == STOP, "control"
    if os.geteuid() == 0:
        os.chown(path, 12_345, -1)
        os.utime(path)
        assert word.take() == ""


def test_a_killed_scan_does_not_run(tmp_path: Path) -> None:
    def say() -> None:
        Word(tmp_path, "hashscan scan /srv").say("scanning", "", 0, 0)

    assert end(start(say)) == 0
    assert (tmp_path / RUNNING).exists()
    assert running(tmp_path) is None
    told = json.loads((tmp_path / RUNNING).read_text())
    (tmp_path / RUNNING).write_text(json.dumps({**told, "pid": os.getpid()}))
    assert running(tmp_path) is None, "the number is another process's now"
    (tmp_path / RUNNING).write_text(json.dumps({**told, "pid": os.getpid(), "birth": birth_of(os.getpid())}))
    assert running(tmp_path) is not None, "control"
    (tmp_path / RUNNING).write_text("{")
    assert running(tmp_path) is None
    assert birth_of(2**22 + 1) == -1


def test_a_run_folder_that_fails_ends_no_scan(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    word = Word(tmp_path / "file" / "run", "x")
    word.begin()
    word.say("scanning", "", 0, 0)
    assert word.take() == ""
    word.end()
    with pytest.raises(StateError):
        running(tmp_path / "file" / "run")


class Times:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_750_636_800.0

    def __call__(self) -> float:
        return self.now


def test_pausing_by_signal_and_by_command_is_one_thing(word: Word, folder: Path) -> None:
    scan, tally, times, signals = running(folder), Tally(), Times(), [""]
    assert scan is not None

    def signalled() -> str:
        wish, signals[0] = signals[0], ""
        return wish

    steering = Steering(Orders(signalled, word), tally, clock=times, wall=times)
    assert not steering.rest()
    signals[0] = PAUSE
    assert steering.rest()
    assert tally.resting == "paused"
    said = running(folder)
    assert said is not None
    assert said.state == "paused"
    times.now += 3
    ask(folder, scan, GO_ON)
    assert not steering.rest(), "a command undoes what a signal began"
    assert tally.rested == {"paused": 3.0}
    ask(folder, scan, PAUSE)
    assert steering.rest()
    times.now += 100
    signals[0] = GO_ON
    assert not steering.rest()
    assert tally.rested == {"paused": 3.0}, "a hole that long is a machine that slept"
    assert not steering.stop()
    ask(folder, scan, STOP)
    assert steering.stop()
    assert tally.stopped_by == "asked"
    ask(folder, scan, GO_ON)
    assert steering.stop(), "nothing undoes a stop"


def test_a_window_and_a_time_end_a_scan(word: Word) -> None:
    times, tally = Times(), Tally()
    local = time.localtime(times.now)
    window = as_window(f"{local.tm_hour:02}:{local.tm_min:02}-{(local.tm_hour + 1) % 24:02}:{local.tm_min:02}")
    steering = Steering(Orders(window=window), tally, clock=times, wall=times)
    times.now += 3599
    assert not steering.stop()
    times.now += 1
    assert steering.stop()
    assert tally.stopped_by == "window"
    times, tally = Times(), Tally()
    steering = Steering(Orders(max_duration=60.0), tally, clock=times, wall=times)
    times.now += 59
    assert not steering.stop()
    times.now += 1
    assert steering.stop()
    assert tally.stopped_by == "max_duration"
    tally = Tally()
    assert Steering(Orders(lambda: STOP), tally).stop()
    assert tally.stopped_by == "signal"


def test_others_make_it_rest_and_the_reason_is_told() -> None:
    times, tally, stalled = Times(), Tally(), [0.0]
    orders = Orders(neighbours=Neighbours(PressureLimits(io=0.3)), sample=lambda: Sample({"io": stalled[0]}))
    steering = Steering(orders, tally, clock=times, wall=times)
    rests = []
    for step in range(600):
        times.now += 0.1
        stalled[0] += 0.09 if step < 300 else 0.0
        rests.append(steering.rest())
        if step == 299:
            assert tally.resting == "io pressure 90 %"
    assert not rests[0]
    assert all(rests[50:300])
    assert not any(rests[370:])
    assert 25 < tally.rested["pressure"] < 37


def test_a_pause_that_comes_too_late_kills_nobody() -> None:
    def late() -> None:
        with ExitStack() as stack:
            stop = Stop(stack, pausable=True)
            os.kill(os.getpid(), signal.SIGUSR1)
            assert stop.wish() == PAUSE
            assert stop.wish() == ""
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR2)

    assert run(late) == 0
