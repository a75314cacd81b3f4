"""hashscan audit verdict|verify."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hashscan.cli import wiring
from hashscan.cli.folding import folded, say, speak
from hashscan.cli.groups import Group
from hashscan.cli.source import Source
from hashscan.errors import ExitCode
from hashscan.jobs.audit import Step, audit_verdict
from hashscan.jobs.audit_log import audit_log
from hashscan.model import Json
from hashscan.report import events
from hashscan.report.escape import printable

_INDENT = len("DOES NOT HOLD   ")


@click.group(cls=Group, name="audit")
def command() -> None:
    """Prove what was done, from what this host keeps. Asks nobody."""


@command.command(name="verdict")
@click.argument("case_id", metavar="CASE")
@click.option(
    "--root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The pinned root.json to start from, instead of the configured one.",
)
@click.option("--json", "as_json", is_flag=True, help="One NDJSON event on stdout.")
@click.pass_obj
def verdict(config: Source, case_id: str, root: Path | None, *, as_json: bool) -> int:
    """Why was the file of CASE taken? Each step from the content in the vault to the pinned root. CASE may be its first digits.

    Exit 0: every step holds. Exit 12: what the vault keeps is damaged. Exit 20: the signatures do not prove it.
    """
    with wiring.conversation(wiring.Talk(json=as_json, quiet=True, text_on_stdout=True)) as (reporter, _):
        settings = wiring.settings(config)
        steps = []
        for step in audit_verdict(wiring.vault(settings, ""), case_id, wiring.trust_from(settings, root)):
            steps.append(step)
            if not as_json:
                said = f"{'holds         ' if step.holds else 'DOES NOT HOLD'}  {step.name}: {printable(step.seen)}"
                say(folded(said, sys.stdout, _INDENT))
        last = steps[-1]
        if as_json:
            reporter.tell(events.status(_facts(case_id, steps)))
        else:
            say(folded(_conclusion(last), sys.stdout, 0))
    return ExitCode.OK if last.holds else last.code


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One NDJSON event on stdout.")
@click.pass_obj
def verify(config: Source, *, as_json: bool) -> int:
    """Does the log of the vault hold, from its first line to the one that the service has a receipt of?

    Exit 0: it does. Exit 12: a line was changed, removed or inserted, or the end is missing; the first such line is named.
    """
    with wiring.conversation(wiring.Talk(json=as_json, quiet=True, text_on_stdout=True)) as (reporter, stack):
        settings = wiring.settings(config)
        told = wiring.outbox_if_any(settings, stack)
        found = audit_log(wiring.cabinet(settings, "audit verify"), told.log_head() if told else None)
        if as_json:
            reporter.tell(events.status(found.facts()))
        else:
            for line in found.lines():
                speak(printable(line))
    return ExitCode.OK if found.holds else ExitCode.ACTION_FAILED


def _conclusion(last: Step) -> str:
    if last.holds:
        return "The file was what the signed verdict says, and the verdict asked for its quarantine."
    return f"It is NOT proved why the file was taken: {last.name}."


def _facts(case_id: str, steps: list[Step]) -> dict[str, Json]:
    told: list[Json] = [{"step": one.name, "holds": one.holds, "seen": printable(one.seen)} for one in steps]
    return {"audit": "verdict", "case": case_id, "proved": steps[-1].holds, "steps": told}
