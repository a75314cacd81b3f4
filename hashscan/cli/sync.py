"""hashscan sync."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import click

from hashscan.cli import wiring
from hashscan.errors import ExitCode, LockedError, UsageError
from hashscan.jobs.sync import SyncTools, seconds_left, sync, wait_for_turn
from hashscan.known.trust import FolderFetcher
from hashscan.report import events
from hashscan.settings import Part, Settings


@click.command(name="sync")
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the published files from this folder, for hosts without a network.",
)
@click.option("--scheduled", is_flag=True, help="For timers: keep the waits that the service asks for.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless somebody should look.")
@click.pass_context
def command(ctx: click.Context, folder: Path | None, *, scheduled: bool, as_json: bool, quiet: bool) -> int:
    """Fetch and verify the hash lists. Exit 0 also when everything is up to date.

    Until all new lists are here and their signatures and contents hold, the old ones stay in force.
    """
    if scheduled and folder is not None:
        raise UsageError("--scheduled and --from do not go together", hint="a folder can be read at any time")
    with wiring.conversation(wiring.Talk(json=as_json, quiet=quiet)) as (reporter, stack):
        settings = wiring.settings(ctx.obj, part=Part.NET)
        wiring.require_part(settings)
        using = wiring.service_tools(settings).sync_tools(stack, reporter)
        if folder is not None:
            using = replace(using, fetcher=FolderFetcher(folder), keys_for=None)
        if scheduled and not _turn(settings, using):
            return ExitCode.OK
        stack.enter_context(wiring.lock(settings, "sync.lock"))
        if not scheduled or _still_due(using):
            sync(using)
    return ExitCode.OK


def _turn(settings: Settings, using: SyncTools) -> bool:
    """Wait under a lock of its own: a person's sync goes ahead meanwhile, and timers do not pile up behind a long jitter."""
    with ExitStack() as waiting:
        try:
            waiting.enter_context(wiring.lock(settings, "sync-waiting.lock"))
        except LockedError:
            using.reporter.tell(events.sync_wait("another", 0.0))
            return False
        return wait_for_turn(using, time.sleep, lambda: secrets.randbelow(1_000_001) / 1_000_000)


def _still_due(using: SyncTools) -> bool:
    """Whether nobody has synced while we waited."""
    left = seconds_left(using.shelf.clock, using.shelf.lists(), using.clock())
    if left:
        using.reporter.tell(events.sync_wait("minimum", left))
    return not left
