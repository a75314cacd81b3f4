"""hashscan service series|notification|notification-check: counts of series for those who tell victims."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from hashscan.cli.folding import speak
from hashscan.cli.service_admin import reviewing
from hashscan.errors import ExitCode, UsageError
from hashscan.known.notifications import verify
from hashscan.report.escape import printable
from hashscan.units import counted

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_MAX_BYTES = 4 * 2**20  # of one file; no notification is longer


def add_to(group: click.Group) -> None:
    """Put the commands of this module into ``group``."""
    for one in (series, notification, notification_check):
        group.add_command(one)


@click.command()
@click.argument("source", type=_FILE)
@click.option("--list", "list_id", required=True, help="Id of the list.")
@click.pass_obj
def series(data: Path, source: Path, list_id: str) -> int:
    """Put entries into series: each line of SOURCE is ENTRY,SERIES (an id or a digest, and an opaque name). All or nothing."""
    done = reviewing().set_series(data, list_id, source)
    speak(f"{counted(done.lines, 'line')}, {counted(done.changed, 'entry', 'entries')} changed")
    return ExitCode.OK


@click.command()
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def notification(data: Path, directory: Path) -> int:
    """Sign the notification of today and write it into DIRECTORY, with all before it that are not there."""
    done = reviewing().notify(data, directory.absolute())
    speak(f"notification {done.seq}, up to {_day(done.until)}; {counted(len(done.files), 'file')} written")
    return ExitCode.OK


@click.command(name="notification-check")
@click.argument("files", type=_FILE, nargs=-1, required=True)
@click.option("--key", required=True, help="Public key of the service that signed the first: 64 hex digits, from 'keys show'.")
def notification_check(files: tuple[Path, ...], key: str) -> int:
    """Check that FILES, the oldest first, are signed and none is missing between them. Needs no service and no network."""
    for one in verify([_read(path) for path in files], key):
        speak(f"{one.seq} of {printable(one.service)!r} up to {_day(one.until)}: {len(one.counts)} series")
    return ExitCode.OK


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
