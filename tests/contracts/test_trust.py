"""What `ports.Trust` promises, whatever brings the bytes: from memory, from a folder on a stick, or over HTTP."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hashscan.central.client import HttpFetcher, Link
from hashscan.central.retry import Backoff
from hashscan.errors import FilterError, NotPublishedError
from hashscan.known.trust import FolderFetcher
from hashscan.ports import Fetcher, Trust
from tests.support.hostile_http import HostileServer, reply
from tests.support.hotline import LIST, PROVIDER, Hotline, Known

Make = Callable[[Hotline], Fetcher]


@pytest.fixture(params=["memory", "folder", "http"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    servers: list[HostileServer] = []
    fetchers: list[HttpFetcher] = []

    def folder(hotline: Hotline) -> Fetcher:
        (tmp_path / "stick").mkdir(exist_ok=True)
        for name, data in hotline.files.items():
            (tmp_path / "stick" / name).write_bytes(data)
        return FolderFetcher(tmp_path / "stick")

    def http(hotline: Hotline) -> Fetcher:
        def answer(connection: socket.socket) -> None:
            name = servers[-1].requests[-1].split(b" ")[1].decode().rpartition("/")[2]
            data = hotline.files.get(name)
            (reply("404 Not Found") if data is None else reply("200 OK", body=data))(connection)

        servers.append(HostileServer(answer).__enter__())
        fetchers.append(HttpFetcher(Link(servers[-1].url, "hsk_x"), backoff=Backoff(attempts=1)))
        return fetchers[-1]

    yield {"memory": lambda hotline: hotline, "folder": folder, "http": http}[request.param]
    for fetcher in fetchers:
        fetcher.close()
    for server in servers:
        server.__exit__(None, None, None)


@pytest.fixture
def hotline() -> Hotline:
    hotline = Hotline(lists={LIST: [Known(b"harmless")]})
    hotline.repository.rotate_online()
    hotline.publish()
    return hotline


def trusting(hotline: Hotline, tmp_path: Path) -> Trust:
    return hotline.trust(tmp_path / "tuf")


def test_what_is_refreshed_can_be_reopened(make: Make, hotline: Hotline, tmp_path: Path) -> None:
    lists = trusting(hotline, tmp_path).refresh(make(hotline))
    assert (lists.provider, lists.sequence, [target.list for target in lists.targets]) == (PROVIDER, 1, [LIST])
    assert lists.verdict_keys == hotline.verdict_keys
    assert trusting(hotline, tmp_path).reopen(lists.proof) == lists
    assert hotline.trust(tmp_path / "elsewhere").reopen(lists.proof) == lists, "nothing but the proof is needed"


def test_a_refresh_may_be_repeated_and_moves_forward(make: Make, hotline: Hotline, tmp_path: Path) -> None:
    trust = trusting(hotline, tmp_path)
    first = trust.refresh(make(hotline))
    assert trust.refresh(make(hotline)) == first
    hotline.publish()
    assert trust.refresh(make(hotline)).sequence == 2


def test_nothing_published(make: Make, tmp_path: Path) -> None:
    hotline = Hotline()
    with pytest.raises(NotPublishedError, match=r"timestamp\.json"):
        trusting(hotline, tmp_path).refresh(make(hotline))


def test_what_cannot_be_trusted(make: Make, hotline: Hotline, tmp_path: Path) -> None:
    trust = trusting(hotline, tmp_path)
    trust.refresh(make(hotline))
    stranger = Hotline(lists={LIST: [Known(b"harmless")]}, sequence=9)
    stranger.publish()
    for change in (stranger.files["timestamp.json"], b"", b"{}", b"x" * 20_000):
        hotline.files["timestamp.json"] = change
        with pytest.raises(FilterError, match=r"timestamp\.json|allowed"):
            trust.refresh(make(hotline))


@pytest.mark.parametrize("proof", [b"", b"{}", b"x" * 5_000_000])
def test_no_proof(hotline: Hotline, tmp_path: Path, proof: bytes) -> None:
    with pytest.raises(FilterError):
        trusting(hotline, tmp_path).reopen(proof)
