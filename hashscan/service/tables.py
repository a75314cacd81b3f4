"""The database: what the service remembers. Times in seconds since 1970, sizes in bytes, digests raw.

Nothing is deleted: an entry changes its standing, and `History` says when and why. More tables are in `tables_back`,
`tables_exchange` and `tables_out`. A change needs a revision in `migrations` (CONTRIBUTING.md, "A table").
"""

from __future__ import annotations

import enum
from typing import ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from hashscan.model import Algorithm

PREFIXES_PER_DAY = 10_000  # distinct ones that one agent may ask about; 0: no limit (docs/service.md, "Quotas")
PREFIXES_BURST = 40_000


class Phase(enum.StrEnum):
    """How far a provider is trusted: in TRIAL every answer says act `report`, SUSPENDED is refused."""

    TRIAL = "trial"
    REGULAR = "regular"
    SUSPENDED = "suspended"


class Role(enum.StrEnum):
    """What an online key signs: the roles of The Update Framework, or verdicts and receipts."""

    TARGETS = "targets"
    SNAPSHOT = "snapshot"
    TIMESTAMP = "timestamp"
    VERDICT = "verdict"


class Base(DeclarativeBase):
    """The registry of all tables. Integers have 64 bits: prefixes and sizes do not fit into PostgreSQL's INTEGER."""

    type_annotation_map: ClassVar = {int: BigInteger().with_variant(Integer(), "sqlite")}
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "%(table_name)s_%(column_0_N_name)s",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "pk": "%(table_name)s_pkey",
        }
    )


class ServiceRow(Base):
    """The service itself: one row. ``wait``: least seconds between two syncs of an agent, ``jitter``: most added to it.

    ``prefixes_*``: what an agent of a provider that has no numbers of its own may ask, see `Budget`.
    """

    __tablename__ = "service"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(256))
    created: Mapped[float]
    wait: Mapped[int] = mapped_column(default=3600)
    jitter: Mapped[int] = mapped_column(default=1800)
    prefixes_per_day: Mapped[int] = mapped_column(default=PREFIXES_PER_DAY, server_default=str(PREFIXES_PER_DAY))
    prefixes_burst: Mapped[int] = mapped_column(default=PREFIXES_BURST, server_default=str(PREFIXES_BURST))


class Provider(Base):
    """A company. ``epoch`` is that of its next publications, ``country`` ISO 3166 alpha-2; ``prefixes_*``: `Budget`."""

    __tablename__ = "provider"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    phase: Mapped[str] = mapped_column(String(16))
    epoch: Mapped[int]
    created: Mapped[float]
    country: Mapped[str | None] = mapped_column(String(2))
    prefixes_per_day: Mapped[int | None]
    prefixes_burst: Mapped[int | None]


class ProviderKeyRow(Base):
    """K_provider since an epoch; it must be here, all tokens are made with it. Under a revoked one nothing is answered."""

    __tablename__ = "provider_key"
    provider_id: Mapped[int] = mapped_column(ForeignKey("provider.id"), primary_key=True)
    since: Mapped[int] = mapped_column(primary_key=True)
    raw: Mapped[bytes] = mapped_column(LargeBinary(32))
    created: Mapped[float]
    revoked: Mapped[float | None]


class ApiKey(Base):
    """An API key of one agent, stored as its SHA-256 only. ``label`` is what people call the agent.

    ``log_*`` is the head of its vault's log, as last told. ``site`` and ``country`` (ISO 3166 alpha-2) are where it is.
    ``pending`` candidates waited for an answer, the oldest since ``pending_since``, when the agent told at ``pending_told``.
    ``added_by`` is the key that asked for this one: where the older was stolen, the thief has perhaps made the younger one.
    """

    __tablename__ = "api_key"
    id: Mapped[int] = mapped_column(primary_key=True)
    provider_id: Mapped[int] = mapped_column(ForeignKey("provider.id"), index=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    label: Mapped[str] = mapped_column(String(64))
    created: Mapped[float]
    used_day: Mapped[int | None]
    revoked: Mapped[float | None]
    log_lines: Mapped[int | None]
    log_hash: Mapped[str | None] = mapped_column(String(64))
    added_by: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    site: Mapped[str | None] = mapped_column(String(64))
    country: Mapped[str | None] = mapped_column(String(2))
    pending: Mapped[int | None]
    pending_since: Mapped[float | None]
    pending_told: Mapped[float | None]


class EnrolmentCode(Base):
    """A single-use code: ``public_id`` names it, ``secret`` proves it. ``api_key_id`` is the key that it was used for.

    ``secret`` is empty once nobody may use the code any more; ``failures`` counts wrong proofs; ``root_sha256`` is that of the
    root that it pins. ``site`` and ``country`` go to the API key.
    """

    __tablename__ = "enrolment_code"
    id: Mapped[int] = mapped_column(primary_key=True)
    provider_id: Mapped[int] = mapped_column(ForeignKey("provider.id"))
    public_id: Mapped[str] = mapped_column(String(32), unique=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary(32))
    root_sha256: Mapped[str] = mapped_column(String(64))
    failures: Mapped[int] = mapped_column(default=0)
    created: Mapped[float]
    expires: Mapped[float]
    used: Mapped[float | None]
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    site: Mapped[str | None] = mapped_column(String(64))
    country: Mapped[str | None] = mapped_column(String(2))


class OnlineKey(Base):
    """A key that this service signs with; the private half is in the folder of keys. ``role``: see `Role`."""

    __tablename__ = "online_key"
    id: Mapped[int] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(String(16))
    public: Mapped[str] = mapped_column(String(64), unique=True)
    since: Mapped[float]
    until: Mapped[float | None]


class Repository(Base):
    """The metadata last signed for a provider: versions never fall; ``content`` is a digest of what the targets say.

    ``timestamp`` and ``verdict_keys`` are the two files whose names stay the same: here they change in one step.
    """

    __tablename__ = "repository"
    provider_id: Mapped[int] = mapped_column(ForeignKey("provider.id"), primary_key=True)
    timestamp_version: Mapped[int]
    snapshot_version: Mapped[int]
    targets_version: Mapped[int]
    root_version: Mapped[int]
    issued: Mapped[float]
    targets_issued: Mapped[float]
    content: Mapped[str] = mapped_column(String(64))
    timestamp: Mapped[bytes]
    verdict_keys: Mapped[bytes]


class HashList(Base):
    """A hash list; ``name`` is its id on the wire, ``version`` the last one published (0: none yet).

    ``published`` is when a publication last looked at it, whether it found a change or not.
    """

    __tablename__ = "hash_list"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    version: Mapped[int] = mapped_column(default=0)
    created: Mapped[float]
    published: Mapped[float | None]


def _prefix_index(algorithm: Algorithm) -> Index:
    held = text(f"{algorithm}_p IS NOT NULL")
    return Index(f"entry_{algorithm}", "list_id", f"{algorithm}_p", sqlite_where=held, postgresql_where=held)


_NOT_ACTIVE = text("standing <> 'active'")


class Entry(Base):
    """One known file of one list. ``*_p`` are the first four bytes of a digest as a big-endian integer: what agents ask by.

    ``public_id`` is random, so that an id says nothing about its neighbours. ``sources`` is a JSON list of names. ``series`` is
    an opaque id of what belongs together, for the notification feed.
    """

    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("hash_list.id"))
    md5: Mapped[bytes | None] = mapped_column(LargeBinary(16))
    sha1: Mapped[bytes | None] = mapped_column(LargeBinary(20))
    sha256: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    blake3: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    md5_p: Mapped[int | None] = mapped_column()
    sha1_p: Mapped[int | None] = mapped_column()
    sha256_p: Mapped[int | None] = mapped_column()
    blake3_p: Mapped[int | None] = mapped_column()
    size: Mapped[int | None] = mapped_column()
    category: Mapped[str] = mapped_column(String(64))
    standing: Mapped[str] = mapped_column(String(16))
    act: Mapped[str] = mapped_column(String(16))
    sources: Mapped[str]
    created: Mapped[float]
    changed: Mapped[float]
    series: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (
        CheckConstraint("coalesce(md5, sha1, sha256, blake3) IS NOT NULL", name="entry_has_digest"),
        *(_prefix_index(algorithm) for algorithm in Algorithm),
        Index("entry_not_active", "standing", sqlite_where=_NOT_ACTIVE, postgresql_where=_NOT_ACTIVE),
    )


class KnownGood(Base):
    """A digest of a harmless file that the operator has imported: no list may hold it. ``p`` as in `Entry`."""

    __tablename__ = "known_good"
    algorithm: Mapped[str] = mapped_column(String(8), primary_key=True)
    p: Mapped[int] = mapped_column(primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012 - SQLAlchemy's way; the key is the index


class History(Base):
    """What happened to an entry after it was added. ``by`` is who did it, null where a program or nobody who is known did."""

    __tablename__ = "history"
    id: Mapped[int] = mapped_column(primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("entry.id"), index=True)
    at: Mapped[float]
    what: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(1024))
    by: Mapped[str | None] = mapped_column(String(128))


class ImportRun(Base):
    """One import that was committed."""

    __tablename__ = "import_run"
    id: Mapped[int] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("hash_list.id"))
    at: Mapped[float]
    source: Mapped[str] = mapped_column(String(128))
    added: Mapped[int]
    merged: Mapped[int]
    unchanged: Mapped[int]
    refused: Mapped[int]


class Publication(Base):
    """One filter file for one provider. The newest version of a list is in force, its file and the one before are on disk.

    ``content`` and ``withdrawn`` say what it was made of (`contents.Content.id`, `withdrawals.Told.id`; empty: not known),
    ``base`` is the version of the last filter that was built from nothing; later ones only added to it.
    """

    __tablename__ = "publication"
    id: Mapped[int] = mapped_column(primary_key=True)
    provider_id: Mapped[int] = mapped_column(ForeignKey("provider.id"))
    list_id: Mapped[int] = mapped_column(ForeignKey("hash_list.id"))
    version: Mapped[int]
    epoch: Mapped[int]
    file_name: Mapped[str] = mapped_column(String(128))
    length: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    created: Mapped[float]
    entries: Mapped[int]
    tokens: Mapped[int]
    content: Mapped[str] = mapped_column(String(64), default="", server_default="")
    withdrawn: Mapped[str] = mapped_column(String(64), default="", server_default="")
    base: Mapped[int] = mapped_column(default=0, server_default="0")
    error_rate: Mapped[float] = mapped_column(default=0.0, server_default="0")
    __table_args__ = (UniqueConstraint("provider_id", "list_id", "version"),)


DIGEST_COLUMNS = {
    Algorithm.MD5: (Entry.md5, Entry.md5_p),
    Algorithm.SHA1: (Entry.sha1, Entry.sha1_p),
    Algorithm.SHA256: (Entry.sha256, Entry.sha256_p),
    Algorithm.BLAKE3: (Entry.blake3, Entry.blake3_p),
}
"""Of each algorithm the columns of digest and prefix."""


def prefix(digest: bytes) -> int:
    """The first four bytes of a digest as the integer of the prefix columns."""
    return int.from_bytes(digest[:4], "big")
