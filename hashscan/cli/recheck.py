"""hashscan recheck."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from hashscan.cli import alerting, engines, parts, plans, wiring
from hashscan.cli.stopping import Stop
from hashscan.errors import UsageError
from hashscan.jobs.conclude import ActTools
from hashscan.jobs.outcomes import close_run
from hashscan.jobs.recheck import recheck
from hashscan.jobs.scan import ScanTools
from hashscan.jobs.selftest import require_self_test
from hashscan.ports import Reporter
from hashscan.report import events
from hashscan.report.tally import Tally
from hashscan.settings import Part, Settings


@click.command(name="recheck")
@click.argument("paths", nargs=-1, type=click.Path(path_type=bytes))
@click.option(
    "--known", type=click.Path(dir_okay=False, path_type=Path), help="Match against this plain hash list, no service."
)
@click.option("--quarantine/--report", "quarantine", default=None, help="Move findings into the vault, or only report them.")
@click.option("--dry-run", is_flag=True, help="Move nothing and tell the service nothing, whatever the configuration says.")
@click.option("-j", "--jobs", type=click.IntRange(1, 64), help="Worker processes.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing unless somebody should look.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> int:
    """Match the remembered digests below PATHS (all, where none is named) against the lists in force, without reading a file.

    Candidates are confirmed and findings acted upon as in a scan. Files that are new or have changed are for the next scan.
    """
    if options["known"] and options["quarantine"]:
        raise UsageError("an audit against a plain list never moves files", hint="leave --quarantine or --known out")
    talk = wiring.Talk(json=options["as_json"], quiet=options["quiet"])
    with wiring.conversation(talk) as (screen, stack):
        flags = {"scan.jobs": options["jobs"], "quarantine.enabled": options["quarantine"]}
        settings = wiring.settings(ctx.obj, flags, Part.READ)
        heard = alerting.Run("recheck", audit=bool(options["known"]))
        with alerting.heard(settings, talk, screen, heard) as reporter:
            roots = engines.absolute(options["paths"])
            if options["known"]:
                plan = plans.audit_plan(options["known"])
            else:
                plan = parts.walking_plan(settings, stack, dry_run=options["dry_run"])
                require_self_test(plan.sieve)
            return _recheck(settings, plan, roots, reporter, Stop(stack))


def _recheck(settings: Settings, plan: plans.Plan, roots: list[bytes], reporter: Reporter, stop: Stop) -> int:
    started = time.time()
    lists = [target.list for target in plan.lists.targets] if plan.lists else []
    reporter.tell(events.scan_start(roots, plan.mode, lists, {"recheck": True, "stale": plan.stale}))
    tally = Tally(stale=plan.stale, unsettled_cases=plans.recover(plan, reporter))
    act = ActTools(plan.confirmer, plan.memory, plan.quarantine, reporter, stop, plan.tenant_of)
    recheck(ScanTools(engines.recheck_engine(settings), plan.sieve, act, time.monotonic, stop), roots, tally)
    close_run(plan.tell, plan.confirmer, reporter, tally)
    reporter.tell(events.summary(tally, complete=not tally.stopped, seconds=time.time() - started))
    return tally.exit_code
