"""hashscan service export-list, exports: lists go out, for shops with other tools."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hashscan.cli import wiring
from hashscan.cli.folding import speak
from hashscan.cli.service_admin import admin as _admin
from hashscan.errors import ExitCode, UsageError
from hashscan.model import Algorithm
from hashscan.settings import read_secret
from hashscan.units import counted

_FORMS = ("hsb", "hashdeep", "dcso", "pss")
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="export-list")
@click.argument("list_id", metavar="LIST")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--format", "form", type=click.Choice(_FORMS), required=True, help="ClamAV, hashdeep, DCSO Bloom, Private Search Set."
)
@click.option(
    "--algorithm", "algorithms", type=click.Choice([one.value for one in Algorithm]), multiple=True, help="Only these."
)
@click.option("--error-rate", type=float, default=1e-6, show_default=True, help="Of the filter in dcso and pss.")
@click.option("--upper", is_flag=True, help="dcso: hex digits are A to F.")
@click.option("--key", type=_FILE, help="pss: file with the key, mode 0600.")
@click.option("--key-id", default="", help="pss: what readers call this key.")
@click.option("--replace", is_flag=True, help="OUT may be there already.")
@click.pass_obj
def export_list(data: Path, /, list_id: str, out: Path, **options: Any) -> int:
    """Write the entries of LIST to OUT for another tool. Whoever reads OUT has the list; the export is recorded."""
    admin = _admin()
    from hashscan.service.exporters.port import Wish  # noqa: PLC0415 - an extra

    if os.path.lexists(out) and not options["replace"]:
        raise UsageError(f"{out} is there already", hint="name another file, or say --replace")
    key = read_secret(options["key"]).encode() if options["key"] else b""
    wish = Wish(
        options["form"],
        tuple(Algorithm(one) for one in options["algorithms"]),
        error_rate=options["error_rate"],
        upper=options["upper"],
        key=key,
        key_id=options["key_id"],
    )
    done = admin.export_list(data, list_id, Path(os.path.abspath(out)), wish, who=wiring.actor("service export-list"))
    written = done.written
    speak(f"list {done.list_id}: {_what(written)} in {out}, sha256 {written.sha256}")
    if done.skipped:
        speak(f"left out {done.skipped}: without such a digest{', or without a size' * (wish.form == 'hashdeep')}", err=True)
    if done.doubtful:
        speak(f"left out {done.doubtful}: disputed", err=True)
    speak("whoever reads this file can tell what is on the list; a withdrawal does not reach it: export again", err=True)
    return ExitCode.OK


def _what(one: Any) -> str:
    return f"{counted(one.entries, 'entry', 'entries')}, {counted(one.digests, 'digest')}"


@click.command()
@click.pass_obj
def exports(data: Path) -> int:
    """Every list that left the service: when, in which format, by whose command."""
    found = _admin().past_exports(data)
    if not found:
        speak("no list has left this service", err=True)
    for one in found:
        at = datetime.fromtimestamp(one.at, UTC).isoformat(timespec="seconds")
        what = f"{_what(one)}, sha256 {one.sha256}" if one.sha256 else "not brought to its end"
        speak(f"{at}  list {one.list_id}, {one.form}, {one.who}: {what}")
    return ExitCode.OK
