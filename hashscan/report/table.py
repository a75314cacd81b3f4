"""The table at the end of a run. Indented rows are the parts of the row above them, and the parts add up to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

from hashscan.model import Json
from hashscan.report.fields import directories, number, size, table, text


@dataclass(frozen=True, slots=True)
class Row:
    """One count: ``depth`` 0 for a total, 1 for its parts, 2 for their parts. ``bad`` rows are those a person should read."""

    depth: int
    label: str
    count: int
    bad: bool = False


def summary_rows(data: Mapping[str, Json]) -> list[Row]:
    """The rows for a summary's data; parts that are 0 are left out where a reader does not miss them."""
    return [*_paths(table(data, "paths")), *_candidates(data)]


def summary_table(data: Mapping[str, Json]) -> Table:
    """The rows as a table of at most 80 columns."""
    out = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    hashed = size(number(data, "bytes_hashed"))
    out.add_column(Text(f"{directories(data)}, {hashed} hashed"), max_width=60, overflow="fold")
    out.add_column(Text("count"), justify="right")
    for row in summary_rows(data):
        style = "bold yellow" if row.bad else ("bold" if row.depth == 0 else "")
        out.add_row(Text("  " * row.depth + row.label), Text(f"{row.count:,}"), style=style)
    return out


def _paths(paths: Mapping[str, Json]) -> Iterator[Row]:
    skipped = _parts(table(paths, "skipped"))
    errors = _parts(table(paths, "errors"))
    whole = [
        Row(1, "hashed", number(paths, "scanned")),
        Row(1, "unchanged, digest remembered", number(paths, "cached")),
        Row(1, "ruled out by size", number(paths, "by_size")),
        Row(1, "skipped", sum(row.count for row in skipped)),
        Row(1, "unreadable", sum(row.count for row in errors), bad=bool(errors)),
    ]
    seen = number(paths, "seen")
    yield Row(0, "paths seen", seen)
    yield from whole[:4]
    yield from skipped
    yield whole[4]
    yield from errors
    yield from _missing(1, seen - sum(row.count for row in whole))


def _candidates(data: Mapping[str, Json]) -> Iterator[Row]:
    counts = table(data, "candidates")
    actions = table(data, "actions")
    seen, findings, pending = (number(counts, key) for key in ("seen", "findings", "pending"))
    yield Row(0, "candidates", seen)
    yield Row(1, "cleared by the answer", number(counts, "cleared"))
    yield Row(1, "waiting for an answer", pending, bad=pending > 0)
    yield Row(1, "confirmed findings", findings, bad=findings > 0)
    for key in ("quarantined", "reported", "held", "failed"):
        if number(actions, key):
            yield Row(2, key, number(actions, key), bad=key in ("held", "failed"))
    yield from _missing(1, seen - findings - pending - number(counts, "cleared"))


def _parts(counts: Mapping[str, Json]) -> list[Row]:
    return [Row(2, text({"k": name}, "k").replace("_", " "), number(counts, name)) for name in counts if number(counts, name)]


def _missing(depth: int, count: int) -> Iterator[Row]:
    if count:
        yield Row(depth, "UNACCOUNTED FOR (a bug, please report)", count, bad=True)
