"""SQLite, where everything lies in one file beside the keys: for one machine and one writer (docs/decisions/0010).

All that is said to SQLite in its own dialect is here, and in `dialects`.
"""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import ConnectionPoolEntry

from hashscan.errors import HashscanError
from hashscan.service.asking import Asking
from hashscan.service.private_files import refuse_readable

_BEGIN = "hashscan_begin"
_WAIT = "hashscan_wait"
_ADOPTED = {2: "0001", 3: "0002"}  # PRAGMA user_version of databases older than the migrations, and whose tables they have


class Sqlite:
    """A `database.Database` in one file. ``cache_kib`` is of each connection, ``busy_seconds`` how long a writer waits."""

    def __init__(self, path: Path, *, cache_kib: int, busy_seconds: float) -> None:
        self.path = path
        self._cache_kib = cache_kib
        self._busy_seconds = busy_seconds
        self._engine = self._make_engine(enforce=True)
        self._lax: Engine | None = None

    def __str__(self) -> str:
        return str(self.path)

    @property
    def reader(self) -> Engine:
        """Each transaction sees one state of the database."""
        return self._engine

    def asking(self) -> Asking:
        """A transaction that reads. It sees one state from its first statement on, and waits for no writer."""
        return Asking(self._engine, "BEGIN")

    def writer(self, *, wait: bool) -> Engine:
        """Each transaction begins with the write lock. Without ``wait`` it fails at once where another has it."""
        return self._engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE", _WAIT: wait})

    def lock(self, connection: Connection, *, wait: bool) -> None:
        """Nothing is left to do: the transaction began with the lock."""

    def migrator(self) -> Engine:
        """A writer that does not enforce foreign keys: a table is changed by making another in its place."""
        self._lax = self._lax or self._make_engine(enforce=False)
        return self._lax.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})

    def check_migrated(self, connection: Connection) -> None:
        """Raises `HashscanError` where a migration left a reference to a row that is not there."""
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if broken:
            raise HashscanError(f"the migration would break {len(broken)} references; nothing was changed", hint="report this")

    def adopted(self, connection: Connection) -> str | None:
        """The revision whose tables it has, of a database that was made before there were migrations."""
        return _ADOPTED.get(connection.exec_driver_sql("PRAGMA user_version").scalar_one())

    def check(self) -> None:
        """Raises `UsageError` where others may read the file, OSError where there is none."""
        refuse_readable(self.path)

    def make(self) -> None:
        """An empty database. SQLite would make it 0644, so it is made before; its log files take the mode over."""
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self._outside_transaction("PRAGMA journal_mode=WAL")  # readers and one writer then do not wait for each other

    def after_bulk(self) -> None:
        """Fold the write-ahead log into the database: after an import it is as long as the import."""
        self._outside_transaction("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
        if self._lax is not None:
            self._lax.dispose()

    def _outside_transaction(self, statement: str) -> None:
        with self._engine.execution_options(**{_BEGIN: ""}).connect() as connection:
            connection.exec_driver_sql(statement).close()

    def _make_engine(self, *, enforce: bool) -> Engine:
        engine = create_engine(
            f"sqlite+pysqlite:///{self.path}",
            connect_args={"timeout": self._busy_seconds},
            hide_parameters=True,  # else a traceback in a log would hold digests
            pool_size=20,
            max_overflow=20,  # together the 40 threads that answer requests
        )
        pragmas = (
            f"foreign_keys={'ON' if enforce else 'OFF'}",
            "synchronous=FULL",  # a receipt that was sent must survive a power cut
            "temp_store=MEMORY",  # sorted digests do not belong in /tmp
            f"cache_size=-{self._cache_kib}",
        )

        @event.listens_for(engine, "connect")
        def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
            connection.isolation_level = None  # the begin event below begins; sqlite3 would begin late and without the lock
            cursor = connection.cursor()
            for pragma in pragmas:
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            options = connection.get_execution_options()
            if words := options.get(_BEGIN, "BEGIN"):
                patience = self._busy_seconds if options.get(_WAIT, True) else 0.0
                connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * patience)}").close()  # connections are used again
                connection.exec_driver_sql(words)

        return engine


def is_busy(error: OperationalError) -> bool:
    """Whether another process holds the database."""
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF in (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED and their extended codes
