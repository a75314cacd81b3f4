"""hashscan service: the commands of the hotline. Needs the extra 'service'."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hashscan.cli import (
    service_backup,
    service_exports,
    service_fetch,
    service_keys,
    service_lists,
    service_monitor,
    service_notify,
    service_people,
    service_providers,
    service_review,
    service_serve,
)
from hashscan.cli.folding import speak
from hashscan.cli.groups import Group
from hashscan.cli.service_admin import admin as _admin
from hashscan.cli.service_admin import counts, duration, provider_line
from hashscan.errors import ExitCode
from hashscan.units import counted


@click.group(cls=Group, name="service")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/var/lib/hashscan-service"),
    show_default=True,
    envvar="HASHSCAN_HOTLINE",
    help="Folder of the service.",
)
@click.pass_context
def command(ctx: click.Context, data: Path) -> None:
    """The central service that a hotline runs: lists in, signed filters and verdicts out."""
    ctx.obj = data


command.add_command(service_backup.backup)
command.add_command(service_backup.restore)
command.add_command(service_keys.group)
command.add_command(service_providers.group)
command.add_command(service_serve.serve)
command.add_command(service_lists.import_list)
command.add_command(service_fetch.fetch)
command.add_command(service_lists.known_good)
command.add_command(service_exports.export_list)
command.add_command(service_exports.exports)
command.add_command(service_people.group)
service_review.add_to(command)
command.add_command(service_monitor.command)
service_notify.add_to(command)


@command.command()
@click.option("--name", default="hashscan service", show_default=True, help="What people call this service.")
@click.option(
    "--root-keys",
    type=click.Path(file_okay=False, path_type=Path),
    help="Make one root key in this folder and sign the first root with it: for trying things out.",
)
@click.option(
    "--database",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File of mode 0600 with the URL of an empty PostgreSQL database. Default: SQLite in the folder.",
)
@click.pass_obj
def init(data: Path, name: str, root_keys: Path | None, database: Path | None) -> int:
    """Make a new service: folder, database and online keys."""
    keys = Path(os.path.abspath(root_keys)) if root_keys else None
    made = _admin().init(data, name=name, root_keys=keys, database=database)
    speak(f"made the service {made.name!r} in {made.data}")
    if made.root_version:
        speak(f"its root key is in {root_keys}: take it off this machine")
    else:
        speak("next: the key ceremony, 'hashscan service keys init'; agents believe nothing before")
    return ExitCode.OK


@command.command()
@click.pass_obj
def upgrade(data: Path) -> int:
    """Bring the database to the schema of this program, after an update of it; stop the service and take a backup first."""
    done = _admin().upgrade(data)
    if done.before == done.after:
        speak(f"{done.database} has schema {done.after} already")
    else:
        speak(f"{done.database}: schema {done.before or 'of an older version'} is now {done.after}")
    return ExitCode.OK


@command.command()
@click.option("--list", "list_id", help="Only this list.")
@click.option(
    "--error-rate", type=float, default=1e-6, show_default=True, help="Share of innocent files that become candidates."
)
@click.option("--anew", is_flag=True, help="Build every filter from nothing: nothing that left a list lingers in one.")
@click.option("--jobs", type=click.IntRange(1, 64), help="Processes that build filters; default: one a core.")
@click.pass_obj
def publish(data: Path, /, list_id: str | None, **how: Any) -> int:
    """Build and sign a new version of the lists for every provider for whom it changes anything."""
    admin = _admin()
    done = admin.publish(data, list_id=list_id, terms=admin.Terms(**how))
    for one in done:
        way = f"built from nothing ({one.why})" if one.why else "the change was added"
        speak(
            f"{one.provider}: {one.list.id} version {one.list.version}, {counted(one.entries, 'entry', 'entries')}, "
            f"{counted(one.tokens, 'token')}, {one.length:,} bytes, {_delta(one)}{one.seconds:.1f} s; {way}"
        )
    for list_name, out in {one.list.id: one.left_out for one in done if one.left_out.count}.items():
        named = f"{', '.join(out.named)}{', ...' if out.count > len(out.named) else ''}"
        speak(f"{list_name}: left out {counted(out.count, 'known-good entry', 'known-good entries')}: {named}", err=True)
    if not done:
        speak("nothing has changed since the last publication: what is in force stays")
    return ExitCode.OK


def _delta(one: Any) -> str:
    withdrawn = f"{one.withdrawn} withdrawn, " if one.withdrawn else ""
    withdrawn += f"{counted(one.lingering, 'token')} left over, " if one.lingering else ""
    return withdrawn if one.delta is None else f"{withdrawn}delta {one.delta:,} bytes, "


@command.command()
@click.option("--wait", required=True, help="Least time between two syncs of an agent, like 1h.")
@click.option("--jitter", required=True, help="Most time that an agent adds to it, like 30m.")
@click.pass_obj
def pace(data: Path, wait: str, jitter: str) -> int:
    """Say how often agents may come for new lists; they learn of it with their next sync."""
    _admin().set_pace(data, wait=int(duration(wait, "--wait")), jitter=int(duration(jitter, "--jitter")))
    speak(f"agents wait {wait} between syncs, and up to {jitter} more")
    return ExitCode.OK


@command.command()
@click.argument("name")
@click.argument("directory", type=click.Path(file_okay=False, path_type=Path))
@click.pass_obj
def export(data: Path, name: str, directory: Path) -> int:
    """Copy all that is in force for the provider NAME into DIRECTORY, for hosts without a network."""
    files = _admin().export(data, name, Path(os.path.abspath(directory)))
    speak(f"{counted(len(files), 'file')} for 'hashscan sync --from {directory}'; the lists in them last 48 hours")
    return ExitCode.OK


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.pass_obj
def trace(data: Path, file: Path) -> int:
    """Tell whose filter FILE is, from its bits. Exit code 0: found, 10: it is nobody's."""
    found = _admin().trace(data, file)
    if found.claims is not None:
        said = found.claims
        speak(f"it says of itself: provider {said.provider!a}, list {said.list.id}, epoch {said.list.epoch}")
    for one in found.matches:
        speak(f"FOUND provider {one.provider}, list {one.list}, epoch {one.epoch} (chance 1 in 10^{one.digits:.0f})")
    if found.same is not None:
        same = found.same
        speak(f"FOUND the very file {same.name} of {same.provider}: list {same.list} version {same.version}")
    elif found.matches:
        speak("no file that was published has these bytes: the version is not known")
    if not found.matches and found.same is None:
        why = f"no key of this service made it, of {found.tried:,} that were tried" if found.is_filter else "it holds no filter"
        speak(f"not found: {why}")
        return ExitCode.FINDINGS
    return ExitCode.OK


@command.command()
@click.pass_obj
def status(data: Path) -> int:
    """Lists, providers, and what providers did about findings."""
    stats = _admin().stats(data)
    speak(f"service {stats.name!r}")
    for one in stats.lists:
        speak(f"list {one.id}: version {one.version}; entries {counts(one.entries)}; outcomes {counts(one.outcomes)}")
    for one in stats.providers:
        speak(f"provider {provider_line(one)}")
        if one.slowed_at is not None:
            when = datetime.fromtimestamp(one.slowed_at, UTC).strftime("%Y-%m-%d %H:%M")
            asked = counted(one.asked_today, "prefix", "prefixes")
            speak(f"  its agents were slowed {counted(one.slowed, 'time')}, last {when} UTC; {asked} today: a stolen key?")
    return ExitCode.OK
