"""What sources call entries and up to when they were taken; who took digests out of the service."""

import sqlalchemy as sa
from alembic import op

from hashscan.service.migrations import INTEGER

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Three new tables."""
    op.create_table(
        "export_run",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("list_id", INTEGER, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("form", sa.String(length=16), nullable=False),
        sa.Column("who", sa.String(length=128), nullable=False),
        sa.Column("entries", INTEGER, nullable=False),
        sa.Column("digests", INTEGER, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["hash_list.id"], name=op.f("export_run_list_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("export_run_pkey")),
    )
    op.create_table(
        "feed_checkpoint",
        sa.Column("list_id", INTEGER, nullable=False),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("taken", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["hash_list.id"], name=op.f("feed_checkpoint_list_id_fkey")),
        sa.PrimaryKeyConstraint("list_id", "source", name=op.f("feed_checkpoint_pkey")),
    )
    op.create_table(
        "feed_ref",
        sa.Column("list_id", INTEGER, nullable=False),
        sa.Column("source", sa.String(length=128), nullable=False),
        sa.Column("ref", sa.String(length=160), nullable=False),
        sa.Column("entry_id", INTEGER, nullable=True),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("up", INTEGER, nullable=False),
        sa.Column("down", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name=op.f("feed_ref_entry_id_fkey")),
        sa.ForeignKeyConstraint(["list_id"], ["hash_list.id"], name=op.f("feed_ref_list_id_fkey")),
        sa.PrimaryKeyConstraint("list_id", "source", "ref", name=op.f("feed_ref_pkey")),
    )
    with op.batch_alter_table("feed_ref", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_feed_ref_entry_id"), ["entry_id"], unique=False)
