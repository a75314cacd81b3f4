"""hashscan check."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from hashscan.cli import engines, plans, wiring
from hashscan.errors import ExitCode, UsageError
from hashscan.jobs.check import check
from hashscan.ports import Sieve
from hashscan.settings import Settings

_MAX_STDIN_BYTES = 1 << 30


@click.command(name="check")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=bytes))
@click.option("--known", type=click.Path(dir_okay=False, path_type=Path), help="Check against this plain hash list.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON events on stdout.")
@click.pass_context
def command(ctx: click.Context, files: tuple[bytes, ...], known: Path | None, *, as_json: bool) -> int:
    """Would FILES be candidates? '-' reads one file from stdin. Nothing is asked of the service and nothing is moved.

    Exit 0: none is a candidate. Exit 11: at least one is; only the service can say what it is.
    """
    with wiring.conversation(wiring.Talk(json=as_json, text_on_stdout=True)) as (reporter, stack):
        settings = wiring.settings(ctx.obj)
        sieve = _sieve(settings, known)
        paths = {name: _from_stdin(stack) if name == b"-" else os.path.abspath(name) for name in files}
        for path in paths.values():
            if not os.path.lexists(path):
                raise UsageError(f"{os.fsdecode(path)!r} does not exist")
            if os.path.isdir(path):
                raise UsageError(f"{os.fsdecode(path)!r} is a directory", hint="use 'hashscan scan' for directories")
        checked = check(engines.small_engine(settings), sieve, paths, reporter)
    return ExitCode.PENDING if checked.candidates else ExitCode.OK


def _sieve(settings: Settings, known: Path | None) -> Sieve:
    if known is not None:
        return plans.audit_plan(known).sieve
    tools = wiring.service_tools(settings)
    return tools.shelf.sieve(tools.lists_in_force()[0])


def _from_stdin(stack: ExitStack) -> bytes:
    """Standard input as a file that the engine can read; at most 1 GiB. Raises `UsageError`.

    The file has no name, so that nothing of it is left however this process ends.
    """
    stream = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack of the command closes it
    got = 0
    while piece := sys.stdin.buffer.read(1 << 20):
        got += len(piece)
        if got > _MAX_STDIN_BYTES:
            raise UsageError(f"stdin is longer than {_MAX_STDIN_BYTES} bytes", hint="store it in a file first")
        stream.write(piece)
    stream.flush()
    return b"/proc/self/fd/%d" % stream.fileno()
