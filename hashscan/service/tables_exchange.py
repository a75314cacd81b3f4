"""The tables of what comes in from sources that remember, and of what goes out as lists. See `tables`."""

from __future__ import annotations

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from hashscan.service.tables import Base


class FeedRef(Base):
    """What a source calls an entry, so that it can take it back. ``entry_id`` is null for what is none of ours (any more).

    ``at`` is when it changed at the source; ``up`` and ``down`` are the votes of the source's members, as last told.
    """

    __tablename__ = "feed_ref"
    list_id: Mapped[int] = mapped_column(ForeignKey("hash_list.id"), primary_key=True)
    source: Mapped[str] = mapped_column(String(128), primary_key=True)
    ref: Mapped[str] = mapped_column(String(160), primary_key=True)
    entry_id: Mapped[int | None] = mapped_column(ForeignKey("entry.id"), index=True)
    at: Mapped[float]
    up: Mapped[int]
    down: Mapped[int]


class FeedCheckpoint(Base):
    """Up to when everything that a source has was taken: moved only with the last page of a fetch."""

    __tablename__ = "feed_checkpoint"
    list_id: Mapped[int] = mapped_column(ForeignKey("hash_list.id"), primary_key=True)
    source: Mapped[str] = mapped_column(String(128), primary_key=True)
    until: Mapped[float]
    taken: Mapped[float]


class ExportRun(Base):
    """Digests left the service: into which file (its SHA-256), by whose command."""

    __tablename__ = "export_run"
    id: Mapped[int] = mapped_column(primary_key=True)
    list_id: Mapped[int] = mapped_column(ForeignKey("hash_list.id"))
    at: Mapped[float]
    form: Mapped[str] = mapped_column(String(16))
    who: Mapped[str] = mapped_column(String(128))
    entries: Mapped[int]
    digests: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
