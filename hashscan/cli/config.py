"""hashscan config: what holds and why, what is wrong, and a file to begin with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from hashscan import settings as configuration
from hashscan.cli import engines, wiring
from hashscan.cli.folding import say
from hashscan.cli.groups import Group
from hashscan.cli.source import Source
from hashscan.errors import ExitCode, UsageError
from hashscan.quarantine.keeping import keeping_time
from hashscan.quarantine.seal import Recipients
from hashscan.settings import Settings, checking, writing
from hashscan.settings.sections import SECTIONS
from hashscan.settings.sources import Problem, fields_of, line_of

_COMMENT_COLUMN = 48


@click.group(cls=Group, name="config")
def command() -> None:
    """Show, check and write the configuration."""


@command.command(name="show")
@click.option("--origin", is_flag=True, help="Say of each value where it comes from.")
@click.option("--changed", is_flag=True, help="Only what somebody has set.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_obj
def show(source: Source, *, origin: bool, changed: bool, as_json: bool) -> int:
    """Print every setting as it holds. Secrets are never shown, only the names of their files."""
    chosen = wiring.settings(source)
    if as_json:
        told = {
            f"{section}.{key}": {"value": writing.plain(section, key, value), "origin": _origin(chosen, section, key)}
            for section, key, value in _values(chosen, changed=changed)
        }
        say(json.dumps(told, indent=2))
        return ExitCode.OK
    last = ""
    for section, key, value in _values(chosen, changed=changed):
        if section != last:
            say(f"{chr(10) if last else ''}[{section}]")
            last = section
        line = f"{key} = {writing.as_toml(section, key, value)}"
        say(f"{line:<{_COMMENT_COLUMN}}  # {_origin(chosen, section, key)}" if origin else line)
    return ExitCode.OK


def _values(chosen: Settings, *, changed: bool) -> Iterator[tuple[str, str, object]]:
    for section in SECTIONS:
        for key in fields_of(section):
            if not changed or f"{section}.{key}" in chosen.origins:
                yield section, key, getattr(getattr(chosen, section), key)


def _origin(chosen: Settings, section: str, key: str) -> str:
    """Where a value comes from: a file with the line, where that can be told."""
    origin = chosen.origins.get(f"{section}.{key}", "default")
    path, _, profile = origin.partition(" [")
    if not path.startswith("/"):
        return _printable(origin)
    line = line_of(Path(path), f"{profile.rstrip(']')}.{section}.{key}".lstrip("."))
    return _printable(f"{path}{f':{line}' if line else ''}{f' [{profile}' if profile else ''}")


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)


@command.command(name="validate")
@click.pass_obj
def validate(source: Source) -> int:
    """Say everything that is wrong with the configuration. Exit 2: something is."""
    chosen, problems = configuration.read(config=source.config, profile=source.profile)
    files = [source.config] if source.config else configuration.standard_files()
    problems = [*problems, *checking.files_problems(chosen, files), *_of_tools(chosen)]
    for one in problems:
        say(_printable(_told(one)))
    if problems:
        raise UsageError(f"{len(problems)} problem{'' if len(problems) == 1 else 's'} in the configuration")
    say(f"fine: {len(chosen.origins)} settings of {len(files)} file{'' if len(files) == 1 else 's'} and the environment")
    return ExitCode.OK


def _told(problem: Problem) -> str:
    line = line_of(problem.file, problem.key) if problem.file else 0
    where = f"{problem.file}:{line}: " if line else ""
    return f"{where}{problem.message}{f'; {problem.hint}' if problem.hint else ''}"


def _of_tools(chosen: Settings) -> Iterator[Problem]:
    """What only the tools can judge: rules, keys, patterns."""
    kept = chosen.retention
    sealed = chosen.evidence.recipients
    checks: list[tuple[str, Callable[[], object]]] = [
        ("scan.exclude", lambda: engines.excludes(chosen)),
        ("tenants", lambda: wiring.tenants(chosen)),
        ("evidence", lambda: Recipients(sealed) if sealed else None),
        ("retention", lambda: keeping_time(kept.profile, kept.purge_after, sealed=bool(sealed))),
    ]
    for section, check in checks:
        try:
            check()
        except UsageError as error:
            yield Problem(f"{section}: {error}", error.hint)


@command.command(name="init")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path, allow_dash=True))
@click.pass_obj
def init(source: Source, file: Path | None) -> int:
    """Write a configuration with every setting commented out, to FILE or where it is looked for; '-' is stdout."""
    if file == Path("-"):
        say(writing.template().rstrip())
        return ExitCode.OK
    path = file or source.config or configuration.config_folder() / "config.toml"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "x", encoding="utf-8", opener=lambda name, flags: os.open(name, flags | os.O_CLOEXEC, 0o644)) as stream:
            stream.write(writing.template())
    except FileExistsError:
        raise UsageError(f"{path} is there already, nothing was written", hint="name another FILE, or '-' for stdout") from None
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}", hint="are you root?") from None
    say(f"wrote {path}; everything in it is commented out")
    return ExitCode.OK


@command.command(name="schema")
def schema() -> int:
    """Print the JSON Schema of the configuration, for editors."""
    say(json.dumps(writing.schema(), indent=2))
    return ExitCode.OK
