"""How a command tells of events, to people and to machines, and the runs remembered; `basics` is what needs none of it."""

from __future__ import annotations

import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hashscan.errors import HashscanError, IncompleteError
from hashscan.report import events
from hashscan.report.fan import Except, Reporters
from hashscan.report.history import FOLDER, History
from hashscan.report.ndjson import NdjsonReporter
from hashscan.report.sinks import Readers, for_people
from hashscan.settings import Part, Settings

if TYPE_CHECKING:  # status is asked every minute, and names few nouns
    from hashscan.ports import Reporter


def new_run_id() -> str:
    """16 hex digits. Raises `IncompleteError` where the kernel has no random numbers for us (a filter of system calls)."""
    try:
        return secrets.token_hex(8)
    except OSError as error:
        raise IncompleteError(f"no random numbers: {error.strerror}", hint="may this process call getrandom(2)?") from error


@dataclass(frozen=True, slots=True)
class Talk:
    """How a command speaks: ``json`` puts NDJSON on stdout, ``quiet`` leaves out what needs nobody's attention.

    ``progress`` is for commands that may take long.
    """

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    text_on_stdout: bool = False
    progress: bool = True
    run_id: str = field(default_factory=new_run_id)


@contextmanager
def conversation(talk: Talk) -> Iterator[tuple[Reporter, ExitStack]]:
    """All sinks of one command, and a stack that closes what the command opens.

    Text for people goes to stderr (or stdout, where the text is the result), NDJSON to stdout. An error is the last NDJSON line
    and goes on to the front door, which tells people.
    """
    machines: list[Reporter] = []
    if talk.json:
        machines.append(NdjsonReporter(sys.stdout, talk.run_id, socket.gethostname(), time.time))
    # A result is told once, in the form that was asked for.
    text = not (talk.json and talk.text_on_stdout)
    readers = Readers(text, talk.progress and not talk.quiet, talk.quiet, talk.verbose)
    with ExitStack() as stack:
        people = for_people(sys.stdout if talk.text_on_stdout and not talk.json else sys.stderr, readers, stack)
        try:
            yield Reporters([*(Except(one, {"progress"}) for one in machines), *people]), stack
        except HashscanError as error:
            with suppress(IncompleteError):  # a reader that is gone cannot be told so
                Reporters(machines).tell(events.exit_error(error))
            raise


def history(chosen: Settings) -> History:
    """The runs that this host remembers."""
    others = [chosen.folder_of(part) / FOLDER for part in Part] if chosen.part else []
    return History(chosen.state_dir / FOLDER, chosen.report.keep, others)
