"""hashscan service monitor: who acts on findings, and how fast."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hashscan.cli.folding import say, speak
from hashscan.cli.service_admin import monitoring, reviewing
from hashscan.errors import ExitCode, UsageError
from hashscan.report.escape import printable
from hashscan.units import counted, parse_duration

_TABLES = ("total", "providers", "countries", "sites", "days", "weeks", "open", "contacts", "disputes")
_SHOWN = 20  # open findings and groups in the text


@click.command(name="monitor")
@click.option("--since", help="Findings first told from then on: a date (2026-11-01) or so long ago (30d).")
@click.option("--until", help="Findings first told before then: a date or so long ago.")
@click.option("--list", "list_id", help="Of this list only.")
@click.option("--provider", help="Of this provider only: a name or a pseudonym.")
@click.option("--country", help="In this country only: two letters, ISO 3166.")
@click.option("--names", is_flag=True, help="Providers by name, and sites; without, by pseudonym.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--csv", "table", type=click.Choice(_TABLES), help="This table as CSV on stdout.")
@click.pass_obj
def command(data: Path, /, **options: Any) -> int:
    """Who found what, where, how much, and for how long it stayed. Exit 10: something is overdue."""
    if options["as_json"] and options["table"]:
        raise UsageError("--json or --csv, not both")
    service, now = reviewing(), time.time()
    selection = service.Selection(
        _moment(options["since"], "--since", now),
        _moment(options["until"], "--until", now),
        options["list_id"],
        options["provider"],
        options["country"],
    )
    shown = service.figures(data, selection, names=options["names"])
    if options["as_json"]:
        say(monitoring().as_json(shown).rstrip("\n"))
    elif options["table"]:
        say(monitoring().as_csv(shown, options["table"]).rstrip("\n"))
    else:
        _show(shown)
    return ExitCode.FINDINGS if shown.total.overdue else ExitCode.OK


def _moment(text: str | None, flag: str, now: float) -> float | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        pass
    try:
        return now - parse_duration(text)
    except ValueError:
        raise UsageError(f"{flag} {text!r} is neither a date nor a time", hint="2026-11-01, 30d, 12h") from None


def _show(shown: Any) -> None:
    speak(f"{printable(shown.service)} at {datetime.fromtimestamp(shown.as_of, UTC):%Y-%m-%d %H:%M} UTC")
    _group(shown.total)
    for name in ("providers", "countries", "sites"):
        groups = getattr(shown, name)
        speak(f"{name}:" if groups else f"{name}: none")
        for one in groups[:_SHOWN]:
            _group(one)
        _more(groups)
    if shown.open:
        speak("open, overdue first:")
    for one in shown.open[:_SHOWN]:
        flags = "".join((", OVERDUE" if one.overdue else "", ", disputed" if one.disputed else ""))
        where = "/".join(printable(part) for part in (one.provider, one.country, one.site) if part)
        speak(f"  {where} {one.list} {printable(one.entry)}: {one.state} for {_span(one.age)}{flags}")
    _more(shown.open)
    _contacts([one for one in shown.contacts if one.quiet or one.pending])
    told = shown.disputes
    speak(f"disputes: {told.open} open, {told.overdue} overdue, {told.alone} withdrawn by one person")


def _contacts(rows: Any) -> None:
    if rows:
        speak("not heard of, or waiting for answers:")
    for one in rows:
        if one.quiet:
            speak(f"  {one.provider}: {_heard(one.last_seen)}, {counted(one.agents, 'agent')}")
        if one.pending:
            speak(f"  {one.provider}: {counted(one.pending, 'candidate')} without an answer")


def _more(rows: Any) -> None:
    if len(rows) > _SHOWN:
        speak(f"  and {len(rows) - _SHOWN} more; --json has them")


def _group(one: Any) -> None:
    gone = one.removals
    times = "" if gone.median is None else f", removed in {_span(gone.median)} (median), {_span(gone.p95)} (95 %)"
    share = "" if gone.within_norm is None else f", {gone.within_norm:.0%} within 24 h ({gone.proved:.0%} by our clock)"
    doubt = f", {gone.doubtful} with doubtful times" if gone.doubtful else ""
    speak(
        f"  {printable(one.key)}: {counted(one.findings, 'finding')}, {one.open} open, {one.overdue} overdue, "
        f"{one.removed} removed, {one.restored} restored{times}{share}{doubt}"
    )


def _heard(day: int | None) -> str:
    return "never heard of" if day is None else f"not heard of since {datetime.fromtimestamp(day * 86_400, UTC):%Y-%m-%d}"


def _span(seconds: float) -> str:
    for most, size, unit in ((120, 1, "s"), (7_200, 60, "min"), (172_800, 3_600, "h")):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
