"""hashscan service provider: the companies that a hotline admits, their agents and keys."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from hashscan.cli.folding import say, speak
from hashscan.cli.groups import Group
from hashscan.cli.service_admin import admin, duration, provider_line, reviewing
from hashscan.errors import ExitCode, UsageError
from hashscan.units import counted

_PHASES = ("trial", "regular", "suspended")


_country = click.option("--country", help="Where it is: two letters, ISO 3166, like NL.")
_site = click.option("--site", help="A label of the site of the agent, like ams-1.")


@click.group(cls=Group, name="provider")
def group() -> None:
    """The companies that the service admits."""


@group.command()
@click.argument("name")
@click.option("--url", help="With --out: where agents reach this service, https://...")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files for an agent into this folder; without, agents enrol with codes.",
)
@click.option(
    "--phase", type=click.Choice(_PHASES[:2]), default="trial", show_default=True, help="In trial, every answer says report."
)
@click.pass_obj
def add(data: Path, name: str, url: str | None, out: Path | None, phase: str) -> int:
    """Admit the provider NAME."""
    service = admin()
    folder = Path(os.path.abspath(out)) if out else None
    made = service.add_provider(data, name, phase=service.Phase(phase), url=url, out=folder)
    if made.folder is None:
        speak(f"admitted {made.provider} in phase {made.phase}; next: 'hashscan service provider code {made.provider}'")
        return ExitCode.OK
    speak(f"admitted {made.provider} in phase {made.phase}; hand over {made.folder} on a safe way:")
    for path in made.files:
        speak(f"  {path.name}")
    return ExitCode.OK


@group.command()
@click.argument("name")
@click.option("--valid", default="2d", show_default=True, help="How long it can be used: 60s to 30d.")
@_country
@_site
@click.pass_obj
def code(data: Path, name: str, valid: str, country: str | None, site: str | None) -> int:
    """Make a code that enrols one agent of the provider NAME. It is shown once, and is a secret."""
    service = admin()
    made = service.new_code(data, name, valid=duration(valid, "--valid"), place=service.Place(country, site))
    say(made)
    speak(f"for one agent of {name}, within {valid}: hashscan enroll URL CODE", err=True)
    return ExitCode.OK


@group.command()
@click.argument("name")
@click.option("--key", "key_id", type=int, help="Of this agent: the id of its API key; without, of the company.")
@_country
@_site
@click.pass_obj
def place(data: Path, name: str, key_id: int | None, country: str | None, site: str | None) -> int:
    """Say where the provider NAME or one of its agents is, for the monitor."""
    if country is None and site is None:
        raise UsageError("name --country or --site")
    service = reviewing()
    service.set_place(data, name, key_id, service.Place(country, site))
    speak(f"{name}{'' if key_id is None else f' key {key_id}'}: {country or ''} {site or ''}".rstrip())
    return ExitCode.OK


@group.command(name="list")
@click.pass_obj
def list_(data: Path) -> int:
    """All providers: phase, key epoch, and what they did about findings."""
    for one in admin().stats(data).providers:
        speak(provider_line(one))
    return ExitCode.OK


@group.command(name="agents")
@click.argument("name")
@click.pass_obj
def agents_(data: Path, name: str) -> int:
    """The API keys of the provider NAME, and its codes that can still be used."""
    found = admin().agents(data, name)
    for one in found.keys:
        origin = f"added by {one.added_by}" if one.added_by is not None else f"code {one.code}" if one.code else "files"
        used = "never used" if one.used_day is None else f"last used {_day(one.used_day * 86_400)}"
        state = "" if one.revoked is None else f", revoked {_day(one.revoked)}"
        log = "" if one.log is None else f", log {counted(one.log[0], 'line')}, head {one.log[1][:16]}"
        speak(f"{one.id}  {one.label}  made {_day(one.created)}, {origin}, {used}{state}{log}")
    if not found.keys and not found.codes:
        speak(f"no agents yet: 'hashscan service provider code {name}' makes a code for one", err=True)
    for one in found.codes:
        failed = f", {counted(one.failures, 'wrong proof')}" if one.failures else ""
        speak(f"code {one.id}  not used yet, made {_day(one.created)}, until {_day(one.expires)}{failed}")
    return ExitCode.OK


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


@group.command()
@click.argument("name")
@click.argument("what", metavar="KEY-ID")
@click.pass_obj
def revoke(data: Path, name: str, what: str) -> int:
    """End an API key of the provider NAME with all keys that came from it, or a code that nobody has used."""
    ended = admin().revoke_api_key(data, name, what)
    speak(f"ended {', '.join(f'API key {one}' for one in ended.keys)}{', '.join(f'code {one}' for one in ended.codes)}")
    if ended.last:
        speak(f"{name} has no API key any more: no agent of it is answered", err=True)
    if ended.keys:
        speak(f"who had it also knows a provider key: 'hashscan service provider rotate {name}'", err=True)
    return ExitCode.OK


@group.command()
@click.argument("name")
@click.option("--revoke-old", is_flag=True, help="Answer nothing under the old keys any more.")
@click.pass_obj
def rotate(data: Path, /, name: str, **options: bool) -> int:
    """Give the provider NAME a new provider key: a new epoch, from the next publication on."""
    done = admin().rotate_provider_key(data, name, revoke_old=options["revoke_old"])
    speak(f"{done.provider}: epoch {done.epoch}, {counted(done.revoked, 'key')} revoked; next: 'hashscan service publish'")
    return ExitCode.OK


@group.command()
@click.argument("name", required=False)
@click.option("--per-day", type=click.IntRange(0), help="Distinct prefixes that each agent may ask about a day; 0: no limit.")
@click.option("--burst", type=click.IntRange(0), help="How many at once, after quiet days.")
@click.pass_obj
def quota(data: Path, name: str | None, per_day: int | None, burst: int | None) -> int:
    """How much each agent of NAME may ask; without NAME, of the providers without numbers of their own."""
    set_to = admin().set_quota(data, name, per_day=per_day, burst=burst)
    said = f"{set_to.per_day:,} prefixes a day, {set_to.burst:,} at once" if set_to.per_day else "no limit"
    speak(f"{name or 'every other provider'}: each agent may ask about {said}")
    return ExitCode.OK


@group.command()
@click.argument("name")
@click.argument("phase", type=click.Choice(_PHASES))
@click.pass_obj
def phase(data: Path, name: str, phase: str) -> int:
    """Put the provider NAME into another phase; it counts from the next request on."""
    service = admin()
    service.set_phase(data, name, service.Phase(phase))
    speak(f"{name} is in phase {phase}")
    return ExitCode.OK
