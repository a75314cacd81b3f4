"""hashscan quarantine list|show|restore."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

from hashscan.cli import wiring
from hashscan.errors import ExitCode
from hashscan.jobs.restore import restore
from hashscan.model import CaseState
from hashscan.report import events


@click.group(name="quarantine")
def command() -> None:
    """List, show and restore what was quarantined. File names are shown only when asked for."""


@command.command(name="list")
@click.option("--names", is_flag=True, help="Show the names of the files.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.pass_obj
def list_cases(config: Path | None, *, names: bool, as_json: bool) -> int:
    """All cases, the oldest first. Exit 12: a case is damaged or an orphan, and a person must look."""
    talk = wiring.Talk(json=as_json, quiet=as_json, verbose=names, text_on_stdout=True)
    with wiring.conversation(talk) as (reporter, _):
        settings = wiring.settings(config)
        cases = list(wiring.vault(settings, "").cases())
        for case in cases:
            reporter.tell(events.case(case))
        if not cases and not as_json:
            click.echo("no cases", err=True)
    bad = {CaseState.DAMAGED, CaseState.ORPHAN}
    return ExitCode.ACTION_FAILED if any(case.state in bad for case in cases) else ExitCode.OK


@command.command()
@click.argument("case_id")
@click.pass_obj
def show(config: Path | None, case_id: str) -> int:
    """Everything that is known of one case, as JSON, with the name of the file. CASE_ID may be its first digits."""
    settings = wiring.settings(config)
    record = wiring.vault(settings, "").record(case_id)
    click.echo(json.dumps(record, indent=2, ensure_ascii=True))
    return ExitCode.OK


@command.command(name="restore")
@click.argument("case_id")
@click.option(
    "--to",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Restore into this folder instead of the old place.",
)
@click.pass_obj
def restore_case(config: Path | None, case_id: str, to: Path | None) -> int:
    """Put a file back: same bytes, owner, mode and times. Never overwrites. CASE_ID may be its first digits."""
    with wiring.conversation(wiring.Talk(text_on_stdout=True, verbose=True)) as (reporter, stack):
        settings = wiring.settings(config)
        stack.enter_context(wiring.lock(settings))
        vault = wiring.vault(settings, "hashscan quarantine restore")
        vault.recover()
        told = wiring.outbox(settings, stack)
        restored = restore(vault, told, case_id, Path(os.path.abspath(to)) if to else None, time.time())
        reporter.tell(events.case(restored))
    return ExitCode.OK
