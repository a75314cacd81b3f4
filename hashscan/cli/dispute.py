"""hashscan dispute."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from hashscan.central.client import HttpService
from hashscan.cli import wiring
from hashscan.errors import ExitCode, UsageError
from hashscan.jobs.dispute import dispute, make
from hashscan.jobs.outcomes import OutcomeTools
from hashscan.known.disputes import Stand


@click.command(name="dispute")
@click.argument("case_id", required=False)
@click.option("--entry", help="An entry without a case here, as a report names it; with --list.")
@click.option("--list", "list_id", help="The list of that entry.")
@click.option("--reason", required=True, help="Why it is wrong; it leaves this host: no file name, no customer.")
@click.pass_obj
def command(config: Path | None, case_id: str | None, entry: str | None, list_id: str | None, reason: str) -> int:
    """Tell the hotline that the entry of CASE_ID is wrong; the same words again ask how it stands.

    Sent at once; nothing is stored here. Exit 0: it was taken back. Exit 10: it is open, or people have confirmed the entry.
    Exit 11: no answer, say it again later. Exit 22: refused.
    """
    settings = wiring.settings(config)
    if (case_id is None) == (entry is None) or (entry is None) != (list_id is None):
        raise UsageError("name a case, or --entry and --list", hint="'hashscan quarantine list' names cases and entries")
    if case_id is not None:
        case = wiring.cabinet(settings, "dispute").case(case_id)
        list_id, entry = case.list_id, case.entry
    with wiring.conversation(wiring.Talk(text_on_stdout=True)) as (_, stack):
        tools = wiring.service_tools(settings)
        lists, _stale = tools.lists_in_force()
        court = tools.court(stack, lists)
        desk = HttpService(tools.link)
        stack.callback(desk.close)
        head = wiring.vault(settings, "dispute").log_head
        told = OutcomeTools(court.service, court.keys, wiring.outbox(settings, stack), court.provider, court.doubt, head)
        stand = dispute(told, desk, make(str(list_id), str(entry), reason))
    wiring.speak(_words(str(entry), stand))
    return ExitCode.OK if stand.state == "withdrawn" else ExitCode.FINDINGS


def _words(entry: str, stand: Stand) -> str:
    when = "" if stand.decided is None else f" on {datetime.fromtimestamp(stand.decided, UTC):%Y-%m-%d %H:%M} UTC"
    if stand.state == "withdrawn":
        return f"{entry} was withdrawn{when} (dispute {stand.id}); after the next sync: hashscan quarantine restore --withdrawn"
    if stand.state == "confirmed":
        return f"two people have confirmed {entry}{when} (dispute {stand.id})"
    effect = (
        "until two people have decided, answers to this provider say disputed"
        if stand.paused
        else ("it stays in force meanwhile: an earlier dispute of this provider about it was decided against it")
    )
    return f"{entry} is disputed (dispute {stand.id}): {effect}"
