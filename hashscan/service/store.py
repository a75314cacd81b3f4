"""The data folder of a service and its database: made once, opened with care, closed without a trace.

::

    DATA/                  0700
      service.sqlite3      0600, write-ahead log; or
      database.url         0600, where the PostgreSQL database is
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

from sqlalchemy import select
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from hashscan.errors import HashscanError, LockedError, UsageError
from hashscan.service import on_postgres, on_sqlite, schema
from hashscan.service.asking import Asking
from hashscan.service.database import Database
from hashscan.service.tables import ServiceRow

SERVER_CACHE_KIB = 16 * 1024  # of each connection
IMPORT_CACHE_KIB = 256 * 1024  # the five indexes of 1.4 M entries fit: their pages are touched at random


class Folder:
    """Where everything is."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.database = data / "service.sqlite3"
        self.database_url = data / "database.url"
        self.keys = data / "keys"
        self.roots = data / "roots"
        self.contents = data / "contents"
        self.publish_lock = data / "publish.lock"

    def published(self, provider: str) -> Path:
        """The folder of the files of one provider."""
        return self.data / "published" / provider


class Store:
    """An open service. Safe to share between threads; each `reading` or `writing` has a connection of its own."""

    def __init__(self, folder: Folder, database: Database) -> None:
        self.folder = folder
        self.database = database

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session on one consistent state; what it changes is forgotten."""
        with Session(self.database.reader) as session:
            yield session

    @contextmanager
    def asking(self) -> Iterator[Asking]:
        """One consistent state for `asking.Statement`: a tenth of the cost of a session."""
        asking = self.database.asking()
        try:
            yield asking
        finally:
            asking.close()

    @contextmanager
    def writing(self, *, wait: bool = True) -> Iterator[Session]:
        """A session that holds the write lock from its start; commits when the block ends well, else changes nothing.

        Without ``wait`` another writer makes it fail at once (`is_busy`).
        """
        with Session(self.database.writer(wait=wait)) as session, session.begin():
            self.database.lock(session.connection(), wait=wait)  # a session begins with its first statement otherwise
            yield session

    def upgrade(self, *, target: str | None = None) -> tuple[str, str]:
        """Make the tables what this program needs, all steps or none; the numbers before ("" for none) and after.

        Raises `UsageError` where they are newer.
        """
        with Session(self.database.migrator()) as session, session.begin():
            connection = session.connection()
            self.database.lock(connection, wait=True)
            before = schema.current(connection)
            schema.refuse_newer(before, str(self.database))
            if before is None and schema.has_tables(connection):
                adopted = self.database.adopted(connection)
                if adopted is None:
                    raise UsageError(f"{self.database} holds tables that no hashscan made", hint="name another database")
                schema.adopt(connection, adopted)
            schema.migrate(connection, target=target)
            self.database.check_migrated(connection)
        return before or "", target or schema.head()

    def compact_log(self) -> None:
        """After an import, and whatever else writes in bulk."""
        self.database.after_bulk()

    def close(self) -> None:
        """Close all connections."""
        self.database.close()


def connect(folder: Folder, *, cache_kib: int, busy_seconds: float) -> Store:
    """A store on the database of ``folder``, whatever is in it; `open_store` is the careful way.

    ``busy_seconds`` is how long a writer waits for another, ``cache_kib`` is of each connection to SQLite.
    """
    if folder.database_url.exists():
        return Store(folder, on_postgres.Postgres(folder.database_url, busy_seconds=busy_seconds))
    return Store(folder, on_sqlite.Sqlite(folder.database, cache_kib=cache_kib, busy_seconds=busy_seconds))


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
    store = found_store(data, cache_kib=cache_kib, busy_seconds=busy_seconds)
    try:
        with database_errors(data), store.reading() as session:
            schema.check(session.connection(), str(store.database))
            if session.execute(select(ServiceRow)).first() is None:
                raise UsageError(f"there is no service in {store.database}", hint="make one with 'hashscan service init'")
    except BaseException:
        store.close()
        raise
    return store


def found_store(data: Path, *, cache_kib: int = SERVER_CACHE_KIB, busy_seconds: float = 5.0) -> Store:
    """Like `checked_store`, of any schema: for `Store.upgrade`."""
    folder = Folder(data)
    if not folder.database.is_file() and not folder.database_url.is_file():
        raise UsageError(f"there is no service in {data}", hint="make one with 'hashscan service init'")
    store = connect(folder, cache_kib=cache_kib, busy_seconds=busy_seconds)
    store.database.check()
    return store


@contextmanager
def database_errors(data: Path) -> Iterator[None]:
    """The gate of SQLAlchemy for operators' commands: busy is `LockedError`, everything else a `HashscanError`."""
    try:
        yield
    except OperationalError as error:
        if is_busy(error):
            raise LockedError(f"the database in {data} is in use", hint="another import runs; try again after it") from None
        if is_away(error):
            raise HashscanError(
                f"the database of {data} does not answer: {error.orig}", hint="is the server running?"
            ) from None
        raise HashscanError(f"the database in {data}: {error.orig}", hint="is the disk full or the file damaged?") from None
    except SQLAlchemyError as error:
        raise HashscanError(f"the database in {data}: {type(error).__name__}: {getattr(error, 'orig', error)}") from None


def is_busy(error: OperationalError) -> bool:
    """Whether another process holds the database: wait, nothing is wrong."""
    return on_sqlite.is_busy(error) or on_postgres.is_busy(error)


def is_away(error: OperationalError) -> bool:
    """Whether there is no connection to the database now: its server is being restarted, or has too many."""
    return on_postgres.is_away(error)
