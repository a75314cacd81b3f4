"""A report as CSV: one row a path, for spreadsheets. A name cannot become a formula.

Spreadsheets run a cell that begins with ``= + - @``, a tab or a carriage return (and their full-width forms) as a formula;
such a cell gets an apostrophe in front, which they show as text. Source: OWASP, "CSV Injection".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping

from hashscan.model import Json
from hashscan.report.fields import list_name, rows, table, text

_OF_FINDING = ("grade", "standing", "category", "action", "case_id", "size", "tenant")
COLUMNS = ("kind", "what", "path", "entry", "list", *_OF_FINDING, "detail")
_FORMULA = "=+-@\t\r\uff1d\uff0b\uff0d\uff20"


def as_csv(document: Mapping[str, Json]) -> str:
    """All rows of the document with a head; line ends are CRLF (RFC 4180). What was cut stands in a row of its own."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, COLUMNS, restval="", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for row in _rows(document):
        writer.writerow({key: harmless(value) for key, value in row.items()})
    return out.getvalue()


def harmless(value: str) -> str:
    """A cell that no spreadsheet runs."""
    return f"'{value}" if value.lstrip(" \n").startswith(tuple(_FORMULA)) else value


def _rows(document: Mapping[str, Json]) -> Iterator[dict[str, str]]:
    for key, kind in (("findings", "finding"), ("pending", "pending"), ("not_looked_at", ""), ("notes", "note")):
        part = table(document, key)
        for row in rows(part, "rows"):
            yield _row(kind or text(row, "kind"), row)
        if part.get("cut"):
            yield {"kind": kind or "skipped", "what": "cut", "detail": f"{text(part, 'cut')} more rows are not in this report"}


def _row(kind: str, row: Mapping[str, Json]) -> dict[str, str]:
    same = {key: text(row, key) for key in COLUMNS if key in row}
    listed = table(row, "list")
    what = text(row, "act") if kind == "finding" else text(row, "reason") or text(row, "message")
    return {
        **same,
        "kind": kind,
        "what": what,
        "list": list_name(listed) if listed else "",
        "detail": text(row, "detail") or text(row, "action_reason"),
    }
