"""hashscan status. Asked every minute on hundreds of hosts: what only one of its forms needs is imported by that form."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import click

from hashscan.cli import basics
from hashscan.cli.folding import say
from hashscan.cli.lines import styled
from hashscan.cli.source import Source
from hashscan.errors import ExitCode, HashscanError
from hashscan.jobs.running import running
from hashscan.jobs.status import Facts, status
from hashscan.model import Json
from hashscan.report import open_findings
from hashscan.report.flat import pairs
from hashscan.settings import Part, Settings


@click.command(name="status")
@click.option(
    "--metrics",
    "metrics_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write a Prometheus text file, in one step.",
)
@click.option("--nagios", "as_nagios", is_flag=True, help="One line for Nagios and Icinga; exit 0, 1, 2, 3 as plugins have it.")
@click.option("--json", "as_json", is_flag=True, help="One NDJSON event on stdout.")
@click.pass_context
def command(ctx: click.Context, metrics_file: Path | None, *, as_nagios: bool, as_json: bool) -> int:
    """Open findings and their clock, lists in force, the last scan, pending candidates, outcomes not acknowledged, cases.

    Asks nobody. Exit 20: lists missing, too old or not to be trusted, or a clock that jumped back. Exit 11: pending candidates.
    """
    if as_nagios:
        return _nagios(ctx.obj, metrics_file)
    if not as_json:  # rich would take longer than all the rest
        told, code = _looked(ctx.obj, metrics_file)
        found = pairs(told)
        width = max(len(name) for name, _ in found)
        for name, value in found:
            say(f"{styled(f'{name:<{width}}', 'bold')}  {value}".rstrip())
        return code
    from hashscan.cli import talking  # noqa: PLC0415
    from hashscan.report import events  # noqa: PLC0415

    with talking.conversation(talking.Talk(json=True, quiet=True, text_on_stdout=True, progress=False)) as (reporter, _):
        told, code = _looked(ctx.obj, metrics_file)
        reporter.tell(events.status(told))
    return code


def _looked(source: Source, metrics_file: Path | None) -> tuple[Mapping[str, Json], ExitCode]:
    settings = basics.settings(source)
    now = time.time()
    told, code = gathered(settings, now)
    if metrics_file is not None:
        _write(metrics_file, told, now, code)
    return told, code


def _nagios(config: Source, metrics_file: Path | None) -> int:
    """What cannot be read is UNKNOWN, never an exit code that a monitor takes for something else."""
    from hashscan.report import nagios  # noqa: PLC0415

    now = time.time()
    try:
        told, _ = _looked(config, metrics_file)
        said, state = nagios.line(told, now)
    except HashscanError as error:
        said, state = nagios.unknown(str(error))
    say(said)
    return int(state)


def gathered(settings: Settings, now: float) -> tuple[Mapping[str, Json], ExitCode]:
    """How this host stands at ``now``, from its state alone. Raises what the tools raise."""
    shelf = basics.enrolled(settings, settings.memo_dir).shelf if settings.service.url else None
    pending, unsent = basics.waits(settings)
    facts = Facts(
        pending=pending,
        unsent=unsent,
        cases=tuple(basics.cases(settings)),
        state_dir=settings.scan_dir,
        left_open=open_findings.read(settings.state_dir),
        within=settings.report.removal_within,
        running=running(settings.run_dir_of(Part.READ)),
    )
    return status(shelf, facts, now=now, max_age=settings.lists.max_age)


def write_metrics(settings: Settings, path: Path) -> None:
    """The Prometheus text file as it is now, for the end of a run. Raises `UsageError`, `StateError`."""
    now = time.time()
    told, code = gathered(settings, now)
    _write(path, told, now, code)


def _write(path: Path, told: Mapping[str, Json], now: float, code: ExitCode) -> None:
    from hashscan.report import metrics  # noqa: PLC0415

    metrics.write(path.absolute(), metrics.metrics(told, now=now, exit_code=int(code)))
