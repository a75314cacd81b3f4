"""The composition root, with `basics`, `engines` and `plans`: settings go in, live tools come out.

`basics` is what every command needs; here is what it takes to ask the service and to act on its word. `engines` makes what
reads files, `plans` what a scan asks with and does with findings.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hashscan.central.client import HttpFetcher, HttpService
from hashscan.central.enrolling import HttpKeys
from hashscan.cli.basics import (
    OUTBOX_NAME,
    Enrolled,
    actor,
    cases,
    enrolled,
    link,
    lock,
    outbox,
    outbox_file,
    outbox_if_any,
    pinned_root,
    require_part,
    settings,
    user,
)
from hashscan.cli.folding import say, speak
from hashscan.cli.talking import Talk, conversation
from hashscan.jobs.confirm import Court
from hashscan.jobs.rekey import Rekeying
from hashscan.jobs.sync import SyncTools, no_cases
from hashscan.known.trust import TufTrust
from hashscan.model import Lists
from hashscan.ports import Reporter, Service, Trust
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.keeping import keeping_time
from hashscan.quarantine.limits import Limits
from hashscan.quarantine.seal import Identity, Recipients
from hashscan.quarantine.tenants import Tenants
from hashscan.quarantine.vault import Grounds, Manner, Vault
from hashscan.settings import Settings, read_secret

__all__ = [
    "OUTBOX_NAME",
    "ServiceTools",
    "Talk",
    "actor",
    "cabinet",
    "cases",
    "conversation",
    "enrolled",
    "identity",
    "link",
    "lock",
    "outbox",
    "outbox_file",
    "outbox_if_any",
    "require_part",
    "say",
    "service_tools",
    "settings",
    "speak",
    "tenants",
    "trust_from",
    "user",
    "vault",
]


@dataclass(frozen=True, slots=True)
class ServiceTools(Enrolled):
    """Everything that a configured service makes possible."""

    def court(self, stack: ExitStack, lists: Lists) -> Court:
        """What it takes to confirm on the word of ``lists``, which are in force."""
        service = HttpService(self.link)
        stack.callback(service.close)
        return self.court_with(service, lists)

    def court_with(self, service: Service, lists: Lists) -> Court:
        """The same with another service."""
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
        way = self.link
        fetcher, keys = HttpFetcher(way), HttpKeys(way)
        stack.callback(fetcher.close)
        stack.callback(keys.close)
        rekeying = Rekeying(keys, self.provider, Path(self.settings.service.provider_key_file), time.time)
        cases = vault(self.settings, "").cases if self.settings.part is None else no_cases  # NET does not see the vault
        return SyncTools(self.trust, fetcher, self.shelf, reports, time.time, rekeying, cases)


def service_tools(chosen: Settings) -> ServiceTools:
    """The tools of the configured service. Raises `UsageError` where it is not configured."""
    here = enrolled(chosen)
    return ServiceTools(here.settings, here.trust, here.ring, here.shelf)


def trust_from(chosen: Settings, root: Path | None) -> Callable[[str], Trust]:
    """The trust of a provider that begins with ``root``, or with the configured root; to reopen proofs, not to sync.

    Raises `UsageError` where the file cannot be read.
    """
    pinned = pinned_root(root or Path(chosen.service.root_file))
    return lambda provider: TufTrust(pinned, provider, chosen.lists_dir / "tuf")


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


def identity(path: Path) -> Identity:
    """The key that opens sealed evidence, from a file that only its owner can read. Raises `UsageError`."""
    return Identity(read_secret(path, lines=True))
