"""What every implementation of `ports.Fetcher` promises: the bytes, in pieces, never more than allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashscan.central.client import HttpFetcher, Link
from hashscan.errors import FilterError
from hashscan.known.trust import FolderFetcher
from hashscan.ports import Fetcher
from tests.support.hostile_http import HostileServer, reply
from tests.support.hotline import Hotline

Make = Callable[[dict[str, bytes]], Fetcher]


@pytest.fixture(params=["folder", "http", "fake"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    servers: list[HostileServer] = []
    fetchers: list[HttpFetcher] = []

    def folder(files: dict[str, bytes]) -> Fetcher:
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        return FolderFetcher(tmp_path)

    def http(files: dict[str, bytes]) -> Fetcher:
        (data,) = files.values() or [b""]
        server = HostileServer(reply("200 OK", body=data) if files else reply("404 Not Found"))
        servers.append(server.__enter__())
        fetchers.append(HttpFetcher(Link(server.url, "hsk_x")))
        return fetchers[-1]

    yield {"folder": folder, "http": http, "fake": lambda files: Hotline(files=files)}[request.param]
    for fetcher in fetchers:
        fetcher.close()
    for server in servers:
        server.__exit__(None, None, None)


@pytest.mark.parametrize("size", [0, 1, 100, 700_000])
def test_all_the_bytes_and_not_one_more_than_allowed(make: Make, size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    fetcher = make({"x-1-1.filter": data})
    assert b"".join(fetcher.fetch("x-1-1.filter", max_bytes=size)) == data
    if size:
        with pytest.raises(FilterError):
            b"".join(fetcher.fetch("x-1-1.filter", max_bytes=size - 1))


def test_what_is_not_published(make: Make) -> None:
    with pytest.raises(FilterError):
        b"".join(make({}).fetch("lists.json", max_bytes=10))


def test_nothing_is_fetched_before_it_is_read(make: Make) -> None:
    make({}).fetch("lists.json", max_bytes=10)
