"""The monitor as JSON and CSV, for programs and for the authority (docs/formats.md, "Figures of the monitor"). Pure.

Fields and columns are added at the end, never changed, moved or taken away; otherwise `SCHEMA` gets another number.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hashscan.service.monitor.fetching import Contact
from hashscan.service.monitor.figures import Group, OpenFinding, Span
from hashscan.service.monitor.views import Monitor

SCHEMA = "hashscan-monitor-1"
PIECE = 1 << 16  # characters
Cell = str | int | float | bool | None

_GROUP = (
    "findings", "open", "overdue", "disputed", "reported", "held", "failed", "removed", "restored", "void", "oldest_open_s",
    "removals", "doubtful", "median_s", "p95_s", "within_norm", "proved",
)  # fmt: skip


def as_json(shown: Monitor) -> str:
    """One document, indented: times as RFC 3339 in UTC, ages in seconds, shares from 0 to 1, null where there is nothing."""
    return "".join(json_pieces(shown))


def json_pieces(shown: Monitor) -> Iterator[str]:
    """`as_json` in pieces of `PIECE` characters or a little more."""
    document = {"schema": SCHEMA, **asdict(shown)}
    document["as_of"] = _time(shown.as_of)
    document["selection"] |= {"since": _time(shown.selection.since), "until": _time(shown.selection.until)}
    for one, contact in zip(document["contacts"], shown.contacts, strict=True):
        one.update(_contact_times(contact))
    encoder = json.JSONEncoder(indent=1, ensure_ascii=True, allow_nan=False, default=list)
    yield from _gathered(itertools.chain(encoder.iterencode(document), "\n"))


def as_csv(shown: Monitor, table: str) -> str:
    """One of `TABLES`; each row begins with the schema, the table and the time. Raises `KeyError` for another."""
    return "".join(csv_pieces(shown, table))


def csv_pieces(shown: Monitor, table: str) -> Iterator[str]:
    """`as_csv` in pieces of `PIECE` characters or a little more."""
    columns, rows = TABLES[table]
    first = (SCHEMA, table, _time(shown.as_of))
    lines = ([safe(cell) for cell in (*first, *row)] for row in rows(shown))
    return _gathered(map(_line, itertools.chain([("schema", "table", "as_of", *columns)], lines)))


def _line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(cells)
    return out.getvalue()


def _gathered(parts: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    length = 0
    for part in parts:
        held.append(part)
        length += len(part)
        if length >= PIECE:
            yield "".join(held)
            held, length = [], 0
    if held:
        yield "".join(held)


def safe(cell: Cell) -> str:
    """A cell that no spreadsheet takes for a formula: where a text begins like one, an apostrophe stands before it.

    Numbers are ours and never begin with a letter or a formula's sign, but for a minus, which no figure here has.
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return f"{cell:.3f}".rstrip("0").rstrip(".")
    text = str(cell)
    return "'" + text if text[:1] in {"=", "+", "-", "@", "\t", "\r", "\n", "|", "%", "'"} else text


def _time(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _contact_times(one: Contact) -> dict[str, str | None]:
    day = None if one.last_seen is None else _time(one.last_seen * 86_400.0)
    return {
        "last_seen": None if day is None else day[:10],
        "last_outcome": _time(one.last_outcome),
        "pending_since": _time(one.pending_since),
    }


def _group(one: Group) -> Sequence[Cell]:
    counts = (one.findings, one.open, one.overdue, one.disputed, one.reported, one.held, one.failed, one.removed)
    gone = one.removals
    times = (gone.count, gone.doubtful, gone.median, gone.p95, gone.within_norm, gone.proved)
    return (one.key, *counts, one.restored, one.void, one.oldest_open, *times)


def _span(one: Span) -> Sequence[Cell]:
    return (one.start, one.findings, one.removed)


def _open(one: OpenFinding) -> Sequence[Cell]:
    where = (one.provider, one.country, one.site, one.list, one.entry)
    return (*where, one.state.value, one.age, one.overdue, one.disputed, one.doubt)


def _contact(one: Contact) -> Sequence[Cell]:
    when = _contact_times(one)
    return (
        one.provider, one.country, one.phase, one.agents, one.silent, when["last_seen"], one.quiet, when["last_outcome"],
        one.pending, when["pending_since"],
    )  # fmt: skip


_Rows = Callable[[Monitor], Any]
TABLES: Mapping[str, tuple[Sequence[str], _Rows]] = {
    "total": (("all", *_GROUP), lambda shown: [_group(shown.total)]),
    "providers": (("provider", *_GROUP), lambda shown: map(_group, shown.providers)),
    "countries": (("country", *_GROUP), lambda shown: map(_group, shown.countries)),
    "sites": (("site", *_GROUP), lambda shown: map(_group, shown.sites)),
    "days": (("day", "findings", "removed"), lambda shown: map(_span, shown.days)),
    "weeks": (("week", "findings", "removed"), lambda shown: map(_span, shown.weeks)),
    "open": (
        ("provider", "country", "site", "list", "entry", "state", "age_s", "overdue", "disputed", "doubt"),
        lambda shown: map(_open, shown.open),
    ),
    "contacts": (
        (
            "provider", "country", "phase", "agents", "silent", "last_seen", "quiet", "last_outcome", "pending",
            "pending_since",
        ),
        lambda shown: map(_contact, shown.contacts),
    ),
    "disputes": (
        ("open", "overdue", "alone", "oldest_s", "confirmed", "withdrawn"),
        lambda shown: [tuple(asdict(shown.disputes).values())],
    ),
}  # fmt: skip
"""Of each table the columns after schema, table and as_of, and the rows."""
