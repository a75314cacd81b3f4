"""The only composition root: settings go in, live tools come out. Flags become objects here; nothing below asks for them."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashscan.central.client import HttpFetcher, HttpService, Link
from hashscan.central.outbox import Forgetful, Outbox, UntoldOutbox
from hashscan.errors import HashscanError, IncompleteError, QuarantineError, StateError, UsageError
from hashscan.files.cache import Cache, CacheOptions, DigestCache, NoCache
from hashscan.files.checkpoint import Checkpoint, Saved
from hashscan.files.engine import InProcessEngine, LocalEngine
from hashscan.files.recheck import RecheckEngine
from hashscan.files.walk import WalkOptions
from hashscan.jobs.confirm import Court, LocalConfirmer, ServiceConfirmer
from hashscan.jobs.outcomes import OutcomeTools
from hashscan.jobs.sync import SyncTools
from hashscan.known.exact import load_local_list
from hashscan.known.keys import ProviderKey
from hashscan.known.shelf import Shelf
from hashscan.known.trust import PinnedTrust
from hashscan.ports import Confirmer, Engine, Lists, Memory, Quarantine, Reporter, Sieve
from hashscan.quarantine.lock import RunLock
from hashscan.quarantine.policy import Limits
from hashscan.quarantine.report_only import ReportOnly
from hashscan.quarantine.vault import HOLDING_NAME, Recovered, Vault
from hashscan.report import events
from hashscan.report.console import open_console
from hashscan.report.fan import Except, Reporters
from hashscan.report.ndjson import NdjsonReporter
from hashscan.report.progress import ProgressReporter
from hashscan.report.text import TextReporter
from hashscan.settings import Settings, load, read_secret

OUTBOX_NAME = "agent.sqlite"
_MAX_KEY_BYTES = 256
_MAX_JOBS = 4  # more readers than this on one disk slow each other down (measured cold)


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
    trust: PinnedTrust
    key: ProviderKey
    shelf: Shelf

    @property
    def provider(self) -> str:
        """The name of this provider."""
        return self.settings.service.provider

    def court(self, stack: ExitStack) -> Court:
        """What it takes to confirm."""
        service = HttpService(self.link)
        stack.callback(service.close)
        accepted = frozenset(self.settings.lists.md5_is_enough)
        return Court(service, self.trust, self.key, self.provider, time.time, accepted)

    def sync_tools(self, stack: ExitStack, reports: Reporter) -> SyncTools:
        """What it takes to sync."""
        fetcher = HttpFetcher(self.link)
        stack.callback(fetcher.close)
        return SyncTools(self.trust, fetcher, self.shelf, reports, time.time)

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
    trust = PinnedTrust(_public_key(Path(told.public_key_file)), told.provider)
    key = ProviderKey.from_hex(read_secret(Path(told.provider_key_file)))
    link = Link(
        told.url,
        read_secret(Path(told.api_key_file)),
        ca_file=Path(told.ca_file) if told.ca_file else None,
        proxy=told.proxy or None,
        deadline=told.deadline,
    )
    return ServiceTools(chosen, link, trust, key, Shelf(chosen.state_dir / "lists", trust, key))


def _public_key(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_MAX_KEY_BYTES).decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        hint = "service.public_key_file comes with the enrolment"
        raise UsageError(f"cannot read the pinned key {path}: {error}", hint=hint) from None


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


def vault(chosen: Settings, trigger: str) -> Vault:
    """The vault with the limits of this host."""
    limits = Limits(per_run=chosen.quarantine.per_run, allow_hard_links=chosen.quarantine.allow_hard_links)
    return Vault(chosen.vault_dir, limits, trigger=trigger)


def lock(chosen: Settings, name: str = "lock") -> RunLock:
    """One run at a time; a sync, which only replaces lists in one step, has a lock of its own."""
    return RunLock(chosen.run_dir / name)


def _workers(chosen: Settings) -> int:
    return chosen.scan.jobs or min(os.cpu_count() or 1, _MAX_JOBS)


def engine(
    chosen: Settings, checkpoint: Checkpoint | None = None, resumed: Saved | None = None, *, audit: bool = False
) -> Engine:
    """The engine of a scan: forked workers. An audit uses the digest cache that it finds, and leaves none behind."""
    remembers = digest_cache(chosen, make=not audit) if chosen.cache.enabled else NoCache()
    return LocalEngine(_walk_options(chosen, remembers), _workers(chosen), checkpoint=checkpoint, resumed=resumed)


def digest_cache(chosen: Settings, *, make: bool = True) -> DigestCache:
    """The digest cache of this host, whether or not scans use it."""
    options = CacheOptions(reread=chosen.cache.reread, max_bytes=chosen.cache.max_size, make=make)
    return DigestCache(chosen.cache_dir, options)


def recheck_engine(chosen: Settings) -> Engine:
    """The engine that walks the digest cache."""
    return RecheckEngine(digest_cache(chosen), _workers(chosen), chosen.scan.file_deadline)


def small_engine(chosen: Settings) -> Engine:
    """The engine for a handful of files: this process."""
    return InProcessEngine(_walk_options(chosen, NoCache()))


def _own_directories(chosen: Settings) -> frozenset[tuple[int, int]]:
    """Device and inode of the folders that a walk leaves out: ours, and private.

    One that others can enter is no place of ours, but a mistake in the configuration (``state = "/srv"``) that would hide
    everything in it from the scan.
    """
    own: set[tuple[int, int]] = set()
    with suppress(QuarantineError):  # a vault that we cannot read is not ours; where it should be, `recover` says so
        own.update(vault(chosen, "").own_directories())
    for folder in (chosen.state_dir, chosen.vault_dir, chosen.run_dir, chosen.cache_dir):
        try:
            status = folder.stat()
        except OSError:
            continue  # not there, or not ours to look at: then a walk will say so by itself
        if status.st_uid == os.geteuid() and status.st_mode & 0o077 == 0:
            own.add((status.st_dev, status.st_ino))
    return frozenset(own)


def refuse_own(chosen: Settings, roots: Sequence[bytes]) -> None:
    """Nothing at or below our own folders is scanned: evidence would be quarantined again. Raises `UsageError`."""
    own = _own_directories(chosen)
    looked_at: set[bytes] = set()
    for root in roots:
        here = os.path.realpath(root)
        while here not in looked_at:
            looked_at.add(here)
            with suppress(OSError):  # what is not there, or not reachable, is for the walk to tell
                status = os.stat(here, follow_symlinks=False)
                if (status.st_dev, status.st_ino) in own:
                    raise UsageError(
                        f"{os.fsdecode(root)!r} belongs to hashscan itself", hint="its own folders are never scanned"
                    )
            here = os.path.dirname(here)


def _walk_options(chosen: Settings, remembers: Cache) -> WalkOptions:
    return WalkOptions(
        max_file_bytes=chosen.scan.max_file_size or None,
        own=_own_directories(chosen),
        own_names=frozenset({HOLDING_NAME}),
        file_deadline=chosen.scan.file_deadline,
        cache=remembers,
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a scan asks with and what it does with findings: the flags, turned into objects."""

    sieve: Sieve
    confirmer: Confirmer
    memory: Memory
    quarantine: Quarantine
    mode: str
    lists: Lists | None = None
    stale: bool = False
    tell: OutcomeTools | None = None
    vault: Vault | None = None


def audit_plan(known: Path) -> Plan:
    """A plain local list, no service: findings are reported, never moved, and nothing is remembered."""
    sieve = load_local_list(known)
    return Plan(sieve, LocalConfirmer(sieve), Forgetful(time.time), ReportOnly(), "audit")


def service_plan(chosen: Settings, stack: ExitStack, *, dry_run: bool) -> Plan:
    """The lists in force and the service, under the lock of one run at a time. A wrong configuration is told before that.

    A dry run is a quarantine that only reports and an outbox that tells nobody.
    """
    tools = service_tools(chosen)
    stack.enter_context(lock(chosen))
    lists, stale = tools.lists_in_force()
    moves = chosen.quarantine.enabled and not dry_run
    memory = outbox(chosen, stack, untold=dry_run)
    court = tools.court(stack)
    real = vault(chosen, "hashscan scan")
    return Plan(
        sieve=tools.shelf.sieve(lists),
        confirmer=ServiceConfirmer(court),
        memory=memory,
        quarantine=real if moves else ReportOnly(),
        mode="dry-run" if dry_run else "quarantine" if moves else "report",
        lists=lists,
        stale=stale,
        tell=None if dry_run else OutcomeTools(court.service, court.trust, memory, court.provider),
        vault=None if dry_run else real,
    )


def absolute(paths: Sequence[bytes]) -> list[bytes]:
    """Paths as the operator means them: absolute, without ``.`` and ``..``; links in them are followed when they are opened.

    Raises `UsageError` for an empty one: a script's unset variable does not mean the current directory.
    """
    if not all(paths):
        raise UsageError("a path is empty", hint="is a variable unset?")
    try:
        return [os.path.abspath(path) for path in paths]
    except FileNotFoundError:
        raise UsageError("the current directory is gone", hint="name absolute paths") from None


def recover(plan: Plan, reports: Reporter) -> int:
    """Bring what an earlier run left half done to its end, before anything else. How many cases need a person."""
    results = plan.vault.recover() if plan.vault is not None else []
    for result in results:
        reports.tell(events.recovered(result.case_id, result.outcome.value, result.detail))
    return sum(result.outcome in {Recovered.WAITING, Recovered.DAMAGED, Recovered.ORPHAN} for result in results)
