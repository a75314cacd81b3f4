"""hashscan service fetch: ask a source what has changed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hashscan.central.link import Link
from hashscan.cli import service_lists
from hashscan.cli.folding import speak
from hashscan.cli.service_admin import admin as _admin
from hashscan.cli.service_admin import duration
from hashscan.errors import ExitCode, UsageError
from hashscan.model import Act
from hashscan.settings import read_secret
from hashscan.units import counted

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("url")
@click.option("--list", "list_id", required=True, help="Id of the list; it is made where it does not exist.")
@click.option("--source-name", default="ncmec", show_default=True, help="What the source is called among those of an entry.")
@click.option("--category", "categories", multiple=True, required=True, help="Take entries of this classification.")
@click.option("--login", type=_FILE, help="File of mode 0600 that holds USER:PASSWORD.")
@click.option("--ca-file", type=_FILE, help="Certificates that the source's is checked with; default: those of the system.")
@click.option("--since", help="Take all since this day (2026-01-31), not since the last fetch.")
@click.option("--deadline", default="6h", show_default=True, help="How long the pages together may take.")
@click.option("--act", type=click.Choice([one.value for one in Act]), default="quarantine", show_default=True)
@service_lists.SKIP_BAD
@service_lists.DRY_RUN
@service_lists.REPORT
@service_lists.MAX_WITHDRAWN
@click.pass_obj
def fetch(data: Path, /, url: str, **options: Any) -> int:
    """Fetch what has changed at URL, a source that speaks NCMEC's Hash Sharing v2, and import it: all of it or nothing."""
    admin = _admin()
    from hashscan.service.fetching import FetchRequest  # noqa: PLC0415 - an extra
    from hashscan.service.importers.port import Shape  # noqa: PLC0415 - an extra
    from hashscan.service.importing import ImportRequest  # noqa: PLC0415 - an extra

    link = Link(
        url,
        None,
        options["ca_file"],
        deadline=300.0,
        total=duration(options["deadline"], "--deadline"),
        basic=read_secret(options["login"]) if options["login"] else None,
    )
    into = ImportRequest(
        options["list_id"],
        Path(),
        options["source_name"],
        shape=Shape("ncmec", act=Act(options["act"]), categories=frozenset(options["categories"])),
        skip_bad=options["skip_bad"],
        dry_run=options["dry_run"],
        report=options["report"],
        max_withdrawn=options["max_withdrawn"],
    )
    done = admin.fetch(data, FetchRequest(into, link, _since(options["since"])), told=_tell_page)
    until = datetime.fromtimestamp(done.until, UTC).isoformat(timespec="seconds")
    before = f", {done.resumed} of them from a fetch that was stopped" if done.resumed else ""
    speak(f"{counted(done.pages, 'page')}{before}, what has changed until {until}")
    service_lists.tell(done.imported)
    return ExitCode.OK


def _tell_page(number: int) -> None:
    if number % 100 == 0:
        speak(f"{number} pages", err=True)


def _since(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return max(0.0, datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise UsageError(f"--since {text!r} is not a day like 2026-01-31") from None
