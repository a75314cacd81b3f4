"""hashscan service people: the accounts of those who use the pages."""

from __future__ import annotations

import os
import stat
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from hashscan.cli.folding import say, speak
from hashscan.cli.groups import Group
from hashscan.cli.service_admin import admin
from hashscan.errors import ExitCode, UsageError

_ROLES = ("hotline", "reviewer", "authority", "provider")
_MAX_FILE_BYTES = 4096

_provider = click.option("--provider", help="The company of a person whose role is provider.")
_ask = click.option("--ask", is_flag=True, help="Ask for a password now, instead of making a set-up code.")
_file = click.option(
    "--password-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Take the password from the first line of this file of mode 0600.",
)


@click.group(cls=Group, name="people")
def group() -> None:
    """The accounts of those who use the pages of the service."""


@group.command()
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), required=True, help="What the account may see and do.")
@_provider
@_ask
@_file
@click.pass_obj
def add(data: Path, /, name: str, role: str, **options: Any) -> int:
    """Make the account NAME, and a code with which its person chooses a password, once, within two days."""
    people = _people()
    password = _password(options["password_file"], ask=options["ask"])
    code = people.add(data, name, people.PersonRole(role), provider=options["provider"], password=password)
    speak(f"made the account {name}, role {role}", err=True)
    _tell(name, code)
    return ExitCode.OK


@group.command(name="list")
@click.pass_obj
def list_(data: Path) -> int:
    """All accounts."""
    found = _people().accounts(data)
    if not found:
        speak("no accounts yet: 'hashscan service people add' makes one", err=True)
    for one in found:
        state = "disabled" if one.disabled else "set-up code open" if one.waiting else "" if one.has_password else "no password"
        words = (
            f"{one.role}{f' of {one.provider}' if one.provider else ''}",
            f"made {_day(one.created)}",
            f"last login {_day(one.last_login)}" if one.last_login else "never logged in",
            "second factor" if one.second_factor else "",
            state,
        )
        speak(f"{one.name}  {', '.join(filter(None, words))}")
    return ExitCode.OK


@group.command()
@click.argument("name")
@click.argument("role", type=click.Choice(_ROLES))
@_provider
@click.pass_obj
def role(data: Path, /, name: str, role: str, **options: Any) -> int:
    """Give the account NAME another ROLE; its logins end."""
    people = _people()
    people.set_role(data, name, people.PersonRole(role), provider=options["provider"])
    speak(f"{name} has the role {role}")
    return ExitCode.OK


@group.command()
@click.argument("name")
@_ask
@_file
@click.pass_obj
def password(data: Path, /, name: str, **options: Any) -> int:
    """End password, second factor and logins of the account NAME, and make a code for a new password.

    With --ask or --password-file the password is changed and the second factor stays.
    """
    code = _people().set_password(data, name, _password(options["password_file"], ask=options["ask"]))
    if not code:
        speak(f"changed the password of {name}", err=True)
    _tell(name, code)
    return ExitCode.OK


@group.command()
@click.argument("name")
@click.pass_obj
def disable(data: Path, name: str) -> int:
    """Nobody logs in to the account NAME any more, from this moment on. What it did keeps its name."""
    _people().disable(data, name)
    speak(f"{name} is disabled")
    return ExitCode.OK


@group.command()
@click.argument("name")
@click.pass_obj
def enable(data: Path, name: str) -> int:
    """Let the account NAME log in again, also after too many failed logins."""
    _people().enable(data, name)
    speak(f"{name} is enabled")
    return ExitCode.OK


def _people() -> Any:
    admin()
    from hashscan.service.web import managing  # noqa: PLC0415 - an extra

    return managing


def _tell(name: str, code: str) -> None:
    if code:
        say(code)
        speak(f"for {name}, within two days, once: the page /web/welcome of the service", err=True)


def _password(file: Path | None, *, ask: bool) -> str | None:
    """The password that is meant, None for a code. Never on the command line: others see that. Raises `UsageError`."""
    if file is not None and ask:
        raise UsageError("--ask and --password-file are two ways: take one")
    if file is not None:
        return _from_file(file)
    if not ask:
        return None
    if not sys.stdin.isatty():
        raise UsageError("--ask needs a terminal", hint="use --password-file, or let the person choose with a code")
    return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _from_file(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            mode = stat.S_IMODE(os.fstat(stream.fileno()).st_mode)
            if mode & 0o077:
                raise UsageError(f"{file} has mode {mode:04o}: others may read it", hint=f"chmod 600 {file}")
            line = stream.read(_MAX_FILE_BYTES).split(b"\n", 1)[0].removesuffix(b"\r")
        return line.decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text") from None


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")
