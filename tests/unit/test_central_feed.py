"""Pages of a source over HTTPS: who is believed, what is bounded, what is asked for again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hashscan.central.feed import FeedLine
from hashscan.central.link import Clock, Link
from hashscan.central.retry import Backoff
from hashscan.errors import RefusedError, ServiceUnavailable, UsageError
from tests.support.hostile_http import HostileServer, reply, say, trickle
from tests.support.list_files import entry
from tests.support.ncmec import LOGIN, Source, serving
from tests.support.tls import Certificates

PATH = "/v2/entries?from=a&to=b"
HASTE = Backoff(first=0.0, most=0.0)


def ask(url: str, *, ca_file: Path | None = None, max_bytes: int = 1 << 20, clock: Clock | None = None, **link: Any) -> bytes:
    """The page at `PATH`."""
    attempts: list[bytes] = []
    line = FeedLine(Link(url, None, ca_file, basic=LOGIN, deadline=5.0, **link), backoff=HASTE, clock=clock)

    def save(pieces: Iterator[bytes]) -> None:
        attempts.append(b"")
        for piece in pieces:
            attempts[-1] += piece

    try:
        line.page(PATH, save, max_bytes=max_bytes)
    finally:
        line.close()
    return attempts[-1]


def test_over_tls_with_the_right_authority_only(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with serving(Source([entry("a")]), certificates.honest) as source:
        assert b"queryResult" in ask(source.url, ca_file=certificates.ca_file)
        with pytest.raises(ServiceUnavailable, match="no trusted connection"):
            ask(source.url, ca_file=certificates.stranger_file)
        assert len(source.asked) == 1, "no password to a stranger"
    with serving(Source(), certificates.of_another_name) as source, pytest.raises(ServiceUnavailable, match="no trusted"):
        ask(source.url, ca_file=certificates.ca_file)


def test_bounds() -> None:
    """More bytes than a page may have, a body that trickles, one that ends too early, all pages together."""
    with serving(Source([entry("a")])) as source:
        with pytest.raises(ServiceUnavailable, match="more than the 100 bytes"):
            ask(source.url, max_bytes=100)
        times = iter([0.0, 100.0, 100.0])
        with pytest.raises(ServiceUnavailable, match="longer than 60 seconds") as late:
            ask(source.url, total=60.0, clock=Clock(monotonic=lambda: next(times)))
        assert "goes on" in late.value.hint
    slow = trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x", 0.01)
    with HostileServer(slow, slow, slow) as server, pytest.raises(ServiceUnavailable, match=r"too slowly|too long"):
        ask(server.url, grace=0.1)
    short = reply("200 OK", body=b"<queryResult", length=500)
    with HostileServer(short, short, short) as server, pytest.raises(ServiceUnavailable):
        ask(server.url)


def test_a_page_is_saved_anew_with_each_attempt() -> None:
    scripts = (reply("200 OK", body=b"half", length=500), say(b""), reply("200 OK", body=b"whole"))
    with HostileServer(*scripts) as server:
        assert ask(server.url) == b"whole"


def test_refusals_name_the_login_and_never_say_it() -> None:
    with HostileServer(reply("403 Forbidden")) as server, pytest.raises(RefusedError, match="403") as caught:
        ask(server.url)
    assert "login" in caught.value.hint
    assert "secret" not in f"{caught.value}{caught.value.hint}{Link('http://127.0.0.1', None, basic=LOGIN)!r}"


@pytest.mark.parametrize("basic", ["", "no-colon", "a:b c", "a:\n", "ü:x", "x" * 600 + ":"])
def test_a_login_that_is_none(basic: str) -> None:
    with pytest.raises(UsageError, match="USER:PASSWORD"):
        Link("https://h.example", None, basic=basic)
