"""Reading without a session, for what is asked hundreds of times a second: statements as text, rows as tuples.

A statement is written as an expression of SQLAlchemy, once, and compiled once for each database; the driver gets its text.
Measured (docs/decisions/0045): six statements in one transaction take 54 us this way, 530 us as text through SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Dialect, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Executable
from sqlalchemy.sql.compiler import SQLCompiler

Row = tuple[Any, ...]
_Values = Mapping[str, Any]
_Text = tuple[str, Callable[[_Values], Any]]


class Statement:
    """A SELECT with parameters by name (`bindparam`, `dialects.integers`); no lists that expand."""

    def __init__(self, expression: Executable) -> None:
        self._expression = expression
        self._texts: dict[str, _Text] = {}

    def text(self, dialect: Dialect) -> _Text:
        """What the driver is told, and what makes its parameters of values by name."""
        found = self._texts.get(dialect.name)
        if found is None:
            found = self._texts[dialect.name] = _compiled(self._expression, dialect)
        return found


def _compiled(expression: Executable, dialect: Dialect) -> _Text:
    compiled = expression.compile(dialect=dialect)  # type: ignore[attr-defined]  # every clause can be compiled
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - for the type checker
    fixed = compiled.params
    convert = {name: bind.type.dialect_impl(dialect).bind_processor(dialect) for name, bind in compiled.binds.items()}

    def value(name: str, values: _Values) -> Any:
        given = values[name] if name in values else fixed[name]
        through = convert[name]
        return given if through is None else through(given)

    if compiled.positiontup is None:
        names = tuple(fixed)
        return str(compiled), lambda values: {name: value(name, values) for name in names}
    order = tuple(compiled.positiontup)
    return str(compiled), lambda values: [value(name, values) for name in order]


def quick_rows(connection: Connection, statement: Statement, **values: Any) -> list[Row]:
    """All rows of a statement in a transaction that is open already, as the driver gives them."""
    text, parameters = statement.text(connection.dialect)
    given = parameters(values)
    with connection.exec_driver_sql(text, given if isinstance(given, dict) else tuple(given)) as result:
        return list(result.cursor.fetchall())


class Asking:
    """One transaction that reads one state of the database. Used by one thread; what a driver raises comes as SQLAlchemy's.

    A connection that was lost before the first answer (the server was restarted since it was last used) is replaced once.
    """

    def __init__(self, engine: Engine, begin: str | None) -> None:
        self._engine, self._begin = engine, begin
        self._error = engine.dialect.loaded_dbapi.Error
        self._answered = False
        self._open()

    def _open(self) -> None:
        try:
            self._connection = self._engine.raw_connection()
        except self._error as error:
            raise self._ours(error) from None
        self._cursor = self._connection.cursor()
        if self._begin is not None:
            self._cursor.execute(self._begin)

    def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """All rows of the answer."""
        text, parameters = statement.text(self._engine.dialect)
        try:
            try:
                return self._rows(text, parameters(values))
            except self._error as error:
                if self._answered or not self._is_gone(error):
                    raise
                self._open()
                return self._rows(text, parameters(values))
        except self._error as error:
            self._is_gone(error)
            raise self._ours(error) from None

    def _rows(self, text: str, parameters: Any) -> list[Row]:
        self._cursor.execute(text, parameters)
        found: list[Row] = list(self._cursor.fetchall())
        self._answered = True
        return found

    def _is_gone(self, error: Exception) -> bool:
        """Whether the server closed the connection; then it closed the others too, and none is used again."""
        gone = self._engine.dialect.is_disconnect(error, self._connection.dbapi_connection, None)  # type: ignore[arg-type]
        if gone:
            self._connection.invalidate(error)
            self._engine.dispose()
        return gone

    def _ours(self, error: Exception) -> DBAPIError:
        made = DBAPIError.instance("", None, error, self._error, hide_parameters=True, dialect=self._engine.dialect)
        assert isinstance(made, DBAPIError)  # noqa: S101 - it is none only for errors that are not of the driver
        return made

    def close(self) -> None:
        """End the transaction; the connection is used again.

        By COMMIT, though nothing was written: after the ROLLBACK by which the pool would end it, psycopg forgets what it has
        prepared, and the server plans each statement anew.
        """
        if self._answered and self._connection.is_valid:
            with suppress(self._error):  # it went away after the answer: the pool notices
                self._connection.commit()
        self._connection.close()
