"""What agents fetch: for each provider a repository of The Update Framework, and by name the files that it vouches for.

Targets and snapshot are files with their version in the name, durable before the database says that they are in force.
``timestamp.json`` and ``verdict-keys.json`` keep their names, so they are in the database: what an agent meets changes in one
commit. Signing is under the write lock: no two signings share a version.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from hashscan.atomic import fsync_directory, make_private_directory, write_bytes
from hashscan.known.metadata import TargetFileSpec, make_snapshot, make_targets, make_timestamp, read_root
from hashscan.service import in_force
from hashscan.service.access import NotServed
from hashscan.service.keys import OnlineKeys
from hashscan.service.store import Store, is_busy
from hashscan.service.tables import Publication, Repository, Role, ServiceRow
from hashscan.service.tables_out import SideFile

TIMESTAMP = "timestamp.json"
VERDICT_KEYS = "verdict-keys.json"
TIMESTAMP_LIFETIME = 48 * 3600  # seconds
SIGN_AGAIN_AFTER = 3600  # seconds
SERVED_WHILE_BUSY = 24 * 3600  # seconds: an import holds the write lock for up to minutes
LIFETIME = 30 * 86_400  # seconds, of targets and snapshot
RENEW_AFTER = 15 * 86_400  # seconds
KEPT_METADATA = 8  # versions on disk: an agent may be between timestamp and targets while others are signed
_VERSIONED = re.compile(r"([1-9][0-9]{0,8})\.(root|snapshot|targets)\.json")


class Named(Protocol):
    """Whose repository it is: a `Caller` or a `Provider`."""

    @property
    def id(self) -> int:
        """The row of the provider."""

    @property
    def name(self) -> str:
        """Its name."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the metadata of a provider has to say at this moment; ``wait`` and ``jitter`` in seconds."""

    files: tuple[TargetFileSpec, ...]
    verdict_keys: bytes
    root_version: int
    wait: int
    jitter: int

    @property
    def content(self) -> str:
        """A digest of all that targets say."""
        said = [[asdict(one) for one in self.files], self.verdict_keys.decode(), self.wait, self.jitter]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Due:
    """What has to be signed; new targets bring a new snapshot and a new timestamp."""

    targets: bool
    timestamp: bool


def due(stored: Repository | None, wanted: Wanted, now: float) -> Due:
    """What is to be signed: what is new, what grows old, and everything where there is a new root or the clock went back."""
    if stored is None or (stored.content, stored.root_version) != (wanted.content, wanted.root_version):
        return Due(targets=True, timestamp=True)
    renew = not 0 <= now - stored.targets_issued < RENEW_AFTER
    return Due(targets=renew, timestamp=renew or not 0 <= now - stored.issued < SIGN_AGAIN_AFTER)


def _wanted(session: Session, keys: OnlineKeys, provider: Named) -> Wanted:
    files = in_force.targets(in_force.published(session, provider.id))
    wait, jitter = session.execute(select(ServiceRow.wait, ServiceRow.jitter)).one()
    rows = [{"public": one.public, "since": one.since, "until": one.until} for one in keys.verdict_keys()]
    verdict_keys = json.dumps({"format": 1, "keys": rows}, sort_keys=True, separators=(",", ":")).encode()
    return Wanted(files, verdict_keys, read_root(keys.latest_root()).version if files else 0, wait, jitter)


def timestamp(store: Store, keys: OnlineKeys, provider: Named, now: Callable[[], float]) -> bytes:
    """``timestamp.json``, everything signed anew where that is due. Raises `NotServed` (404) where nothing is published yet."""
    with store.reading() as session:
        wanted = _wanted(session, keys, provider)
        stored = session.get(Repository, provider.id)
    if not wanted.files:
        raise NotServed(404, "not_published", "nothing is published yet for this provider")
    if stored is not None and not due(stored, wanted, now()).timestamp:
        return stored.timestamp
    try:
        return refresh(store, keys, provider, now)
    except OperationalError as error:
        # What was true and is in date may be said again.
        if stored is not None and is_busy(error) and 0 <= now() - stored.issued < SERVED_WHILE_BUSY:
            return stored.timestamp
        raise


def refresh(store: Store, keys: OnlineKeys, provider: Named, now: Callable[[], float]) -> bytes:
    """Sign what is due, and return ``timestamp.json``; b"" where nothing is published.

    Raises `UsageError` (no root yet, a key is missing), OSError (the disk is full): what was in force stays.
    """
    with store.writing() as session:
        wanted = _wanted(session, keys, provider)
        stored = session.get(Repository, provider.id)
        if not wanted.files:
            return b""
        moment = now()
        what = due(stored, wanted, moment)
        if stored is not None and not what.timestamp:
            return stored.timestamp
        made = _Signing(store.folder.published(provider.name), keys, provider, wanted, moment).sign(stored, what)
        session.merge(made)
    if what.targets:
        _remove_old(store.folder.published(provider.name), made)
    return made.timestamp


@dataclass(frozen=True, slots=True)
class _Signing:
    """One signing: where, with what, for whom, of what, and when."""

    folder: Path
    keys: OnlineKeys
    provider: Named
    wanted: Wanted
    now: float

    def sign(self, stored: Repository | None, what: Due) -> Repository:
        """The new state; files are written where targets are due."""
        state = Repository(
            provider_id=self.provider.id,
            timestamp_version=stored.timestamp_version + 1 if stored else 1,
            snapshot_version=stored.snapshot_version if stored else 0,
            targets_version=stored.targets_version if stored else 0,
            root_version=self.wanted.root_version,
            issued=self.now,
            targets_issued=stored.targets_issued if stored else self.now,
            content=self.wanted.content,
            verdict_keys=self.wanted.verdict_keys,
        )
        if what.targets:
            self._targets_and_snapshot(state)
        snapshot = self.folder / f"{state.snapshot_version}.snapshot.json"
        state.timestamp = make_timestamp(
            version=state.timestamp_version,
            expires=self.now + TIMESTAMP_LIFETIME,
            issued=self.now,
            snapshot_version=state.snapshot_version,
            snapshot=snapshot.read_bytes(),
            keys=self.keys.signing(Role.TIMESTAMP),
        )
        return state

    def _targets_and_snapshot(self, state: Repository) -> None:
        """A version that an earlier attempt wrote and never committed is replaced: nobody was told of it."""
        state.targets_version += 1
        state.snapshot_version += 1
        state.targets_issued = self.now
        own = TargetFileSpec(
            VERDICT_KEYS,
            len(self.wanted.verdict_keys),
            hashlib.sha256(self.wanted.verdict_keys).hexdigest(),
            {"kind": "verdict-keys"},
        )
        targets = make_targets(
            version=state.targets_version,
            expires=self.now + LIFETIME,
            files=[*self.wanted.files, own],
            keys=self.keys.signing(Role.TARGETS),
            provider=self.provider.name,
            wait=self.wanted.wait,
            jitter=self.wanted.jitter,
        )
        snapshot = make_snapshot(
            version=state.snapshot_version,
            expires=self.now + LIFETIME,
            targets_version=state.targets_version,
            targets=targets,
            keys=self.keys.signing(Role.SNAPSHOT),
        )
        make_private_directory(self.folder)
        write_bytes(self.folder / f"{state.targets_version}.targets.json", targets)
        write_bytes(self.folder / f"{state.snapshot_version}.snapshot.json", snapshot)


def _remove_old(folder: Path, state: Repository) -> None:
    newest = {"targets": state.targets_version, "snapshot": state.snapshot_version}
    for path in folder.glob("*.json"):
        match = _VERSIONED.fullmatch(path.name)
        if match and match[2] in newest and int(match[1]) <= newest[match[2]] - KEPT_METADATA:
            path.unlink(missing_ok=True)
    fsync_directory(folder)


def served_file(store: Store, provider: Named, name: str) -> Path | bytes:
    """A published file of this provider, ``timestamp.json`` aside. Raises `NotServed` (404) for every other name.

    A path is made of a number or of what the database holds, never of the text that was asked for.
    """
    with store.reading() as session:
        state = session.get(Repository, provider.id)
        found = _target_name(session, provider, name)
    if state is not None and name == VERDICT_KEYS:
        return state.verdict_keys
    folder = store.folder.published(provider.name)
    if (match := _VERSIONED.fullmatch(name)) is not None:
        folder = store.folder.roots if match[2] == "root" else folder
        found = f"{int(match[1])}.{match[2]}.json"
    if found is None or not (path := folder / found).is_file():
        raise NotServed(404, "not_found", "there is no such file for this provider, or not any more")
    return path


def _target_name(session: Session, provider: Named, name: str) -> str | None:
    of_provider = Publication.provider_id == provider.id
    found = session.scalar(select(Publication.file_name).where(of_provider, Publication.file_name == name))
    if found is not None:
        return found
    joined = select(SideFile.file_name).join(Publication, Publication.id == SideFile.publication_id)
    return session.scalar(joined.where(of_provider, SideFile.file_name == name))
