"""hashscan report."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from hashscan.atomic import write_bytes
from hashscan.cli import talking, wiring
from hashscan.errors import ExitCode, UsageError
from hashscan.model import Json
from hashscan.report import document, page, paper, sheet
from hashscan.report.console import open_console
from hashscan.report.fields import number, table
from hashscan.report.history import LAST, History

FORMATS = ("text", "json", "csv", "html")
_SUFFIXES = {".html": "html", ".htm": "html", ".csv": "csv", ".json": "json", ".txt": "text"}
_MAX_LINES = 5_000_000  # events


@click.command(name="report")
@click.argument("run", default=LAST)
@click.option("--list", "listing", is_flag=True, help="Which runs are remembered.")
@click.option("--format", "form", type=click.Choice(FORMATS), help="How; what --out ends with decides where it is left out.")
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file, in one step.")
@click.option("--names", is_flag=True, help="With the names and owners of found files; the log of the vault says who looked.")
@click.option("--events", metavar="FILE", help="Report on the events of 'scan --json' saved in FILE ('-' is stdin).")
@click.pass_obj
def command(config: Path | None, /, **options: Any) -> int:
    """A report of RUN, for a screen, a spreadsheet, a program or the file of an audit. RUN is 'last', or digits of its id.

    HTML is one page that needs nothing else and can be printed and signed.
    """
    settings = wiring.settings(config)
    history = talking.history(settings)
    if options["listing"]:
        return _list(history)
    if options["events"]:
        found = document.from_events(_lines(options["events"]), options["events"])
    else:
        found = history.find(options["run"])
        document.require(found, "what was kept of this run")
        if options["names"] and number(table(found, "findings"), "total"):
            wiring.cabinet(settings, "report").shown("", f"the names in the report of run {found.get('run_id')}")
    told = document.disclosed(found, names=options["names"])
    _give(told, _form(options), options["out"], [] if options["events"] else _earlier(history, told))
    return ExitCode.OK


def _list(history: History) -> int:
    runs, damaged = [], []
    for one in history.all():
        if isinstance(one, dict):
            runs.append(one)
        else:
            damaged.append(one)
    if runs:
        paper.show_runs(open_console(sys.stdout), runs)
    for error in damaged:
        wiring.say(f"{error}", err=True)
    if not runs and not damaged:
        wiring.say("no run is remembered yet", err=True)
    return ExitCode.INCOMPLETE if damaged else ExitCode.OK


def _form(options: Mapping[str, Any]) -> str:
    out, form = options["out"], options["form"]
    return str(form or (_SUFFIXES.get(out.suffix.lower(), "text") if out else "text"))


def _earlier(history: History, told: Mapping[str, Json]) -> list[dict[str, Any]]:
    """The runs of the same command that began no later; damaged ones are left out, `report --list` names them."""
    runs = [one for one in history.all() if isinstance(one, dict) and one.get("command") == told.get("command")]
    return [one for one in runs if number(one, "started_seconds") <= number(told, "started_seconds") and one.get("summary")]


def _give(told: dict[str, Json], form: str, out: Path | None, earlier: list[dict[str, Any]]) -> None:
    if form == "text" and out is None:
        paper.show(open_console(sys.stdout), told)
        return
    made = rendered(told, form, earlier)
    if out is None:
        wiring.say(made.rstrip("\n"))
    else:
        save(out, made)


def rendered(told: dict[str, Json], form: str, earlier: list[dict[str, Any]]) -> str:
    """The report in one of `FORMATS`."""
    if form == "html":
        return page.as_page(told, now=time.time(), earlier=earlier)
    if form == "csv":
        return sheet.as_csv(told)
    return document.as_json(told) if form == "json" else paper.as_text(told)


def save(out: Path, made: str) -> None:
    """Write a report in one step, readable by its owner only. Raises `UsageError`."""
    try:
        write_bytes(out.absolute(), made.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UsageError(f"the report cannot be written to {out}: {error.strerror}") from None


def _lines(source: str) -> Iterator[bytes]:
    """The lines of a file of events, each bounded. Raises `UsageError`."""
    try:
        with sys.stdin.buffer if source == "-" else open(source, "rb") as stream:
            for number_, line in enumerate(iter(lambda: stream.readline(document.MAX_LINE_BYTES + 1), b"")):
                if number_ >= _MAX_LINES:
                    raise UsageError(f"{source} has more than {_MAX_LINES} lines")
                yield line
    except OSError as error:
        raise UsageError(f"cannot read the events in {source}: {error.strerror}") from None
