"""The composition root, with `engines` and `plans`: settings go in, live tools come out. Nothing below asks for a flag.

What a host has anyway is made here: settings, sinks, the service, lists, state, vault. `engines` makes what reads files,
`plans` what a scan asks with and does with findings.
"""

from __future__ import annotations

import os
import pwd
import secrets
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hashscan.central.client import HttpFetcher, HttpService, Link
from hashscan.central.enrolling import HttpKeys
from hashscan.central.outbox import Outbox, UntoldOutbox
from hashscan.errors import HashscanError, IncompleteError, StateError, UsageError
from hashscan.jobs.confirm import Court
from hashscan.jobs.rekey import Rekeying
from hashscan.jobs.sync import SyncTools
from hashscan.known.keys import KeyRing
from hashscan.known.shelf import Shelf
from hashscan.known.trust import TufTrust
from hashscan.ports import Lists, Reporter, Trust
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.keeping import keeping_time
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.lock import RunLock
from hashscan.quarantine.seal import Identity, Recipients
from hashscan.quarantine.tenants import Tenants
from hashscan.quarantine.vault import Grounds, Manner, Vault
from hashscan.report import events
from hashscan.report.console import open_console
from hashscan.report.fan import Except, Reporters
from hashscan.report.ndjson import NdjsonReporter
from hashscan.report.progress import ProgressReporter
from hashscan.report.text import TextReporter
from hashscan.settings import Settings, load, read_secret

OUTBOX_NAME = "agent.sqlite"
_MAX_ROOT_BYTES = 512_000  # what `known.proof` takes


def settings(config: Path | None, flags: Mapping[str, Any] | None = None) -> Settings:
    """The settings in force for one command."""
    return load(config=config, flags=flags)


@dataclass(frozen=True, slots=True)
class Talk:
    """How a command speaks: ``json`` puts NDJSON on stdout, ``quiet`` leaves out what needs nobody's attention."""

    json: bool = False
    quiet: bool = False
    verbose: bool = False
    text_on_stdout: bool = False


@contextmanager
def conversation(talk: Talk) -> Iterator[tuple[Reporter, ExitStack]]:
    """All sinks of one command, and a stack that closes what the command opens.

    Text for people goes to stderr (or stdout, where the text is the result), NDJSON to stdout. An error is the last NDJSON line
    and goes on to the front door, which tells people.
    """
    console = open_console(sys.stdout if talk.text_on_stdout and not talk.json else sys.stderr)
    machines: list[Reporter] = []
    if talk.json:
        machines.append(NdjsonReporter(sys.stdout, secrets.token_hex(8), socket.gethostname(), time.time))
    with ExitStack() as stack:
        people: list[Reporter] = []
        if not (talk.json and talk.text_on_stdout):  # a result is told once, in the form that was asked for
            people.append(TextReporter(console, quiet=talk.quiet, verbose=talk.verbose))
        if not talk.quiet:
            people.append(stack.enter_context(ProgressReporter(console, time.monotonic)))
        try:
            yield Reporters([*(Except(one, {"progress"}) for one in machines), *people]), stack
        except HashscanError as error:
            with suppress(IncompleteError):  # a reader that is gone cannot be told so
                Reporters(machines).tell(events.exit_error(error))
            raise


@dataclass(frozen=True, slots=True)
class ServiceTools:
    """Everything that a configured service makes possible."""

    settings: Settings
    link: Link
    trust: TufTrust
    ring: KeyRing
    shelf: Shelf

    @property
    def provider(self) -> str:
        """The name of this provider."""
        return self.settings.service.provider

    def court(self, stack: ExitStack, lists: Lists) -> Court:
        """What it takes to confirm on the word of ``lists``, which are in force."""
        service = HttpService(self.link)
        stack.callback(service.close)
        withdrawn, told, seen = self.shelf.withdrawn(lists), self.settings.lists, self.shelf.clock
        return Court(
            service,
            lists.verdict_keys,
            self.ring,
            self.provider,
            time.time,
            md5_is_enough=frozenset(told.md5_is_enough),
            report_only=frozenset(told.report_only),
            withdrawn=lambda list_id, entry: withdrawn.entry(list_id, entry) is not None,
            doubt=lambda: seen.doubt(time.time()),
        )

    def grounds(self, lists: Lists) -> Grounds:
        """What verdicts rest on while ``lists`` are in force."""
        return Grounds(lists.provider, lists.proof, lambda ref: self.ring.confirm_key(ref.id, ref.epoch))

    def sync_tools(self, stack: ExitStack, reports: Reporter) -> SyncTools:
        """What it takes to sync."""
        fetcher, keys = HttpFetcher(self.link), HttpKeys(self.link)
        stack.callback(fetcher.close)
        stack.callback(keys.close)
        rekeying = Rekeying(keys, self.provider, Path(self.settings.service.provider_key_file), time.time)
        cases = vault(self.settings, "").cases
        return SyncTools(self.trust, fetcher, self.shelf, reports, time.time, rekeying, cases)

    def lists_in_force(self) -> tuple[Lists, bool]:
        """The lists in force and whether they are stale. Raises `FilterError`."""
        view = self.shelf.view(time.time(), max_age=self.settings.lists.max_age)
        return view.lists, view.stale


def service_tools(chosen: Settings) -> ServiceTools:
    """The tools of the configured service. Raises `UsageError` where it is not configured."""
    told = chosen.service
    if not told.url or not told.provider:
        hint = "set service.url and service.provider from the enrolment, or audit with 'scan --known LIST'"
        raise UsageError("no central service is configured", hint=hint)
    folder = chosen.state_dir / "lists"
    trust = TufTrust(_root(Path(told.root_file)), told.provider, folder / "tuf")
    ring = KeyRing.from_text(read_secret(Path(told.provider_key_file), lines=True))
    return ServiceTools(chosen, link(chosen), trust, ring, Shelf(folder, trust, ring))


def link(chosen: Settings) -> Link:
    """How to reach the configured service. Raises `UsageError`."""
    told = chosen.service
    return Link(
        told.url,
        read_secret(Path(told.api_key_file)),
        ca_file=Path(told.ca_file) if told.ca_file else None,
        proxy=told.proxy or None,
        deadline=told.deadline,
        client_cert=_client_cert(chosen),
        total=told.sync_deadline,
    )


def _client_cert(chosen: Settings) -> tuple[Path, Path] | None:
    names = (chosen.service.client_cert_file, chosen.service.client_key_file)
    if not any(names):
        return None
    if not all(names):
        hint = "set both service.client_cert_file and service.client_key_file"
        raise UsageError("a client certificate needs its private key", hint=hint)
    return Path(names[0]), Path(names[1])


def trust_from(chosen: Settings, root: Path | None) -> Callable[[str], Trust]:
    """The trust of a provider that begins with ``root``, or with the configured root; to reopen proofs, not to sync.

    Raises `UsageError` where the file cannot be read.
    """
    pinned = _root(root or Path(chosen.service.root_file))
    return lambda provider: TufTrust(pinned, provider, chosen.state_dir / "lists" / "tuf")


def _root(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_ROOT_BYTES + 1)
    except OSError as error:
        hint = "service.root_file comes with the enrolment"
        raise UsageError(f"cannot read the pinned root {path}: {error.strerror}", hint=hint) from None
    if len(data) > _MAX_ROOT_BYTES:
        raise UsageError(f"the pinned root {path} is longer than {_MAX_ROOT_BYTES} bytes")
    return data


def outbox(chosen: Settings, stack: ExitStack, *, untold: bool = False) -> Outbox:
    """The durable state between this host and the service."""
    cls = UntoldOutbox if untold else Outbox
    opened = cls(chosen.state_dir / OUTBOX_NAME, time.time)
    stack.callback(opened.close)
    return opened


def outbox_if_any(chosen: Settings, stack: ExitStack) -> Outbox | None:
    """The same where there is one; looking makes none. Raises `StateError` where nobody can tell."""
    try:
        os.stat(chosen.state_dir / OUTBOX_NAME)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"the state in {chosen.state_dir} cannot be read: {error.strerror}", hint="are you root?") from None
    return outbox(chosen, stack)


def vault(chosen: Settings, trigger: str, grounds: Grounds | None = None) -> Vault:
    """The vault with the limits of this host; whoever takes files needs ``grounds``. Raises `UsageError` for wrong settings."""
    told = chosen.quarantine
    limits = Limits(told.per_run, told.per_day, told.per_entry, told.per_owner, told.allow_hard_links)
    return Vault(chosen.vault_dir, limits, manner=_manner(chosen, trigger, grounds))


def _manner(chosen: Settings, trigger: str, grounds: Grounds | None) -> Manner:
    if grounds is None:  # nothing is taken, and a wrong setting about that must not keep anybody from looking or restoring
        return Manner(actor(trigger))
    sealed, kept = chosen.evidence.recipients, chosen.retention
    return Manner(
        actor(trigger),
        grounds,
        recipients=Recipients(sealed) if sealed else None,
        tenants=tenants(chosen),
        profile=kept.profile,
        keep=keeping_time(kept.profile, kept.purge_after, sealed=bool(sealed)),
    )


def tenants(chosen: Settings) -> Tenants:
    """Whose file is where, by the rules of this host. Raises `UsageError` for a wrong rule."""
    return Tenants.of(chosen.tenants.profiles, chosen.tenants.rules)


def cabinet(chosen: Settings, trigger: str) -> Cabinet:
    """The cases of this host for a person who looks."""
    return Cabinet(chosen.vault_dir, actor=actor(trigger))


def actor(command: str) -> str:
    """Who does this, for records and the log: the command, the user it runs as, and who became that user by sudo."""
    before = os.environ.get("SUDO_USER", "")
    return f"{command} ({user()}{f', sudo by {before}' if before else ''})"


def say(text: str, *, err: bool = False) -> None:
    """One line for people, on stdout or stderr. Raises `IncompleteError` where the screen is gone: what was done is done."""
    try:
        click.echo(text, err=err)
    except OSError as error:
        raise IncompleteError(f"the screen cannot be written: {error.strerror}", hint="check where the output goes") from error


def user() -> str:
    """The name of the user that this runs as, or the number of one without a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def identity(path: Path) -> Identity:
    """The key that opens sealed evidence, from a file that only its owner can read. Raises `UsageError`."""
    return Identity(read_secret(path, lines=True))


def lock(chosen: Settings, name: str = "lock") -> RunLock:
    """One run at a time; a sync, which only replaces lists in one step, has a lock of its own."""
    return RunLock(chosen.run_dir / name)
