"""People who use the pages: their logins, failures to log in, and what they did."""

import sqlalchemy as sa
from alembic import op

from hashscan.service.migrations import INTEGER

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Four new tables."""
    op.create_table(
        "login_failures",
        sa.Column("what", sa.LargeBinary(length=32), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("count", INTEGER, nullable=False),
        sa.PrimaryKeyConstraint("what", name=op.f("login_failures_pkey")),
    )
    op.create_table(
        "web_trail",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("what", sa.String(length=32), nullable=False),
        sa.Column("about", sa.String(length=256), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("web_trail_pkey")),
    )
    with op.batch_alter_table("web_trail", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_web_trail_at"), ["at"], unique=False)

    op.create_table(
        "person",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("provider_id", INTEGER, nullable=True),
        sa.Column("password", sa.String(length=256), nullable=True),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("password_changed", sa.Double(), nullable=True),
        sa.Column("disabled", sa.Double(), nullable=True),
        sa.Column("last_login", sa.Double(), nullable=True),
        sa.Column("code_sha256", sa.LargeBinary(length=32), nullable=True),
        sa.Column("code_expires", sa.Double(), nullable=True),
        sa.Column("totp", sa.LargeBinary(length=20), nullable=True),
        sa.Column("totp_step", INTEGER, nullable=True),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name=op.f("person_provider_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("person_pkey")),
        sa.UniqueConstraint("name", name=op.f("person_name")),
    )
    op.create_table(
        "web_session",
        sa.Column("id", INTEGER, nullable=False),
        sa.Column("person_id", INTEGER, nullable=False),
        sa.Column("sha256", sa.LargeBinary(length=32), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("web_session_person_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("web_session_pkey")),
        sa.UniqueConstraint("sha256", name=op.f("web_session_sha256")),
    )
    with op.batch_alter_table("web_session", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_web_session_person_id"), ["person_id"], unique=False)
