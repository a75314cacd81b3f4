"""The evidence: one pass that reads, digests, seals where that is wished, and writes. What was digested is what was kept.

Sealed evidence is encrypted in that pass, so that no second plaintext ever lies on a disk.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from hashscan.errors import QuarantineError
from hashscan.model import Algorithm, CaseState
from hashscan.quarantine import evidence, opening
from hashscan.quarantine.holding import absent
from hashscan.quarantine.opening import UnmovedError
from hashscan.quarantine.record import Form, Record, Stored
from hashscan.quarantine.seal import Recipients
from hashscan.quarantine.store import CONTENT, CaseStore

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SEAL_CHUNK, _SEAL_TAG, _SEAL_HEADER = 65_536, 16, 512  # bytes; of the age format, a header line for each key


def copy(store: CaseStore, record: Record, source: int, recipients: Recipients | None) -> Record:
    """Copy the open file ``source`` into the case: space reserved first; COPIED only where all digests agree.

    Raises `UnmovedError` (the file changed, cannot be read, or a full disk), `QuarantineError`.
    """
    size = record.file.size
    digester, kept = evidence.Digester({*record.digests, Algorithm.BLAKE3}), evidence.Digester({Algorithm.BLAKE3})
    with before_capture(store):
        with store.at("make copy"):
            fd = os.open(store.path(record.id, CONTENT), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with opening.closing(fd):
            with store.at("reserve copy"):
                if room := _room(size, recipients):
                    os.posix_fallocate(fd, 0, room)
            with store.at("write copy"):
                _pass_on(_source(source, size, digester), fd, kept, recipients)
                os.ftruncate(fd, kept.size)
                os.fsync(fd)
        digests = digester.digests()
        wrong = sorted(name for name, digest in record.digests.items() if digests[name] != digest)
        if digester.size != size or wrong:
            raise UnmovedError(f"changed since the scan: its {', '.join(wrong) or 'size'} is another")
        form = Stored(Form.PLAIN, kept.size, kept.digests()[Algorithm.BLAKE3])
        if recipients is not None:
            form = replace(form, form=Form.SEALED, recipients=recipients.keys)
        copied = replace(record, digests=digests, stored=form).moved_to(CaseState.COPIED, store.clock())
        store.write(copied)
        store.prepare(copied.moved_to(CaseState.COMMITTED, store.clock()))
    return copied


def _room(size: int, recipients: Recipients | None) -> int:
    if recipients is None:
        return size
    return size + (size // _SEAL_CHUNK + 1) * _SEAL_TAG + (len(recipients.keys) + 1) * _SEAL_HEADER


def _pass_on(chunks: Iterator[bytes], fd: int, kept: evidence.Digester, recipients: Recipients | None) -> None:
    def write(data: bytes) -> None:
        kept.update(data)
        evidence.write_all(fd, data)

    if recipients is not None:
        recipients.seal(chunks, write)
        return
    for chunk in chunks:
        write(chunk)


def _source(fd: int, size: int, digester: evidence.Digester) -> Iterator[bytes]:
    try:
        for chunk in evidence.read_chunks(fd, size):
            digester.update(chunk)
            yield chunk
    except OSError as error:
        raise UnmovedError(f"it cannot be read: {opening.plain(error)}") from error


def content_holds(store: CaseStore, record: Record) -> bool:
    """Whether the evidence of a case is what was kept: of a plain copy all digests, of a sealed one those of its own bytes.

    Raises OSError where it cannot be read.
    """
    try:
        fd = os.open(store.path(record.id, CONTENT), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        absent(CONTENT, os.listdir(store.path(record.id)))
        return False
    with opening.closing(fd):
        if record.stored.form is Form.SEALED:
            return evidence.agrees(fd, record.stored.size, {Algorithm.BLAKE3: record.stored.blake3})
        return evidence.agrees(fd, record.file.size, record.digests)


@contextmanager
def before_capture(store: CaseStore) -> Iterator[None]:
    """A full vault is a failure of this file, which is untouched; anything else is a failure of the vault."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise UnmovedError(f"the vault {store.root} cannot hold it: {error.strerror}") from error
        raise QuarantineError(f"the vault {store.root} failed: {error}; the file is where it was") from error


@contextmanager
def after_capture(store: CaseStore, record: Record) -> Iterator[None]:
    """Whatever fails now is a failure of the vault; recovery brings the case to its end."""
    try:
        yield
    except OSError as error:
        raise QuarantineError(
            f"the vault {store.root} failed in case {record.id}: {error}",
            hint="the next run brings the case to its end before it does anything else",
        ) from error
