"""The tables as they were before there were revisions."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from hashscan.service.migrations import INTEGER

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make them."""
    _service()
    _providers()
    _codes()
    _lists()
    _entries()
    _publications()
    _repositories()
    _outcomes()


def _column(name: str, kind: Any) -> "sa.Column[Any]":
    return sa.Column(name, kind, nullable=False)


def _maybe(name: str, kind: Any) -> "sa.Column[Any]":
    return sa.Column(name, kind, nullable=True)


def _service() -> None:
    op.create_table(
        "service",
        _column("id", INTEGER),
        _column("name", sa.String(256)),
        _column("created", sa.Double()),
        _column("wait", INTEGER),
        _column("jitter", INTEGER),
        sa.PrimaryKeyConstraint("id", name="service_pkey"),
    )
    op.create_table(
        "online_key",
        _column("id", INTEGER),
        _column("role", sa.String(16)),
        _column("public", sa.String(64)),
        _column("since", sa.Double()),
        _maybe("until", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="online_key_pkey"),
        sa.UniqueConstraint("public", name="online_key_public"),
    )


def _providers() -> None:
    op.create_table(
        "provider",
        _column("id", INTEGER),
        _column("name", sa.String(64)),
        _column("phase", sa.String(16)),
        _column("epoch", INTEGER),
        _column("created", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="provider_pkey"),
        sa.UniqueConstraint("name", name="provider_name"),
    )
    op.create_table(
        "provider_key",
        _column("provider_id", INTEGER),
        _column("since", INTEGER),
        _column("raw", sa.LargeBinary(32)),
        _column("created", sa.Double()),
        _maybe("revoked", sa.Double()),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name="provider_key_provider_id_fkey"),
        sa.PrimaryKeyConstraint("provider_id", "since", name="provider_key_pkey"),
    )
    op.create_table(
        "api_key",
        _column("id", INTEGER),
        _column("provider_id", INTEGER),
        _column("sha256", sa.LargeBinary(32)),
        _column("label", sa.String(64)),
        _column("created", sa.Double()),
        _maybe("used_day", INTEGER),
        _maybe("revoked", sa.Double()),
        _maybe("log_lines", INTEGER),
        _maybe("log_hash", sa.String(64)),
        _maybe("added_by", INTEGER),
        sa.ForeignKeyConstraint(["added_by"], ["api_key.id"], name="api_key_added_by_fkey"),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name="api_key_provider_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="api_key_pkey"),
        sa.UniqueConstraint("sha256", name="api_key_sha256"),
    )
    op.create_index("ix_api_key_provider_id", "api_key", ["provider_id"])


def _codes() -> None:
    op.create_table(
        "enrolment_code",
        _column("id", INTEGER),
        _column("provider_id", INTEGER),
        _column("public_id", sa.String(32)),
        _column("secret", sa.LargeBinary(32)),
        _column("root_sha256", sa.String(64)),
        _column("failures", INTEGER),
        _column("created", sa.Double()),
        _column("expires", sa.Double()),
        _maybe("used", sa.Double()),
        _maybe("api_key_id", INTEGER),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_key.id"], name="enrolment_code_api_key_id_fkey"),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name="enrolment_code_provider_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="enrolment_code_pkey"),
        sa.UniqueConstraint("public_id", name="enrolment_code_public_id"),
    )


def _lists() -> None:
    op.create_table(
        "hash_list",
        _column("id", INTEGER),
        _column("name", sa.String(64)),
        _column("version", INTEGER),
        _column("created", sa.Double()),
        sa.PrimaryKeyConstraint("id", name="hash_list_pkey"),
        sa.UniqueConstraint("name", name="hash_list_name"),
    )
    op.create_table(
        "import_run",
        _column("id", INTEGER),
        _column("list_id", INTEGER),
        _column("at", sa.Double()),
        _column("source", sa.String(128)),
        _column("added", INTEGER),
        _column("merged", INTEGER),
        _column("unchanged", INTEGER),
        _column("refused", INTEGER),
        sa.ForeignKeyConstraint(["list_id"], ["hash_list.id"], name="import_run_list_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="import_run_pkey"),
    )
    op.create_table(
        "known_good",
        _column("algorithm", sa.String(8)),
        _column("p", INTEGER),
        _column("digest", sa.LargeBinary(32)),
        sa.PrimaryKeyConstraint("algorithm", "p", "digest", name="known_good_pkey"),
        sqlite_with_rowid=False,
    )


def _entries() -> None:
    op.create_table(
        "entry",
        _column("id", INTEGER),
        _column("public_id", sa.String(32)),
        _column("list_id", INTEGER),
        _maybe("md5", sa.LargeBinary(16)),
        _maybe("sha1", sa.LargeBinary(20)),
        _maybe("sha256", sa.LargeBinary(32)),
        _maybe("blake3", sa.LargeBinary(32)),
        _maybe("md5_p", INTEGER),
        _maybe("sha1_p", INTEGER),
        _maybe("sha256_p", INTEGER),
        _maybe("blake3_p", INTEGER),
        _maybe("size", INTEGER),
        _column("category", sa.String(64)),
        _column("standing", sa.String(16)),
        _column("act", sa.String(16)),
        _column("sources", sa.String()),
        _column("created", sa.Double()),
        _column("changed", sa.Double()),
        sa.CheckConstraint("coalesce(md5, sha1, sha256, blake3) IS NOT NULL", name="entry_has_digest"),
        sa.ForeignKeyConstraint(["list_id"], ["hash_list.id"], name="entry_list_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="entry_pkey"),
        sa.UniqueConstraint("public_id", name="entry_public_id"),
    )
    op.create_table(
        "history",
        _column("id", INTEGER),
        _column("entry_id", INTEGER),
        _column("at", sa.Double()),
        _column("what", sa.String(32)),
        _column("reason", sa.String(1024)),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name="history_entry_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="history_pkey"),
    )
    op.create_index("ix_history_entry_id", "history", ["entry_id"])
    for algorithm in ("md5", "sha1", "sha256", "blake3"):
        held = sa.text(f"{algorithm}_p IS NOT NULL")
        columns = ["list_id", f"{algorithm}_p"]
        op.create_index(f"entry_{algorithm}", "entry", columns, sqlite_where=held, postgresql_where=held)


def _publications() -> None:
    op.create_table(
        "publication",
        _column("id", INTEGER),
        _column("provider_id", INTEGER),
        _column("list_id", INTEGER),
        _column("version", INTEGER),
        _column("epoch", INTEGER),
        _column("file_name", sa.String(128)),
        _column("length", INTEGER),
        _column("sha256", sa.String(64)),
        _column("created", sa.Double()),
        _column("entries", INTEGER),
        _column("tokens", INTEGER),
        sa.ForeignKeyConstraint(["list_id"], ["hash_list.id"], name="publication_list_id_fkey"),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name="publication_provider_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="publication_pkey"),
        sa.UniqueConstraint("provider_id", "list_id", "version", name="publication_provider_id_list_id_version"),
    )
    op.create_table(
        "side_file",
        _column("id", INTEGER),
        _column("publication_id", INTEGER),
        _column("old", INTEGER),
        _column("file_name", sa.String(128)),
        _column("length", INTEGER),
        _column("sha256", sa.String(64)),
        sa.ForeignKeyConstraint(["publication_id"], ["publication.id"], name="side_file_publication_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="side_file_pkey"),
    )
    op.create_index("ix_side_file_publication_id", "side_file", ["publication_id"])


def _repositories() -> None:
    op.create_table(
        "repository",
        _column("provider_id", INTEGER),
        _column("timestamp_version", INTEGER),
        _column("snapshot_version", INTEGER),
        _column("targets_version", INTEGER),
        _column("root_version", INTEGER),
        _column("issued", sa.Double()),
        _column("targets_issued", sa.Double()),
        _column("content", sa.String(64)),
        _column("timestamp", sa.LargeBinary()),
        _column("verdict_keys", sa.LargeBinary()),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name="repository_provider_id_fkey"),
        sa.PrimaryKeyConstraint("provider_id", name="repository_pkey"),
    )


def _outcomes() -> None:
    op.create_table(
        "outcome",
        _column("id", INTEGER),
        _column("provider_id", INTEGER),
        _column("outcome_id", sa.String(80)),
        _column("list_name", sa.String(64)),
        _column("entry", sa.String(80)),
        _maybe("entry_id", INTEGER),
        _column("verdict", sa.String(64)),
        _column("action", sa.String(16)),
        _column("first_seen", sa.Double()),
        _column("acted_at", sa.Double()),
        _column("received", sa.Double()),
        sa.ForeignKeyConstraint(["entry_id"], ["entry.id"], name="outcome_entry_id_fkey"),
        sa.ForeignKeyConstraint(["provider_id"], ["provider.id"], name="outcome_provider_id_fkey"),
        sa.PrimaryKeyConstraint("id", name="outcome_pkey"),
        sa.UniqueConstraint("provider_id", "outcome_id", name="outcome_provider_id_outcome_id"),
    )
