"""The data folder of a service and its database: made once, opened with care, closed without a trace.

::

    DATA/                  0700
      service.sqlite3      0600, write-ahead log
      keys/                0700, ROLE-KEYID.pem of mode 0600: the online keys
      roots/               0700, N.root.json: every root that was installed
      published/PROVIDER/  0700, filters, deltas, withdrawn tokens, N.targets.json, N.snapshot.json
      contents/            0700, LIST-ID.content: what was published last; may be removed
      publish.lock
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from hashscan.errors import HashscanError, LockedError, UsageError
from hashscan.service.private_files import refuse_readable
from hashscan.service.tables import SCHEMA_VERSION, ServiceRow

SERVER_CACHE_KIB = 16 * 1024  # of each connection
IMPORT_CACHE_KIB = 256 * 1024  # the five indexes of 1.4 M entries fit: their pages are touched at random
_BEGIN = "hashscan_begin"
_WAIT = "hashscan_wait"


class Folder:
    """Where everything is."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.database = data / "service.sqlite3"
        self.keys = data / "keys"
        self.roots = data / "roots"
        self.contents = data / "contents"
        self.publish_lock = data / "publish.lock"

    def published(self, provider: str) -> Path:
        """The folder of the files of one provider."""
        return self.data / "published" / provider


class Store:
    """An open service. Safe to share between threads; each `reading` or `writing` has a connection of its own."""

    def __init__(self, folder: Folder, engine: Engine) -> None:
        self.folder = folder
        self._engine = engine
        self._writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._hasty_writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE", _WAIT: False})

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session on one consistent state; what it changes is forgotten."""
        with Session(self._engine) as session:
            yield session

    @contextmanager
    def writing(self, *, wait: bool = True) -> Iterator[Session]:
        """A session that holds the write lock from its start; commits when the block ends well, else changes nothing.

        Without ``wait`` another writer makes it fail at once (`is_busy`).
        """
        with Session(self._writer if wait else self._hasty_writer) as session, session.begin():
            session.connection()  # a session begins with its first statement otherwise
            yield session

    def use_write_ahead_log(self) -> None:
        """Once, when the database is made: readers and one writer then do not wait for each other."""
        self._outside_transaction("PRAGMA journal_mode=WAL")

    def compact_log(self) -> None:
        """Fold the write-ahead log into the database: after an import it is as long as the import."""
        self._outside_transaction("PRAGMA wal_checkpoint(TRUNCATE)")

    def _outside_transaction(self, statement: str) -> None:
        with self._engine.execution_options(**{_BEGIN: ""}).connect() as connection:
            connection.exec_driver_sql(statement).close()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def connect(folder: Folder, *, cache_kib: int, busy_seconds: float) -> Store:
    """A store on the database file of ``folder``, whatever is in it; `open_store` is the careful way.

    ``busy_seconds`` is how long a writer waits for another.
    """
    engine = create_engine(
        f"sqlite+pysqlite:///{folder.database}",
        connect_args={"timeout": busy_seconds},
        hide_parameters=True,  # else a traceback in a log would hold digests
        pool_size=20,
        max_overflow=20,  # together the 40 threads that answer requests
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
        connection.isolation_level = None  # the begin event below begins; sqlite3 would begin late and without the lock
        cursor = connection.cursor()
        for pragma in (
            "foreign_keys=ON",
            "synchronous=FULL",  # a receipt that was sent must survive a power cut
            "temp_store=MEMORY",  # sorted digests do not belong in /tmp
            f"cache_size=-{cache_kib}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if words := options.get(_BEGIN, "BEGIN"):
            patience = busy_seconds if options.get(_WAIT, True) else 0.0
            connection.exec_driver_sql(f"PRAGMA busy_timeout={int(1000 * patience)}").close()  # connections are used again
            connection.exec_driver_sql(words)

    return Store(folder, engine)


@contextmanager
def open_store(data: Path, *, cache_kib: int = SERVER_CACHE_KIB, busy_seconds: float = 5.0) -> Iterator[Store]:
    """The service in ``data``. Raises `UsageError` where there is none, and turns database errors inside into ours."""
    store = checked_store(data, cache_kib=cache_kib, busy_seconds=busy_seconds)
    try:
        with database_errors(data):
            yield store
    finally:
        store.close()


def checked_store(data: Path, *, cache_kib: int = SERVER_CACHE_KIB, busy_seconds: float = 5.0) -> Store:
    """Like `open_store`; the caller closes it and meets the database's errors himself."""
    folder = Folder(data)
    if not folder.database.is_file():
        raise UsageError(f"there is no service in {data}", hint="make one with 'hashscan service init'")
    refuse_readable(folder.database)
    store = connect(folder, cache_kib=cache_kib, busy_seconds=busy_seconds)
    try:
        with database_errors(data), store.reading() as session:
            version = session.connection().exec_driver_sql("PRAGMA user_version").scalar_one()
            if version != SCHEMA_VERSION or session.execute(select(ServiceRow)).first() is None:
                raise UsageError(f"{folder.database} has schema {version}, this program reads schema {SCHEMA_VERSION}")
    except BaseException:
        store.close()
        raise
    return store


@contextmanager
def database_errors(data: Path) -> Iterator[None]:
    """The gate of SQLAlchemy for operators' commands: busy is `LockedError`, everything else a `HashscanError`."""
    try:
        yield
    except OperationalError as error:
        if is_busy(error):
            raise LockedError(f"the database in {data} is in use", hint="another import runs; try again after it") from None
        raise HashscanError(f"the database in {data}: {error.orig}", hint="is the disk full or the file damaged?") from None
    except SQLAlchemyError as error:
        raise HashscanError(f"the database in {data}: {type(error).__name__}: {getattr(error, 'orig', error)}") from None


def is_busy(error: OperationalError) -> bool:
    """Whether another process holds the database: wait, nothing is wrong."""
    code = getattr(error.orig, "sqlite_errorcode", 0)
    return code & 0xFF in (5, 6)  # SQLITE_BUSY, SQLITE_LOCKED and their extended codes
