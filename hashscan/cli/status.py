"""hashscan status."""

from __future__ import annotations

import time
from pathlib import Path

import click

from hashscan.cli import basics
from hashscan.jobs.status import Facts, status
from hashscan.report import events, metrics


@click.command(name="status")
@click.option(
    "--metrics",
    "metrics_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write a Prometheus text file, in one step.",
)
@click.option("--json", "as_json", is_flag=True, help="One NDJSON event on stdout.")
@click.pass_context
def command(ctx: click.Context, metrics_file: Path | None, *, as_json: bool) -> int:
    """Lists in force and their age, the last scan, pending candidates, outcomes not acknowledged, cases.

    Asks nobody. Exit 20: lists missing, too old or not to be trusted, or a clock that jumped back. Exit 11: pending candidates.
    """
    with basics.conversation(basics.Talk(json=as_json, quiet=as_json, text_on_stdout=True, progress=False)) as (
        reporter,
        stack,
    ):
        settings = basics.settings(ctx.obj)
        shelf = basics.enrolled(settings).shelf if settings.service.url else None
        box = basics.outbox_if_any(settings, stack)
        facts = Facts(
            pending=box.count() if box else 0,
            unsent=box.unsent_count() if box else 0,
            cases=tuple(basics.cases(settings)),
            state_dir=settings.state_dir,
        )
        now = time.time()
        told, code = status(shelf, facts, now=now, max_age=settings.lists.max_age)
        if metrics_file is not None:
            metrics.write(metrics_file.absolute(), metrics.metrics(told, now=now, exit_code=int(code)))
        reporter.tell(events.status(told))
    return code
