"""How a scan leaves the host to others: flags, waiting for its hour, niceness, and what it heeds while it runs."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import click
from blake3 import blake3

from hashscan.cli import basics, engines
from hashscan.cli.folding import speak
from hashscan.cli.stopping import Stop
from hashscan.errors import StateError, StoppedError
from hashscan.files import host, pressure, priority
from hashscan.jobs.running import Word
from hashscan.jobs.steering import Orders
from hashscan.model import Json
from hashscan.settings import Part, Settings, writing

_LOOK = 0.5  # seconds between two looks at the clock on the wall while a scan waits for its hour: it may be set meanwhile

_FLAGS: Mapping[str, str] = {
    "bwlimit": "pace.bwlimit",
    "max_iops": "pace.max_iops",
    "pressure": "pace.pressure",
    "window": "pace.window",
    "max_duration": "pace.max_duration",
    "splay": "pace.splay",
    "nice": "pace.nice",
    "ionice": "pace.ionice",
    "shard": "scan.shard",
    "exclude_from": "scan.exclude_from",
}
_TOLD = ("pace.bwlimit", "pace.max_iops", "pace.pressure", "pace.window", "pace.max_duration", "scan.shard", "scan.exclude")


def flags(command: Callable[..., Any]) -> Callable[..., Any]:
    """The flags of a scan that are about its pace and its part of the work."""
    for option in reversed(
        (
            click.option(
                "--exclude", multiple=True, metavar="PATTERN", help="Leave out what fits (gitignore syntax); may be repeated."
            ),
            click.option("--exclude-from", metavar="FILE", help="Leave out what fits one of the patterns in FILE."),
            click.option("--shard", metavar="I/N", help="Read the files of one directory in N: this is host number I."),
            click.option("--bwlimit", metavar="RATE", help='Bytes a second: "20M", or a timetable "08:00,10M 22:00,off".'),
            click.option("--max-iops", type=click.IntRange(0), metavar="N", help="Files and directories a second."),
            click.option("--pressure", metavar="LIMITS", help='Rest while others wait: "on", "off", "io=30,cpu=60,memory=10".'),
            click.option("--window", metavar="HOURS", help='Work in these hours only, like "22:00-06:00"; wait for them.'),
            click.option("--max-duration", metavar="TIME", help='Stop after this time, like "6h"; --resume goes on.'),
            click.option("--splay", metavar="TIME", help="Wait a random time up to this first."),
            click.option("--nice", type=click.IntRange(0, 19), metavar="N", help="Niceness, 0 to 19."),
            click.option("--ionice", type=click.Choice(["idle", "best-effort"]), help="I/O class."),
        )
    ):
        command = option(command)
    return command


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the flags say, as settings. A file name on the command line belongs to where we stand."""
    told = {name: options[flag] for flag, name in _FLAGS.items()}
    if options["exclude"]:
        told["scan.exclude"] = list(options["exclude"])
    return told


def wait(settings: Settings, *, audit: bool, quiet: bool) -> None:
    """Wait for the hour of a scan, then the splay, holding nothing. What cannot work is told before, not at night.

    Raises `StoppedError` where somebody asks to stop meanwhile, and `UsageError`.
    """
    window = settings.pace.window
    if window.open_at(time.time()) and not settings.pace.splay:
        return
    if not audit:
        basics.enrolled(settings)
    with ExitStack() as stack:
        stop = Stop(stack)
        if not window.open_at(time.time()):
            _say(f"waiting for the window {window.text}", quiet=quiet)
        _pass_time(lambda: window.open_at(time.time()), stop)
        if seconds := _splay(settings):
            _say(f"waiting {seconds:.0f} s, so that not all hosts begin at once", quiet=quiet)
            until = time.monotonic() + seconds
            _pass_time(lambda: time.monotonic() >= until, stop)


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        speak(text, err=True)


def _pass_time(over: Callable[[], bool], stop: Callable[[], bool]) -> None:
    while not over():
        if stop():
            raise StoppedError("stopped before it began")
        time.sleep(_LOOK)


def _splay(settings: Settings) -> float:
    most = settings.pace.splay
    if not settings.pace.splay_by_host or not most:
        return random.uniform(0, most) if most else 0.0  # noqa: S311 - nobody gains by guessing it
    try:
        machine = host.machine_of(settings.state_dir, host.MACHINE_IDS)
    except OSError as error:
        raise StateError(f"this host has no id: {error}", hint="set pace.splay_by_host = false") from None
    return most * int.from_bytes(blake3(b"hashscan splay" + machine.encode()).digest(8), "big") / 2**64


def be_a_good_neighbour(settings: Settings) -> None:
    """Niceness and I/O class of this process and its workers. Raises `UsageError`."""
    priority.be_nice(settings.pace.nice)
    priority.set_io_class(settings.pace.ionice)


def orders(settings: Settings, stop: Stop, *, word: Word | None) -> Orders:
    """What the scan heeds while it runs."""
    pace = settings.pace
    ours = engines.workers(settings) / (engines.processors() or 1)
    return Orders(
        stop.wish,
        word,
        pressure.Neighbours(pace.pressure, ours) if pace.pressure.on else None,
        pressure.read_sample if pace.pressure.on else None,
        pace.window,
        pace.max_duration,
    )


def word(settings: Settings, stack: ExitStack) -> Word:
    """What the scan says of itself in the run folder, until ``stack`` is closed."""
    said = Word(settings.run_dir_of(Part.READ), basics.command_line())
    said.begin()
    stack.callback(said.end)
    return said


def told(settings: Settings) -> dict[str, Json]:
    """What of the pace is not the default, for the first event."""
    chosen: dict[str, Json] = {}
    for name in _TOLD:
        section, key = name.split(".")
        if name in settings.origins:
            chosen[key] = writing.plain(section, key, getattr(getattr(settings, section), key))
    return chosen
