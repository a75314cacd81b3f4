"""How long evidence stays: legal holds, and purging with a certificate. The record of a case stays for ever.

Purging removes the bytes in the vault. Snapshots, backups and free blocks may still hold them, and the certificate says so.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import dataclass, replace
from pathlib import Path

from blake3 import blake3

from hashscan import atomic
from hashscan.errors import QuarantineError, UsageError
from hashscan.model import CaseState, Json
from hashscan.quarantine.log import What
from hashscan.quarantine.record import LegalHold, Record, Stored
from hashscan.quarantine.store import CaseStore
from hashscan.quarantine.survey import entry_of

CERTIFICATES = "certificates"
CERTIFICATE_SCHEMA = "hashscan.purge-certificate/1"
REMINDER = "The bytes were removed from the vault. Snapshots, backups, replicas and free blocks of disks may still hold them."
MAX_HOLDS = 16
PROFILES = {"custom": 0.0, "nl": 0.0, "us": 365 * 86_400.0}
"""The least time in seconds for which evidence is kept, by retention profile."""
MAX_TEXT_CHARS = 500
_EVIDENCE = (CaseState.DONE, CaseState.RESTORED)


@dataclass(frozen=True, slots=True)
class Purged:
    """A case whose evidence is gone, and the file of its certificate."""

    record: Record
    certificate: Path


def hold(store: CaseStore, record: Record, *, by: str, reason: str) -> Record:
    """Forbid purging until the hold is lifted. Raises `QuarantineError`, OSError."""
    if record.state not in _EVIDENCE:
        raise QuarantineError(f"case {record.id} is {record.state}: there is no evidence to hold")
    if len(record.holds) >= MAX_HOLDS:
        raise QuarantineError(f"case {record.id} has {MAX_HOLDS} legal holds already")
    _check_text(by, "who asks for the hold")
    _check_text(reason, "the reason")
    one = LegalHold(secrets.token_hex(4), by, reason, store.clock())
    store.log.append(What.HOLD, record.id, f"{one.id} for {by}: {reason}")
    return _written(store, replace(record, holds=(*record.holds, one)), f"legal hold {one.id} for {by}")


def lift(store: CaseStore, record: Record, hold_id: str, reason: str) -> Record:
    """Lift one hold. Raises `QuarantineError`, OSError."""
    _check_text(reason, "the reason")
    rest = tuple(one for one in record.holds if one.id != hold_id)
    if len(rest) == len(record.holds):
        known = ", ".join(one.id for one in record.holds) or "none"
        raise QuarantineError(f"case {record.id} has no legal hold {hold_id!r}", hint=f"its holds: {known}")
    store.log.append(What.UNHOLD, record.id, f"{hold_id}: {reason}")
    return _written(store, replace(record, holds=rest), f"legal hold {hold_id} lifted: {reason}")


def keeping_time(profile: str, purge_after: float, *, sealed: bool) -> float:
    """For how many seconds evidence is kept: what the operator set, else what the profile says; 0 is until a person purges it.

    ``us``: preserved for a year (18 U.S.C. 2258A(h) as amended in 2024), and sealed. ``nl``: no term is prescribed, so the
    operator chooses one. Raises `UsageError` for an unknown profile, or settings that do less than the profile asks for.
    """
    if profile not in PROFILES:
        raise UsageError(f"there is no retention profile {profile!r}", hint=f"known are {', '.join(PROFILES)}")
    if profile == "us" and not sealed:
        hint = "set evidence.recipients to the public key of who may open it"
        raise UsageError("the retention profile 'us' asks for sealed evidence", hint=hint)
    least = PROFILES[profile]
    if purge_after and purge_after < least:
        raise UsageError(f"the retention profile {profile!r} keeps evidence for {least / 86_400:.0f} days at least")
    return purge_after or least


def settle(store: CaseStore, record: Record, reason: str) -> Record:
    """Close an orphan that a person has looked at, once nothing is held for it any more. Raises `QuarantineError`, OSError."""
    if record.state is not CaseState.ORPHAN:
        raise QuarantineError(f"case {record.id} is {record.state}, no orphan")
    _check_text(reason, "what became of it")
    place = record.holding.directory or os.fsencode(store.holding)
    if os.path.lexists(os.path.join(place, record.id.encode())):
        shown = os.fsdecode(os.path.join(place, record.id.encode()))
        raise QuarantineError(f"case {record.id}: something still lies in {shown!a}", hint="move it where it belongs first")
    store.log.append(What.SETTLED, record.id, reason)
    return store.step_to(record, CaseState.SETTLED, reason)


def due(record: Record, now: float) -> bool:
    """Whether the retention profile asks for this case to be purged by now (seconds since 1970). Pure."""
    after = record.retention.purge_after
    return record.state in _EVIDENCE and not record.holds and after is not None and after <= now


def check_purge(record: Record, now: float) -> None:
    """Raises `QuarantineError` where a case may not be purged now, seconds since 1970. Pure."""
    if record.holds:
        names = ", ".join(f"{one.id} ({one.by})" for one in record.holds)
        raise QuarantineError(f"case {record.id} is under a legal hold and was not purged: {names}")
    if record.state not in _EVIDENCE:
        raise QuarantineError(f"case {record.id} is {record.state}: there is no evidence to purge")
    after = record.retention.purge_after
    if PROFILES.get(record.retention.profile) and after is not None and now < after:
        day = time.strftime("%Y-%m-%d", time.gmtime(after))
        raise QuarantineError(f"case {record.id} is kept until {day}: the retention profile {record.retention.profile!r}")


def purge(store: CaseStore, record: Record, *, by: str, reason: str) -> Purged:
    """Remove the evidence. The certificate is durable first, the record second, the bytes go last.

    Cut off before the record, recovery withdraws the certificate and nothing is purged; after it, recovery removes the bytes.

    Raises `QuarantineError` (a hold, nothing to purge), OSError.
    """
    check_purge(record, store.clock())
    _check_text(by, "who purges")
    _check_text(reason, "the reason")
    head = store.log.append(What.PURGE_INTENT, record.id, f"{reason} ({by})")
    path = store.root / CERTIFICATES / f"{record.id}.json"
    document = _certificate(record, store.clock(), (by, reason), head.lines)
    with store.at("write certificate"):
        atomic.make_private_directory(path.parent)
        data = json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"
        atomic.write_bytes(path, data)
    store.log.append(What.CERTIFIED, record.id, blake3(data).hexdigest())  # `checking` holds the file against it
    purged = store.step_to(replace(record, stored=Stored()), CaseState.PURGED, f"{reason} ({by})")
    store.remove_content(record.id)
    store.log.append(What.PURGED, record.id, f"{record.stored.size} bytes of evidence")
    return Purged(purged, path)


def _certificate(record: Record, now: float, why: tuple[str, str], line: int) -> dict[str, Json]:
    stored = record.stored
    return {
        "schema": CERTIFICATE_SCHEMA,
        "case": record.id,
        "purged": now,
        "by": why[0],
        "reason": why[1],
        "opened": record.opened,
        "entry": entry_of(record),
        "verdict": str(record.finding["verdict_id"]),
        "file": {"size": record.file.size, **{name.value: digest for name, digest in record.digests.items()}},
        "stored": {"form": stored.form.value, "size": stored.size, "blake3": stored.blake3},
        "log_line": line,
        "reminder": REMINDER,
    }


def _written(store: CaseStore, record: Record, note: str) -> Record:
    return store.step_to(record, record.state, note)


def _check_text(text: str, what: str) -> None:
    if not text.strip() or len(text) > MAX_TEXT_CHARS:
        raise QuarantineError(f"{what} must be said, in at most {MAX_TEXT_CHARS} characters")


def withdraw_certificate(store: CaseStore, record: Record) -> bool:
    """A certificate of a purge that was cut off before anything went says what is not so: remove it. Whether there was one.

    Raises OSError.
    """
    path = store.root / CERTIFICATES / f"{record.id}.json"
    if record.state not in _EVIDENCE or not os.path.lexists(path):
        return False
    with store.at("withdraw certificate"):
        os.unlink(path)
        atomic.fsync_directory(path.parent)
    return True
