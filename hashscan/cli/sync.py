"""hashscan sync."""

from __future__ import annotations

from pathlib import Path

import click

from hashscan.cli import wiring
from hashscan.errors import ExitCode
from hashscan.jobs.sync import SyncTools, sync
from hashscan.known.trust import FolderFetcher


@click.command(name="sync")
@click.option(
    "--from",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the published files from this folder, for hosts without a network.",
)
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless somebody should look.")
@click.pass_context
def command(ctx: click.Context, folder: Path | None, *, as_json: bool, quiet: bool) -> int:
    """Fetch and verify the hash lists. Exit 0 also when everything is up to date.

    Until all new lists are here and their signatures and contents hold, the old ones stay in force.
    """
    with wiring.conversation(wiring.Talk(json=as_json, quiet=quiet)) as (reporter, stack):
        settings = wiring.settings(ctx.obj)
        tools = wiring.service_tools(settings)
        stack.enter_context(wiring.lock(settings, "sync.lock"))
        using = tools.sync_tools(stack, reporter)
        if folder is not None:
            using = SyncTools(using.trust, FolderFetcher(folder), using.shelf, reporter, using.clock)
        sync(using)
    return ExitCode.OK
