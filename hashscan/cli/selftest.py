"""hashscan selftest."""

from __future__ import annotations

from contextlib import ExitStack

import click

from hashscan.cli import engines, wiring
from hashscan.cli.lines import FAILED, OK, check_line
from hashscan.errors import ExitCode
from hashscan.jobs.confirm import ServiceConfirmer
from hashscan.jobs.selftest import selftest
from hashscan.settings import Settings

_ADVICE = {
    "read and hash": "can this user write and read in the temporary folder? hashscan doctor",
    "filter": "hashscan sync; if that does not help, tell the hotline that its list misses the self-test file",
    "confirm": "hashscan doctor --online; candidates stay pending until the service answers",
}


@click.command(name="selftest")
@click.pass_context
def command(ctx: click.Context) -> int:
    """Send one harmless file, which every list holds, the whole way: read, hash, filter, service, signature.

    Exit 0: the chain holds. Exit 20: it does not, and a scan could miss silently.
    """
    good = chain_holds(wiring.settings(ctx.obj))
    said = "the chain holds: a listed file would be found" if good else "the chain does NOT hold: a scan could miss in silence"
    wiring.speak(said, err=True)
    return ExitCode.OK if good else ExitCode.FILTER


def chain_holds(settings: Settings) -> bool:
    """Say a line for each step; whether all hold. Raises what the service refused, and what keeps lists from being read."""
    tools = wiring.service_tools(settings)
    with ExitStack() as stack:
        lists, _ = tools.lists_in_force()
        sieve = tools.shelf.sieve(lists)
        confirmer = ServiceConfirmer(tools.court(stack, lists))
        good = True
        for step in selftest(engines.small_engine(settings), sieve, confirmer):
            check_line(OK if step.holds else FAILED, step.name, step.seen, "" if step.holds else _ADVICE[step.name])
            good = good and step.holds
    if confirmer.refusal is not None:
        raise confirmer.refusal
    return good
