"""hashscan confirm."""

from __future__ import annotations

import time

import click

from hashscan.cli import alerting, parts, plans, wiring
from hashscan.cli.stopping import Stop
from hashscan.jobs.conclude import ActTools
from hashscan.jobs.confirm import confirm_waiting
from hashscan.jobs.outcomes import close_run
from hashscan.ports import Reporter
from hashscan.report import events
from hashscan.report.tally import Tally
from hashscan.settings import Part


@click.command(name="confirm")
@click.option("--quarantine/--report", "quarantine", default=None, help="Move findings into the vault, or only report them.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless somebody should look.")
@click.pass_context
def command(ctx: click.Context, *, quarantine: bool | None, as_json: bool, quiet: bool) -> int:
    """Ask the service again about pending candidates, act on the answers, and tell outcomes that it has not acknowledged."""
    talk = wiring.Talk(json=as_json, quiet=quiet)
    with wiring.conversation(talk) as (screen, stack):
        settings = wiring.settings(ctx.obj, {"quarantine.enabled": quarantine}, Part.NET)
        with alerting.heard(settings, talk, screen, alerting.Run("confirm")) as reporter:
            code = _confirm(parts.asking_plan(settings, stack, reporter), reporter, Stop(stack))
        alerting.deliver_for_others(settings)
    return code


def _confirm(plan: plans.Plan, reporter: Reporter, stop: Stop) -> int:
    started = time.time()
    tally = Tally(stale=plan.stale, unsettled_cases=plans.recover(plan, reporter))
    confirm_waiting(ActTools(plan.confirmer, plan.memory, plan.quarantine, reporter, stop, plan.tenant_of), plan.sieve, tally)
    close_run(plan.tell, plan.confirmer, reporter, tally)
    reporter.tell(events.summary(tally, complete=not tally.stopped, seconds=time.time() - started))
    return tally.exit_code
