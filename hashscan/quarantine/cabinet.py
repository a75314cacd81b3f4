"""The cases of a vault as a person works with them: look, give back, keep, let go. Every act is a line in the log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from hashscan.errors import QuarantineError, UsageError
from hashscan.model import Case, CaseState, HashedFile
from hashscan.ports import LogHead
from hashscan.quarantine import checking, export, glance, held, keeping, log, proofs, restore
from hashscan.quarantine import record_codec as records
from hashscan.quarantine.checking import Flaw
from hashscan.quarantine.copying import content_holds
from hashscan.quarantine.export import Request
from hashscan.quarantine.keeping import Purged
from hashscan.quarantine.log import Checked, What
from hashscan.quarantine.proofs import Kept
from hashscan.quarantine.record import Record
from hashscan.quarantine.restore import Wish
from hashscan.quarantine.store import CaseStore

IN_ITS_PLACE = Wish()


class Cabinet:
    """The door for people. Whoever changes anything holds a `lock.RunLock`. Case ids may be given by their first digits.

    ``actor`` is who does it, for the log. Methods raise `QuarantineError` and, for an id that is none, `UsageError`.
    """

    def __init__(
        self,
        root: Path,
        clock: Callable[[], float] = time.time,
        *,
        actor: str = "hashscan",
        step: Callable[[str], None] | None = None,
    ) -> None:
        self._store = CaseStore(root, clock, step, actor)

    def cases(self) -> Iterator[Case]:
        """All cases, oldest first; one whose record cannot be read is listed as `CaseState.DAMAGED` with the reason."""
        yield from glance.cases(self._store)

    def case(self, case_id: str) -> Case:
        """The case with this id, or the only one whose id begins so."""
        return self._record(case_id).case()

    def record(self, case_id: str) -> Mapping[str, Any]:
        """Everything that is known of a case, as in its record (docs/formats.md)."""
        with self._failures():
            return self._store.document(self._resolve(case_id))

    def hashed(self, case_id: str) -> HashedFile:
        """The file of a case as the scan saw it: what a waiting case is asked about again."""
        return self._record(case_id).hashed()

    def shown(self, case_id: str, detail: str) -> None:
        """Somebody looked at what is not shown by itself: names, a whole record."""
        with self._failures():
            self._store.log.append(What.SHOWN, self._resolve(case_id) if case_id else "", detail)

    def kept(self, case_id: str) -> Kept:
        """All that is kept to prove why a file was taken. Raises `QuarantineError` where the record is damaged."""
        case_id = self._resolve(case_id)
        with self._failures():
            record = self._read(case_id)
            if not records.as_written(self._store.raw(case_id)):
                raise QuarantineError(f"case {case_id}: its record is not as it was written")
            proof = proofs.read(self._store.root, record.proof.sha256) if record.proof else b""
            return Kept(record, proof, content_holds(self._store, record))

    def restore(self, case_id: str, wish: Wish = IN_ITS_PLACE) -> Case:
        """Put a file back as ``wish`` says; the evidence stays in the vault.

        What could not be given back (extended attributes) is in the reason of the case. A restored case can be restored again
        only into another directory. Raises `QuarantineError`; nothing has changed then.
        """
        case_id = self._resolve(case_id)
        with self._failures():
            return restore.restore(self._store, case_id, wish).case()

    def restored_lately(self) -> list[tuple[Case, float]]:
        """The restores near the end of the log, and when they were (seconds since 1970); not of a case that is damaged now."""
        found = []
        with self._failures():
            for line in self._store.log.restored_lately():
                with suppress(QuarantineError):  # told by `cases` and `recover`
                    found.append((self._store.read(line.case).case(), line.at))
        return found

    def dismiss(self, case_id: str, reason: str) -> Case:
        """Say no to a case that waits: its file stays where it is."""
        with self._failures():
            return held.dismiss(self._store, self._record(case_id), reason).case()

    def settle(self, case_id: str, reason: str) -> Case:
        """Close an orphan that a person has looked at. Raises `QuarantineError` while something is still held for it."""
        with self._failures():
            return keeping.settle(self._store, self._record(case_id), reason).case()

    def hold(self, case_id: str, *, by: str, reason: str) -> Case:
        """Put a legal hold on a case."""
        with self._failures():
            return keeping.hold(self._store, self._record(case_id), by=by, reason=reason).case()

    def lift(self, case_id: str, hold_id: str, reason: str) -> Case:
        """Lift a legal hold."""
        with self._failures():
            return keeping.lift(self._store, self._record(case_id), hold_id, reason).case()

    def check_purge(self, case_id: str) -> None:
        """May the evidence of a case be removed now? Raises `QuarantineError` saying why not."""
        keeping.check_purge(self._record(case_id), self._store.clock())

    def purge(self, case_id: str, *, by: str, reason: str) -> Purged:
        """Remove the evidence of a case, with a certificate."""
        with self._failures():
            return keeping.purge(self._store, self._record(case_id), by=by, reason=reason)

    def export(self, case_id: str, request: Request) -> list[Path]:
        """Write a bundle about a case for an authority; the files in it."""
        with self._failures():
            return export.export(self._store, self._record(case_id), request)

    def due(self) -> list[Case]:
        """The cases that the retention profile asks to be purged by now; damaged ones are told by `cases`."""
        found = []
        for case_id in self._store.ids():
            listed = glance.listed(self._store, case_id)
            if listed.state is not CaseState.DAMAGED:
                record = self._read(case_id)
                found += [listed] if keeping.due(record, self._store.clock()) else []
        return found

    def log_head(self) -> LogHead:
        """The head of the log, to be told with the outcomes."""
        with self._failures():
            return self._store.log.head()

    def check_log(self, wanted: tuple[LogHead, ...] = ()) -> Checked:
        """Follow the whole chain of the log, and see whether it contains the heads that others remember."""
        with self._failures():
            return log.check(log.raw_lines(self._store.log.path), wanted)

    def check_records(self) -> list[Flaw]:
        """Records, evidence and proofs that do not hold: all evidence is read again."""
        with self._failures():
            return [*checking.check_records(self._store), *checking.check_proofs(self._store)]

    def check_certificates(self) -> list[Flaw]:
        """Certificates of purging, and torn lines of the log, that are missing or not what the log was told of."""
        with self._failures():
            return [*checking.check_certificates(self._store), *checking.check_torn(self._store)]

    def _record(self, prefix: str) -> Record:
        return self._read(self._resolve(prefix))

    def _read(self, case_id: str) -> Record:
        with self._failures():
            return self._store.read(case_id)

    def _resolve(self, prefix: str) -> str:
        if not re.fullmatch(r"[0-9a-f]{1,16}", prefix):
            raise UsageError(f"{prefix!a} is no case id", hint="an id is 16 hex digits, or its first ones")
        matches = [case_id for case_id in self._store.ids() if case_id.startswith(prefix)]
        if len(matches) > 1:
            raise UsageError(f"{len(matches)} cases begin with {prefix}", hint="give more digits of the id")
        if not matches:
            raise UsageError(f"there is no case {prefix} in {self._store.root}")
        return matches[0]

    def _failures(self) -> AbstractContextManager[None]:
        return glance.failures(self._store)
