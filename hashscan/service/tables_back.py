"""The tables of what comes back: outcomes, findings, disputes, opinions, notifications. Conventions as in `tables`."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from hashscan.service.tables import Base


class OutcomeRow(Base):
    """What a provider says it did. ``entry_id`` is null where the service does not know the entry (any more).

    ``first_seen`` and ``acted_at`` are as told; ``doubt`` is what is wrong with them (`monitor.times`). ``finding`` is the
    agent's opaque name of what it found, null where it gave none.
    """

    __tablename__ = "outcome"
    id: Mapped[int] = mapped_column(primary_key=True)
    provider_id: Mapped[int] = mapped_column(ForeignKey("provider.id"))
    outcome_id: Mapped[str] = mapped_column(String(80))
    list_name: Mapped[str] = mapped_column(String(64))
    entry: Mapped[str] = mapped_column(String(80))
    entry_id: Mapped[int | None] = mapped_column(ForeignKey("entry.id"))
    verdict: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(16))
    first_seen: Mapped[float]
    acted_at: Mapped[float]
    received: Mapped[float]
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    finding: Mapped[str | None] = mapped_column(String(80))
    doubt: Mapped[str | None] = mapped_column(String(64))
    __table_args__ = (
        UniqueConstraint("provider_id", "outcome_id"),
        Index("outcome_provider_entry", "provider_id", "entry_id"),
    )


class DisputeRow(Base):
    """Doubt about one entry, from the first complaint to the decision of two people; at most one is open for an entry.

    ``state`` and ``decision``: see `disputing.rules`. ``alone`` is when one person withdrew the entry without a second one,
    ``alone_by`` who; null where nobody did.
    """

    __tablename__ = "dispute"
    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(String(32), unique=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("entry.id"), index=True)
    opened: Mapped[float]
    state: Mapped[str] = mapped_column(String(16), index=True)
    decided: Mapped[float | None]
    alone: Mapped[float | None]
    alone_by: Mapped[str | None] = mapped_column(String(128))


class ComplaintRow(Base):
    """Who disputes an entry and why. ``provider_id`` is null for a person of the hotline.

    ``key`` is the id that an agent gave its complaint, so that it counts once however often it is sent. ``pauses``: while the
    dispute is open, answers to this provider say disputed.
    """

    __tablename__ = "complaint"
    id: Mapped[int] = mapped_column(primary_key=True)
    dispute_id: Mapped[int] = mapped_column(ForeignKey("dispute.id"), index=True)
    provider_id: Mapped[int | None] = mapped_column(ForeignKey("provider.id"), index=True)
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    key: Mapped[str | None] = mapped_column(String(80))
    by: Mapped[str] = mapped_column(String(128))
    at: Mapped[float]
    reason: Mapped[str] = mapped_column(String(1024))
    pauses: Mapped[bool]
    __table_args__ = (UniqueConstraint("provider_id", "key"),)


class OpinionRow(Base):
    """What somebody thinks of a disputed entry. Rows are added, never changed: the last one of a person counts."""

    __tablename__ = "opinion"
    id: Mapped[int] = mapped_column(primary_key=True)
    dispute_id: Mapped[int] = mapped_column(ForeignKey("dispute.id"), index=True)
    person: Mapped[str] = mapped_column(String(128))
    by: Mapped[str] = mapped_column(String(128))
    opinion: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(String(1024))
    at: Mapped[float]


_OF_FIGURES = (
    "provider_id", "api_key_id", "state", "first_seen", "removed", "removed_told", "doubt", "opened", "entry_id", "list_name",
)  # fmt: skip
"""All that `monitor.adding` looks at, in the order in which it groups: it reads this index and no row."""


class FindingRow(Base):
    """One finding of one provider, made of its outcomes: what the figures are made of.

    ``ref`` is the agent's opaque name of it, ``round`` counts files at one place: one that came back is another finding.
    ``opened`` and ``told`` are when the first and the last outcome came in, by our clock; ``first_seen`` and ``removed`` are
    the agent's times, checked (`monitor.times`). ``removed_told`` is when we heard of the removal. ``doubt`` is what was wrong
    with the agent's times, "" where nothing was.
    """

    __tablename__ = "finding"
    id: Mapped[int] = mapped_column(primary_key=True)
    provider_id: Mapped[int] = mapped_column(ForeignKey("provider.id"))
    api_key_id: Mapped[int | None] = mapped_column(ForeignKey("api_key.id"))
    ref: Mapped[str] = mapped_column(String(80))
    round: Mapped[int]
    list_name: Mapped[str] = mapped_column(String(64))
    entry: Mapped[str] = mapped_column(String(80))
    entry_id: Mapped[int | None] = mapped_column(ForeignKey("entry.id"), index=True)
    verdict: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    first_seen: Mapped[float]
    opened: Mapped[float] = mapped_column(index=True)
    told: Mapped[float]
    removed: Mapped[float | None]
    removed_told: Mapped[float | None]
    doubt: Mapped[str] = mapped_column(String(64))
    __table_args__ = (
        UniqueConstraint("provider_id", "ref", "round"),
        Index("finding_provider_opened", "provider_id", "opened"),
        Index("finding_state", "state"),
        Index("finding_provider_told", "provider_id", "told"),
        Index("finding_figures", *_OF_FIGURES),
    )


class NotificationRow(Base):
    """A notification that was signed. ``sha256`` is that of the payload, which the next one names."""

    __tablename__ = "notification"
    seq: Mapped[int] = mapped_column(primary_key=True)
    issued: Mapped[float]
    until: Mapped[float]
    sha256: Mapped[str] = mapped_column(String(64))
    envelope: Mapped[bytes] = mapped_column(LargeBinary)
