"""Giving a file back: a new file with the evidence's bytes and the old name, owner, mode and times.

It is written without a name inside its directory (O_TMPFILE) and linked in when it is complete, so that the tenant never
sees half a file and no path is resolved twice. Setuid, setgid and capabilities never come back. No directory is ever made.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from hashscan import fsops
from hashscan.errors import QuarantineError
from hashscan.model import CaseState, Place
from hashscan.quarantine import evidence, opening
from hashscan.quarantine.copying import content_holds
from hashscan.quarantine.log import What
from hashscan.quarantine.record import Form, Record, Restoring
from hashscan.quarantine.seal import Identity
from hashscan.quarantine.store import CONTENT, CaseStore

_NO_TMPFILE = (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT)
_SAFE_MODE = 0o1777  # without setuid and setgid
_MAX_NAME = 255  # bytes
_NEXT_RUN = "the next run brings the case to its end before it does anything else"


@dataclass(frozen=True, slots=True)
class New:
    """The new file, and the temporary name that it has where the filesystem knows no unnamed files."""

    fd: int
    temporary: bytes


def destination(record: Record, to: Path | None) -> Place:
    """Where a case may be restored to. Pure. Raises `QuarantineError` where its state forbids it."""
    if record.state is CaseState.RESTORED and to is None:
        raise QuarantineError(f"case {record.id} has been restored already", hint="name another directory with --to DIR")
    if record.state not in (CaseState.DONE, CaseState.RESTORED):
        raise QuarantineError(f"case {record.id} is {record.state} and cannot be restored: {record.reason}")
    if to is None:
        return record.place
    return Place(os.fsencode(to.absolute()), opening.split(record.place)[2])


@dataclass(frozen=True, slots=True)
class Wish:
    """How a case is to be restored: into the directory ``to``, else in its place; ``identity`` opens sealed evidence.

    ``beside``: where the name is taken by now, under the name with ``.restored-`` and the case's first digits behind it.
    """

    to: Path | None = None
    identity: Identity | None = None
    beside: bool = False


def restore(store: CaseStore, case_id: str, wish: Wish) -> Record:
    """Put the evidence of a case back.

    The copy in the vault stays. Raises `QuarantineError`: the name is taken, the directory is gone, the evidence is damaged or
    sealed to a key that is not here, an owner cannot be given; in all these cases nothing has changed.
    """
    record = store.read(case_id)
    place = destination(record, wish.to)
    if record.stored.form is Form.SEALED and wish.identity is None:
        raise QuarantineError(
            f"case {case_id} was not restored: its evidence is sealed",
            hint="name the identity file with --identity; who holds it is in the case's recipients",
        )
    store.log.append(What.RESTORE_INTENT, case_id, "into another directory" if wish.to else "into its place")
    try:
        restored = _restore_at(store, record, place, wish)
    except _CutOffError:  # the file has its name: recovery settles the case and writes the line
        raise
    except QuarantineError as error:
        store.log.append(What.NOT_RESTORED, case_id, str(error))
        raise
    store.log.append(What.RESTORED, case_id, restored.reason)
    return restored


def _restore_at(store: CaseStore, record: Record, place: Place, wish: Wish) -> Record:
    try:
        return _restore_named(store, record, place, wish.identity)
    except _TakenError:
        if not wish.beside:
            raise
    return _restore_named(store, record, beside(place, record.id), wish.identity)


def beside(place: Place, case_id: str) -> Place:
    """Where a file goes whose name is taken by now: beside it, under a name that says what it is. Pure.

    The root stays the root: it alone is opened by path, and only the operator has named it.
    """
    suffix = b".restored-" + case_id[:8].encode()
    folder, name = os.path.split(place.path or place.root)
    renamed = os.path.join(folder, name[: _MAX_NAME - len(suffix)] + suffix)
    return Place(place.root, renamed) if place.path else Place(renamed, b"")


class _TakenError(QuarantineError):
    """The name is taken."""


class _CutOffError(QuarantineError):
    """The file is back, or may be, and its case does not say so yet."""


def _restore_named(store: CaseStore, record: Record, place: Place, identity: Identity | None) -> Record:
    shown = place.full.decode("utf-8", "backslashreplace")
    try:
        if not content_holds(store, record):
            raise QuarantineError(f"case {record.id} was not restored: its evidence does not have the digests of its record")
        parent_fd, name = opening.open_parent(place)
    except OSError as error:
        raise QuarantineError(f"case {record.id} was not restored: {opening.plain(error)}: {shown}") from error
    with opening.closing(parent_fd):
        try:
            new = _begin(store, record, place, parent_fd)
        except OSError as error:
            raise QuarantineError(f"case {record.id} was not restored: {opening.plain(error)}: {shown}") from error
        with opening.closing(new.fd):
            begun = Restoring(place, os.fstat(new.fd).st_ino, new.temporary)
            return fill_and_name(store, record, begun, (new, parent_fd, name), identity)


def _begin(store: CaseStore, record: Record, place: Place, parent_fd: int) -> New:
    """The new file. Where it must have a temporary name, the record knows it first, or a kill would leave it for ever."""
    announced = []

    def announce(temporary: bytes) -> None:
        announced.append(temporary)
        store.write(replace(record, restoring=Restoring(place, 0, temporary)))

    try:
        with store.at("make new file"):
            return make_new(parent_fd, announce=announce)
    except OSError:
        if announced:
            with suppress(OSError):  # where that fails too, recovery does it
                store.write(record)
        raise


def fill_and_name(
    store: CaseStore, record: Record, begun: Restoring, where: tuple[New, int, bytes], identity: Identity | None = None
) -> Record:
    """The second half: ``where`` is the new file, its open directory and the name it gets. Raises `QuarantineError`."""
    new, parent_fd, name = where
    try:
        store.write(replace(record, restoring=begun))
        with store.at("write new file"):
            lost = _fill(store, record, new.fd, identity)
        with store.at("name new file"):
            _name(new, parent_fd, name)
    except OSError as error:
        _abandon(store, record, new, parent_fd)
        taken = error.errno == errno.EEXIST
        why = "its name is taken" if taken else f"{os.strerror(error.errno or 0)}"
        shown = begun.place.full.decode("utf-8", "backslashreplace")
        hint = "move the file that is there away, or name another directory with --to DIR" if taken else ""
        kind = _TakenError if taken else QuarantineError
        raise kind(f"case {record.id} was not restored: {why}: {shown}", hint=hint) from error
    except QuarantineError:  # sealed to another key, or changed
        _abandon(store, record, new, parent_fd)
        raise
    try:
        with store.at("sync new file"):
            os.fsync(parent_fd)
        if not _is_named(new, parent_fd, name):
            _abandon(store, record, new, parent_fd)
            raise QuarantineError(f"case {record.id} was not restored: somebody replaced the temporary file")
        elsewhere = begun.place.full != record.place.full
        where_to = f" as {begun.place.full.decode('utf-8', 'backslashreplace')}" if elsewhere else ""
        note = f"restored{where_to}" + (f", without its extended attributes {', '.join(lost)}" if lost else "")
        return store.step_to(record, CaseState.RESTORED, note)
    except OSError as error:
        raise _CutOffError(f"case {record.id} was restored, but the disk failed after that: {error}", hint=_NEXT_RUN) from error


def _nobody(temporary: bytes) -> None:
    """Nobody wants to know."""


def make_new(
    parent_fd: int,
    open_unnamed: Callable[[int, int], int] = fsops.open_unnamed,
    announce: Callable[[bytes], None] = _nobody,
) -> New:
    """An empty file of mode 0600 in the directory ``parent_fd``, without a name wherever that is possible. Raises OSError.

    ``announce`` is told a temporary name before there is one.
    """
    try:
        return New(open_unnamed(parent_fd, 0o600), b"")
    except OSError as error:
        if error.errno not in _NO_TMPFILE:
            raise
    name = b".hashscan-" + secrets.token_hex(8).encode()
    announce(name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return New(os.open(name, flags, 0o600, dir_fd=parent_fd), name)


def _fill(store: CaseStore, record: Record, fd: int, identity: Identity | None) -> list[str]:
    """Bytes, owner, mode, extended attributes and times, in the order in which none undoes another; all by descriptor."""
    file = record.file
    with opening.closing(os.open(store.path(record.id, CONTENT), os.O_RDONLY | os.O_CLOEXEC)) as content:
        chunks = evidence.read_chunks(content, record.stored.size)
        if record.stored.form is Form.SEALED and identity is not None:
            identity.open(chunks, lambda data: evidence.write_all(fd, data))
        else:
            for chunk in chunks:
                evidence.write_all(fd, chunk)
    if not evidence.agrees(fd, file.size, record.digests):
        raise OSError(errno.EIO, "what was written is not what is read back")
    status = os.fstat(fd)
    if (status.st_uid, status.st_gid) != (file.uid, file.gid):
        os.fchown(fd, file.uid, file.gid)
    os.fchmod(fd, file.mode & _SAFE_MODE)
    lost = _give_xattrs(record, fd)
    os.utime(fd, ns=(file.atime_ns, file.mtime_ns))
    os.fsync(fd)
    return lost


def _give_xattrs(record: Record, fd: int) -> list[str]:
    lost = [] if record.file.xattrs_complete else ["(some were never recorded)"]
    for name, value in record.file.xattrs.items():
        if not name.startswith(b"user."):  # capabilities, access lists and labels are not for us to hand out
            lost.append(name.decode("utf-8", "backslashreplace"))
            continue
        try:
            os.setxattr(fd, name, value)
        except OSError as error:
            lost.append(f"{name.decode('utf-8', 'backslashreplace')} ({error.strerror})")
    return lost


def _name(new: New, parent_fd: int, name: bytes) -> None:
    if not new.temporary:
        fsops.link_fd(new.fd, parent_fd, name)
        return
    fsops.rename_noreplace(parent_fd, new.temporary, parent_fd, name)


def _is_named(new: New, parent_fd: int, name: bytes) -> bool:
    """Whether it is the new file that has the name: a temporary name can be taken by another thing. Raises OSError."""
    if not new.temporary:
        return True
    return os.path.samestat(os.stat(name, dir_fd=parent_fd, follow_symlinks=False), os.fstat(new.fd))


def _abandon(store: CaseStore, record: Record, new: New, parent_fd: int) -> None:
    """Nothing was restored: no temporary name stays, and the record says nothing of it. Best effort: recovery does it again."""
    with suppress(OSError):
        if new.temporary:
            with suppress(FileNotFoundError):
                os.unlink(new.temporary, dir_fd=parent_fd)
        store.write(record)  # not where the name could not be removed: recovery knows it from the record in force
