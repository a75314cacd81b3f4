"""On which database the tests of the service run: SQLite, and those that ask for `each_database` on PostgreSQL too.

The server is started by the first test that needs it and serves all of the session.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.postgres import Server

_services = itertools.count(1)
_server: Server | None = None


def server() -> Server:
    """The server of this session."""
    global _server  # noqa: PLW0603 - one for all tests
    if _server is None:
        folder = Path(tempfile.mkdtemp(prefix="hashscan-pg-"))
        _server = Server(folder)
    return _server


def pytest_unconfigure() -> None:
    """Stop the server at the end of the session."""
    global _server  # noqa: PLW0603
    if _server is not None:
        _server.stop()
        shutil.rmtree(_server.folder)
        _server = None


_chosen = "sqlite"


def chosen() -> str:
    """The database of the test that is running: "sqlite" or "postgresql"."""
    return _chosen


@contextmanager
def choose(name: str) -> Iterator[None]:
    global _chosen  # noqa: PLW0603 - a test has one
    before, _chosen = _chosen, name
    try:
        yield
    finally:
        _chosen = before


def url_file(beside: Path) -> Path | None:
    """What `admin.init` takes as its database in this test: a fresh one, the URL in a file in ``beside``; None for SQLite."""
    if _chosen == "sqlite":
        return None
    number = next(_services)
    path = beside / f"database-{number}.url"
    path.touch(mode=0o600)
    path.write_text(server().url(f"service_{number}") + "\n")
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.optional("postgresql"))])
def each_database(request: pytest.FixtureRequest) -> Iterator[str]:
    """The test runs on both: `tests.support.service.make` makes its services there."""
    with choose(request.param):
        yield request.param


both = pytest.mark.usefixtures("each_database")
"""Marks a test that runs on both databases."""
