"""The repository of a provider as a folder, for hosts without a network: ``hashscan sync --from`` reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import HashscanError, UsageError
from hashscan.service import in_force, repository
from hashscan.service.agents import provider_row
from hashscan.service.keys import OnlineKeys
from hashscan.service.publishing import only_publisher
from hashscan.service.store import Store
from hashscan.service.tables import Repository


def export(store: Store, name: str, out: Path, *, now: Callable[[], float] = time.time) -> tuple[Path, ...]:
    """Sign what is due and copy everything that is in force for the provider ``name`` into ``out``; the timestamp last.

    What was in ``out`` stays, as agents may be reading it. Raises `UsageError` (no such provider, nothing published yet),
    `LockedError` (a publication is under way), `HashscanError` (cannot be written).
    """
    keys = OnlineKeys.open(store, now=now)
    with only_publisher(store.folder.publish_lock):  # else files could go while they are copied
        with store.reading() as session:
            provider = provider_row(session, name)
        if not repository.refresh(store, keys, provider, now):
            raise UsageError(f"nothing is published yet for {name}", hint="run 'hashscan service publish'")
        with store.reading() as session:
            state = session.get_one(Repository, provider.id)
            names = [spec.name for spec in in_force.targets(in_force.published(session, provider.id))]
        folder = store.folder.published(name)
        metadata = [f"{state.targets_version}.targets.json", f"{state.snapshot_version}.snapshot.json"]
        files = [*keys.root_files(), *(folder / one for one in (*names, *metadata))]
        try:
            make_private_directory(out)
            for path in files:
                write_bytes(out / path.name, path.read_bytes())
            write_bytes(out / repository.VERDICT_KEYS, state.verdict_keys)
            write_bytes(out / repository.TIMESTAMP, state.timestamp)
        except OSError as error:
            raise HashscanError(f"cannot write the files of {name} into {out}: {error.strerror}") from None
    return tuple(out / one for one in (*(path.name for path in files), repository.VERDICT_KEYS, repository.TIMESTAMP))
