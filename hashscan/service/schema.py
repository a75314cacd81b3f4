"""Which tables the database has and which this program needs: numbered revisions (`migrations`), applied by alembic.

Forward only: to go back, restore the backup. The number in force is in the table ``alembic_version``.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from hashscan.errors import HashscanError, UsageError
from hashscan.service import tables_back, tables_exchange, tables_out
from hashscan.service.tables import Base
from hashscan.service.web import tables as web_tables

if TYPE_CHECKING:
    from alembic.config import Config

FOLDER = Path(__file__).parent / "migrations"
FIRST = "0001"
ALL_TABLES = (tables_back, tables_exchange, tables_out, web_tables)
"""Modules with tables beside `tables`: only what is imported is known."""
METADATA = Base.metadata
_VERSION_TABLE = "alembic_version"
_FILE = re.compile(r"r([0-9]{4})_[a-z0-9_]+\.py")


def revisions() -> list[str]:
    """The numbers of all revisions that this program knows, in order."""
    return sorted(match[1] for name in os.listdir(FOLDER / "versions") if (match := _FILE.fullmatch(name)))


def head() -> str:
    """The number of the tables that this program works with."""
    return revisions()[-1]


def current(connection: Connection) -> str | None:
    """The number of the tables that are there; None where there are none, or they are older than the first revision."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalars().all()  # noqa: S608 - our name
    if len(found) != 1:
        raise HashscanError(f"the table {_VERSION_TABLE} has {len(found)} rows instead of one", hint="restore the backup")
    return str(found[0])


def has_tables(connection: Connection) -> bool:
    """Whether there is any of our tables."""
    return not {*METADATA.tables, _VERSION_TABLE}.isdisjoint(inspect(connection).get_table_names())


def check(connection: Connection, where: str) -> None:
    """Raises `UsageError` where the tables are older or newer than this program, or not there."""
    have, need = current(connection), head()
    if have == need:
        return
    refuse_newer(have, where)
    if have is None and not has_tables(connection):
        raise UsageError(f"there is no service in {where}", hint="make one with 'hashscan service init'")
    hint = "stop the service, take a backup, then run 'hashscan service upgrade'"
    raise UsageError(f"{where} has schema {have or 'of an older version'}, this program needs schema {need}", hint=hint)


def refuse_newer(have: str | None, where: str) -> None:
    """Raises `UsageError` where this program does not know the tables: a newer one made them."""
    if have is not None and have not in revisions():
        raise UsageError(
            f"{where} has schema {have}, this program knows schemas up to {head()}",
            hint="a newer hashscan made it: install that version",
        )


def migrate(connection: Connection, *, target: str | None = None) -> None:
    """Make the tables, or make them newer, in the caller's transaction; ``target`` is the head by default."""
    from alembic import command  # noqa: PLC0415 - heavy, and needed by init and upgrade only

    command.upgrade(config(connection), target or head())


def adopt(connection: Connection, revision: str) -> None:
    """Say of tables that are older than the migrations whose they are."""
    from alembic import command  # noqa: PLC0415 - see above

    command.stamp(config(connection), revision)


def drop(connection: Connection) -> None:
    """Take back what `migrate` made, for a service that could not be made."""
    METADATA.drop_all(connection)
    connection.execute(text(f"DROP TABLE IF EXISTS {_VERSION_TABLE}"))


def config(connection: Connection) -> Config:
    """What alembic is told: where the revisions are, and the connection to work on."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    made = Config()
    made.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made
