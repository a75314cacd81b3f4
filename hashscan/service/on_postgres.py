"""PostgreSQL, for a hotline with many agents: readers and writers of different things do not wait for each other.

All that is said to PostgreSQL in its own dialect is here, and in `dialects`. The driver is psycopg 3 (extra `postgres`).
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

from hashscan.errors import UsageError
from hashscan.service.asking import Asking
from hashscan.service.private_files import refuse_readable

URL_HINT = "one line, like postgresql://hashscan@/hashscan?host=/run/postgresql"
_MAX_URL_BYTES = 4096
_LOCK_CLASS = 0x68736301  # of our advisory locks; the second half is the schema, so that two services share one database
_CONNECT_SECONDS = 10
_AWAY = ("08", "57P01", "57P02", "57P03", "53300")  # SQLSTATEs: no connection, shutting down, starting up, too many connections
_LOCK_NOT_AVAILABLE = "55P03"


class Postgres:
    """A `database.Database` on a server. ``busy_seconds``: how long a writer waits for another."""

    def __init__(self, url_file: Path, *, busy_seconds: float) -> None:
        self._url_file = url_file
        self._url = read_url(url_file)
        self._busy_seconds = busy_seconds
        try:
            self._engine = create_engine(
                self._url,
                isolation_level="REPEATABLE READ",
                connect_args={"connect_timeout": _CONNECT_SECONDS, "application_name": "hashscan"},
                hide_parameters=True,  # else a traceback in a log would hold digests
                pool_size=20,
                max_overflow=20,
            )
        except ModuleNotFoundError:
            raise UsageError("PostgreSQL needs psycopg", hint="pip install 'hashscan[postgres]'") from None

    def __str__(self) -> str:
        return self._url.set(password=None).render_as_string().replace("postgresql+psycopg", "postgresql", 1)

    @property
    def reader(self) -> Engine:
        """Each transaction sees one state of the database."""
        return self._engine

    def asking(self) -> Asking:
        """A transaction that reads; the driver begins it with the first statement, REPEATABLE READ."""
        return Asking(self._engine, None)

    def writer(self, *, wait: bool) -> Engine:  # noqa: ARG002 - SQLite locks as a transaction begins, here `lock` does it
        """READ COMMITTED: each statement after the lock sees what the writer before has committed."""
        return self._engine.execution_options(isolation_level="READ COMMITTED")

    def lock(self, connection: Connection, *, wait: bool) -> None:
        """The write lock, until the transaction ends. Without ``wait`` it fails at once where another has it."""
        milliseconds = int(1000 * self._busy_seconds) if wait else 1
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, milliseconds)}")
        statement = text("SELECT pg_advisory_xact_lock(:kind, hashtext(current_schema()))")
        connection.execute(statement, {"kind": _LOCK_CLASS})

    def migrator(self) -> Engine:
        """A writer."""
        return self.writer(wait=True)

    def check_migrated(self, connection: Connection) -> None:
        """The server has checked."""

    def adopted(self, connection: Connection) -> str | None:  # noqa: ARG002
        """None: there was no service on PostgreSQL before there were migrations."""
        return None

    def check(self) -> None:
        """Raises `UsageError` where others may read the file with the URL."""
        refuse_readable(self._url_file)

    def make(self) -> None:
        """The database is made by its administrator."""

    def after_bulk(self) -> None:
        """Tell the planner how much there is now: else the next questions may be answered by reading everything."""
        with self._engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            connection.exec_driver_sql("ANALYZE entry, known_good")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def read_url_file(path: Path) -> bytes:
    """The content of a file with the URL of a database, checked. Raises `UsageError` (see `read_url`)."""
    read_url(path)
    return path.read_bytes()


def read_url(path: Path) -> URL:
    """The URL in a file of mode 0600. Raises `UsageError`, which does not repeat the URL: there may be a password in it."""
    try:
        refuse_readable(path)
        with path.open("rb") as stream:
            lines = stream.read(_MAX_URL_BYTES).decode("utf-8").split("\n")
        url = make_url(lines[0].strip())
        if any(line.strip() for line in lines[1:]) or url.get_backend_name() != "postgresql":
            raise ValueError
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, ArgumentError):
        raise UsageError(f"{path} does not hold the URL of a PostgreSQL database", hint=URL_HINT) from None
    return url.set(drivername="postgresql+psycopg")


def is_busy(error: OperationalError) -> bool:
    """Whether another writer holds the lock."""
    return getattr(error.orig, "sqlstate", None) == _LOCK_NOT_AVAILABLE


def is_away(error: DBAPIError) -> bool:
    """Whether the server does not answer, or not now: it is being restarted, or has too many connections."""
    state = getattr(error.orig, "sqlstate", "")
    if state:
        return state.startswith(_AWAY)
    return type(error.orig).__module__.startswith("psycopg") and type(error.orig).__name__ == "OperationalError"
