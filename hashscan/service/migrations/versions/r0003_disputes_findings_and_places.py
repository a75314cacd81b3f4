"""Disputes with their complaints and opinions, findings, notifications; where agents are and what waits for them."""

import sqlalchemy as sa
from alembic import op

from hashscan.service.migrations import INTEGER

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Five new tables; columns that may be null in those that were there."""
    op.create_table(
        "notification",
        sa.Column("seq", INTEGER, nullable=False),
        sa.Column("issued", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("envelope", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("notification_pkey")),
    )
    op.create_table(
        "dispute",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("public_id", sa.String(length=32), nullable=False),
        sa.Column("entry_id", INTEGER, nullable=False),
        sa.Column("opened", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("decided", sa.Double(), nullable=True),
        sa.Column("alone", sa.Double(), nullable=True),
        sa.Column("alone_by", sa.String(length=128), nullable=True),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("dispute_entry_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("dispute_pkey")),
        sa.UniqueConstraint("public_id", name=op.f("dispute_public_id")),
    )
    with op.batch_alter_table("dispute", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_dispute_entry_id"), ["entry_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_dispute_state"), ["state"], unique=False)

    op.create_table(
        "finding",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("provider_id", INTEGER, nullable=False),
        sa.Column("api_key_id", INTEGER, nullable=True),
        sa.Column("ref", sa.String(length=80), nullable=False),
        sa.Column("round", INTEGER, nullable=False),
        sa.Column("list_name", sa.String(length=64), nullable=False),
        sa.Column("entry", sa.String(length=80), nullable=False),
        sa.Column("entry_id", INTEGER, nullable=True),
        sa.Column("verdict", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("first_seen", sa.Double(), nullable=False),
        sa.Column("opened", sa.Double(), nullable=False),
        sa.Column("told", sa.Double(), nullable=False),
        sa.Column("removed", sa.Double(), nullable=True),
        sa.Column("removed_told", sa.Double(), nullable=True),
        sa.Column("doubt", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("finding_api_key_id_fkey")),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("finding_entry_id_fkey")),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name=op.f("finding_provider_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("finding_pkey")),
        sa.UniqueConstraint("provider_id", "ref", "round", name=op.f("finding_provider_id_ref_round")),
    )
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.create_index("finding_provider_opened", ["provider_id", "opened"], unique=False)
        batch_op.create_index("finding_state", ["state"], unique=False)
        batch_op.create_index(batch_op.f("ix_finding_entry_id"), ["entry_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_finding_opened"), ["opened"], unique=False)

    op.create_table(
        "complaint",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("dispute_id", INTEGER, nullable=False),
        sa.Column("provider_id", INTEGER, nullable=True),
        sa.Column("api_key_id", INTEGER, nullable=True),
        sa.Column("key", sa.String(length=80), nullable=True),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("reason", sa.String(length=1024), nullable=False),
        sa.Column("pauses", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("complaint_api_key_id_fkey")),
        sa.ForeignKeyConstraint(["dispute_id"], ["dispute.id"], name=op.f("complaint_dispute_id_fkey")),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name=op.f("complaint_provider_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("complaint_pkey")),
        sa.UniqueConstraint("provider_id", "key", name=op.f("complaint_provider_id_key")),
    )
    with op.batch_alter_table("complaint", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_complaint_dispute_id"), ["dispute_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_complaint_provider_id"), ["provider_id"], unique=False)

    op.create_table(
        "opinion",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("dispute_id", INTEGER, nullable=False),
        sa.Column("person", sa.String(length=128), nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("opinion", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.String(length=1024), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["dispute_id"], ["dispute.id"], name=op.f("opinion_dispute_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("opinion_pkey")),
    )
    with op.batch_alter_table("opinion", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_opinion_dispute_id"), ["dispute_id"], unique=False)

    with op.batch_alter_table("api_key", schema=None) as batch_op:
        batch_op.add_column(sa.Column("site", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("country", sa.String(length=2), nullable=True))
        batch_op.add_column(sa.Column("pending", INTEGER, nullable=True))
        batch_op.add_column(sa.Column("pending_since", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("pending_told", sa.Double(), nullable=True))

    with op.batch_alter_table("enrolment_code", schema=None) as batch_op:
        batch_op.add_column(sa.Column("site", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("country", sa.String(length=2), nullable=True))

    with op.batch_alter_table("entry", schema=None) as batch_op:
        batch_op.add_column(sa.Column("series", sa.String(length=64), nullable=True))

    with op.batch_alter_table("history", schema=None) as batch_op:
        batch_op.add_column(sa.Column("by", sa.String(length=128), nullable=True))

    with op.batch_alter_table("outcome", schema=None) as batch_op:
        batch_op.add_column(sa.Column("api_key_id", INTEGER, nullable=True))
        batch_op.add_column(sa.Column("finding", sa.String(length=80), nullable=True))
        batch_op.add_column(sa.Column("doubt", sa.String(length=64), nullable=True))
        batch_op.create_index("outcome_provider_entry", ["provider_id", "entry_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("outcome_api_key_id_fkey"), "api_key", ["api_key_id"], ["id"])

    with op.batch_alter_table("provider", schema=None) as batch_op:
        batch_op.add_column(sa.Column("country", sa.String(length=2), nullable=True))
