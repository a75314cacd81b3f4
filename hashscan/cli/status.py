"""hashscan status."""

from __future__ import annotations

import time

import click

from hashscan.cli import wiring
from hashscan.jobs.status import Facts, status
from hashscan.report import events


@click.command(name="status")
@click.option("--json", "as_json", is_flag=True, help="One NDJSON event on stdout.")
@click.pass_context
def command(ctx: click.Context, *, as_json: bool) -> int:
    """Lists in force and their age, the last scan, pending candidates, outcomes not acknowledged, cases.

    Asks nobody. Exit 20: lists missing, too old or not to be trusted. Exit 11: candidates are pending.
    """
    with wiring.conversation(wiring.Talk(json=as_json, quiet=as_json, text_on_stdout=True)) as (reporter, stack):
        settings = wiring.settings(ctx.obj)
        shelf = wiring.service_tools(settings).shelf if settings.service.url else None
        box = wiring.outbox_if_any(settings, stack)
        facts = Facts(
            pending=box.count() if box else 0,
            unsent=box.unsent_count() if box else 0,
            cases=tuple(wiring.vault(settings, "").cases()),
            state_dir=settings.state_dir,
        )
        told, code = status(shelf, facts, now=time.time(), max_age=settings.lists.max_age)
        reporter.tell(events.status(told))
    return code
