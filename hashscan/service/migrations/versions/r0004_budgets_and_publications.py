"""What agents may ask about, digests that linger in filters, and what each publication was made of."""

import sqlalchemy as sa
from alembic import op

from hashscan.service.migrations import INTEGER

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Two new tables; new columns with what held before as their value."""
    op.create_table(
        "lingering",
        sa.Column("list_id", INTEGER, nullable=False),
        sa.Column("algorithm", sa.String(length=8), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("left", INTEGER, nullable=False),
        sa.ForeignKeyConstraint(["list_id"], ["hash_list.id"], name=op.f("lingering_list_id_fkey")),
        sa.PrimaryKeyConstraint("list_id", "algorithm", "digest", name=op.f("lingering_pkey")),
    )
    op.create_table(
        "budget",
        sa.Column("api_key_id", INTEGER, autoincrement=False, nullable=False),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("day", INTEGER, nullable=False),
        sa.Column("asked", INTEGER, nullable=False),
        sa.Column("refused", INTEGER, nullable=False),
        sa.Column("refused_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name=op.f("budget_api_key_id_fkey")),
        sa.PrimaryKeyConstraint("api_key_id", name=op.f("budget_pkey")),
    )
    with op.batch_alter_table("hash_list", schema=None) as batch_op:
        batch_op.add_column(sa.Column("published", sa.Double(), nullable=True))

    with op.batch_alter_table("provider", schema=None) as batch_op:
        batch_op.add_column(sa.Column("prefixes_per_day", INTEGER, nullable=True))
        batch_op.add_column(sa.Column("prefixes_burst", INTEGER, nullable=True))

    with op.batch_alter_table("publication", schema=None) as batch_op:
        batch_op.add_column(sa.Column("content", sa.String(length=64), server_default="", nullable=False))
        batch_op.add_column(sa.Column("withdrawn", sa.String(length=64), server_default="", nullable=False))
        batch_op.add_column(sa.Column("base", INTEGER, server_default="0", nullable=False))
        batch_op.add_column(sa.Column("error_rate", sa.Double(), server_default="0", nullable=False))

    with op.batch_alter_table("service", schema=None) as batch_op:
        batch_op.add_column(sa.Column("prefixes_per_day", INTEGER, server_default="10000", nullable=False))
        batch_op.add_column(sa.Column("prefixes_burst", INTEGER, server_default="40000", nullable=False))
