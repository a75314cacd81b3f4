"""The case directories of the vault. Every path here lies below the vault, which only its owner can enter.

::

    <vault>/cases/<id>/record.json    what is known; replaced in one step
    <vault>/cases/<id>/content        the evidence: a copy of the file's bytes
    <vault>/cases/<id>/commit.json    the next record, ready before the capture, so that a full disk cannot stop the commit
    <vault>/holding/<id>              a captured name, for a moment
    <vault>/log                       every act, chained (`log`)
    <vault>/certificates/<id>.json    what was purged (`purge`)
    <vault>/proofs/<sha256>.json      what verdicts rest on (`proofs`)
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from hashscan import atomic
from hashscan.errors import QuarantineError
from hashscan.model import CaseState
from hashscan.quarantine import record_codec as records
from hashscan.quarantine.log import Log, What
from hashscan.quarantine.record import Record, Stored

RECORD = "record.json"
CONTENT = "content"
COMMIT = "commit.json"
LOG = "log"
_OWN_FILE = re.compile(r"content|commit\.json|\.(record|commit)\.json\.[0-9a-f]{12}\.new")
_CASE_ID = re.compile(r"[0-9a-f]{16}")


def _no_step(name: str) -> None:
    """The usual hook: nothing happens between two steps."""


class CaseStore:
    """Reads and writes case directories. Methods raise OSError; `read` also `QuarantineError`. ``actor`` is for the log.

    ``step`` is told the name of every operation before and after it; a test ends the process there.
    """

    def __init__(
        self, root: Path, clock: Callable[[], float], step: Callable[[str], None] | None = None, actor: str = "hashscan"
    ) -> None:
        self.root = root
        self.clock = clock
        self.log = Log(root / LOG, clock, actor, step)
        self._step = step or _no_step
        self._made = False

    @property
    def holding(self) -> Path:
        """The vault's own holding directory."""
        return self.root / "holding"

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        """Marks one operation that changes a disk."""
        self._step(f"before {name}")
        yield
        self._step(f"after {name}")

    def open(self) -> None:
        """Make the vault where it is missing. Raises `QuarantineError` where others can enter it or change it."""
        for path in (self.root, self.root / "cases", self.holding):
            if not self._made:
                atomic.make_private_directory(path)
            status = os.lstat(path)
            if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o077 or not stat.S_ISDIR(status.st_mode):
                raise QuarantineError(
                    f"the vault directory {path} is not private",
                    hint="it must be a directory of mode 0700 that belongs to the user hashscan runs as",
                )
        self._made = True

    def path(self, case_id: str, name: str = "") -> Path:
        """A case's directory, or a file in it."""
        return self.root / "cases" / case_id / name

    def ids(self) -> list[str]:
        """The ids of all case directories, sorted; none where there is no vault yet. Raises `QuarantineError`."""
        try:
            names = os.listdir(self.root / "cases")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise QuarantineError(f"the vault {self.root} cannot be read: {error.strerror}") from error
        return sorted(name for name in names if _CASE_ID.fullmatch(name))

    def create(self, record: Record) -> None:
        """A new case directory with its first record, all of it durable."""
        with self.at("make case"):
            os.mkdir(self.path(record.id), 0o700)
            atomic.fsync_directory(self.root / "cases")
        self.write(record)

    def begin(self, record: Record) -> None:
        """The same for an act that the log has announced: where the disk is full, no half-made case and no open end stay."""
        try:
            self.create(record)
        except OSError as error:
            with suppress(OSError, QuarantineError):  # where that fails too, recovery does it
                if self.half_made(record.id):
                    self.discard(record.id)
                    self.log.append(What.DROPPED, record.id, f"the case could not be opened: {error.strerror}")
            raise

    def write(self, record: Record) -> None:
        """Replace the record, durable."""
        with self.at(f"record {record.state}"):
            atomic.write_bytes(self.path(record.id, RECORD), records.encode(record))

    def prepare(self, record: Record) -> None:
        """Put the next record beside the one in force, durable."""
        with self.at("prepare commit"):
            atomic.write_bytes(self.path(record.id, COMMIT), records.encode(record))

    def commit(self, case_id: str) -> None:
        """Let the prepared record take the place of the one in force: one rename, which needs no space."""
        with self.at("commit"):
            os.rename(self.path(case_id, COMMIT), self.path(case_id, RECORD))
            atomic.fsync_directory(self.path(case_id))

    def step_to(self, record: Record, state: CaseState, note: str = "") -> Record:
        """The record one step further, written."""
        further = record.moved_to(state, self.clock(), note)
        self.write(further)
        with suppress(FileNotFoundError):  # a commit that was prepared and is no longer wanted
            os.unlink(self.path(record.id, COMMIT))
        return further

    def drop(self, record: Record, note: str) -> Record:
        """Nothing was taken: remove the copy and say so. The record stays, as a trace of the attempt."""
        self.remove_content(record.id)
        return self.step_to(replace(record, stored=Stored()), CaseState.DROPPED, note)

    def sync(self, case_id: str) -> None:
        """Make the names in a case directory durable: a killed process may have left them only to the kernel.

        Found by tests/hostile/test_power_loss.py: killed right after the rename of a commit; recovery saw COMMITTED, unlinked
        the captured file, and the power went; on the disk the record still said COPIED, and the next recovery dropped the copy.
        """
        with self.at("sync case"):
            atomic.fsync_directory(self.path(case_id))

    def remove_content(self, case_id: str) -> None:
        """Remove the evidence where there is any, durable."""
        with self.at("remove copy"):
            with suppress(FileNotFoundError):
                os.unlink(self.path(case_id, CONTENT))
            atomic.fsync_directory(self.path(case_id))

    def raw(self, case_id: str) -> bytes:
        """The bytes of a record, whatever they are. Raises `QuarantineError`."""
        path = self.path(case_id, RECORD)
        try:
            with open(path, "rb") as stream:
                return stream.read(records.MAX_RECORD_BYTES + 1)
        except FileNotFoundError as error:
            raise QuarantineError(f"case {case_id} has no record {path}") from error

    def document(self, case_id: str) -> dict[str, Any]:
        """The checked document of a case. Raises `QuarantineError` that names the case and the file."""
        try:
            document = records.check(self.raw(case_id))
        except ValueError as error:
            raise QuarantineError(f"case {case_id}: {self.path(case_id, RECORD)} is damaged: {error}") from error
        if document.get("id") != case_id:
            other = document.get("id")
            raise QuarantineError(f"case {case_id}: {self.path(case_id, RECORD)} is the record of case {other}")
        return document

    def read(self, case_id: str) -> Record:
        """The record of a case. Raises `QuarantineError` that names the case and the file."""
        try:
            return records.from_document(self.document(case_id))
        except ValueError as error:
            raise QuarantineError(f"case {case_id}: {self.path(case_id, RECORD)} is damaged: {error}") from error

    def half_made(self, case_id: str) -> bool:
        """Whether a case directory has no record and nothing in it but what this store puts there."""
        names = os.listdir(self.path(case_id))
        return RECORD not in names and all(_OWN_FILE.fullmatch(name) for name in names)

    def discard(self, case_id: str) -> None:
        """Remove a half-made case directory. Raises OSError, ENOTEMPTY where anything else is in it."""
        with self.at("discard case"):
            for name in os.listdir(self.path(case_id)):
                if _OWN_FILE.fullmatch(name):
                    os.unlink(self.path(case_id, name))
            os.rmdir(self.path(case_id))
            atomic.fsync_directory(self.root / "cases")
