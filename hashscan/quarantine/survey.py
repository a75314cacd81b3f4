"""What the vault knows before anything is done: each record is read once, and only what decisions need is kept.

Recovery reads them, and this listens (`recovery.recover`). 100 bytes of memory a case, and of processor time 0.1 ms on an idle
machine, 0.5 ms on one with four times as many processes as cores: 5,000 cases cost a scan 0.5 to 2.5 s at its start.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress

from hashscan.errors import QuarantineError
from hashscan.model import CaseState, FileEntry
from hashscan.quarantine.limits import Removed
from hashscan.quarantine.record import Record
from hashscan.quarantine.store import CaseStore

_TAKEN = {CaseState.COMMITTED, CaseState.DONE, CaseState.RESTORED, CaseState.ORPHAN, CaseState.SETTLED, CaseState.PURGED}
_File = tuple[bytes, int, int]


class Survey:
    """The cases of a vault as they are. ``removed`` are all removals, ``held`` the cases that wait, by file.

    ``records``: who has read them already gives them, here or to `note`; else all are read.
    """

    def __init__(self, store: CaseStore, records: Iterable[Record] | None = None) -> None:
        self.removed: list[Removed] = []
        self.held: dict[_File, str] = {}
        self._waiting: dict[str, Counter[str]] = {}
        self._done: dict[_File, str] = {}
        self._holding: set[bytes] = {os.fsencode(store.root)}
        for record in _records(store) if records is None else records:
            self.note(record)

    def note(self, record: Record) -> None:
        """Take in one case."""
        if record.state in _TAKEN:
            self.removed.append(Removed(record.opened, entry_of(record), record.owner))
        if record.state is CaseState.DONE:
            self._done[_file(record)] = record.id
        if record.state is CaseState.HELD:
            self.hold(record)
        if record.holding.directory:
            self._holding.add(record.holding.directory)

    def hold(self, record: Record) -> None:
        """A case waits for a person."""
        self.held[_file(record)] = record.id
        self._waiting.setdefault(entry_of(record), Counter())[record.owner] += 1

    def let_go(self, record: Record) -> None:
        """A case waits no longer."""
        if self.held.pop(_file(record), ""):
            owners = self._waiting[entry_of(record)]
            owners.subtract((record.owner,))
            self._waiting[entry_of(record)] = +owners

    def owners_waiting(self, entry: str) -> int:
        """Of how many owners files of this entry (with its list) wait for a person."""
        return len(self._waiting.get(entry, ()))

    def held_as(self, entry: FileEntry) -> str:
        """The case that holds this very file for a person, or ""."""
        return self.held.get(_of_entry(entry), "")

    def taken_as(self, entry: FileEntry) -> str:
        """The finished case that took this very file, or ""."""
        return self._done.get(_of_entry(entry), "")

    def own_directories(self) -> frozenset[tuple[int, int]]:
        """Device and inode of the vault and of every holding directory that a case has used: nothing to scan there."""
        found = set()
        for path in self._holding:
            with suppress(OSError):  # not there any more: then a walk cannot meet it either
                status = os.stat(path, follow_symlinks=False)
                found.add((status.st_dev, status.st_ino))
        return frozenset(found)


def entry_of(record: Record) -> str:
    """The entry of a case, with its list: ids of two authorities may be alike."""
    listed = record.finding["list"]
    list_id = listed["id"] if isinstance(listed, dict) else ""
    return f"{list_id}/{record.finding['entry']}"


def _file(record: Record) -> _File:
    return record.place.full, record.file.device, record.file.inode


def _of_entry(entry: FileEntry) -> _File:
    return entry.place.full, entry.device, entry.inode


def _records(store: CaseStore) -> Iterator[Record]:
    for case_id in store.ids():
        with suppress(QuarantineError):  # a damaged case is told by `cases` and `recover`
            yield store.read(case_id)
