"""Whose filter is this? A leaked one is told by its bits: each provider's holds canaries of its own (docs/service.md)."""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.known.container import FilterHeader
from hashscan.known.keys import ProviderKey
from hashscan.known.leaked import Leaked, claimed
from hashscan.service.names import is_name
from hashscan.service.store import Store
from hashscan.service.tables import HashList, Provider, ProviderKeyRow, Publication
from hashscan.service.tables_out import SideFile

MAX_FILE_BYTES = 2**32
CERTAIN = 15.0  # digits: among ten million keys one in a hundred million files would be told wrongly
MAX_EPOCH = 100_000  # one that a file may claim; keys are made for each that is tried


@dataclass(frozen=True, slots=True)
class Match:
    """A provider whose canaries the bits hold; ``digits``: the odds against chance have that many."""

    provider: str
    list: str
    epoch: int
    digits: float


@dataclass(frozen=True, slots=True)
class SameFile:
    """A file that this service published, byte for byte."""

    provider: str
    list: str
    version: int
    epoch: int
    name: str


@dataclass(frozen=True, slots=True)
class Trace:
    """What was found. ``is_filter``: there are bits to look at; ``claims``: what the file says of itself, which may be false.

    Several matches: filters of several providers were mixed. ``tried`` is the number of keys.
    """

    is_filter: bool
    matches: tuple[Match, ...]
    same: SameFile | None
    claims: FilterHeader | None
    tried: int


def trace(store: Store, path: Path) -> Trace:
    """Tell a filter file, or what is left of one, by its bits. About 50 us a key: provider, list and epoch.

    The list and epoch that the file claims are tried first, then all. Raises `UsageError` where it cannot be read.
    """
    data = _map(path)
    claims = claimed(data)
    leaked = Leaked.find(data)
    with store.reading() as session:
        same = _same_file(session, hashlib.sha256(data).hexdigest())
        keys = _Keys(session)
    tried, matches = 0, list[Match]()
    if leaked is not None:
        for pairs in (keys.claimed(claims), keys.others(claims)):
            for provider, list_id, epoch, key in pairs:
                tried += 1
                digits = leaked.certainty(key.filter_key(list_id, epoch))
                if digits >= CERTAIN:
                    matches.append(Match(provider, list_id, epoch, digits))
            if matches:
                break
    matches.sort(key=lambda one: -one.digits)
    return Trace(leaked is not None, tuple(matches), same, claims, tried)


def _map(path: Path) -> memoryview:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= MAX_FILE_BYTES:
                raise UsageError(f"{path} is not a file of 1 to {MAX_FILE_BYTES} bytes")
            return memoryview(mmap.mmap(fd, status.st_size, prot=mmap.PROT_READ))
        finally:
            os.close(fd)
    except (OSError, ValueError) as error:  # ValueError: cut short between the two calls
        raise UsageError(f"cannot read {path}: {error}") from None


def _same_file(session: Session, sha256: str) -> SameFile | None:
    columns = (Provider.name, HashList.name, Publication.version, Publication.epoch)
    base = (
        select(*columns, Publication.file_name)
        .join(Provider, Provider.id == Publication.provider_id)
        .join(HashList, HashList.id == Publication.list_id)
    )
    beside = (
        select(*columns, SideFile.file_name)
        .join(Publication, Publication.id == SideFile.publication_id)
        .join(Provider, Provider.id == Publication.provider_id)
        .join(HashList, HashList.id == Publication.list_id)
    )
    for query in (base.where(Publication.sha256 == sha256), beside.where(SideFile.sha256 == sha256)):
        if (row := session.execute(query).first()) is not None:
            return SameFile(*row)
    return None


_Key = tuple[str, str, int, ProviderKey]


class _Keys:
    """All provider keys that there ever were, revoked or not, with the lists and epochs that filters may be of."""

    def __init__(self, session: Session) -> None:
        self._lists = list(session.scalars(select(HashList.name).order_by(HashList.id)))
        self._providers = [(one.id, one.name, one.epoch) for one in session.scalars(select(Provider).order_by(Provider.id))]
        self._rows: dict[int, list[tuple[int, ProviderKey]]] = {}
        for row in session.scalars(select(ProviderKeyRow).order_by(ProviderKeyRow.since)):
            self._rows.setdefault(row.provider_id, []).append((row.since, ProviderKey(row.raw)))

    def claimed(self, claims: FilterHeader | None) -> Iterator[_Key]:
        """Every provider's key for the list and epoch that the file names, known here or not."""
        if claims is None or not is_name(claims.list.id) or claims.list.epoch > MAX_EPOCH:
            return
        for provider_id, name, _ in self._providers:
            yield from self._of(provider_id, name, claims.list.id, claims.list.epoch)

    def others(self, claims: FilterHeader | None) -> Iterator[_Key]:
        """Every other one: the newest epochs first, where leaks are likely to come from."""
        said = (claims.list.id, claims.list.epoch) if claims is not None else None
        for epoch in range(max((epoch for _, _, epoch in self._providers), default=0), 0, -1):
            for list_id in self._lists:
                if (list_id, epoch) == said:
                    continue
                for provider_id, name, newest in self._providers:
                    if epoch <= newest:
                        yield from self._of(provider_id, name, list_id, epoch)

    def _of(self, provider_id: int, name: str, list_id: str, epoch: int) -> Iterator[_Key]:
        key = next((key for since, key in reversed(self._rows.get(provider_id, [])) if since <= epoch), None)
        if key is not None:
            yield name, list_id, epoch, key
