"""hashscan service: the commands of the hotline. Needs the extra 'service'."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import click

from hashscan.errors import ExitCode, UsageError
from hashscan.model import Act, Algorithm

_PHASES = ("trial", "regular", "suspended")


def _admin() -> Any:
    """The functions behind the commands. Imported here because FastAPI and SQLAlchemy are an extra. Raises `UsageError`."""
    missing = [name for name in ("fastapi", "sqlalchemy", "uvicorn", "cryptography") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"the service needs {', '.join(missing)}", hint="pip install 'hashscan[service]'")
    from hashscan.service import admin  # noqa: PLC0415 - an extra

    return admin


@click.group(name="service")
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


@command.command()
@click.option("--name", default="hashscan service", show_default=True, help="What people call this service.")
@click.pass_obj
def init(data: Path, name: str) -> int:
    """Make a new service: folder, database and signing key."""
    made = _admin().init(data, name=name)
    click.echo(f"made the service {made.name!r} in {made.data}")
    click.echo(f"its public key, which agents pin: {made.public_key}")
    return ExitCode.OK


@command.command(name="import")
@click.argument("source", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--list", "list_id", required=True, help="Id of the list, like 'police'; it is made where it does not exist.")
@click.option("--source-name", help="The authority that the file comes from; default: the name of the file.")
@click.option("--format", "shape", type=click.Choice(["auto", "plain", "csv"]), default="auto", show_default=True)
@click.option(
    "--column", "columns", multiple=True, metavar="FIELD=NAME", help="CSV: the column NAME holds FIELD (md5, sha1, size, ...)."
)
@click.option(
    "--algorithm", type=click.Choice([one.value for one in Algorithm]), help="What 64 hex digits are in a plain list."
)
@click.option("--category", default="unspecified", show_default=True, help="Category of entries that name none.")
@click.option("--act", type=click.Choice([one.value for one in Act]), default="quarantine", show_default=True)
@click.option("--skip-bad", is_flag=True, help="Leave bad lines out instead of refusing the file.")
@click.pass_obj
def import_list(data: Path, /, source: Path, **options: Any) -> int:
    """Import SOURCE, a plain hash list or a CSV file: all of it or nothing."""
    admin = _admin()
    from hashscan.service.importing import ImportRequest  # noqa: PLC0415 - an extra
    from hashscan.service.rows import Shape  # noqa: PLC0415 - an extra

    columns = dict(_column(text) for text in options["columns"])
    algorithm = Algorithm(options["algorithm"]) if options["algorithm"] else None
    shape = Shape(options["shape"], columns, algorithm, options["category"], Act(options["act"]))
    request = ImportRequest(
        options["list_id"], source, options["source_name"] or source.name, shape=shape, skip_bad=options["skip_bad"]
    )
    report = admin.import_list(data, request)
    click.echo(
        f"list {report.list_id}: {report.added} entries added, {report.merged} merged, {report.unchanged} unchanged, "
        f"{report.conflicts} conflicts"
    )
    for reason, count in sorted(report.refused.items()):
        click.echo(f"refused {count}: {reason}", err=True)
    for note in report.notes:
        click.echo(f"  line {note.line}: {note.reason}", err=True)
    return ExitCode.OK


def _column(text: str) -> tuple[str, str]:
    field, equals, name = text.partition("=")
    if not equals or not field or not name:
        raise UsageError(f"--column {text!r} is not FIELD=NAME", hint="for example --column sha1=SHA-1")
    return field.lower(), name


@command.group()
def provider() -> None:
    """The companies that the service admits."""


@provider.command()
@click.argument("name")
@click.option("--url", required=True, help="Where agents reach this service, https://...")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the enrolment files.")
@click.option(
    "--phase", type=click.Choice(_PHASES[:2]), default="trial", show_default=True, help="In trial, every answer says report."
)
@click.pass_obj
def add(data: Path, name: str, url: str, out: Path, phase: str) -> int:
    """Admit the provider NAME and write what its agents need, once, into a folder."""
    admin = _admin()
    made = admin.add_provider(data, name, phase=admin.Phase(phase), url=url, out=Path(os.path.abspath(out)))
    click.echo(f"admitted {made.provider} in phase {made.phase}; hand over {made.folder} on a safe way:")
    for path in made.files:
        click.echo(f"  {path.name}")
    return ExitCode.OK


@provider.command()
@click.argument("name")
@click.argument("phase", type=click.Choice(_PHASES))
@click.pass_obj
def phase(data: Path, name: str, phase: str) -> int:
    """Put the provider NAME into another phase; it counts from the next request on."""
    admin = _admin()
    admin.set_phase(data, name, admin.Phase(phase))
    click.echo(f"{name} is in phase {phase}")
    return ExitCode.OK


@command.command()
@click.option("--list", "list_id", help="Only this list.")
@click.option(
    "--error-rate", type=float, default=1e-6, show_default=True, help="Share of innocent files that become candidates."
)
@click.pass_obj
def publish(data: Path, list_id: str | None, error_rate: float) -> int:
    """Build and sign a new version of the lists for every provider."""
    for one in _admin().publish(data, list_id=list_id, error_rate=error_rate):
        click.echo(
            f"{one.provider}: {one.list.id} version {one.list.version}, {one.entries} entries, {one.tokens} tokens, "
            f"{one.length} bytes, {one.seconds:.1f} s"
        )
    return ExitCode.OK


@command.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; TLS is the reverse proxy's work.")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="0 picks a free one.")
@click.pass_obj
def serve(data: Path, host: str, port: int) -> int:
    """Answer agents until SIGTERM or SIGINT."""
    _admin()
    from hashscan.service.run import serve as run  # noqa: PLC0415 - an extra

    run(data, host=host, port=port, ready=lambda url: click.echo(f"answering on {url}", err=True))
    return ExitCode.OK


def _standing(verb: str, doc: str) -> None:
    @command.command(name=verb, help=doc)
    @click.argument("entry")
    @click.option("--list", "list_id", required=True, help="Id of the list.")
    @click.option("--reason", required=True, help="Why; it is kept in the history of the entry.")
    @click.pass_obj
    def change(data: Path, entry: str, list_id: str, reason: str) -> int:
        done = getattr(_admin(), verb)(data, list_id, entry, reason)
        click.echo(f"{done.standing}: {', '.join(done.entries)}")
        if done.sharing:
            click.echo(f"these entries share a digest and stay as they are: {', '.join(done.sharing)}", err=True)
        return ExitCode.OK


_standing("withdraw", "Withdraw ENTRY (its id or one of its digests): it matches nothing any more.")
_standing("dispute", "Mark ENTRY as doubtful: files that match it are reported and not moved.")
_standing("reinstate", "Make a disputed or withdrawn ENTRY active again.")


@command.command()
@click.pass_obj
def status(data: Path) -> int:
    """Lists, providers, and what providers did about findings."""
    stats = _admin().stats(data)
    click.echo(f"service {stats.name!r}")
    for one in stats.lists:
        click.echo(f"list {one.id}: version {one.version}; entries {_counts(one.entries)}; outcomes {_counts(one.outcomes)}")
    for one in stats.providers:
        slowest = "" if one.slowest_act is None else f"; slowest removal {one.slowest_act / 3600:.1f} h after first sight"
        click.echo(f"provider {one.name}: {one.phase}, key epoch {one.epoch}; outcomes {_counts(one.outcomes)}{slowest}")
    return ExitCode.OK


def _counts(counts: Any) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
