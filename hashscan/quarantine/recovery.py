"""What a crash left half done: one pure decision for each case, and its execution, which may itself be cut off anywhere.

A capture only happens after COPIED is durable, so INTENT means that nothing was captured; the commit only happens after
the captured thing was verified, so COMMITTED means that only the unlinking may be missing.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from hashscan.errors import QuarantineError
from hashscan.model import CaseState
from hashscan.quarantine import cut_off, holding, keeping, opening, take
from hashscan.quarantine.copying import content_holds
from hashscan.quarantine.holding import Held
from hashscan.quarantine.log import Line, What
from hashscan.quarantine.record import Record
from hashscan.quarantine.store import CONTENT, RECORD, CaseStore


class Original(enum.StrEnum):
    """The name that the file had, in the directory that it was in."""

    FREE = "free"
    TAKEN = "taken"
    NO_PARENT = "no parent"


class Step(enum.StrEnum):
    """What is to be done about a case."""

    NOTHING = "nothing"
    DROP = "drop"
    COMMIT = "commit"
    FINISH = "finish"
    CLOSE = "close"
    PUT_BACK = "put back"
    ORPHAN = "orphan"
    WAIT = "wait"
    DAMAGED = "damaged"


class Recovered(enum.StrEnum):
    """What recovery did about a case, or found."""

    DONE = "done"
    DROPPED = "dropped"
    PUT_BACK = "put_back"
    ORPHAN = "orphan"
    RESTORED = "restored"
    NOT_RESTORED = "not_restored"
    DISCARDED = "discarded"
    PURGED = "purged"
    NOT_PURGED = "not_purged"
    WAITING = "waiting"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """One case that was not at its end. WAITING and DAMAGED need a person; the others are brought to an end."""

    case_id: str
    outcome: Recovered
    detail: str = ""


def decide(state: CaseState, held: Held, *, evidence_holds: bool, original: Original) -> Step:
    """The next step for a case. ``evidence_holds``: the copy in the vault has the size and all digests of the record.

    The rule behind it: the last good copy is never removed, a name is never overwritten, and what is not ours goes back.
    """
    if state is CaseState.COMMITTED:
        return _after_commit(held, evidence_holds=evidence_holds)
    if state not in (CaseState.INTENT, CaseState.COPIED):
        return Step.NOTHING
    if held is Held.EMPTY or (held is Held.UNREACHABLE and state is CaseState.INTENT):
        return Step.DROP
    if held is Held.UNREACHABLE:
        return Step.WAIT
    if held is Held.OURS and evidence_holds and state is CaseState.COPIED:
        return Step.COMMIT
    return Step.PUT_BACK if original is Original.FREE else Step.ORPHAN


def _after_commit(held: Held, *, evidence_holds: bool) -> Step:
    if held is Held.UNREACHABLE:
        return Step.WAIT
    if held is Held.EMPTY:
        return Step.CLOSE if evidence_holds else Step.DAMAGED
    # After the commit an old descriptor may write into the captured inode: CHANGED is still what was committed.
    if held in (Held.OURS, Held.CHANGED) and evidence_holds:
        return Step.FINISH
    return Step.ORPHAN


def _nobody(record: Record) -> None:
    """Nobody wants to know."""


def recover(store: CaseStore, note: Callable[[Record], None] = _nobody) -> list[RecoveryResult]:
    """Bring every case to its end that a crash left half done; says nothing of those that are at theirs. Idempotent.

    ``note`` is told each record as it is afterwards, so that a run need not read them all twice.

    Whatever it does is in the log, and so is the end of every act that was announced there. Raises `QuarantineError` where the
    vault fails.
    """
    results = []
    for case_id in store.ids():
        try:
            if result := _recover(store, case_id, note):
                results.append(result)
                if result.outcome not in (Recovered.WAITING, Recovered.DAMAGED):
                    store.log.append(What.RECOVERED, case_id, f"{result.outcome}: {result.detail}")
        except OSError as error:
            raise QuarantineError(f"the vault {store.root} failed in case {case_id}: {error}") from error
    _close_log(store, {result.case_id for result in results if result.outcome in (Recovered.WAITING, Recovered.DAMAGED)})
    return results


def _close_log(store: CaseStore, waiting: set[str]) -> None:
    """An act that ended, but was cut off before its last line was in the log."""
    try:
        for case_id in store.log.unfinished():
            if case_id in waiting:
                continue
            state = store.read(case_id).state if store.path(case_id, RECORD).exists() else "gone before it began"
            store.log.append(What.RECOVERED, case_id, f"interrupted before its last line; the case is {state}")
        for line in store.log.said_first():
            if not _followed(store, line):
                store.log.append(
                    What.RECOVERED, line.case, f"interrupted: {line.what} was announced in line {line.n} and not done"
                )
    except OSError as error:
        raise QuarantineError(f"the log of the vault {store.root} failed: {error}") from error


_STATES = {What.RELEASED: CaseState.RELEASED, What.DISMISSED: CaseState.DISMISSED, What.SETTLED: CaseState.SETTLED}


def _followed(store: CaseStore, line: Line) -> bool:
    """Whether the record says what the line does; a record that cannot be read is another matter, told elsewhere."""
    try:
        record = store.read(line.case)
    except QuarantineError:
        return True
    if line.what in _STATES:
        return record.state is _STATES[What(line.what)]
    in_force = any(line.detail.startswith(one.id) for one in record.holds)
    return in_force == (line.what == What.HOLD)


def _recover(store: CaseStore, case_id: str, note: Callable[[Record], None]) -> RecoveryResult | None:
    if not store.path(case_id, RECORD).exists():
        if not store.half_made(case_id):
            return RecoveryResult(case_id, Recovered.DAMAGED, "no record, and files in it that are not ours")
        store.discard(case_id)
        return RecoveryResult(case_id, Recovered.DISCARDED, "it had no record yet")
    try:
        record = store.read(case_id)
    except QuarantineError as error:
        return RecoveryResult(case_id, Recovered.DAMAGED, str(error))
    if result := _recover_record(store, record):
        record = store.read(case_id)
    note(record)
    return result


_WITHOUT_COPY = {CaseState.PURGED: Recovered.PURGED, CaseState.DROPPED: Recovered.DROPPED}


def _recover_record(store: CaseStore, record: Record) -> RecoveryResult | None:
    if record.restoring:
        store.sync(record.id)
        return _settle_restore(store, record)
    if record.state in _WITHOUT_COPY and os.path.lexists(store.path(record.id, CONTENT)):
        store.sync(record.id)
        store.remove_content(record.id)
        return RecoveryResult(record.id, _WITHOUT_COPY[record.state], "its copy was still there, and is gone now")
    if keeping.withdraw_certificate(store, record):
        return RecoveryResult(record.id, Recovered.NOT_PURGED, "a purge was interrupted before anything was removed")
    if record.state not in (CaseState.INTENT, CaseState.COPIED, CaseState.COMMITTED):
        return None
    store.sync(record.id)
    with ExitStack() as stack:
        return _Scene(store, record, stack).play()


class _Scene:
    """The facts about one unfinished case, and the execution of what they ask for."""

    def __init__(self, store: CaseStore, record: Record, stack: ExitStack) -> None:
        self._store = store
        self._record = record
        self._why = "recovered after an interruption"
        self._holding = self._open_holding(stack)
        self._parent, self._name = self._open_parent(stack)

    def play(self) -> RecoveryResult:
        held = take.look_held(self._holding, self._record) if self._holding >= 0 else Held.UNREACHABLE
        holds = content_holds(self._store, self._record)
        step = decide(self._record.state, held, evidence_holds=holds, original=self._original())
        return self._execute(step)

    def _open_holding(self, stack: ExitStack) -> int:
        try:
            fd = holding.open_again(self._store.holding, self._record.holding)
        except OSError as error:
            self._why = f"its holding directory cannot be reached: {error}"
            return -1
        stack.callback(os.close, fd)
        return fd

    def _open_parent(self, stack: ExitStack) -> tuple[int, bytes]:
        try:
            fd, name = opening.open_parent(self._record.place)
        except OSError:  # gone, or not as it was: then there is no place to put anything back to
            return -1, b""
        stack.callback(os.close, fd)
        return (fd, name) if os.fstat(fd).st_ino == self._record.parent else (-1, b"")

    def _original(self) -> Original:
        if self._parent < 0:
            return Original.NO_PARENT
        try:
            os.stat(self._name, dir_fd=self._parent, follow_symlinks=False)
        except FileNotFoundError:
            return Original.FREE
        return Original.TAKEN

    def _execute(self, step: Step) -> RecoveryResult:
        actions = {
            Step.DROP: self._drop,
            Step.COMMIT: self._commit,
            Step.FINISH: self._finish,
            Step.CLOSE: self._close,
            Step.PUT_BACK: self._put_back,
            Step.ORPHAN: self._orphan,
        }
        if step in actions:
            return actions[step]()
        if step is Step.WAIT:
            return RecoveryResult(self._record.id, Recovered.WAITING, self._why)
        return RecoveryResult(self._record.id, Recovered.DAMAGED, "its evidence does not have the digests of its record")

    def _sync(self) -> None:
        # The rename that this follows may have been cut off before it was durable.
        for fd in (self._holding, self._parent):
            if fd >= 0:
                os.fsync(fd)

    def _drop(self) -> RecoveryResult:
        self._sync()
        self._store.drop(self._record, "interrupted before anything was taken")
        return RecoveryResult(self._record.id, Recovered.DROPPED, "nothing had been taken")

    def _commit(self) -> RecoveryResult:
        self._sync()
        self._record = self._store.step_to(self._record, CaseState.COMMITTED, self._why)
        return self._finish()

    def _finish(self) -> RecoveryResult:
        take.unlink_held(self._store, self._holding, self._record)
        return self._close()

    def _close(self) -> RecoveryResult:
        self._sync()
        self._store.step_to(self._record, CaseState.DONE, self._why)
        return RecoveryResult(self._record.id, Recovered.DONE, "taken completely")

    def _put_back(self) -> RecoveryResult:
        refusal = take.put_back(self._store, self._holding, self._record, self._parent, self._name)
        if refusal:
            return self._orphan(refusal)
        self._store.drop(self._record, "what had been captured was not the file that was copied; put back")
        return RecoveryResult(self._record.id, Recovered.PUT_BACK, "what had been captured was another thing")

    def _orphan(self, why: str = "its place is taken or gone, or its evidence is damaged") -> RecoveryResult:
        note = f"what was captured stays in the holding directory: {why}"
        self._store.step_to(self._record, CaseState.ORPHAN, note)
        return RecoveryResult(self._record.id, Recovered.ORPHAN, note)


def _settle_restore(store: CaseStore, record: Record) -> RecoveryResult:
    """A restore was cut off: it happened if the new file has its name, and else it did not.

    The inode alone tells: its bytes are the tenant's again, who may have changed them since.
    """
    restoring = record.restoring
    assert restoring is not None  # noqa: S101 - for the type checker; the caller asked
    try:
        linked = cut_off.is_back(restoring)
    except OSError as error:  # to say "not restored" of a file that is there would be wrong
        return RecoveryResult(record.id, Recovered.WAITING, f"where it was to be restored cannot be reached: {error}")
    settled = replace(record, restoring=None)
    if linked:
        store.step_to(settled, CaseState.RESTORED, "restored; the restore had been interrupted after its last step")
        return RecoveryResult(record.id, Recovered.RESTORED, "the restored file has its name")
    store.step_to(settled, record.state, "a restore was interrupted; nothing was restored")
    return RecoveryResult(record.id, Recovered.NOT_RESTORED, "a restore was interrupted before its last step")
