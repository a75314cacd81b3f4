"""The tables of what goes out: files beside the filters, digests that linger in them, what agents may ask. As `tables`."""

from __future__ import annotations

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from hashscan.service.tables import Base


class SideFile(Base):
    """A file published beside a filter: a delta from version ``old``, or the withdrawn tokens (``old`` 0)."""

    __tablename__ = "side_file"
    id: Mapped[int] = mapped_column(primary_key=True)
    publication_id: Mapped[int] = mapped_column(ForeignKey("publication.id"), index=True)
    old: Mapped[int]
    file_name: Mapped[str] = mapped_column(String(128))
    length: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))


class Lingering(Base):
    """A digest that left a list with version ``left``, and is in every filter whose `Publication.base` is older."""

    __tablename__ = "lingering"
    list_id: Mapped[int] = mapped_column(ForeignKey("hash_list.id"), primary_key=True)
    algorithm: Mapped[str] = mapped_column(String(8), primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    left: Mapped[int]


class Budget(Base):
    """How many prefixes an agent may still ask about: ``level`` at the time ``at``, filling up to the burst at the daily rate.

    Keyed by the API key that the agent came with: keys that were added by it (`ApiKey.added_by`) share it. ``asked`` counts
    what was taken on ``day`` (days since 1970), ``refused`` the requests that were slowed since the beginning.
    """

    __tablename__ = "budget"
    api_key_id: Mapped[int] = mapped_column(ForeignKey("api_key.id"), primary_key=True, autoincrement=False)
    level: Mapped[float]
    at: Mapped[float]
    day: Mapped[int]
    asked: Mapped[int]
    refused: Mapped[int] = mapped_column(default=0)
    refused_at: Mapped[float | None]
