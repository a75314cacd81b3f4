"""Findings that a limit stopped: a record without evidence, until a person lets the file be taken or says no."""

from __future__ import annotations

from dataclasses import replace

from hashscan.errors import QuarantineError
from hashscan.model import CaseState, Finding
from hashscan.quarantine.log import What
from hashscan.quarantine.record import Record
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.take import Manner, opened, prove


def hold(store: CaseStore, finding: Finding, manner: Manner, reason: str) -> Record:
    """Open a case that waits; its file is not touched. Raises OSError, `QuarantineError`."""
    now = store.clock()
    record = prove(store, opened(finding, manner, now), finding, manner).moved_to(CaseState.HELD, now, reason)
    store.log.append(What.HELD_INTENT, record.id, reason)
    store.begin(record)
    store.log.append(What.HELD, record.id, reason)
    return record


def release(store: CaseStore, record: Record, taken_as: str) -> Record:
    """The file of a waiting case was taken, as the case ``taken_as``. Raises OSError, `QuarantineError`."""
    _check_waits(record)
    let_go = replace(record, released_to=taken_as)
    store.log.append(What.RELEASED, record.id, f"taken as case {taken_as}")
    return store.step_to(let_go, CaseState.RELEASED, f"released by a person; taken as case {taken_as}")


def dismiss(store: CaseStore, record: Record, reason: str) -> Record:
    """The file of a waiting case stays where it is. Raises OSError, `QuarantineError`."""
    _check_waits(record)
    store.log.append(What.DISMISSED, record.id, reason)
    return store.step_to(record, CaseState.DISMISSED, reason)


def check_is(record: Record, finding: Finding) -> None:
    """Whether a finding is about the very file of a case that waits. Raises `QuarantineError`."""
    _check_waits(record)
    entry = finding.candidate.hashed.entry
    if (record.place, record.file.device, record.file.inode) != (entry.place, entry.device, entry.inode):
        raise QuarantineError(f"case {record.id} is about another file")


def _check_waits(record: Record) -> None:
    if record.state is not CaseState.HELD:
        raise QuarantineError(f"case {record.id} is {record.state} and does not wait for a person")
