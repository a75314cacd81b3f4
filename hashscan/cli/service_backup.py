"""hashscan service backup, restore: a copy of the whole service, and a service made of one."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from hashscan.cli.folding import speak
from hashscan.cli.service_admin import admin
from hashscan.errors import ExitCode
from hashscan.units import counted

_BUSY_SECONDS = 30.0


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.pass_obj
def backup(data: Path, directory: Path) -> int:
    """Copy the whole service into the new folder DIRECTORY while it works, and verify the copy."""
    admin()
    from hashscan.service import backup as copying  # noqa: PLC0415 - an extra
    from hashscan.service.store import open_store  # noqa: PLC0415 - an extra

    with open_store(data, busy_seconds=_BUSY_SECONDS) as store:
        made = copying.backup(store, Path(os.path.abspath(directory)))
    speak(f"{counted(made.files, 'file')}, {made.length:,} bytes in {made.folder}, verified; schema {made.schema}")
    secrets = " and ".join(copying.SECRETS)
    speak(f"SECRET: {secrets} hold all lists, all provider keys and the online keys; keep it as safe as the service", err=True)
    return ExitCode.OK


@click.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--database",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of mode 0600 with the URL of an empty PostgreSQL database. Default: SQLite in the folder.",
)
@click.pass_obj
def restore(data: Path, directory: Path, database: Path | None) -> int:
    """Make a service of the backup in DIRECTORY; --data is a new folder. Then publish, so that agents follow."""
    admin()
    from hashscan.service import restoring  # noqa: PLC0415 - an extra

    done = restoring.restore(directory, data, database=database)
    made = datetime.fromtimestamp(done.backup.made, UTC).strftime("%Y-%m-%d %H:%M UTC")
    speak(f"restored {counted(done.backup.files, 'file')} of {made} into {data}, database {done.database}")
    speak(f"all versions go on {done.raised} higher: agents take what is published from now on for newer than what they hold")
    speak("next: 'hashscan service publish', at once; agents that synced after the backup refuse its lists until then")
    speak("what happened after the backup is lost: revoke again what was revoked, enrol again what was enrolled", err=True)
    return ExitCode.OK
