"""The front door: the command table, loaded lazily so that ``--help`` is quick, and the one place where errors become exits."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from hashscan import __version__
from hashscan.cli.folding import folded
from hashscan.cli.source import Source
from hashscan.errors import ExitCode, HashscanError

_COMMANDS: dict[str, tuple[str, ...]] = {
    "scan": ("hashscan.cli.scan", "walk, hash, check, confirm, and quarantine where that is switched on"),
    "pause": ("hashscan.cli.running", "let the scan that runs rest", "pause"),
    "resume": ("hashscan.cli.running", "let a paused scan go on", "resume"),
    "stop": ("hashscan.cli.running", "let the scan that runs stop, so that it can be resumed", "stop"),
    "sync": ("hashscan.cli.sync", "fetch and verify the hash lists in force"),
    "confirm": ("hashscan.cli.confirm", "ask again about pending candidates"),
    "recheck": ("hashscan.cli.recheck", "match the remembered digests against the lists in force, without reading a file"),
    "check": ("hashscan.cli.check", "would these files be candidates?"),
    "quarantine": ("hashscan.cli.quarantine", "what was quarantined, and what waits for a person"),
    "dispute": ("hashscan.cli.dispute", "tell the hotline that an entry is wrong"),
    "audit": ("hashscan.cli.audit", "prove why a file was taken, years later and offline"),
    "cache": ("hashscan.cli.cache", "look into the digest cache, check it, or throw it away"),
    "report": ("hashscan.cli.report", "a report of a run as text, JSON, CSV or one HTML page"),
    "status": ("hashscan.cli.status", "lists in force, last scan, pending candidates, cases"),
    "alerts": ("hashscan.cli.alerts", "try out who hears of runs; send what waits"),
    "enroll": ("hashscan.cli.enroll", "enrol this host at a service with a single-use code"),
    "config": ("hashscan.cli.config", "show, check and write the configuration"),
    "rotate-key": ("hashscan.cli.rotate_key", "put a new API key into the place of this host's"),
    "doctor": ("hashscan.cli.doctor", "what would keep this host from doing its job, and what to do about it"),
    "selftest": ("hashscan.cli.selftest", "send one harmless file the whole way"),
    "schema": ("hashscan.cli.schema", "the JSON Schema of events and reports"),
    "demo": ("hashscan.cli.demo", "the whole job on one machine, in a temporary folder"),
    "service": ("hashscan.cli.service", "the central service that a hotline runs (extra 'service')"),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used: help needs their names only."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's interface
        """The commands, in the order of the table."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's interface
        """Import one command."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, *name = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name[0] if name else "command")
        assert isinstance(command, click.Command)  # noqa: S101 - a bug of ours, not of the user
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's interface
        """The table of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, told[1]) for name, told in _COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="hashscan")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar="HASHSCAN_CONFIG",
    help="Read this configuration instead of the standard files.",
)
@click.option(
    "--profile", envvar="HASHSCAN_PROFILE", default="", metavar="NAME", help="Also use the settings below [profile.NAME]."
)
@click.pass_context
def cli(ctx: click.Context, config: Path | None, profile: str) -> None:
    """Find known child sexual abuse material on a server by its digests, confirm it, and only then quarantine it.

    A fresh installation reports and moves nothing.

    \b
    Exit codes: 0 nothing found, 2 usage, 3 incomplete, 4 stopped, 10 findings,
    11 pending, 12 action failed or held, 20 lists missing, too old or not to be
    trusted, 21 another run holds the lock, 22 the service refused us.
    """
    ctx.obj = Source(config, profile)


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code. Every error is one line on stderr, and a hint where there is one."""
    try:
        outcome = cli.main(args=list(arguments), prog_name="hashscan", standalone_mode=False)
    except HashscanError as error:
        return _fail(str(error), error.hint, error.exit_code)
    except click.exceptions.Abort:
        return _fail("interrupted", "", ExitCode.STOPPED)
    except click.ClickException as error:
        hint = "see 'hashscan --help'"
        if isinstance(error, click.UsageError) and error.ctx:
            hint = f"see '{error.ctx.command_path} --help'"
        return _fail(error.format_message(), hint, ExitCode.USAGE)
    except KeyboardInterrupt:
        return _fail("interrupted", "", ExitCode.STOPPED)
    except SystemExit as end:
        # click's own end: 0 after completing a word for a shell; 1 after a broken pipe, which would say that we have crashed.
        return _fail("the reader of the output is gone", "", ExitCode.INCOMPLETE) if end.code else ExitCode.OK
    return int(outcome) if isinstance(outcome, int) else ExitCode.OK


_INDENT = len("hashscan: ")


def _fail(message: str, hint: str, code: ExitCode) -> int:
    line = "".join(c if c.isprintable() else "?" for c in message)
    try:
        click.echo(folded(f"hashscan: {line}", sys.stderr, _INDENT), err=True)
        if hint:
            click.echo(folded(hint, sys.stderr, _INDENT, _INDENT), err=True)
    except (OSError, ValueError):  # ValueError: a sink has met the failure first, and closed the stream
        return int(code)  # nobody can be told; the exit code still says it
    return int(code)


_GARBAGE = 50_000  # objects
"""So many new ones before the collector of cycles looks at them. With Python's 700 it looks all the time while modules are
imported: a quarter of what `status` takes. What a run holds for long are dicts and bytes without cycles."""


def main() -> None:
    """The console script."""
    gc.set_threshold(_GARBAGE, 20, 50)
    _standard_streams()
    code = run(sys.argv[1:])
    try:
        if not sys.stdout.closed:
            sys.stdout.flush()
    except OSError:
        # The reader is gone: point stdout elsewhere, or the interpreter's own last flush turns the exit code into 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = code or int(ExitCode.INCOMPLETE)
    sys.exit(code)


def _standard_streams() -> None:
    """Started with closed descriptors (``>&-``), the state's own files would get the numbers 0 to 2, and messages go into them.

    What is written to a closed stdout is an error as on a full disk; stderr and stdin are simply empty.
    """
    for number, path in enumerate((os.devnull, "/dev/full", os.devnull)):
        try:
            os.fstat(number)
        except OSError:
            os.open(path, os.O_RDWR)  # the lowest free number, which is this one
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    main()
