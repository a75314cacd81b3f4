"""Does every state file of the vault hold? Each is bound to something else: nothing is believed because it can be parsed.

A record has a checksum and its exact bytes, evidence the digests in its record, a proof its own name, a certificate the line
`log.What.CERTIFIED`, which is in the log before anything is purged, a torn line the one that says so. The log itself is
`log.check`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from blake3 import blake3

from hashscan.errors import QuarantineError
from hashscan.model import CaseState
from hashscan.quarantine import log, proofs
from hashscan.quarantine import record_codec as records
from hashscan.quarantine.copying import content_holds
from hashscan.quarantine.keeping import CERTIFICATES
from hashscan.quarantine.log import What
from hashscan.quarantine.record import Form, Record
from hashscan.quarantine.store import LOG, CaseStore
from hashscan.strict_json import StrictJsonError

_MAX_CERTIFICATE_BYTES = 64 << 10
_BESIDE = re.compile(r"\..+\.[0-9a-f]{12}\.new")  # what a crash leaves of a file that was being written: never read


@dataclass(frozen=True, slots=True)
class Flaw:
    """A state file that does not hold: its path below the vault, and what is wrong with it."""

    file: str
    problem: str


def check_records(store: CaseStore) -> Iterator[Flaw]:
    """The records, the evidence and the proof of each case. Reads all evidence. Raises `QuarantineError`, OSError."""
    for case_id in store.ids():
        folder = f"cases/{case_id}"
        try:
            record = store.read(case_id)
            if not records.as_written(store.raw(case_id)):
                yield Flaw(f"{folder}/record.json", "it is not as it was written")
        except QuarantineError as error:
            yield Flaw(f"{folder}/record.json", str(error))
            continue
        if record.stored.form is not Form.NONE and not content_holds(store, record):
            yield Flaw(f"{folder}/content", "missing, or not what the record describes")
        if record.proof is not None and not proofs.read(store.root, record.proof.sha256):
            yield Flaw(f"{proofs.FOLDER}/{record.proof.sha256}.json", f"missing or damaged; case {case_id} rests on it")


def check_proofs(store: CaseStore) -> Iterator[Flaw]:
    """Every file among the proofs has the name of its content. Raises OSError."""
    for name in _names(store, proofs.FOLDER):
        data = _read(store, proofs.FOLDER, name, proofs.MAX_PROOF_BYTES)
        if name != f"{hashlib.sha256(data).hexdigest()}.json":
            yield Flaw(f"{proofs.FOLDER}/{name}", "its content is another")


def check_certificates(store: CaseStore) -> Iterator[Flaw]:
    """The certificate of each purged case is the one that the log was told of, and there is no other. Raises OSError."""
    said = _certified(store)
    names = set(_names(store, CERTIFICATES))
    for case_id in store.ids():
        with suppress(QuarantineError):  # a damaged record is told by `check_records`
            record = store.read(case_id)
            name = f"{case_id}.json"
            if record.state is CaseState.PURGED:
                names.discard(name)
                if problem := _compare(store, record, said.get(case_id, "")):
                    yield Flaw(f"{CERTIFICATES}/{name}", problem)
    for name in sorted(names):
        yield Flaw(f"{CERTIFICATES}/{name}", "no case was purged with it")


def check_torn(store: CaseStore) -> Iterator[Flaw]:
    """What crashes left of unfinished lines is as it was set aside. Raises OSError."""
    for line in _lines(store):
        if line.what == What.TORN:
            name = f"{LOG}.torn-{line.n}"
            try:
                data = _read(store, "", name, log.MAX_LINE_BYTES)
            except FileNotFoundError:
                yield Flaw(name, "missing")
                continue
            if not line.detail.startswith(blake3(data).hexdigest()):
                yield Flaw(name, f"it is not what line {line.n} of the log says")


def _compare(store: CaseStore, record: Record, said: str) -> str:
    try:
        data = _read(store, CERTIFICATES, f"{record.id}.json", _MAX_CERTIFICATE_BYTES)
    except FileNotFoundError:
        return "missing"
    if not said:
        return "the log knows of no certificate of this case"
    return "" if blake3(data).hexdigest() == said else "it is not the one that the log was told of"


def _certified(store: CaseStore) -> dict[str, str]:
    """BLAKE3 of the last certificate of each case, as the log says."""
    return {line.case: line.detail for line in _lines(store) if line.what == What.CERTIFIED}


def _lines(store: CaseStore) -> Iterator[log.Line]:
    for raw in log.raw_lines(store.log.path):
        with suppress(StrictJsonError):  # `log.check` names a line that does not hold
            yield log.read_line(raw.removesuffix(b"\n"))


def _names(store: CaseStore, folder: str) -> list[str]:
    try:
        names = os.listdir(store.root / folder)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if not _BESIDE.fullmatch(name))


def _read(store: CaseStore, folder: str, name: str, most: int) -> bytes:
    fd = os.open(store.root / folder / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(fd, "rb") as stream:
        return stream.read(most)  # of a longer one the digest is another
