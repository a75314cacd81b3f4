"""hashscan alerts test|send."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from hashscan.cli import alerting, basics, talking
from hashscan.cli.folding import speak
from hashscan.cli.groups import Group
from hashscan.errors import ExitCode, HashscanError, IncompleteError
from hashscan.report import events
from hashscan.settings import Part
from hashscan.units import counted


@click.group(cls=Group, name="alerts")
def command() -> None:
    """Who hears of runs: the sinks of [alerts]. What leaves is counts and ids, unless alerts.detail says otherwise."""


@command.command()
@click.pass_obj
def test(config: Path | None) -> int:
    """Tell every sink that is configured of a test, and say what became of it. Exit 3: one could not tell it."""
    settings = basics.settings(config)
    failed = 0
    with ExitStack() as stack:
        sinks = alerting.sinks_of(settings, talking.new_run_id(), stack, pings=True)
        for sink in sinks:
            try:
                sink.reporter.tell(events.test())
            except HashscanError as error:
                failed += 1
                speak(f"FAILED  {sink.name}: {error}")
            else:
                speak(f"ok      {sink.name}")
    if not sinks:
        speak("nothing is configured in [alerts] that would tell anybody", err=True)
    return ExitCode.INCOMPLETE if failed else ExitCode.OK


@command.command()
@click.pass_obj
def send(config: Path | None) -> int:
    """Deliver the webhooks that wait on disk, now. Exit 3: some still wait, or were given up."""
    settings = basics.settings(config, part=Part.NET)
    basics.require_part(settings)
    with ExitStack() as stack:
        _, courier = alerting.courier(settings, stack)
        sent = 0
        while True:
            done = courier.deliver(now_or_never=True)
            sent += done.sent
            if done.expired:
                speak(f"{counted(done.expired, 'message')} too old, given up", err=True)
            if done.why or not done.waiting or not done.sent:
                break
    speak(f"{sent} sent, {done.waiting} wait")
    if done.why:
        raise IncompleteError(f"{done.why}", hint="what waits stays on disk and is tried again by the next run")
    return ExitCode.INCOMPLETE if done.waiting or done.expired else ExitCode.OK
