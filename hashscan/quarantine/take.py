"""Taking a file: look, intent, copy and digest, capture, verify, commit, unlink (docs/quarantine.md).

Until the capture nothing in the scanned tree has changed, and a failure drops the case. Between capture and commit the thing
is put back where it is not the very file that was copied. After the commit only forward is possible.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import ExitStack
from dataclasses import dataclass, replace

from hashscan import fsops
from hashscan.model import Action, CaseState, Finding, Removal
from hashscan.quarantine import holding, opening, proofs
from hashscan.quarantine.copying import FULL, after_capture, before_capture, copy
from hashscan.quarantine.holding import Held, Holding
from hashscan.quarantine.log import What
from hashscan.quarantine.opening import UnmovedError
from hashscan.quarantine.proofs import Grounds
from hashscan.quarantine.record import MAX_XATTR_BYTES, FileFacts, HoldingPlace, Record, Retention, describe
from hashscan.quarantine.seal import Recipients
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.tenants import NOBODY, Tenants


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one removal. ``case_id`` is empty where no case was opened; ``gone``: the name was not there."""

    action: Action
    case_id: str = ""
    reason: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Manner:
    """How files are taken in one run: who or what triggered it, what its verdicts rest on, to whom evidence is sealed.

    ``keep`` is for how many seconds evidence is kept under the retention ``profile``; 0 is until a person purges it.
    """

    trigger: str
    grounds: Grounds | None = None
    recipients: Recipients | None = None
    tenants: Tenants = NOBODY
    profile: str = ""
    keep: float = 0.0

    def retention(self, now: float) -> Retention:
        """The retention of a case that is opened now (seconds since 1970)."""
        return Retention(self.profile, now + self.keep if self.keep else None)


@dataclass(frozen=True, slots=True)
class _Target:
    """Open descriptors of the file (readable), of the directory that its name is in, and of the holding directory."""

    fd: int
    parent: int
    name: bytes
    holding: Holding


def take(store: CaseStore, removal: Removal, manner: Manner) -> Taken:
    """Take one file into the vault, with what its verdict rests on.

    A failure of the file, or a full disk, is `Action.FAILED` with a reason, and the file is where it was (or, in a case that
    says ORPHAN, what stood in its place is in the holding directory). Raises `QuarantineError` where the vault fails.
    """
    with ExitStack() as stack:
        try:
            target = _aim(store, removal, stack)
            with before_capture(store):
                record = _intend(store, removal, target, manner)
        except UnmovedError as error:
            return Taken(Action.FAILED, reason=str(error), gone=isinstance(error.__cause__, FileNotFoundError))
        try:
            record = copy(store, record, target.fd, manner.recipients)
            _capture(store, record, target)
        except UnmovedError as error:
            return _drop(store, record, str(error))
        with after_capture(store, record):
            return _conclude(store, record, target)


def _aim(store: CaseStore, removal: Removal, stack: ExitStack) -> _Target:
    entry = removal.finding.candidate.hashed.entry
    try:
        parent, name = opening.open_parent(entry.place)
        stack.callback(os.close, parent)
        path_fd = opening.open_scanned(parent, name, entry)
        stack.callback(os.close, path_fd)
        fd = opening.open_quietly(path_fd)
        stack.callback(os.close, fd)
    except OSError as error:
        raise UnmovedError(opening.plain(error)) from error
    try:
        place = holding.open_beside(store.holding, parent)
    except OSError as error:
        where = os.fsdecode(error.filename or b"its mount")
        raise UnmovedError(f"no holding directory can be had beside it: {error.strerror}: {where}") from error
    stack.callback(os.close, place.fd)
    return _Target(fd, parent, name, place)


def opened(finding: Finding, manner: Manner, now: float) -> Record:
    """The record of a case about a finding, before anything of its file was looked at. ``now`` in seconds since 1970."""
    hashed = finding.candidate.hashed
    entry = hashed.entry
    return Record(
        id=secrets.token_hex(8),
        state=CaseState.INTENT,
        opened=now,
        reason="",
        trigger=manner.trigger,
        place=entry.place,
        parent=0,
        file=FileFacts(
            device=entry.device,
            inode=entry.inode,
            size=entry.size,
            mode=entry.mode & 0o7777,
            uid=entry.uid,
            gid=entry.gid,
            links=entry.links,
            atime_ns=0,
            mtime_ns=entry.mtime_ns,
            ctime_ns=entry.ctime_ns,
            xattrs={},
            xattrs_complete=False,
        ),
        digests=dict(hashed.digests),
        finding=describe(finding),
        holding=HoldingPlace(b"", 0, 0, 0),
        tenant=manner.tenants.of_path(entry.place.full),
        retention=manner.retention(now),
    )


def prove(store: CaseStore, record: Record, finding: Finding, manner: Manner) -> Record:
    """The record with what its verdict rests on, which is durable first, so that no case commits without it. Raises OSError."""
    if manner.grounds is None:
        return record
    with store.at("keep proof"):
        return replace(record, proof=proofs.keep(store.root, manner.grounds, finding.list))


def _intend(store: CaseStore, removal: Removal, target: _Target, manner: Manner) -> Record:
    now = store.clock()
    record = replace(
        prove(store, opened(removal.finding, manner, now), removal.finding, manner),
        parent=os.fstat(target.parent).st_ino,
        file=_facts(target.fd),
        holding=target.holding.place,
    ).moved_to(CaseState.INTENT, now)
    store.log.append(What.TAKE_INTENT, record.id, f"entry {removal.finding.entry}, {record.file.size} bytes")
    store.begin(record)
    return record


def _facts(fd: int) -> FileFacts:
    status = os.fstat(fd)
    xattrs = fsops.read_xattrs(fd, MAX_XATTR_BYTES)
    return FileFacts(
        device=status.st_dev,
        inode=status.st_ino,
        size=status.st_size,
        mode=status.st_mode & 0o7777,
        uid=status.st_uid,
        gid=status.st_gid,
        links=status.st_nlink,
        atime_ns=status.st_atime_ns,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        xattrs=xattrs.values,
        xattrs_complete=xattrs.complete,
    )


_NO_CAPTURE = {
    errno.ENOSYS: "this kernel cannot rename without overwriting, so nothing is moved",
    errno.EINVAL: "this filesystem cannot rename without overwriting, so nothing is moved",
    errno.EXDEV: "it cannot be renamed into the holding directory (another subvolume of one mount)",
    errno.EPERM: "it may not be renamed (immutable, append-only, or not ours)",
}


def _capture(store: CaseStore, record: Record, target: _Target) -> None:
    with store.at("capture"):
        try:
            fsops.rename_noreplace(target.parent, target.name, target.holding.fd, record.id.encode())
        except OSError as error:
            raise UnmovedError(_NO_CAPTURE.get(error.errno or 0) or opening.plain(error)) from error


def _conclude(store: CaseStore, record: Record, target: _Target) -> Taken:
    sync_move(store, target.holding.fd, target.parent)
    held = look_held(target.holding.fd, record)
    if held is Held.OURS:
        store.commit(record.id)
        return _finish_taken(store, store.read(record.id), target)
    reason = "changed while it was taken: " + ("its content" if held is Held.CHANGED else "another thing had its name")
    refusal = put_back(store, target.holding.fd, record, target.parent, target.name)
    if not refusal:
        return _drop(store, record, f"{reason}; put back")
    note = f"{reason}; it could not be put back ({refusal}) and is kept in the holding directory"
    store.step_to(record, CaseState.ORPHAN, note)
    store.log.append(What.ORPHANED, record.id, note)
    return Taken(Action.FAILED, record.id, note)


def _finish_taken(store: CaseStore, record: Record, target: _Target) -> Taken:
    unlink_held(store, target.holding.fd, record)
    others = os.fstat(target.fd).st_nlink
    notes = [f"{others} other names of the file remain"] if others else []
    if fsops.has_writer(target.fd):  # it may write into the inode that is gone; the evidence is the copy
        notes.append("somebody had it open for writing")
    note = "; ".join(notes)
    try:
        store.step_to(record, CaseState.DONE, note)
        store.log.append(What.TAKEN, record.id, note)
    except OSError as error:
        note = f"the case is complete but its last line could not be written ({error.strerror}); recovery will write it"
    return Taken(Action.QUARANTINED, record.id, note)


_NO_RETURN = {errno.EEXIST: "its name is taken", errno.ENOENT: "its directory is gone"}


def look_held(holding_fd: int, record: Record) -> Held:
    """What is in the holding directory under the case's name, compared with the record."""
    return holding.look(holding_fd, record.id, record.file.inode, record.file.size, record.digests)


def sync_move(store: CaseStore, one: int, other: int) -> None:
    """Make a rename between two directories durable on both sides."""
    with store.at("sync move"):
        os.fsync(one)
        os.fsync(other)


def put_back(store: CaseStore, holding_fd: int, record: Record, parent_fd: int, name: bytes) -> str:
    """Give the captured thing its name again, never over another; returns why that was not possible, or nothing."""
    with store.at("put back"):
        try:
            fsops.rename_noreplace(holding_fd, record.id.encode(), parent_fd, name)
        except OSError as error:
            return _NO_RETURN.get(error.errno or 0) or opening.plain(error)
    sync_move(store, holding_fd, parent_fd)
    return ""


def unlink_held(store: CaseStore, holding_fd: int, record: Record) -> None:
    """After the commit: remove the captured name, durable."""
    with store.at("unlink held"):
        os.unlink(record.id, dir_fd=holding_fd)
    with store.at("sync holding"):
        os.fsync(holding_fd)


def _drop(store: CaseStore, record: Record, reason: str) -> Taken:
    with after_capture(store, record):
        try:
            store.drop(record, reason)
            store.log.append(What.DROPPED, record.id, reason)
        except OSError as error:
            if error.errno not in FULL:
                raise
            reason += "; the case could not be closed on the full disk, recovery will"
    return Taken(Action.FAILED, record.id, reason)
