"""The tables in the code, the revisions that make them, and what happens when a database is older or newer."""

from __future__ import annotations

import importlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import BigInteger, Column, MetaData, Table, inspect, select, text
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.service import admin, schema
from hashscan.service.store import Folder, Store, connect, found_store, open_store
from hashscan.service.tables import Base, Entry
from tests.support import databases
from tests.support.databases import both
from tests.support.service import load, make, sha1


@pytest.fixture
def empty(tmp_path: Path, each_database: str) -> Iterator[Store]:
    """A data folder with a database without tables."""
    url = databases.url_file(tmp_path)
    if url is not None:
        url.rename(tmp_path / "database.url")
    store = connect(Folder(tmp_path), cache_kib=1024, busy_seconds=5.0)
    store.database.make()
    yield store
    store.close()


def differences(store: Store, metadata: MetaData = Base.metadata) -> list[object]:
    with store.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        return list(compare_metadata(context, metadata))


def test_models_and_migrations_agree(empty: Store) -> None:
    assert empty.upgrade() == ("", schema.head())
    assert differences(empty) == []
    with empty.reading() as session:
        assert set(inspect(session.connection()).get_table_names()) == {*Base.metadata.tables, "alembic_version"}


def test_control_a_column_without_a_revision_is_noticed(empty: Store) -> None:
    empty.upgrade()
    changed = MetaData(naming_convention=Base.metadata.naming_convention)
    for table in Base.metadata.tables.values():
        table.to_metadata(changed)
    changed.tables["provider"].append_column(Column("quota", BigInteger))
    Table("extra", changed, Column("id", BigInteger, primary_key=True))
    assert {str(one[0]) for one in differences(empty, changed)} == {"add_column", "add_table"}


def test_revisions_are_one_line_without_gaps() -> None:
    script = ScriptDirectory(str(schema.FOLDER))
    assert script.get_heads() == [schema.head()]
    known = schema.revisions()
    assert known == [f"{number:04}" for number in range(1, len(known) + 1)]
    assert [one.revision for one in script.walk_revisions()] == known[::-1]
    for one in script.walk_revisions():
        assert Path(one.path).name.startswith(f"r{one.revision}_")
        assert not hasattr(one.module, "downgrade"), "a way back is a backup"


def test_a_service_of_the_first_revision_is_upgraded_with_what_is_in_it(empty: Store, tmp_path: Path) -> None:
    empty.upgrade(target=schema.FIRST)
    with empty.writing() as session:
        session.execute(text("INSERT INTO service (id, name, created, wait, jitter) VALUES (1, 'old', 1.5, 3600, 1800)"))
        session.execute(text("INSERT INTO hash_list (id, name, version, created) VALUES (1, 'police', 0, 1.5)"))
        session.execute(
            text(
                "INSERT INTO entry (id, public_id, list_id, sha1, sha1_p, size, category, standing, act, sources, created,"
                " changed) VALUES (1, 'e_a', 1, :sha1, :p, :size, 'x', 'active', 'report', '[]', 1.5, 1.5)"
            ),
            {"sha1": b"\xff" * 20, "p": 2**32 - 1, "size": 2**40},
        )
    if schema.head() != schema.FIRST:
        with pytest.raises(UsageError, match="this program needs schema"):
            admin.stats(tmp_path)
    assert admin.upgrade(tmp_path).after == schema.head()
    assert admin.stats(tmp_path).name == "old"
    with open_store(tmp_path) as store, store.reading() as session:
        entry = session.scalars(select(Entry)).one()
        assert (entry.sha1, entry.sha1_p, entry.size) == (b"\xff" * 20, 2**32 - 1, 2**40)
    assert differences(empty) == []


@both
def test_an_upgrade_of_a_service_that_is_new_enough_changes_nothing(tmp_path: Path) -> None:
    data = make(tmp_path)
    load(data, sha1("a"))
    done = admin.upgrade(data)
    assert (done.before, done.after) == (schema.head(), schema.head())
    assert admin.stats(data).lists[0].entries == {"active": 1, "test": 1}


@both
def test_a_schema_that_this_program_does_not_know_is_refused(tmp_path: Path) -> None:
    data = make(tmp_path)
    for version in ("0000", "9999"):
        with open_store_of_any(data) as session:
            session.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        for act in (admin.stats, admin.upgrade):
            with pytest.raises(UsageError, match="knows schemas up to") as caught:
                act(data)
            assert "install that version" in caught.value.hint


@both
def test_a_database_that_lost_its_number_is_not_touched(tmp_path: Path) -> None:
    data = make(tmp_path)
    with open_store_of_any(data) as session:
        session.execute(text("DROP TABLE alembic_version"))
    with pytest.raises(UsageError, match="has schema of an older version") as caught:
        admin.stats(data)
    assert "service upgrade" in caught.value.hint
    with pytest.raises(UsageError, match="no hashscan made"):
        admin.upgrade(data)


class open_store_of_any:  # noqa: N801
    """A session that writes, whatever the schema is."""

    def __init__(self, data: Path) -> None:
        self._store = found_store(data)

    def __enter__(self) -> Session:
        self._writing = self._store.writing()
        return self._writing.__enter__()

    def __exit__(self, *error: object) -> None:
        self._writing.__exit__(None, None, None)
        self._store.close()


def test_a_database_from_before_the_migrations_is_taken_over(tmp_path: Path) -> None:
    """Such a file has no table of alembic and 2 as its user_version."""
    store = connect(Folder(tmp_path), cache_kib=1024, busy_seconds=5.0)
    store.database.make()
    store.upgrade(target=schema.FIRST)
    store.close()
    with closing(sqlite3.connect(tmp_path / "service.sqlite3")) as connection:
        connection.executescript("DROP TABLE alembic_version; PRAGMA user_version=2")
        connection.execute("INSERT INTO service (id, name, created, wait, jitter) VALUES (1, 'old', 1.5, 3600, 1800)")
        connection.commit()
    with pytest.raises(UsageError, match="older version"):
        admin.stats(tmp_path)
    assert (admin.upgrade(tmp_path).before, admin.upgrade(tmp_path).before) == ("", schema.head())
    assert admin.stats(tmp_path).name == "old"


def test_every_revision_says_what_it_is_for() -> None:
    for number in schema.revisions():
        name = next(path.stem for path in (schema.FOLDER / "versions").glob(f"r{number}_*.py"))
        assert importlib.import_module(f"hashscan.service.migrations.versions.{name}").__doc__
