"""The line to the service: how long everything may take together, what it says of itself, and which answers are good."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hashscan.central.client import HttpFetcher, Line, Link
from hashscan.central.retry import Backoff
from hashscan.errors import HashscanError, NotPublishedError, RefusedError, ServiceUnavailable
from tests.support.hostile_http import HostileServer, Script, reply, trickle

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
SLACK = 0.9  # seconds for a busy machine
ONCE = Backoff(attempts=1)


def link(url: str, **changes: float) -> Link:
    limits = {"connect_timeout": 0.5, "read_timeout": 5.0, "deadline": 30.0, "min_rate": 1.0, **changes}
    return Link(url, "hsk_x", **limits)  # type: ignore[arg-type]


def seconds(call: Callable[[], object], says: str) -> float:
    began = time.monotonic()
    with pytest.raises(ServiceUnavailable, match=says):
        call()
    return time.monotonic() - began


def fetch(fetcher: HttpFetcher, name: str = "timestamp.json", max_bytes: int = 100_000) -> bytes:
    return b"".join(fetcher.fetch(name, max_bytes=max_bytes))


SLOWLY: dict[str, Script] = {
    "body": trickle(OK + b"Content-Length: 90000\r\n\r\n", b"x", 0.02),
    "body without a length": trickle(OK + b"\r\n", b"x", 0.02),
    "header": trickle(OK + b"X: ", b"x", 0.02),
    "status line": trickle(b"", b"H", 0.02),
    "nothing": trickle(b"", b"", 0.02),
}


@pytest.mark.parametrize("script", SLOWLY.values(), ids=SLOWLY)
def test_all_fetches_of_one_fetcher_end_by_the_total(script: Script) -> None:
    """A quick file, one that trickles, and then nobody is asked any more."""
    with HostileServer(reply("200 OK", body=b"quick"), script) as server:
        fetcher = HttpFetcher(link(server.url, total=0.6))
        began = time.monotonic()
        assert fetch(fetcher) == b"quick"
        seconds(lambda: fetch(fetcher, "7.snapshot.json"), "too long|too slowly|timed out|no answer")
        assert time.monotonic() - began < 0.6 + SLACK
        time.sleep(max(0.0, 0.6 - (time.monotonic() - began)))
        asked = len(server.requests)
        assert seconds(lambda: fetch(fetcher, "7.targets.json"), "the sync took longer than 0.6 seconds") < 0.1
        assert len(server.requests) == asked == 2
        fetcher.close()


def test_the_total_begins_with_the_first_fetch() -> None:
    with HostileServer(reply("200 OK", body=b"quick")) as server:
        fetcher = HttpFetcher(link(server.url, total=0.3))
        pieces = fetcher.fetch("a", max_bytes=10)
        time.sleep(0.4)
        assert b"".join(pieces) == b"quick"
        time.sleep(0.4)
        seconds(lambda: fetch(fetcher), "the sync took longer")
        fetcher.close()


@pytest.mark.parametrize("max_bytes", [10_000, 10_000_000], ids=["metadata", "a filter"])
def test_what_comes_below_the_rate_ends_after_the_grace(max_bytes: int) -> None:
    """Small files too: half of the time allowed for it would let a trickle hold each of four metadata files."""
    with HostileServer(SLOWLY["body"]) as server:
        fetcher = HttpFetcher(link(server.url, min_rate=1000.0, grace=0.4))
        assert 0.3 < seconds(lambda: fetch(fetcher, max_bytes=max_bytes), "too slowly") < 0.4 + SLACK
        fetcher.close()


def test_the_rate_counts_from_the_request_on() -> None:
    """Headers that trickle are no way around it."""

    def script(connection: object) -> None:
        time.sleep(0.5)
        trickle(OK + b"Content-Length: 9000\r\n\r\nx", b"x", 0.02)(connection)  # type: ignore[arg-type]

    with HostileServer(script) as server:
        fetcher = HttpFetcher(link(server.url, min_rate=1000.0, grace=0.4))
        assert seconds(lambda: fetch(fetcher), "too slowly") < 0.5 + 0.2 + SLACK
        fetcher.close()


def test_control_what_is_fast_enough() -> None:
    with HostileServer(trickle(OK + b"Content-Length: 20000\r\n\r\n", b"x" * 1000, 0.02, times=20)) as server:
        fetcher = HttpFetcher(link(server.url, min_rate=1000.0, grace=0.1))
        assert len(fetch(fetcher)) == 20_000
        fetcher.close()


@pytest.mark.parametrize("outside", [FileNotFoundError("a file of ours"), ValueError("version 7, not 6")], ids=repr)
@pytest.mark.parametrize(
    "script", [trickle(b"", b"", 0.02), reply("200 OK", body=b"x", length=9, reset=True)], ids=["slow", "reset"]
)
def test_what_the_caller_was_handling_is_not_the_reason(outside: Exception, script: Script) -> None:
    """tuf fetches a file while it handles that its own copy is missing or old."""
    with HostileServer(script) as server:
        fetcher = HttpFetcher(link(server.url, total=0.4))
        try:
            raise outside
        except type(outside):
            with pytest.raises(ServiceUnavailable) as caught:
                fetch(fetcher)
        fetcher.close()
    assert str(outside) not in str(caught.value)
    assert f"no answer from {server.url}: " in str(caught.value)


def ask(url: str, *, api_key: str | None = "hsk_x", **more: object) -> bytes:
    line = Line(Link(url, api_key, deadline=2.0), ONCE)
    try:
        return line.ask("POST", "/v1/enrol", b"{}", **more)  # type: ignore[arg-type]
    finally:
        line.close()


def test_without_an_api_key_none_is_sent() -> None:
    with HostileServer(reply("200 OK", body=b"x")) as server:
        assert ask(server.url, api_key=None) == b"x"
        assert b"authorization" not in server.requests[0].lower()
        ask(server.url)
        assert b"Authorization: Bearer hsk_x" in server.requests[1]


def test_a_good_status_is_what_the_caller_says() -> None:
    with HostileServer(reply("201 Created", body=b"made")) as server:
        assert ask(server.url, good=frozenset({200, 201})) == b"made"
        with pytest.raises(ServiceUnavailable, match="201"):
            ask(server.url)


@pytest.mark.parametrize(("status", "kind"), [("410 Gone", RefusedError), ("404 Not Found", ServiceUnavailable)])
def test_what_other_requests_are_told(status: str, kind: type[HashscanError]) -> None:
    with HostileServer(reply(status)) as server, pytest.raises(kind):
        ask(server.url)


def test_a_file_that_is_not_published_is_told_apart() -> None:
    with HostileServer(reply("404 Not Found")) as server:
        fetcher = HttpFetcher(link(server.url))
        with pytest.raises(NotPublishedError, match=r"2\.root\.json"):
            fetch(fetcher, "2.root.json")
        fetcher.close()


def test_cookies_are_not_kept() -> None:
    with HostileServer(reply("200 OK", "Set-Cookie: a=b; Path=/", body=b"x")) as server:
        line = Line(link(server.url), ONCE)
        for _ in range(2):
            line.ask("POST", "/v1/confirm", b"{}")
        line.close()
        assert not any(b"cookie" in request.lower() for request in server.requests)
