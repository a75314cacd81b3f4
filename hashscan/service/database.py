"""What a service asks of its database."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import Connection, Engine

from hashscan.service.asking import Asking


class Database(Protocol):
    """Implemented by `on_sqlite.Sqlite` and `on_postgres.Postgres`. As text it is what messages call it, without a password."""

    @property
    def reader(self) -> Engine:
        """Each transaction sees one state of the database."""

    def asking(self) -> Asking:
        """A transaction on one state of the database, without a session; the caller closes it."""

    def writer(self, *, wait: bool) -> Engine:
        """For transactions that begin with `lock`; without ``wait`` that fails at once where another has it."""

    def lock(self, connection: Connection, *, wait: bool) -> None:
        """Take the write lock of this service until the transaction ends. Raises OperationalError (`store.is_busy`)."""

    def migrator(self) -> Engine:
        """A writer whose transactions may change tables."""

    def check_migrated(self, connection: Connection) -> None:
        """Before a migration is committed: raises `HashscanError` where it broke something."""

    def adopted(self, connection: Connection) -> str | None:
        """The revision whose tables it has, of a database that was made before there were migrations."""

    def check(self) -> None:
        """Raises `UsageError` where others may read it."""

    def make(self) -> None:
        """Make it where it is a file, empty."""

    def after_bulk(self) -> None:
        """What is worth doing after many writes."""

    def close(self) -> None:
        """Close all connections."""
