"""What is known of a case. `record_codec` writes it as a document."""

from __future__ import annotations

import base64
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hashscan.model import Algorithm, Case, CaseState, FileEntry, Finding, HashedFile, Json, Place

MAX_XATTR_BYTES = 64 << 10
_MAX_HISTORY = 1000  # lines: a case that is restored again and again still has a readable record


@dataclass(frozen=True, slots=True)
class FileFacts:
    """The file as it was when it was opened to be taken. Times in nanoseconds since 1970, size in bytes."""

    device: int
    inode: int
    size: int
    mode: int
    uid: int
    gid: int
    links: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int
    xattrs: Mapping[bytes, bytes]
    xattrs_complete: bool


@dataclass(frozen=True, slots=True)
class HoldingPlace:
    """Where the captured name is. ``directory`` is its absolute path, or empty for the vault's own holding directory."""

    directory: bytes
    device: int
    inode: int
    mount: int


@dataclass(frozen=True, slots=True)
class Restoring:
    """A restore that was begun: the place, the inode of the new file, and its temporary name, empty where it has none.

    The inode is 0 where a temporary name is about to be made.
    """

    place: Place
    inode: int
    temporary: bytes


@dataclass(frozen=True, slots=True)
class Proof:
    """What the verdict rests on: the lists in force as ``proofs/SHA256.json`` in the vault, and K_confirm of that list.

    ``confirm_key`` (64 hex digits) is kept because provider keys rotate: without it, the tags of the verdict could not be
    compared with the digests any more.
    """

    sha256: str
    provider: str
    confirm_key: str = field(repr=False)


class Form(enum.StrEnum):
    """How the evidence of a case is kept."""

    NONE = "none"
    PLAIN = "plain"
    SEALED = "sealed"


@dataclass(frozen=True, slots=True)
class Stored:
    """The evidence as it lies in the vault: its size in bytes and BLAKE3 (hex); ``recipients`` are the keys it is sealed to.

    Of a plain copy these are the size and digest of the file itself; of a sealed one, which this host cannot read, they are all
    that tells whether it is whole.
    """

    form: Form = Form.NONE
    size: int = 0
    blake3: str = ""
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A person's word that a case must not be purged. ``at`` in seconds since 1970."""

    id: str
    by: str
    reason: str
    at: float


@dataclass(frozen=True, slots=True)
class Retention:
    """How long the evidence is kept: the profile, and when it is due to go (seconds since 1970), or None: never by itself."""

    profile: str = ""
    purge_after: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a case's history. ``at`` in seconds since 1970."""

    state: CaseState
    at: float
    note: str


def owner_of(tenant: str, uid: int) -> str:
    """Whose a file is, for the limits. A tenant is the name of a folder, so nobody can be called like a user id is written."""
    return tenant or f"/uid/{uid}"


@dataclass(frozen=True, slots=True)
class Record:
    """Everything about one case. ``digests`` are those of the scan, from COPIED on with the BLAKE3 of the evidence.

    ``finding`` is what was said of the file (list, entry, verdict and the signed envelope), ``proof`` what that rests on
    (None: made before proofs were kept), ``parent`` the inode of the directory that the name was in.
    """

    id: str
    state: CaseState
    opened: float
    reason: str
    trigger: str
    place: Place
    parent: int
    file: FileFacts
    digests: Mapping[Algorithm, str]
    finding: Mapping[str, Json]
    holding: HoldingPlace
    history: tuple[Line, ...] = ()
    restoring: Restoring | None = None
    tenant: str = ""
    stored: Stored = Stored()
    holds: tuple[LegalHold, ...] = ()
    retention: Retention = Retention()
    released_to: str = ""
    proof: Proof | None = None

    @property
    def owner(self) -> str:
        """Whose file it was, for the limits: the tenant, or where none is known the user id."""
        return owner_of(self.tenant, self.file.uid)

    def moved_to(self, state: CaseState, at: float, note: str = "") -> Record:
        """The record one step further."""
        history = (*self.history, Line(state, at, note))[-_MAX_HISTORY:]
        return replace(self, state=state, reason=note, history=history)

    def envelope(self) -> bytes:
        """The signed verdict. Raises ValueError where there is none that can be read."""
        return base64.b64decode(str(self.finding.get("envelope_b64", "")), validate=True)

    def case(self) -> Case:
        """The case as people see it."""
        said = self.finding
        listed = said["list"]
        list_id = listed["id"] if isinstance(listed, Mapping) else ""
        return Case(
            id=self.id,
            state=self.state,
            place=self.place,
            size=self.file.size,
            entry=str(said["entry"]),
            list_id=str(list_id),
            verdict_id=str(said["verdict_id"]),
            opened=self.opened,
            reason=self.reason,
            tenant=self.tenant,
            sealed=self.stored.form is Form.SEALED,
        )

    def hashed(self) -> HashedFile:
        """The file as the scan saw it, with its digests."""
        file = self.file
        entry = FileEntry(
            place=self.place,
            device=file.device,
            inode=file.inode,
            size=file.size,
            mtime_ns=file.mtime_ns,
            ctime_ns=file.ctime_ns,
            mode=file.mode,
            uid=file.uid,
            gid=file.gid,
            links=file.links,
        )
        return HashedFile(entry, self.digests)


def describe(finding: Finding) -> dict[str, Json]:
    """What the record keeps of a finding, the signed envelope included."""
    ref = finding.list
    return {
        "source": finding.source.value,
        "list": {"id": ref.id, "version": ref.version, "epoch": ref.epoch},
        "entry": finding.entry,
        "grade": finding.grade.value,
        "standing": finding.standing.value,
        "category": finding.category,
        "act": finding.act.value,
        "reason": finding.reason,
        "verdict_id": finding.verdict_id,
        "envelope_b64": base64.b64encode(finding.envelope).decode(),
    }
