"""Taking a file: look, intent, copy and digest, capture, verify, commit, unlink (docs/quarantine.md).

Until the capture nothing in the scanned tree has changed, and a failure drops the case. Between capture and commit the thing
is put back where it is not the very file that was copied. After the commit only forward is possible.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from hashscan import fsops
from hashscan.errors import QuarantineError
from hashscan.model import Action, Algorithm, CaseState, Removal
from hashscan.quarantine import evidence, holding, opening
from hashscan.quarantine.holding import Held, Holding
from hashscan.quarantine.opening import UnmovedError
from hashscan.quarantine.record import MAX_XATTR_BYTES, FileFacts, Record, describe
from hashscan.quarantine.store import CONTENT, CaseStore


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one removal. ``case_id`` is empty where no case was opened; ``gone``: the name was not there."""

    action: Action
    case_id: str = ""
    reason: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True)
class _Target:
    """Open descriptors of the file (readable), of the directory that its name is in, and of the holding directory."""

    fd: int
    parent: int
    name: bytes
    holding: Holding


def take(store: CaseStore, removal: Removal, trigger: str) -> Taken:
    """Take one file into the vault.

    A failure of the file, or a full disk, is `Action.FAILED` with a reason, and the file is where it was (or, in a case that
    says ORPHAN, what stood in its place is in the holding directory). Raises `QuarantineError` where the vault fails.
    """
    with ExitStack() as stack:
        try:
            target = _aim(store, removal, stack)
            with _vault_before_capture(store):
                record = _intend(store, removal, target, trigger)
        except UnmovedError as error:
            return Taken(Action.FAILED, reason=str(error), gone=isinstance(error.__cause__, FileNotFoundError))
        try:
            record = _copy(store, record, target)
            _capture(store, record, target)
        except UnmovedError as error:
            return _drop(store, record, str(error))
        with _vault_after_capture(store, record):
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


def _intend(store: CaseStore, removal: Removal, target: _Target, trigger: str) -> Record:
    hashed = removal.finding.candidate.hashed
    now = store.clock()
    record = Record(
        id=secrets.token_hex(8),
        state=CaseState.INTENT,
        opened=now,
        reason="",
        trigger=trigger,
        place=hashed.entry.place,
        parent=os.fstat(target.parent).st_ino,
        file=_facts(target.fd),
        digests=dict(hashed.digests),
        finding=describe(removal.finding),
        holding=target.holding.place,
    ).moved_to(CaseState.INTENT, now)
    try:
        store.create(record)
    except OSError:
        if store.path(record.id).exists() and store.half_made(record.id):
            store.discard(record.id)
        raise
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


def _copy(store: CaseStore, record: Record, target: _Target) -> Record:
    """The evidence: space reserved first, then one pass that writes and digests; COPIED only where all digests agree."""
    size = record.file.size
    digester = evidence.Digester({*record.digests, Algorithm.BLAKE3})
    with _vault_before_capture(store):
        with store.at("make copy"):
            fd = os.open(store.path(record.id, CONTENT), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with opening.closing(fd):
            with store.at("reserve copy"):
                if size:
                    os.posix_fallocate(fd, 0, size)
            with store.at("write copy"):
                for chunk in _source_chunks(target.fd, size):
                    digester.update(chunk)
                    evidence.write_all(fd, chunk)
                os.fsync(fd)
        digests = digester.digests()
        wrong = sorted(name for name, digest in record.digests.items() if digests[name] != digest)
        if digester.size != size or wrong:
            raise UnmovedError(f"changed since the scan: its {', '.join(wrong) or 'size'} is another")
        copied = replace(record, digests=digests).moved_to(CaseState.COPIED, store.clock())
        store.write(copied)
        store.prepare(copied.moved_to(CaseState.COMMITTED, store.clock()))
    return copied


def _source_chunks(fd: int, size: int) -> Iterator[bytes]:
    try:
        yield from evidence.read_chunks(fd, size)
    except OSError as error:
        raise UnmovedError(f"it cannot be read: {opening.plain(error)}") from error


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
    return Taken(Action.FAILED, record.id, note)


def _finish_taken(store: CaseStore, record: Record, target: _Target) -> Taken:
    unlink_held(store, target.holding.fd, record)
    others = os.fstat(target.fd).st_nlink
    note = f"{others} other names of the file remain" if others else ""
    try:
        store.step_to(record, CaseState.DONE, note)
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
    with _vault_after_capture(store, record):
        try:
            store.drop(record, reason)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            reason += "; the case could not be closed on the full disk, recovery will"
    return Taken(Action.FAILED, record.id, reason)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def _vault_before_capture(store: CaseStore) -> Iterator[None]:
    """A full vault is a failure of this file, which is untouched; anything else is a failure of the vault."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise UnmovedError(f"the vault {store.root} cannot hold it: {error.strerror}") from error
        raise QuarantineError(f"the vault {store.root} failed: {error}; the file is where it was") from error


@contextmanager
def _vault_after_capture(store: CaseStore, record: Record) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise QuarantineError(
            f"the vault {store.root} failed in case {record.id}: {error}",
            hint="the next run brings the case to its end before it does anything else",
        ) from error
