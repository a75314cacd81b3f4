"""The composition root for runs that ask: what a scan asks with, and what it does with findings."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hashscan.central.forgetful import Forgetful
from hashscan.central.outbox import Outbox
from hashscan.central.untold import UntoldOutbox
from hashscan.cli import wiring
from hashscan.errors import UsageError
from hashscan.jobs.conclude import nobody
from hashscan.jobs.confirm import LocalConfirmer, ServiceConfirmer
from hashscan.jobs.outcomes import OutcomeTools
from hashscan.jobs.restore import note_restored
from hashscan.known.exact import load_local_list
from hashscan.model import Lists
from hashscan.ports import Confirmer, Memory, Quarantine, Reporter, Sieve
from hashscan.quarantine.report_only import ReportOnly
from hashscan.quarantine.vault import Recovered, Vault
from hashscan.report import events
from hashscan.settings import Settings


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scan asks with and what it does with findings: the flags, turned into objects.

    ``recorded``: `hashscan status` speaks of this scan as the last one.
    """

    sieve: Sieve
    confirmer: Confirmer
    memory: Memory
    quarantine: Quarantine
    mode: str
    lists: Lists | None = None
    stale: bool = False
    tell: OutcomeTools | None = None
    vault: Vault | None = None
    tenant_of: Callable[[bytes], str] = nobody
    recorded: bool = False

    def the_vault(self) -> Vault:
        """The vault of a plan that may act. Raises `UsageError` for one that may not."""
        if self.vault is None:
            raise UsageError("this run may not act")
        return self.vault


def audit_plan(known: Path) -> Plan:
    """A plain local list, no service: findings are reported, never moved, and nothing is remembered."""
    sieve = load_local_list(known)
    return Plan(sieve, LocalConfirmer(sieve), Forgetful(time.time), ReportOnly(), "audit")


def service_plan(chosen: Settings, stack: ExitStack, *, dry_run: bool, trigger: str = "scan") -> Plan:
    """The lists in force and the service, under the lock of one run at a time. A wrong configuration is told before that.

    A dry run is a quarantine that only reports and an outbox that tells nobody.
    """
    tools = wiring.service_tools(chosen)
    stack.enter_context(wiring.lock(chosen))
    lists, stale = tools.lists_in_force()
    moves = chosen.quarantine.enabled and not dry_run
    memory = _untold(chosen, stack) if dry_run else wiring.outbox(chosen, stack)
    court = tools.court(stack, lists)
    real = wiring.vault(chosen, trigger, tools.grounds(lists))
    return Plan(
        sieve=tools.shelf.sieve(lists),
        confirmer=ServiceConfirmer(court),
        memory=memory,
        quarantine=real if moves else ReportOnly(),
        mode="dry-run" if dry_run else "quarantine" if moves else "report",
        lists=lists,
        stale=stale,
        tell=None if dry_run else OutcomeTools(court.service, court.keys, memory, court.provider, court.doubt, real.log_head),
        vault=None if dry_run else real,
        tenant_of=wiring.tenants(chosen).of_path,
        recorded=not dry_run,
    )


def _untold(chosen: Settings, stack: ExitStack) -> Outbox:
    opened = UntoldOutbox(wiring.outbox_file(chosen), time.time)
    stack.callback(opened.close)
    return opened


def recover(plan: Plan, reports: Reporter) -> int:
    """Bring what an earlier run left half done to its end, before anything else. How many cases need a person."""
    if plan.vault is None:
        return 0
    unsettled = recover_vault(plan.vault, reports)
    if plan.tell is not None:
        note_restored(plan.vault, plan.tell.outbox)
    return unsettled


def recover_vault(vault: Vault, reports: Reporter) -> int:
    """The same for a command that works on the vault alone."""
    results = vault.recover()
    for result in results:
        reports.tell(events.recovered(result.case_id, result.outcome.value, result.detail))
    return sum(result.outcome in {Recovered.WAITING, Recovered.DAMAGED, Recovered.ORPHAN} for result in results)
