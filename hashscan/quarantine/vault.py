"""The vault: what a run takes, holds for a person, and recovers. The door of this room for runs; for people it is `cabinet`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from hashscan.model import Action, Finding, Removal
from hashscan.ports import ActionResult
from hashscan.quarantine import held, recovery
from hashscan.quarantine.cabinet import Cabinet
from hashscan.quarantine.holding import HOLDING_NAME
from hashscan.quarantine.limits import Counts, Limits, Removed
from hashscan.quarantine.policy import Withheld, permit
from hashscan.quarantine.proofs import Grounds, Kept
from hashscan.quarantine.record import owner_of
from hashscan.quarantine.recovery import Recovered, RecoveryResult
from hashscan.quarantine.survey import Survey
from hashscan.quarantine.take import Manner, take

__all__ = ["HOLDING_NAME", "Grounds", "Kept", "Limits", "Manner", "Recovered", "RecoveryResult", "Vault"]


PLAINLY = Manner("hashscan")
"""Nothing sealed, no tenants known, kept until a person purges it."""


MANY_OWNERS = 2
"""While files of one entry of so many owners wait for a person, no other file of it moves. Not one: nobody alone shall be able
to keep an entry waiting."""


class Vault(Cabinet):
    """Implements `ports.Quarantine` by moving what `policy.permit` permits; one object is one run.

    ``root`` is made (0700) when it is first written to. Whoever changes anything holds a `lock.RunLock` and calls `recover`
    before anything else. ``manner`` is how files are taken. ``step`` is for tests (see `store`).
    """

    def __init__(
        self,
        root: Path,
        limits: Limits,
        clock: Callable[[], float] = time.time,
        *,
        manner: Manner = PLAINLY,
        step: Callable[[str], None] | None = None,
    ) -> None:
        super().__init__(root, clock, actor=manner.trigger, step=step)
        self._limits = limits
        self._manner = manner
        self._taken: dict[tuple[bytes, int], str] = {}  # at most `Limits.per_run`
        self._known: tuple[Survey, Counts] | None = None

    def handle(self, finding: Finding) -> ActionResult:
        """Move the file where the policy permits it, or hold it for a person. See `ports.Quarantine`.

        A file that this run took already, found again by another list, is QUARANTINED with the same case.
        """
        entry = finding.candidate.hashed.entry
        same = self._taken.get((entry.place.full, entry.inode), "")
        permission = permit(finding, self._limits, "" if same else self._reached(finding))
        if same and not isinstance(permission, Withheld):
            return ActionResult(finding, Action.QUARANTINED, same, "taken already, for another list")
        if isinstance(permission, Withheld):
            case_id = self._hold(finding, permission.reason) if permission.action is Action.HELD else ""
            return ActionResult(finding, permission.action, case_id, permission.reason)
        return self._take(permission)

    def release(self, case_id: str, finding: Finding) -> ActionResult:
        """Take the file of a case that waited: a person said so, and ``finding`` is what was found of it just now.

        No limit applies. Raises `QuarantineError` where the case does not wait, or the finding is about another file.
        """
        record = self._record(case_id)
        held.check_is(record, finding)
        permission = permit(finding, self._limits)
        if isinstance(permission, Withheld):
            return ActionResult(finding, permission.action, record.id, permission.reason)
        result = self._take(permission)
        if result.action == Action.QUARANTINED:
            with self._failures():
                held.release(self._store, record, result.case_id)
            self._survey.let_go(record)
        return result

    def _take(self, removal: Removal) -> ActionResult:
        finding = removal.finding
        entry = finding.candidate.hashed.entry
        with self._failures():
            self._store.open()
            taken = take(self._store, removal, self._manner)
        if taken.gone and (before := self._survey.taken_as(entry)):
            return ActionResult(finding, Action.QUARANTINED, before, "taken already, by a run that was cut off")
        if taken.action is Action.QUARANTINED:
            self._taken[entry.place.full, entry.inode] = taken.case_id
            self._counts.add(Removed(self._store.clock(), _entry(finding), self._owner(finding)))
        return ActionResult(finding, taken.action, taken.case_id, taken.reason)

    def _reached(self, finding: Finding) -> str:
        """Why this file must wait for a person, or ""."""
        if case_id := self._survey.held_as(finding.candidate.hashed.entry):
            return f"it waits as case {case_id}"
        if (owners := self._survey.owners_waiting(_entry(finding))) >= MANY_OWNERS:
            return f"files of this entry of {owners} owners wait already"
        now = self._store.clock()
        return self._counts.reached(self._limits, entry=_entry(finding), owner=self._owner(finding), now=now)

    def _hold(self, finding: Finding, reason: str) -> str:
        if case_id := self._survey.held_as(finding.candidate.hashed.entry):
            return case_id
        with self._failures():
            self._store.open()
            record = held.hold(self._store, finding, self._manner, reason)
        self._survey.hold(record)
        return record.id

    def _owner(self, finding: Finding) -> str:
        entry = finding.candidate.hashed.entry
        return owner_of(self._manner.tenants.of_path(entry.place.full), entry.uid)

    @property
    def _survey(self) -> Survey:
        return self._look()[0]

    @property
    def _counts(self) -> Counts:
        return self._look()[1]

    def _look(self) -> tuple[Survey, Counts]:
        if self._known is None:
            with self._failures():
                survey = Survey(self._store)
            self._known = survey, Counts(survey.removed)
        return self._known

    def recover(self) -> list[RecoveryResult]:
        """Bring what a crash left half done to its end; to be called before anything else. Raises `QuarantineError`."""
        survey = Survey(self._store, ())
        results = recovery.recover(self._store, survey.note)
        self._known = survey, Counts(survey.removed)
        return results

    def own_directories(self) -> frozenset[tuple[int, int]]:
        """Device and inode of the vault and of every holding directory that a case has used: nothing to scan there."""
        # A file taken meanwhile may have made a holding directory on another mount.
        with self._failures():
            return (Survey(self._store) if self._taken else self._survey).own_directories()


def _entry(finding: Finding) -> str:
    return f"{finding.list.id}/{finding.entry}"
