"""hashscan service withdraw|dispute|reinstate|disputes: second thoughts about entries, under the rule of two people."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from hashscan.cli.folding import say, speak
from hashscan.cli.service_admin import reviewing
from hashscan.errors import ExitCode, UsageError
from hashscan.report.escape import printable
from hashscan.units import counted

_HOUR = 3600.0


def add_to(group: click.Group) -> None:
    """Put the commands of this module into ``group``."""
    for one in (withdraw, dispute, reinstate, disputes):
        group.add_command(one)


def _wish(function: Callable[..., int]) -> Callable[..., int]:
    """The argument and the options that say which entry, why, and who says so."""
    for decorate in (
        click.pass_obj,
        click.option("--by", required=True, help="Your name: two different people decide about an entry."),
        click.option("--reason", required=True, help="Why; it is kept in the history of the entry."),
        click.option("--list", "list_id", required=True, help="Id of the list."),
        click.argument("entry"),
    ):
        function = decorate(function)
    return function


@click.command()
@_wish
@click.option("--alone", is_flag=True, help="An emergency: withdraw at once. It is shown and waits for a second person.")
def withdraw(data: Path, entry: str, *, alone: bool, **said: str) -> int:
    """Say that ENTRY (its id or one of its digests) is wrong. With the second person it matches nothing any more."""
    service = reviewing()
    return _told(service.withdraw(data, _meant(service, entry, said), alone=alone), alone=alone)


@click.command()
@_wish
def dispute(data: Path, entry: str, **said: str) -> int:
    """Mark ENTRY as doubtful: from now on files that match it are reported and not moved."""
    service = reviewing()
    return _told(service.dispute(data, _meant(service, entry, said)))


@click.command()
@_wish
def reinstate(data: Path, entry: str, **said: str) -> int:
    """Say that a disputed or withdrawn ENTRY is right. With the second person it is active again."""
    service = reviewing()
    return _told(service.reinstate(data, _meant(service, entry, said)))


def _meant(service: Any, entry: str, said: dict[str, str]) -> Any:
    return service.Wish(said["list_id"], entry, said["reason"], said["by"])


def _told(done: Any, *, alone: bool = False) -> int:
    changed = ", ".join(done.entries)
    if not done.waiting:
        speak(f"{done.standing}: {changed or 'nothing to change'}")
    for one in done.waiting:
        speak(f"{one.entry} is {one.standing}; dispute {one.dispute} is open: {_missing(one)}")
    if alone and done.waiting:
        speak("withdrawn by one person: a second one has to look at it ('hashscan service disputes')", err=True)
    if done.sharing:
        speak(f"these entries share a digest and stay as they are: {', '.join(done.sharing)}", err=True)
    if any(one.standing == "withdrawn" for one in done.waiting) or (changed and done.standing == "withdrawn"):
        speak("agents learn of it with the next publication: 'hashscan service publish'", err=True)
    return ExitCode.OK


def _missing(one: Any) -> str:
    return f"{_people(one.to_withdraw)} to withdraw it, {_people(one.to_confirm)} to confirm it"


def _people(count: int) -> str:
    return "1 more person" if count == 1 else f"{count} more people"


@click.command()
@click.argument("dispute_id", required=False)
@click.option("--all", "every", is_flag=True, help="Decided ones too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.pass_obj
def disputes(data: Path, dispute_id: str | None, *, every: bool, as_json: bool) -> int:
    """Open disputes, the oldest first; or DISPUTE_ID with opinions, history, and which providers acted on its entry.

    Exit 10: some are open.
    """
    service = reviewing()
    if dispute_id is not None:
        if every:
            raise UsageError("one dispute or --all")
        detail = service.dispute_detail(data, dispute_id)
        say(json.dumps(asdict(detail), indent=1, ensure_ascii=True)) if as_json else _show(detail)
        return ExitCode.FINDINGS if detail.line.state == "open" else ExitCode.OK
    lines = service.disputes(data, every=every)
    if as_json:
        say(json.dumps({"disputes": [asdict(one) for one in lines]}, indent=1, ensure_ascii=True))
    for one in () if as_json else lines:
        _line(one)
    if not lines and not as_json:
        speak("no open disputes" if not every else "no disputes", err=True)
    return ExitCode.FINDINGS if any(one.state == "open" for one in lines) else ExitCode.OK


def _line(one: Any) -> None:
    late = ", OVERDUE" if one.overdue else ""
    alone = f", WITHDRAWN ALONE by {printable(one.alone_by)}" if one.alone_by and one.state == "open" else ""
    missing = f"; {_missing(one)}" if one.state == "open" else ""
    head = f"{one.id}  {one.state}, {one.age / _HOUR:.1f} h{late}{alone}"
    speak(f"{head}: {one.list_id} {one.entry} is {one.standing}, {counted(one.complaints, 'complaint')}{missing}")


def _show(detail: Any) -> None:
    _line(detail.line)
    for one in detail.complaints:
        pause = ", paused for that provider" if one.pauses else ""
        speak(f"  disputed by {printable(one.by)}{pause}: {printable(one.reason)}")
    for one in detail.opinions:
        speak(f"  {one.opinion} says {printable(one.by)}: {printable(one.reason)}")
    for one in detail.acted:
        heard = "" if one.heard else "; not heard of since"
        speak(
            f"  {printable(one.provider)}: {counted(one.findings, 'finding')}, {one.quarantined} quarantined, "
            f"{one.restored} restored, {one.in_place} in place{heard}"
        )
