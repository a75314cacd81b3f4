"""A report as text for a terminal or a mail: the summary's table, and the first of every list."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hashscan.model import Json
from hashscan.report import wording
from hashscan.report.console import guarded, open_console
from hashscan.report.fields import duration, entry_name, list_name, list_names, number, rows, table, text
from hashscan.report.table import summary_table

MOST_ROWS = 40  # of a list; CSV, JSON and HTML have what is kept
_WIDTH = 12
_SHORT_ID = 8  # digits of the id of a run that lists show; `report` takes four and more


def show(console: Console, document: Mapping[str, Json]) -> None:
    """Print the report. Raises `IncompleteError` where the screen is gone."""
    with guarded(console):
        for line in _head(document):
            console.print(line, soft_wrap=True)
        summary = table(document, "summary")
        console.print()
        if summary:
            console.print(wording.headline(summary))
            console.print(summary_table(summary))
        else:
            console.print(Text(_no_summary(document), style="bold red"))
        for title, lines in _lists(document):
            console.print()
            console.print(Text(title, style="bold"))
            for line in lines:
                console.print(line, soft_wrap=True)


def as_text(document: Mapping[str, Json]) -> str:
    """The same as plain text of 100 columns, for a file."""
    out = io.StringIO()
    console = open_console(out, color=False)
    console.width = 100
    show(console, document)
    return out.getvalue()


def _no_summary(document: Mapping[str, Json]) -> str:
    error = table(document, "error")
    if error:
        return f"ended early: {text(error, 'message')}"
    return "this run did not reach its end: it was killed, or it is still under way"


def _head(document: Mapping[str, Json]) -> Iterator[Text]:
    seconds = document.get("seconds")
    took = f" ({duration(seconds)})" if isinstance(seconds, (int, float)) else ""
    roots = ", ".join(text(root, "path") for root in rows(document, "roots"))
    pairs = (
        ("run", f"{text(document, 'run_id')} on {text(document, 'host')}"),
        ("began", text(document, "started")),
        ("ended", f"{text(document, 'ended') or 'unknown'}{took}"),
        # A run that asks again about what waits has none of these.
        ("folders", roots),
        ("lists", "a plain list" if text(document, "mode") == "audit" else list_names(document) * bool(document.get("lists"))),
        ("mode", text(document, "mode")),
    )
    for name, value in (one for one in pairs if one[1]):
        yield Text.assemble((f"{name:<{_WIDTH}}", "bold"), value)


def _lists(document: Mapping[str, Json]) -> Iterator[tuple[str, list[Text]]]:
    parts = (
        ("findings", "findings", _finding),
        ("pending", "waiting for an answer", lambda row: [Text(text(row, "path") or list_names(row))]),
        ("not_looked_at", "not looked at", _missed),
        ("notes", "notes", lambda row: [Text(f"{text(row, 'path')} {text(row, 'message')}".strip())]),
    )
    for key, title, lines in parts:
        part = table(document, key)
        kept = rows(part, "rows")
        if not kept:
            continue
        told = [line for row in kept[:MOST_ROWS] for line in lines(row)]
        more = number(part, "total") - min(len(kept), MOST_ROWS)
        if more:
            told.append(Text(f"... and {more:,} more; --format csv has {len(kept):,} of them", style="dim"))
        yield f"{title} ({number(part, 'total'):,})", told


def _finding(row: Mapping[str, Json]) -> list[Text]:
    said = ", ".join(text(row, key) for key in ("grade", "standing", "category") if text(row, key))
    action = text(row, "action") or "no action"
    case = text(row, "case_id")
    where = text(row, "path") or (f"case {case}" if case else "(name withheld)")
    first = Text.assemble((f"{action:<{_WIDTH}}", wording.ACTION_STYLE.get(action, "")), where)
    also = f"case {case}; " if text(row, "path") and case else ""
    listed = table(row, "list")
    return [first, Text(f"{' ' * _WIDTH}{also}entry {entry_name(row, listed)} of {list_name(listed)}: {said}", style="dim")]


def _missed(row: Mapping[str, Json]) -> list[Text]:
    why = "unreadable" if text(row, "kind") == "error" else "skipped"
    said = " ".join(part for part in (text(row, "reason").replace("_", " "), text(row, "detail")) if part)
    return [Text.assemble((f"{why:<{_WIDTH}}", "yellow"), f"{text(row, 'path')} ({said})")]


def show_runs(console: Console, runs: Sequence[Mapping[str, Json]]) -> None:
    """One line a run, the oldest first."""
    out = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("run", "began (UTC)", "command", "took"):
        out.add_column(name, no_wrap=True)
    out.add_column("looked at", justify="right", no_wrap=True)
    out.add_column("found", justify="right", no_wrap=True)
    out.add_column("exit", justify="right", no_wrap=True)
    for run in runs:
        summary, seconds = table(run, "summary"), run.get("seconds")
        paths, found = table(summary, "paths"), number(table(summary, "candidates"), "findings")
        took = duration(seconds) if isinstance(seconds, (int, float)) else "no end"
        looked = sum(number(paths, key) for key in ("scanned", "cached", "by_size"))
        began = text(run, "started")[:16].replace("T", " ")
        code = text(run, "exit_code") or "-"
        style = "" if code == "0" else "bold red" if found or code in ("12", "20", "22") else "yellow"
        cells = (text(run, "run_id")[:_SHORT_ID], began, text(run, "command"), took, f"{looked:,}", f"{found:,}", code)
        out.add_row(*(Text(cell, style=style if index in (5, 6) else "") for index, cell in enumerate(cells)))
    with guarded(console):
        console.print(out)
