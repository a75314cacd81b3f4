"""What a provider is told about the disputes that it takes part in, all of them."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from hashscan.service.actors import Actor, Deed, require
from hashscan.service.disputing import complaints
from hashscan.service.disputing.complaints import Told
from hashscan.service.tables import Provider
from hashscan.service.tables_back import ComplaintRow, DisputeRow

MAX_SHOWN = 500


def own_disputes(session: Session, actor: Actor) -> tuple[Told, ...]:
    """The disputes of the provider of ``actor``, the newest first, at most `MAX_SHOWN`. Raises `NotAllowedError`."""
    require(actor, Deed.COMPLAIN)
    provider_id = own_id(session, actor)
    query = (
        select(DisputeRow.public_id)
        .join(ComplaintRow, ComplaintRow.dispute_id == DisputeRow.id)
        .where(ComplaintRow.provider_id == provider_id)
        .group_by(DisputeRow.public_id)
        .order_by(func.max(ComplaintRow.id).desc())
    )
    return tuple(complaints.told(session, provider_id, one) for one in session.scalars(query.limit(MAX_SHOWN)).all())


def own_reasons(session: Session, actor: Actor, dispute_id: str) -> tuple[tuple[float, str], ...]:
    """(when, reason) of what the provider of ``actor`` itself has said in a dispute, the oldest first."""
    query = (
        select(ComplaintRow.at, ComplaintRow.reason)
        .join(DisputeRow, DisputeRow.id == ComplaintRow.dispute_id)
        .where(DisputeRow.public_id == dispute_id, ComplaintRow.provider_id == own_id(session, actor))
        .order_by(ComplaintRow.id)
    )
    return tuple((at, reason) for at, reason in session.execute(query))


def own_id(session: Session, actor: Actor) -> int:
    """The database id of the provider of ``actor``, which has one."""
    return session.scalars(select(Provider.id).where(Provider.name == actor.provider)).one()
