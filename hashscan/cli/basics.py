"""What every command needs of a host, and `hashscan status` nothing more: settings, lock, state, lists, cases.

Kept light: what tells of events is made in `talking`, what asks the service, takes files or reads the scanned disk in `wiring`,
`plans` and `engines`, and tests/house/test_startup.py holds what may be imported here.
"""

from __future__ import annotations

import os
import pwd
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hashscan.central.link import Link
from hashscan.cli.source import Source
from hashscan.errors import StateError, UsageError
from hashscan.known.keys import KeyRing
from hashscan.known.shelf import Shelf
from hashscan.known.trust import TufTrust
from hashscan.model import Lists
from hashscan.quarantine.lock import RunLock
from hashscan.quarantine.recalled import Brief, recalled
from hashscan.settings import Part, Settings, load, read_secret

if TYPE_CHECKING:
    from hashscan.central.outbox import Outbox
    from hashscan.model import Case

OUTBOX_NAME = "agent.sqlite"
_UNITS = {Part.READ: "hashscan-read", Part.NET: "hashscan-net (or hashscan-net-sync)", Part.ACT: "hashscan-act"}
_MAX_ROOT_BYTES = 512_000  # what `known.proof` takes


def settings(source: Source | Path | None, flags: Mapping[str, Any] | None = None, part: Part = Part.ACT) -> Settings:
    """The settings in force for one command, which is of that part where the host is split: what a person does is ACT's."""
    told = source if isinstance(source, Source) else Source(source)
    return load(config=told.config, profile=told.profile, flags=flags).as_part(part)


def require_part(chosen: Settings) -> None:
    """On a split host: is this the user of this part? Files of another would lock it out. Raises `UsageError`."""
    if chosen.part is None:
        return
    try:
        owner = os.stat(chosen.state_dir).st_uid
    except OSError as error:
        hint = "'systemd-tmpfiles --create' makes the folders of a split host"
        raise StateError(f"{chosen.state_dir} cannot be looked at: {error.strerror}", hint=hint) from None
    if owner != os.geteuid():
        hint = f"let its unit do it: systemctl start {_UNITS[chosen.part]}"
        raise UsageError(f"this host is split (paths.split), and {chosen.state_dir} belongs to another user", hint=hint)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What an enrolled host has before it asks anybody: the way to the service, its trust, keys and lists."""

    settings: Settings
    trust: TufTrust
    ring: KeyRing
    shelf: Shelf

    @property
    def link(self) -> Link:
        """The way to the service. Raises `UsageError`: parts of a split host that ask nobody have no API key."""
        return link(self.settings)

    @property
    def provider(self) -> str:
        """The name of this provider."""
        return self.settings.service.provider

    def lists_in_force(self) -> tuple[Lists, bool]:
        """The lists in force and whether they are stale. Raises `FilterError`."""
        view = self.shelf.view(time.time(), max_age=self.settings.lists.max_age)
        return view.lists, view.stale


def enrolled(chosen: Settings, memo: Path | None = None) -> Enrolled:
    """What the enrolment left here; ``memo`` as `TufTrust` has it. Raises `UsageError` where no service is configured."""
    told = chosen.service
    if not told.url or not told.provider:
        hint = "set service.url and service.provider from the enrolment, or audit with 'scan --known LIST'"
        raise UsageError("no central service is configured", hint=hint)
    if chosen.part is None or chosen.part is Part.NET:
        link(chosen)  # what is wrong with it is told before anything begins
    folder = chosen.lists_dir
    trust = TufTrust(pinned_root(Path(told.root_file)), told.provider, folder / "tuf", memo=memo)
    ring = KeyRing.from_text(read_secret(Path(told.provider_key_file), lines=True))
    return Enrolled(chosen, trust, ring, Shelf(folder, trust, ring, memo))


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


def pinned_root(path: Path) -> bytes:
    """The pinned root of the service. Raises `UsageError`."""
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_ROOT_BYTES + 1)
    except OSError as error:
        hint = "service.root_file comes with the enrolment"
        raise UsageError(f"cannot read the pinned root {path}: {error.strerror}", hint=hint) from None
    if len(data) > _MAX_ROOT_BYTES:
        raise UsageError(f"the pinned root {path} is longer than {_MAX_ROOT_BYTES} bytes")
    return data


def outbox(chosen: Settings, stack: ExitStack) -> Outbox:
    """The durable state between this host and the service."""
    from hashscan.central.outbox import Outbox  # noqa: PLC0415 - a host that asks nobody has none, nor a new one

    opened = Outbox(outbox_file(chosen), time.time)
    stack.callback(opened.close)
    return opened


def outbox_file(chosen: Settings) -> Path:
    """Where it is."""
    return chosen.folder_of(Part.NET) / OUTBOX_NAME


def outbox_if_any(chosen: Settings, stack: ExitStack) -> Outbox | None:
    """The same where there is one; looking makes none. Raises `StateError` where nobody can tell."""
    return outbox(chosen, stack) if _is_there(outbox_file(chosen)) else None


def waits(chosen: Settings) -> tuple[int, int]:
    """How many candidates wait for the service, and how many outcomes. Raises `StateError` where nobody can tell."""
    path = outbox_file(chosen)
    if not _is_there(path):
        return 0, 0
    from hashscan.central import counts  # noqa: PLC0415 - a host that asks nobody needs no database

    return counts.waits(path)


def _is_there(path: Path) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StateError(f"the state in {path.parent} cannot be read: {error.strerror}", hint="are you root?") from None
    return True


def cases(chosen: Settings) -> Sequence[Brief]:
    """All cases of this host, oldest first, without names of files. Raises `QuarantineError` where the vault cannot be read."""
    return recalled(chosen.vault_dir, chosen.memo_dir, lambda case_ids: _read_cases(chosen.vault_dir, case_ids))


def _read_cases(vault: Path, case_ids: Sequence[str]) -> Sequence[Case]:
    from hashscan.quarantine import glance  # noqa: PLC0415 - most often no record has changed

    return glance.some_at(vault, case_ids)


def actor(command: str) -> str:
    """Who does this, for records and the log: the command, the user it runs as, and who became that user by sudo."""
    before = os.environ.get("SUDO_USER", "")
    return f"{command} ({user()}{f', sudo by {before}' if before else ''})"


def command_line() -> str:
    """How this was called, for whoever meets its lock. No secret is ever an argument of a command that takes one."""
    return shlex.join(["hashscan", *sys.argv[1:]])


def user() -> str:
    """The name of the user that this runs as, or the number of one without a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def lock(chosen: Settings, name: str = "lock") -> RunLock:
    """One run at a time; a sync, which only replaces lists in one step, has a lock of its own.

    Whatever changes anything takes one. Raises what `require_part` raises.
    """
    require_part(chosen)
    return RunLock(chosen.run_dir / name, command=command_line())
