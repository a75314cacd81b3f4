"""hashscan enroll."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from hashscan.central.enrolling import HttpKeys
from hashscan.central.link import Link
from hashscan.cli import wiring
from hashscan.cli.folding import speak
from hashscan.cli.lines import OK, check_line
from hashscan.cli.selftest import chain_holds
from hashscan.errors import ExitCode, FilterError, HashscanError, UsageError
from hashscan.jobs.enroll import default_label, enroll, interrupted
from hashscan.jobs.settling import Connection, Place, choose, set_aside
from hashscan.jobs.sync import sync
from hashscan.known.codes import MAX_TYPED, Code, read_code
from hashscan.settings import ServiceSettings, Settings, config_folder

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="enroll")
@click.argument("url")
@click.argument("code")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the configuration and the keys; default: the configuration folder.",
)
@click.option("--label", help="What the hotline calls this agent; default: the name of this host.")
@click.option("--ca-file", type=_FILE, help="Authority of the service (PEM).")
@click.option("--client-cert", type=_FILE, help="Our certificate (PEM), where the service wants to see one.")
@click.option("--client-key", type=_FILE, help="Its private key (PEM, mode 0600).")
@click.option("--proxy", help="Proxy, http://host:port.")
@click.option("--replace", is_flag=True, help="Take the place of another enrolment; its files are kept as .old.")
@click.pass_context
def command(ctx: click.Context, /, url: str, code: str, out: Path | None, **options: Any) -> int:
    """Enrol this host at the service URL with a single-use CODE of the hotline; - reads it from stdin.

    Everything is written, or nothing; then the lists are fetched and the self-test is run. After a lost reply or a crash, the
    same command goes on.
    """
    secret = read_code(_from_stdin() if code == "-" else code)
    default = ctx.obj.config.parent if ctx.obj.config else config_folder()
    folder = Path(os.path.abspath(out or default))
    resumed = interrupted(folder / ".enrolling", secret) is not None
    place = choose(folder, replace=options["replace"] or resumed)
    files = [Path(os.path.abspath(options[name])) for name in ("client_cert", "client_key") if options[name]]
    if len(files) == 1:
        raise UsageError("--client-cert and --client-key come together")
    ca_file = Path(os.path.abspath(options["ca_file"])) if options["ca_file"] else None
    connection = Connection(url, ca_file, options["proxy"], (files[0], files[1]) if files else None)
    settings = _enrolled(secret, options["label"] or default_label(socket.gethostname()), place, connection)
    return _tried(settings)


def _from_stdin() -> str:
    """One line: an argument can be seen by every user of this host while the command runs."""
    return sys.stdin.readline(MAX_TYPED + 2).strip()


def _enrolled(code: Code, label: str, place: Place, connection: Connection) -> Settings:
    with closing(HttpKeys(_link(place, connection))) as client:
        enrolled = enroll(code, label, place, connection, client.enrol)
    speak(f"enrolled at {connection.url} as {label} of {enrolled.provider}; configuration in {place.config}")
    return enrolled.settings


def _link(place: Place, connection: Connection) -> Link:
    """What the flags say, else what other files of the configuration say that stay in force."""
    told = place.settings().service if place.standard else ServiceSettings()
    ca_file = connection.ca_file or (Path(told.ca_file) if told.ca_file else None)
    client = connection.client_cert
    if client is None and told.client_cert_file and told.client_key_file:
        client = Path(told.client_cert_file), Path(told.client_key_file)
    return Link(connection.url, None, ca_file, connection.proxy or told.proxy or None, client_cert=client)


def _tried(settings: Settings) -> int:
    """Sync and self-test, each told in a line. Whatever comes of them, this host is enrolled."""
    try:
        with wiring.conversation(wiring.Talk()) as (reporter, stack):
            tools = wiring.service_tools(settings)
            with wiring.lock(settings, "sync.lock"):
                _leave_old_lists(settings, tools)
                lists = sync(tools.sync_tools(stack, reporter))
        synced = ", ".join(f"{one.list.id} version {one.list.version}" for one in lists.targets)
        check_line(OK, "sync", synced or "no lists yet")
        good = chain_holds(settings)  # with tools anew: the sync may have brought another provider key
    except HashscanError:
        speak("this host is enrolled, but not yet at work: 'hashscan sync', then 'hashscan selftest'", err=True)
        raise
    return ExitCode.OK if good else ExitCode.FILTER


def _leave_old_lists(settings: Settings, tools: wiring.ServiceTools) -> None:
    """Lists of an earlier enrolment, for another provider or signed under another root, would never be replaced."""
    try:
        tools.shelf.lists()
    except FilterError:
        set_aside(settings.lists_dir)
        speak(f"the lists of an earlier enrolment are in {settings.lists_dir.with_name('lists.old')} now")
