"""The vault: what was taken, why, and how it goes back. The door of this room."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hashscan.errors import QuarantineError, UsageError
from hashscan.model import Action, Case, CaseState, FileEntry, Finding, Place
from hashscan.ports import ActionResult
from hashscan.quarantine import recovery, restore
from hashscan.quarantine.holding import HOLDING_NAME
from hashscan.quarantine.policy import Limits, Withheld, permit
from hashscan.quarantine.recovery import Recovered, RecoveryResult
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.take import take

__all__ = ["HOLDING_NAME", "Limits", "Recovered", "RecoveryResult", "Vault"]


class Vault:
    """Implements `ports.Quarantine` by moving what `policy.permit` permits; one object is one run.

    ``root`` is made (0700) when it is first written to. ``trigger`` says who or what runs this, for the record. Whoever
    changes anything holds a `lock.RunLock` and calls `recover` before anything else. ``step`` is for tests (see `store`).
    """

    def __init__(
        self,
        root: Path,
        limits: Limits,
        clock: Callable[[], float] = time.time,
        *,
        trigger: str = "hashscan",
        step: Callable[[str], None] | None = None,
    ) -> None:
        self._store = CaseStore(root, clock, step)
        self._limits = limits
        self._trigger = trigger
        self._taken: dict[tuple[Place, int], str] = {}  # at most `Limits.per_run`

    def handle(self, finding: Finding) -> ActionResult:
        """Move the file where the policy permits it. See `ports.Quarantine`.

        A file that this run took already, found again by another list, is QUARANTINED with the same case.
        """
        entry = finding.candidate.hashed.entry
        same = self._taken.get((entry.place, entry.inode), "")
        permission = permit(finding, self._limits, len(self._taken) - bool(same))
        if isinstance(permission, Withheld):
            return ActionResult(finding, permission.action, reason=permission.reason)
        if same:
            return ActionResult(finding, Action.QUARANTINED, same, "taken already, for another list")
        with self._failures():
            self._store.open()
        taken = take(self._store, permission, self._trigger)
        if taken.gone and (before := self._taken_before(entry)):
            return ActionResult(finding, Action.QUARANTINED, before, "taken already, by a run that was cut off")
        if taken.action is Action.QUARANTINED:
            self._taken[entry.place, entry.inode] = taken.case_id
        return ActionResult(finding, taken.action, taken.case_id, taken.reason)

    def _taken_before(self, entry: FileEntry) -> str:
        """The finished case that holds this very file, or "": a run was killed after taking it and before it was noted."""
        for case_id in self._store.ids():
            with suppress(QuarantineError):  # a damaged case is told by `cases` and `recover`
                record = self._store.read(case_id)
                same = (record.place, record.file.device, record.file.inode) == (entry.place, entry.device, entry.inode)
                if same and record.state is CaseState.DONE:
                    return case_id
        return ""

    def recover(self) -> list[RecoveryResult]:
        """Bring what a crash left half done to its end; to be called before anything else. Raises `QuarantineError`."""
        return recovery.recover(self._store)

    def cases(self) -> Iterator[Case]:
        """All cases, oldest first; one whose record cannot be read is listed as `CaseState.DAMAGED` with the reason."""
        yield from sorted(map(self._listed, self._store.ids()), key=lambda case: (case.opened, case.id))

    def case(self, case_id: str) -> Case:
        """The case with this id, or the only one whose id begins so. Raises `UsageError`, `QuarantineError`."""
        return self._store.read(self._resolve(case_id)).case()

    def record(self, case_id: str) -> Mapping[str, Any]:
        """Everything that is known of a case, as in its record (docs/formats.md). Raises `QuarantineError`."""
        return self._store.document(self._resolve(case_id))

    def restore(self, case_id: str, to: Path | None = None) -> Case:
        """Put a file back, or under its name into the directory ``to``; the evidence stays in the vault.

        What could not be given back (extended attributes) is in the reason of the case. A restored case can be restored again
        only with ``to``. Raises `QuarantineError`; nothing has changed then.
        """
        case_id = self._resolve(case_id)
        with self._failures():
            return restore.restore(self._store, case_id, to).case()

    def own_directories(self) -> frozenset[tuple[int, int]]:
        """Device and inode of the vault and of every holding directory that a case has used: nothing to scan there."""
        paths = {os.fsencode(self._store.root)}
        for case_id in self._store.ids():
            with suppress(QuarantineError):  # a damaged case is told by `cases` and `recover`
                paths.add(self._store.read(case_id).holding.directory)
        found = set()
        for path in paths - {b""}:
            with suppress(OSError):  # not there any more: then a walk cannot meet it either
                status = os.stat(path, follow_symlinks=False)
                found.add((status.st_dev, status.st_ino))
        return frozenset(found)

    def _listed(self, case_id: str) -> Case:
        try:
            return self._store.read(case_id).case()
        except QuarantineError as error:
            return Case(case_id, CaseState.DAMAGED, Place(b"", b""), 0, "", "", "", 0.0, str(error))

    def _resolve(self, prefix: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{1,16}", prefix):
            raise UsageError(f"{prefix!a} is no case id", hint="an id is 16 hex digits, or its first ones")
        matches = [case_id for case_id in self._store.ids() if case_id.startswith(prefix)]
        if len(matches) > 1:
            raise UsageError(f"{len(matches)} cases begin with {prefix}", hint="give more digits of the id")
        if not matches:
            raise UsageError(f"there is no case {prefix} in {self._store.root}")
        return matches[0]

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise QuarantineError(f"the vault {self._store.root} failed: {error}") from error
