"""hashscan pause, resume, stop: a word to the scan that runs."""

from __future__ import annotations

import time
from collections.abc import Callable

import click

from hashscan.cli import basics
from hashscan.cli.folding import speak
from hashscan.cli.source import Source
from hashscan.errors import ExitCode, IncompleteError, UsageError
from hashscan.jobs.running import GO_ON, PAUSE, STOP, Running, ask, running
from hashscan.jobs.steering import PAUSED
from hashscan.settings import Part

_PATIENCE = 15.0  # seconds; a scan hears within a second, but one that waits for the service has other things to do first
_LOOK = 0.1


@click.command(name="pause")
@click.pass_obj
def pause(source: Source) -> int:
    """Let the scan that runs rest until `hashscan resume`. It keeps its lock and its place."""
    return _told(source, PAUSE, lambda scan: scan is not None and scan.state == PAUSED, "paused")


@click.command(name="resume")
@click.pass_obj
def resume(source: Source) -> int:
    """Let a paused scan go on. (A scan that was stopped goes on with `hashscan scan --resume`.)"""
    return _told(source, GO_ON, lambda scan: scan is None or scan.state != PAUSED, "goes on")


@click.command(name="stop")
@click.pass_obj
def stop(source: Source) -> int:
    """Let the scan that runs stop in good order: it leaves a checkpoint and exits with 4."""
    return _told(source, STOP, lambda scan: scan is None, "stopped")


def _told(source: Source, wish: str, heard: Callable[[Running | None], bool], done: str) -> int:
    folder = basics.settings(source).run_dir_of(Part.READ)
    scan = running(folder)
    if scan is None:
        raise UsageError("no scan is running", hint="an audit (scan --known) hears signals only: SIGUSR1, SIGUSR2, SIGTERM")
    ask(folder, scan, wish)
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        now = running(folder)
        if heard(now if now is not None and now.run == scan.run else None):
            speak(f"{done}: pid {scan.pid}, {scan.command}")
            return ExitCode.OK
        time.sleep(_LOOK)
    hint = "it will do so as soon as it can; 'hashscan status' and its log say more"
    raise IncompleteError(f"the scan (pid {scan.pid}) has not answered within {_PATIENCE:.0f} s", hint=hint)
