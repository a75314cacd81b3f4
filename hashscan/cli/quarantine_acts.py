"""hashscan quarantine release|dismiss|settle|hold|unhold|purge|export: what a person decides about cases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hashscan.cli import plans, wiring
from hashscan.cli.source import Source
from hashscan.cli.stopping import Stop
from hashscan.errors import ExitCode, UsageError
from hashscan.jobs.conclude import ActTools
from hashscan.jobs.outcomes import close_run
from hashscan.jobs.release import release, waiting
from hashscan.model import Case, CaseState
from hashscan.quarantine.export import Request
from hashscan.quarantine.seal import Recipients
from hashscan.quarantine.vault import Vault
from hashscan.report import events
from hashscan.report.tally import Tally
from hashscan.units import counted

_reason = click.option("--reason", required=True, help="Why, for the record and the log.")


def add_to(group: click.Group) -> None:
    """Put the commands of this module into ``group``."""
    for one in (release_held, dismiss, settle, hold, unhold, purge, export):
        group.add_command(one)


@contextmanager
def _cases(config: Source, what: str) -> Iterator[tuple[Vault, Callable[[Case], None]]]:
    """The vault under the lock of one run at a time, recovered, and how to tell what became of a case."""
    with wiring.conversation(wiring.Talk(text_on_stdout=True, verbose=True)) as (reporter, stack):
        settings = wiring.settings(config)
        stack.enter_context(wiring.lock(settings))
        vault = wiring.vault(settings, f"quarantine {what}")
        plans.recover_vault(vault, reporter)
        yield vault, lambda case: reporter.tell(events.case(case))


@click.command(name="release")
@click.argument("case_ids", nargs=-1)
@click.option("--entry", help="All that wait because of this entry.")
@click.option("--all", "every", is_flag=True, help="All that wait.")
@click.option("--yes", is_flag=True, help="Do it; without, only say what would be taken.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.pass_obj
def release_held(config: Source, /, case_ids: tuple[str, ...], **options: object) -> int:
    """Take findings that a limit had stopped. The service is asked again about each; limits do not count.

    Exit 10: taken. Exit 11: the service gave no answer, they go on waiting. Exit 12: one could not be taken.
    """
    if sum((bool(case_ids), bool(options["entry"]), bool(options["every"]))) != 1:
        raise UsageError("name cases, or --entry, or --all", hint="hashscan quarantine list --state held")
    started, tally = time.time(), Tally()
    with wiring.conversation(wiring.Talk(json=bool(options["as_json"]), text_on_stdout=True)) as (reporter, stack):
        settings = wiring.settings(config, {"quarantine.enabled": True})
        plan = plans.service_plan(settings, stack, dry_run=False, trigger="quarantine release")
        vault = plan.the_vault()
        tally.unsettled_cases = plans.recover(plan, reporter)
        named = [vault.case(case_id) for case_id in case_ids]
        for case in named:
            if case.state is not CaseState.HELD:
                raise UsageError(
                    f"case {case.id} does not wait: it is {case.state}", hint="hashscan quarantine list --state held"
                )
        found = waiting(vault.cases(), entry=str(options["entry"] or ""), ids=[case.id for case in named])
        if not options["yes"]:
            for case in found:
                reporter.tell(events.case(case))
            wait = f"{counted(len(found), 'case')} wait{'s' if len(found) == 1 else ''} and would be taken; --yes does it"
            wiring.speak(wait if found else "no case waits", err=True)
            return ExitCode.FINDINGS if found else ExitCode.OK
        act = ActTools(plan.confirmer, plan.memory, plan.quarantine, reporter, Stop(stack), plan.tenant_of)
        release(act, vault, plan.sieve, found, tally)
        close_run(plan.tell, plan.confirmer, reporter, tally)
        reporter.tell(events.summary(tally, complete=not tally.stopped, seconds=time.time() - started))
        return tally.exit_code


def _held(case: Case) -> Case:
    if case.state is not CaseState.HELD:
        raise UsageError(f"case {case.id} does not wait: it is {case.state}", hint="hashscan quarantine list --state held")
    return case


@click.command()
@click.argument("case_ids", nargs=-1, required=True)
@_reason
@click.pass_obj
def dismiss(config: Source, case_ids: tuple[str, ...], reason: str) -> int:
    """Say no to cases that wait: their files stay where they are."""
    with _cases(config, "dismiss") as (vault, tell):
        for case_id in case_ids:
            tell(vault.dismiss(case_id, reason))
    return ExitCode.OK


@click.command()
@click.argument("case_id")
@_reason
@click.pass_obj
def settle(config: Source, case_id: str, reason: str) -> int:
    """Close an orphan that you have looked at, after what was held for it was moved where it belongs."""
    with _cases(config, "settle") as (vault, tell):
        tell(vault.settle(case_id, reason))
    return ExitCode.OK


@click.command()
@click.argument("case_ids", nargs=-1, required=True)
@click.option("--by", required=True, help="Who asks for it: an authority and its reference.")
@_reason
@click.pass_obj
def hold(config: Source, case_ids: tuple[str, ...], by: str, reason: str) -> int:
    """Put a legal hold on cases: they are not purged until it is lifted."""
    with _cases(config, "hold") as (vault, tell):
        for case_id in case_ids:
            tell(vault.hold(case_id, by=by, reason=reason))
    return ExitCode.OK


@click.command()
@click.argument("case_id")
@click.argument("hold_id")
@_reason
@click.pass_obj
def unhold(config: Source, case_id: str, hold_id: str, reason: str) -> int:
    """Lift the legal hold HOLD_ID (`quarantine show` names it) of a case."""
    with _cases(config, "unhold") as (vault, tell):
        tell(vault.lift(case_id, hold_id, reason))
    return ExitCode.OK


@click.command()
@click.argument("case_ids", nargs=-1)
@click.option("--due", is_flag=True, help="All whose time the retention profile says is over.")
@click.option("--yes", is_flag=True, help="Do it; without, only say what would be purged.")
@click.option("--reason", default="the retention time is over", show_default=True, help="Why, for the certificate.")
@click.pass_obj
def purge(config: Source, case_ids: tuple[str, ...], *, due: bool, yes: bool, reason: str) -> int:
    """Remove the evidence of cases, with a certificate for each. Records stay; so do backups and snapshots, elsewhere."""
    if bool(case_ids) == due:
        raise UsageError("name cases, or --due", hint="one of the two")
    with _cases(config, "purge") as (vault, tell):
        found = vault.due() if due else [vault.case(case_id) for case_id in case_ids]
        for case in found:
            vault.check_purge(case.id)  # all of them or none
        for case in found:
            if not yes:
                tell(case)
                continue
            purged = vault.purge(case.id, by=wiring.user(), reason=reason)
            tell(purged.record.case())
            wiring.speak(f"certificate: {purged.certificate}", err=True)
        if not yes:
            said = f"the evidence of {counted(len(found), 'case')} would be purged; --yes does it"
            wiring.speak(said if found else "nothing is due to be purged", err=True)
    return ExitCode.OK


@click.command()
@click.argument("case_id")
@click.option("--to", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder to make for the bundle.")
@click.option("--recipient", "recipients", multiple=True, help="Public key (age1...) that the evidence is sealed to.")
@click.option("--plain", is_flag=True, help="Let the evidence leave the vault unencrypted.")
@click.pass_obj
def export(config: Source, case_id: str, to: Path, recipients: tuple[str, ...], *, plain: bool) -> int:
    """A bundle for the police or the hotline: evidence, record, verdict, proof, log excerpt, checksums, cover page."""
    request = Request(to.absolute(), Recipients(recipients) if recipients else None, plain)
    with _cases(config, "export") as (vault, _):
        files = vault.export(case_id, request)
        for path in files:
            wiring.say(path.name)
        said = f"{counted(len(files), 'file')} in {request.folder}; 'sha256sum -c SHA256SUMS' there checks them"
        wiring.speak(said, err=True)
    return ExitCode.OK
