"""hashscan quarantine take: the part of a split host that acts."""

from __future__ import annotations

import time

import click

from hashscan.cli import alerting, parts, wiring
from hashscan.cli.source import Source
from hashscan.cli.stopping import Stop
from hashscan.errors import UsageError
from hashscan.jobs.conclude import ActTools
from hashscan.jobs.confirm import confirm_waiting
from hashscan.report import events
from hashscan.report.tally import Tally


@click.command(name="take")
@click.option("--quarantine/--report", "quarantine", default=None, help="Move findings into the vault, or only report them.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless somebody should look.")
@click.pass_obj
def take(config: Source, *, quarantine: bool | None, as_json: bool, quiet: bool) -> int:
    """On a split host: act on the findings that the part which asks has handed over. Their verdicts are checked again.

    One whose verdict is older than 15 minutes by now goes back and is asked about again.
    """
    started = time.time()
    talk = wiring.Talk(json=as_json, quiet=quiet)
    with wiring.conversation(talk) as (screen, stack):
        settings = wiring.settings(config, {"quarantine.enabled": quarantine})
        if settings.part is None:
            raise UsageError("this host is not split: a scan acts by itself", hint="see paths.split")
        with alerting.heard(settings, talk, screen, alerting.Run("quarantine take")) as reporter:
            plan, unsettled = parts.acting_plan(settings, stack, reporter)
            tally = Tally(stale=plan.stale, unsettled_cases=unsettled)
            act = ActTools(plan.confirmer, plan.memory, plan.quarantine, reporter, Stop(stack), plan.tenant_of)
            confirm_waiting(act, plan.sieve, tally)
            parts.close_acting(settings, plan.the_vault())
            reporter.tell(events.summary(tally, complete=not tally.stopped, seconds=time.time() - started))
    return tally.exit_code
