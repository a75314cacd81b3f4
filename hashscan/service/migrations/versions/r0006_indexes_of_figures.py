"""Indexes for the monitor: what figures are made of, when a provider last told something, which entries are not active."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
_OF_FIGURES = [
    "provider_id", "api_key_id", "state", "first_seen", "removed", "removed_told", "doubt", "opened", "entry_id", "list_name",
]  # fmt: skip


def upgrade() -> None:
    """Three indexes; the one of entries reads all of them once, and holds few."""
    with op.batch_alter_table("finding", schema=None) as batch_op:
        batch_op.create_index("finding_provider_told", ["provider_id", "told"], unique=False)
        batch_op.create_index("finding_figures", _OF_FIGURES, unique=False)

    not_active = sa.text("standing <> 'active'")
    with op.batch_alter_table("entry", schema=None) as batch_op:
        batch_op.create_index(
            "entry_not_active", ["standing"], unique=False, sqlite_where=not_active, postgresql_where=not_active
        )
