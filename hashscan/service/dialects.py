"""The few expressions that SQLite and PostgreSQL write differently, as expressions of SQLAlchemy: one text for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Boolean, Connection, Dialect, Text, bindparam
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType
from sqlalchemy.types import TypeDecorator, TypeEngine


class _Integers(TypeDecorator[Iterable[int]]):
    """Any number of integers as one parameter: 10,000 parameters cost 15 ms to write out each time."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return postgresql.ARRAY(BigInteger()) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Iterable[int] | None, dialect: Dialect) -> Any:
        ordered = sorted(value or ())
        return ordered if dialect.name == "postgresql" else json.dumps(ordered)


def integers(name: str | None = None, value: Iterable[int] = ()) -> BindParameter[Any]:
    """A parameter for `among`: any number of integers, given now or by name when the statement is executed."""
    return bindparam(name, type_=_Integers()) if name is not None else bindparam(None, list(value), type_=_Integers())


class among(FunctionElement[bool]):  # noqa: N801 - reads like `and_` in a statement
    """``among(column, integers(...))``: whether the column is one of them; found by an index of the column."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> Any:  # noqa: ARG002 - as in SQLAlchemy
        """Itself. SQLAlchemy would write ``(...) = 1`` for SQLite, which then uses no index and reads the whole table."""
        return self


@compiles(among, "sqlite")
def _among_json(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, wanted = (compiler.process(one, **options) for one in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({wanted})))"  # noqa: S608 - of compiled parts


@compiles(among, "postgresql")
def _among_array(element: among, compiler: SQLCompiler, **options: Any) -> str:
    column, wanted = (compiler.process(one, **options) for one in element.clauses)
    return f"({column} = ANY({wanted}))"


class day_of(FunctionElement[int]):  # noqa: N801 - reads like a function in a statement
    """``day_of(column)``: days since 1970 of a time in seconds since 1970 that is not before; null of null."""

    type = BigInteger()
    inherit_cache = True


@compiles(day_of, "sqlite")
def _day_sqlite(element: day_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"(CAST({compiler.process(element.clauses, **options)} AS INTEGER) / 86400)"


@compiles(day_of, "postgresql")
def _day_postgres(element: day_of, compiler: SQLCompiler, **options: Any) -> str:
    return f"(CAST(floor({compiler.process(element.clauses, **options)}) AS BIGINT) / 86400)"  # a cast alone rounds


def insert_missing(connection: Connection, table: type[DeclarativeBase], rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows, those whose key is there already aside."""
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(make(table).on_conflict_do_nothing(), rows)
