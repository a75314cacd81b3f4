"""hashscan service import, known-good: lists come in."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hashscan.cli.folding import speak
from hashscan.cli.groups import Group
from hashscan.cli.service_admin import admin as _admin
from hashscan.errors import ExitCode, UsageError
from hashscan.model import Act, Algorithm
from hashscan.units import counted

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_LISTS = ("auto", "plain", "csv", "hashdeep", "clamav", "vics", "ncmec", "nsrl")
_KNOWN_GOOD = ("auto", "plain", "csv", "hashdeep", "nsrl", "nsrl3")
_EVERY = 5.0  # seconds
_COLUMNS = click.option(
    "--column", "columns", multiple=True, metavar="FIELD=NAME", help="CSV: the column NAME holds FIELD (md5, sha1, size, ...)."
)
SKIP_BAD = click.option("--skip-bad", is_flag=True, help="Leave bad lines out instead of refusing the file.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would happen; change nothing.")
MAX_WITHDRAWN = click.option(
    "--max-withdrawn", type=click.IntRange(0), default=1000, show_default=True, help="Entries that the source may take back."
)
REPORT = click.option("--report", type=_OUT, help="Write every refused place into this file, as JSON lines.")


@click.command(name="import")
@click.argument("sources", type=_FILE, nargs=-1, required=True)
@click.option("--list", "list_id", required=True, help="Id of the list, like 'police'; it is made where it does not exist.")
@click.option("--source-name", help="The authority that the file comes from; default: the name of the file.")
@click.option("--format", "format_", type=click.Choice(_LISTS), default="auto", show_default=True)
@_COLUMNS
@click.option(
    "--algorithm", type=click.Choice([one.value for one in Algorithm]), help="What 64 hex digits are in a plain list."
)
@click.option(
    "--category",
    "categories",
    multiple=True,
    help="VICS, NCMEC: take entries of this category, of no other. Else the category of entries that name none.",
)
@click.option("--act", type=click.Choice([one.value for one in Act]), default="quarantine", show_default=True)
@SKIP_BAD
@DRY_RUN
@REPORT
@MAX_WITHDRAWN
@click.pass_obj
def import_list(data: Path, /, sources: tuple[Path, ...], **options: Any) -> int:
    """Import SOURCES, files of one hash list (plain, gzip or a pipe): all of it or nothing."""
    admin = _admin()
    from hashscan.service.importing import ImportRequest  # noqa: PLC0415 - an extra

    request = ImportRequest(
        options["list_id"],
        sources[0],
        options["source_name"] or sources[0].name,
        shape=_shape(options),
        skip_bad=options["skip_bad"],
        more=sources[1:],
        dry_run=options["dry_run"],
        report=options["report"],
        max_withdrawn=options["max_withdrawn"],
        source_named=bool(options["source_name"]),
    )
    tell(admin.import_list(data, request, progress=_progress()))
    return ExitCode.OK


def _progress() -> Callable[[int], None] | None:
    """Tells somebody who looks how far it is, every `_EVERY` seconds."""
    if not sys.stderr.isatty():
        return None
    told = time.monotonic()

    def tell_place(number: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _EVERY:
            told = time.monotonic()
            speak(f"  {number:,} read", err=True)

    return tell_place


def _shape(options: Any) -> Any:
    from hashscan.service.importers.port import Shape  # noqa: PLC0415 - an extra

    categories = options.get("categories", ())
    return Shape(
        format=options["format_"],
        columns=dict(_column(text) for text in options["columns"]),
        algorithm=Algorithm(options["algorithm"]) if options.get("algorithm") else None,
        category=categories[0] if categories else "unspecified",
        act=Act(options.get("act", Act.QUARANTINE)),
        categories=frozenset(categories),
    )


def _column(text: str) -> tuple[str, str]:
    field, equals, name = text.partition("=")
    if not equals or not field or not name:
        raise UsageError(f"--column {text!r} is not FIELD=NAME", hint="for example --column sha1=SHA-1")
    return field.lower(), name


def tell(report: Any) -> None:
    """What an import came to: counts on stdout, what was refused on stderr."""
    rehearsed = "dry run, nothing was changed: " if report.dry_run else ""
    back = f", {report.withdrawn} withdrawn" if report.withdrawn else ""
    back += f", {report.released} stated by others only" if report.released else ""
    speak(
        f"{rehearsed}list {report.list_id}: {counted(report.added, 'entry', 'entries')} added, {report.merged:,} merged, "
        f"{report.unchanged:,} unchanged, {counted(report.conflicts, 'conflict')}{back}"
    )
    _tell_refused(report)


def _tell_refused(report: Any) -> None:
    for reason, count in sorted(report.refused.items()):
        speak(f"refused {count:,}: {reason}", err=True)
    for note in report.notes:
        speak(f"  {note.place}: {note.reason}", err=True)


@click.group(cls=Group, name="known-good")
def known_good() -> None:
    """Digests of harmless files that no list may hold."""


@known_good.command(name="import")
@click.argument("source", type=_FILE)
@click.option("--format", "format_", type=click.Choice(_KNOWN_GOOD), default="auto", show_default=True)
@_COLUMNS
@SKIP_BAD
@DRY_RUN
@REPORT
@click.pass_obj
def import_known_good(data: Path, /, source: Path, **options: Any) -> int:
    """Import SOURCE, a list of digests: imports refuse them from now on, publications and answers leave them out."""
    admin = _admin()
    from hashscan.service.known_good import Manner  # noqa: PLC0415 - an extra

    manner = Manner(_shape(options), skip_bad=options["skip_bad"], dry_run=options["dry_run"], report=options["report"])
    report = admin.import_known_good(data, source, manner)
    read = f"{counted(report.read, 'digest')} read; the known-good list"
    if report.dry_run:
        speak(f"dry run, nothing was changed: {read} would have {report.total:,}")
    else:
        speak(f"{read} has {report.total:,} now")
    _tell_refused(report)
    return ExitCode.OK
