"""hashscan quarantine list|show|restore; what else a person decides about cases is in `quarantine_acts`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from hashscan.cli import plans, quarantine_acts, wiring
from hashscan.cli.groups import Group
from hashscan.cli.quarantine_take import take
from hashscan.cli.source import Source
from hashscan.errors import ExitCode, UsageError
from hashscan.jobs.restore import restore
from hashscan.jobs.retract import concerned, retract
from hashscan.model import Case, CaseState
from hashscan.quarantine.restore import Wish
from hashscan.report import events
from hashscan.settings import Settings
from hashscan.units import counted


@click.group(cls=Group, name="quarantine")
def command() -> None:
    """What was quarantined, and what waits for a person. File names are shown only when asked for."""


quarantine_acts.add_to(command)
command.add_command(take)


@command.command(name="list")
@click.option("--names", is_flag=True, help="Show the names of the files; the log says who looked.")
@click.option("--state", type=click.Choice([one.value for one in CaseState]), metavar="STATE", help="Only cases in this state.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.pass_obj
def list_cases(config: Source, *, names: bool, state: str | None, as_json: bool) -> int:
    """All cases, the oldest first. Exit 12: a case is damaged, an orphan or held, and a person must look."""
    talk = wiring.Talk(json=as_json, quiet=as_json, verbose=names, text_on_stdout=True)
    with wiring.conversation(talk) as (reporter, _):
        cabinet = wiring.cabinet(wiring.settings(config), "quarantine list")
        every = list(cabinet.cases())
        cases = [case for case in every if state is None or case.state.value == state]
        if cases and (names or as_json):
            cabinet.shown("", f"the names of {len(cases)} cases")
        for case in cases:
            reporter.tell(events.case(case))
        if not cases and not as_json:
            wiring.speak("no cases", err=True)
        if not as_json:
            _next_steps(cases)
    return ExitCode.ACTION_FAILED if any(case.state in _NEXT for case in cases) else ExitCode.OK


_NEXT = {
    CaseState.HELD: "waiting for a person: 'hashscan quarantine release' takes the file, 'dismiss' leaves it where it is",
    CaseState.ORPHAN: "orphaned: the log of the vault and 'hashscan quarantine show' say of what, 'settle' closes it",
    CaseState.DAMAGED: "damaged: 'hashscan audit verify' says what is wrong with it",
}


def _next_steps(cases: list[Case]) -> None:
    """Why the exit code is not 0, and what to do about it."""
    for state, said in _NEXT.items():
        count = sum(case.state is state for case in cases)
        if count:
            wiring.speak(f"{counted(count, 'case')} {said}", err=True)


@command.command()
@click.argument("case_id")
@click.pass_obj
def show(config: Source, case_id: str) -> int:
    """Everything that is known of one case, as JSON, with the name of the file; the log says who looked.

    CASE_ID may be its first digits. Left out is the key with which the digests of the whole verdict could be tested.
    """
    cabinet = wiring.cabinet(wiring.settings(config), "quarantine show")
    record = cabinet.record(case_id)
    cabinet.shown(case_id, "its record")
    shown = {**record, "proof": {**record["proof"], "confirm_key": "kept"}} if record.get("proof") else record
    wiring.say(json.dumps(shown, indent=2, ensure_ascii=True))
    return ExitCode.OK


@command.command(name="restore")
@click.argument("case_ids", nargs=-1)
@click.option("--withdrawn", is_flag=True, help="Every case whose entry its list has taken back.")
@click.option("--entry", help="Every case of this entry.")
@click.option("--yes", is_flag=True, help="Do it; without, --withdrawn and --entry only say what would be done.")
@click.option(
    "--to",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Restore into this folder instead of the old place.",
)
@click.option("--beside", is_flag=True, help="Where a name is taken by now, restore beside it as NAME.restored-CASE.")
@click.option(
    "--identity", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="File with the key of sealed evidence."
)
@click.pass_obj
def restore_cases(config: Source, /, case_ids: tuple[str, ...], **options: object) -> int:
    """Put files back: same bytes, owner, mode and times. Never overwrites. CASE_IDS may be their first digits.

    With --withdrawn or --entry, waiting cases are dismissed and taken files go back, beside their place where it is taken.
    """
    chosen = [bool(case_ids), bool(options["withdrawn"]), bool(options["entry"])]
    if sum(chosen) != 1:
        raise UsageError("name cases, or --withdrawn, or --entry", hint="one of the three")
    with wiring.conversation(wiring.Talk(text_on_stdout=True, verbose=True)) as (reporter, stack):
        settings = wiring.settings(config)
        stack.enter_context(wiring.lock(settings))
        vault = wiring.vault(settings, "quarantine restore")
        plans.recover_vault(vault, reporter)
        told = wiring.outbox(settings, stack)
        to, identity = options["to"], options["identity"]
        wish = Wish(
            to=Path(os.path.abspath(to)) if isinstance(to, Path) else None,
            identity=wiring.identity(identity) if isinstance(identity, Path) else None,
            beside=bool(options["beside"]) or not case_ids,
        )
        if case_ids:
            for case_id in case_ids:
                reporter.tell(events.case(restore(vault, told, case_id, wish)))
            return ExitCode.OK
        found = _concerned(settings, list(vault.cases()), str(options["entry"] or ""))
        if not options["yes"]:
            return _propose(found, reporter.tell)
        done = retract(vault, told, found, wish, reporter)
        wiring.speak(f"{done.restored} restored, {done.dismissed} dismissed, {done.failed} not restored", err=True)
        return ExitCode.ACTION_FAILED if done.failed else ExitCode.OK


def _concerned(settings: Settings, cases: list[Case], entry: str) -> list[Case]:
    if entry:
        return concerned(cases, lambda _, one: one == entry)
    tools = wiring.service_tools(settings)
    withdrawn = tools.shelf.withdrawn(tools.lists_in_force()[0])
    return concerned(cases, lambda list_id, one: withdrawn.entry(list_id, one) is not None)


def _propose(cases: list[Case], tell: object) -> int:
    assert callable(tell)  # noqa: S101 - for the type checker
    for case in cases:
        tell(events.case(case))
    said = f"{counted(len(cases), 'case')} would be undone; --yes does it" if cases else "there is nothing to undo"
    wiring.speak(said, err=True)
    return ExitCode.FINDINGS if cases else ExitCode.OK
