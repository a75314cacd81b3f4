"""The composition root of a split host: what each part asks with, and where it hands on what it found."""

from __future__ import annotations

import time
from contextlib import ExitStack

from hashscan.central.handover import ActingMemory, AskingOutbox, HandOver, ReadingMemory, Tray, put_head, read_head
from hashscan.cli import plans, wiring
from hashscan.jobs.confirm import ServiceConfirmer
from hashscan.jobs.outcomes import OutcomeTools
from hashscan.jobs.parts import HandingOn, Mute, SignedConfirmer
from hashscan.jobs.restore import note_restored
from hashscan.model import Warned
from hashscan.ports import Reporter
from hashscan.quarantine.report_only import ReportOnly
from hashscan.quarantine.vault import Vault
from hashscan.report import events
from hashscan.settings import Part, Settings

OUTCOMES = "outcomes"


def candidates(chosen: Settings) -> Tray:
    """From READ to NET; and back to NET from ACT."""
    return Tray(chosen.folder_of(Part.READ) / "candidates")


def findings(chosen: Settings) -> Tray:
    """From NET to ACT."""
    return Tray(chosen.folder_of(Part.NET) / "findings")


def outcomes(chosen: Settings) -> Tray:
    """From ACT to NET."""
    return Tray(chosen.folder_of(Part.ACT) / OUTCOMES)


def walking_plan(chosen: Settings, stack: ExitStack, *, dry_run: bool) -> plans.Plan:
    """What a scan works with: on a split host it asks nobody and moves nothing."""
    if chosen.part is None:
        return plans.service_plan(chosen, stack, dry_run=dry_run)
    tools = wiring.service_tools(chosen)
    stack.enter_context(wiring.lock(chosen))
    lists, stale = tools.lists_in_force()
    return plans.Plan(
        sieve=tools.shelf.sieve(lists),
        confirmer=HandingOn(),
        memory=ReadingMemory(None if dry_run else candidates(chosen), time.time),
        quarantine=ReportOnly(),
        mode="dry-run" if dry_run else "hand-over",
        lists=lists,
        stale=stale,
        tenant_of=wiring.tenants(chosen).of_path,
        recorded=not dry_run,
    )


def asking_plan(chosen: Settings, stack: ExitStack, reports: Reporter) -> plans.Plan:
    """What `hashscan confirm` works with: on a split host it takes in what the others have put down, and moves nothing."""
    if chosen.part is None:
        return plans.service_plan(chosen, stack, dry_run=False, trigger="confirm")
    tools = wiring.service_tools(chosen)
    stack.enter_context(wiring.lock(chosen))
    lists, stale = tools.lists_in_force()
    memory = AskingOutbox(wiring.outbox_file(chosen), time.time)
    stack.callback(memory.close)
    trays = (candidates(chosen), outcomes(chosen))
    memory.take_in(*trays)
    _tell_spoiled(trays, reports)
    court = tools.court(stack, lists)
    head = read_head(chosen.folder_of(Part.ACT) / OUTCOMES)
    return plans.Plan(
        sieve=tools.shelf.sieve(lists),
        confirmer=ServiceConfirmer(court),
        memory=memory,
        quarantine=HandOver(findings(chosen), memory.first_seen),
        mode="hand-over",
        lists=lists,
        stale=stale,
        tell=OutcomeTools(court.service, court.keys, memory, court.provider, court.doubt, lambda: head),
        tenant_of=wiring.tenants(chosen).of_path,
    )


def acting_plan(chosen: Settings, stack: ExitStack, reports: Reporter) -> tuple[plans.Plan, int]:
    """What `hashscan quarantine take` works with, after recovery, and how many cases of earlier runs need a person."""
    tools = wiring.service_tools(chosen)
    stack.enter_context(wiring.lock(chosen))
    lists, stale = tools.lists_in_force()
    court = tools.court_with(Mute(), lists)
    vault = wiring.vault(chosen, "quarantine take", tools.grounds(lists))
    memory = ActingMemory(findings(chosen), candidates(chosen), outcomes(chosen), time.time)
    unsettled = plans.recover_vault(vault, reports)
    note_restored(vault, memory)
    plan = plans.Plan(
        sieve=tools.shelf.sieve(lists),
        confirmer=SignedConfirmer(court, memory.envelope),
        memory=memory,
        quarantine=vault if chosen.quarantine.enabled else ReportOnly(),
        mode="quarantine" if chosen.quarantine.enabled else "report",
        lists=lists,
        stale=stale,
        vault=vault,
        tenant_of=wiring.tenants(chosen).of_path,
    )
    return plan, unsettled


def close_acting(chosen: Settings, vault: Vault) -> None:
    """Say how far the vault's log is. Raises `StateError`, `QuarantineError`."""
    put_head(chosen.state_dir / OUTCOMES, vault.log_head())


def _tell_spoiled(trays: tuple[Tray, ...], reports: Reporter) -> None:
    if spoiled := sum(tray.spoiled for tray in trays):
        reports.tell(events.warning(Warned(f"{spoiled} papers of another part could not be read and were removed")))
