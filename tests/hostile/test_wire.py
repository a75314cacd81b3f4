"""A service that lies, stalls, breaks off and never ends: each ends as the right error, in time, in our words."""

from __future__ import annotations

import gzip
import json
import random
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest
import requests

from hashscan.central.client import Clock, HttpFetcher, HttpService, Link
from hashscan.central.retry import Backoff
from hashscan.central.wire import question
from hashscan.errors import FilterError, HashscanError, NotPublishedError, RefusedError, ServiceUnavailable
from tests.support.hostile_http import HostileServer, Script, reply, say, silence, trickle
from tests.support.hotline import LIST, NOW, candidate

SECRET = "hsk_" + "s3cr3t" * 7
QUESTION = question(LIST, [candidate(b"harmless")])
DEADLINE, SLACK = 0.6, 0.9  # seconds; slack for a busy machine
OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"


class Naps:
    """A sleep that only takes notes."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)


def link(url: str, **changes: float) -> Link:
    limits = {"connect_timeout": 0.5, "read_timeout": 0.4, "deadline": DEADLINE, "min_rate": 1_000_000.0, **changes}
    return Link(url, SECRET, **limits)  # type: ignore[arg-type]


def clock(naps: Naps) -> Clock:
    return Clock(now=lambda: NOW, sleep=naps)


ONCE = Backoff(attempts=1)


def ask(url: str, backoff: Backoff = ONCE, naps: Naps | None = None, **changes: float) -> bytes:
    service = HttpService(link(url, **changes), backoff=backoff, clock=clock(naps or Naps()))
    try:
        return service.confirm(QUESTION)
    finally:
        service.close()


def fetch(url: str, name: str = "lists.json", max_bytes: int = 1000, **changes: float) -> bytes:
    fetcher = HttpFetcher(link(url, **changes), backoff=ONCE, clock=clock(Naps()))
    try:
        return b"".join(fetcher.fetch(name, max_bytes=max_bytes))
    finally:
        fetcher.close()


def ends(call: Callable[[], object], kind: type[HashscanError]) -> HashscanError:
    """The call ends as ``kind`` in time; the key is in no text that could be shown."""
    started = time.monotonic()
    with pytest.raises(HashscanError) as caught:
        call()
    assert time.monotonic() - started < DEADLINE + SLACK
    error = caught.value
    assert type(error) is kind, repr(error)
    in_our_words(error)
    return error


def in_our_words(error: HashscanError) -> None:
    assert str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None, "no traceback of a library may be shown"
    assert SECRET not in str(error) + error.hint + repr(error)


def test_control_an_honest_answer() -> None:
    with HostileServer(reply("200 OK", body=b"signed")) as server:
        assert ask(server.url) == b"signed"
        assert fetch(server.url) == b"signed"
    posted, got = server.requests
    assert posted.startswith(b"POST /v1/confirm HTTP/1.1\r\n")
    assert got.startswith(b"GET /v1/files/lists.json HTTP/1.1\r\n")
    for request in (posted, got):
        assert b"Authorization: Bearer " + SECRET.encode() in request
        assert b"Accept-Encoding: identity" in request
    head, _, body = posted.partition(b"\r\n\r\n")
    assert b"Idempotency-Key: " + QUESTION.nonce.encode() in head
    assert json.loads(body)["nonce"] == QUESTION.nonce


STATUSES: list[tuple[str, type[HashscanError], type[HashscanError]]] = [
    ("301 Moved", ServiceUnavailable, ServiceUnavailable),
    ("302 Found", ServiceUnavailable, ServiceUnavailable),
    ("304 Not Modified", ServiceUnavailable, ServiceUnavailable),
    ("307 Temporary", ServiceUnavailable, ServiceUnavailable),
    ("308 Permanent", ServiceUnavailable, ServiceUnavailable),
    ("201 Created", ServiceUnavailable, ServiceUnavailable),
    ("204 No Content", ServiceUnavailable, ServiceUnavailable),
    ("206 Partial", ServiceUnavailable, ServiceUnavailable),
    ("400 Bad Request", ServiceUnavailable, ServiceUnavailable),
    ("401 Unauthorized", RefusedError, RefusedError),
    ("403 Forbidden", RefusedError, RefusedError),
    ("404 Not Found", ServiceUnavailable, NotPublishedError),
    ("405 Method", ServiceUnavailable, ServiceUnavailable),
    ("407 Proxy", ServiceUnavailable, ServiceUnavailable),
    ("409 Conflict", RefusedError, RefusedError),
    ("410 Gone", RefusedError, RefusedError),
    ("413 Too Large", RefusedError, RefusedError),
    ("418 Teapot", ServiceUnavailable, ServiceUnavailable),
    ("422 Unprocessable", RefusedError, RefusedError),
    ("429 Slow Down", ServiceUnavailable, ServiceUnavailable),
    ("500 Error", ServiceUnavailable, ServiceUnavailable),
    ("502 Bad Gateway", ServiceUnavailable, ServiceUnavailable),
    ("503 Unavailable", ServiceUnavailable, ServiceUnavailable),
    ("504 Timeout", ServiceUnavailable, ServiceUnavailable),
    ("599 x", ServiceUnavailable, ServiceUnavailable),
]


@pytest.mark.parametrize(("status", "asked", "fetched"), STATUSES)
def test_every_status_has_one_meaning(status: str, asked: type[HashscanError], fetched: type[HashscanError]) -> None:
    with HostileServer(reply(status, "Location: http://127.0.0.1:1/", body=b"<html>true</html>")) as server:
        assert status[:3] in str(ends(lambda: ask(server.url), asked)) or status.startswith("404")
        ends(lambda: fetch(server.url), fetched)


def test_a_redirect_is_not_followed_and_the_key_stays_here() -> None:
    for status in ("301 x", "302 x", "303 x", "307 x", "308 x"):
        with HostileServer(reply("200 OK", body=b"signed")) as elsewhere:
            with HostileServer(reply(status, f"Location: {elsewhere.url}/v1/confirm")) as server:
                ends(lambda url=server.url: ask(url), ServiceUnavailable)  # type: ignore[misc]
                ends(lambda url=server.url: fetch(url), ServiceUnavailable)  # type: ignore[misc]
            assert elsewhere.requests == []


def test_proxies_and_keys_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    with HostileServer(reply("200 OK", body=b"from the proxy")) as proxy, HostileServer(reply("200 OK", body=b"x")) as server:
        for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        assert ask(server.url) == b"x"
        assert proxy.requests == []
        assert b"Authorization: Bearer hsk_" in server.requests[0]


def test_a_configured_proxy_is_used() -> None:
    with HostileServer(reply("200 OK", body=b"through")) as proxy:
        service = HttpService(Link("http://localhost:1", SECRET, proxy=proxy.url), backoff=ONCE)
        assert service.confirm(QUESTION) == b"through"
        service.close()
        assert proxy.requests[0].startswith(b"POST http://localhost:1/v1/confirm ")


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("Retry-After: 0", 0.0),
        ("Retry-After: 7", 7.0),
        ("Retry-After: 99999999999999999999999999", 3600.0),
        ("Retry-After: -5", None),
        ("Retry-After: soon", None),
        ("Retry-After: 1.5", None),
        ("Retry-After: \xb2", None),
        ("Retry-After:", None),
        (f"Retry-After: {formatdate(NOW + 60, usegmt=True)}", 60.0),
        ("Retry-After: Mon, 21 Sep 2020 13:14:20 GMT", 0.0),
        ("Retry-After: Mon, 21 Sep 9999 13:14:20 GMT", 3600.0),
        ("Retry-After: Mon, 21 Sep 2026 13:14:20 +99999999999999999999", None),
        ("X: y", None),
    ],
)
@pytest.mark.parametrize("status", ["429 x", "503 x"])
def test_retry_after(status: str, header: str, wait: float | None) -> None:
    with HostileServer(reply(status, header)) as server:
        error = ends(lambda: ask(server.url), ServiceUnavailable)
    assert isinstance(error, ServiceUnavailable)
    assert error.retry_after == wait


def test_it_is_asked_again_and_the_named_wait_is_kept() -> None:
    naps = Naps()
    scripts = [reply("503 x", "Retry-After: 3"), reply("429 x"), reply("200 OK", body=b"signed")]
    with HostileServer(*scripts) as server:
        assert ask(server.url, Backoff(first=0.5, attempts=3, jitter=0), naps, deadline=60.0) == b"signed"
        assert naps.taken == [3.0, 1.0]
        keys = {line for request in server.requests for line in request.split(b"\r\n") if line.startswith(b"Idempotency-Key")}
        assert len(server.requests) == 3
        assert len(keys) == 1


def test_it_does_not_wait_beyond_its_deadline() -> None:
    naps = Naps()
    with HostileServer(reply("503 x", "Retry-After: 3600")) as server:
        ends(lambda: ask(server.url, Backoff(attempts=5), naps), ServiceUnavailable)
        assert (naps.taken, len(server.requests)) == ([], 1)


@pytest.mark.parametrize("status", ["401 x", "403 x", "409 x", "413 x"])
def test_a_refusal_is_not_asked_again(status: str) -> None:
    with HostileServer(reply(status)) as server:
        ends(lambda: ask(server.url, Backoff(attempts=3), deadline=60.0), RefusedError)
        assert len(server.requests) == 1


def said(message: str, kind: str = "application/json") -> Script:
    return reply("403 x", f"Content-Type: {kind}", body=json.dumps({"error": {"code": "c", "message": message}}).encode())


def test_what_the_service_says_is_shown_on_one_printable_line() -> None:
    with HostileServer(said("a\u202eb\u2028\ufeffc"), said("x" * 900), said("<script>", "text/html")) as server:
        assert "a?b??c" in str(ends(lambda: ask(server.url), RefusedError))
        assert len(str(ends(lambda: ask(server.url), RefusedError))) < 300
        assert "script" not in str(ends(lambda: ask(server.url), RefusedError))


JSON = "Content-Type: application/json"
ERROR_BODIES = [
    b"", b"{", b"[]", b"null", b'{"error": 1}',
    b'{"error": {"message": 1}}', b'{"error": {"message": "\\ud800"}}', b"\xff" * 99,
    b"[" * 4000, b'{"error": {"message": NaN}}', b"x" * 100_000, b'{"error": {"message": "a", "message": "b"}}',
]  # fmt: skip


@pytest.mark.parametrize("body", ERROR_BODIES, ids=lambda body: repr(body[:20]))
def test_an_error_body_that_is_none(body: bytes) -> None:
    with HostileServer(reply("403 x", JSON, body=body)) as server:
        ends(lambda: ask(server.url), RefusedError)


BROKEN: dict[str, Script] = {
    "gzip": reply("200 OK", "Content-Encoding: gzip", body=gzip.compress(b"signed")),
    "bomb": reply("200 OK", "Content-Encoding: gzip", body=gzip.compress(bytes(10_000_000))),
    "deflate": reply("200 OK", "Content-Encoding: deflate, identity", body=b"x"),
    "too short": reply("200 OK", body=b"signed", length=100),
    "reset in the body": reply("200 OK", body=b"signed", length=100, reset=True),
    "reset in the headers": say(OK, reset=True),
    "reset at once": say(b"", reset=True),
    "closed at once": say(b""),
    "half a status line": say(b"HTTP/1."),
    "garbage": say(b"\x00\xff\x16\x03\x01 garbage\r\n\r\n"),
    "ssh": say(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "status is no number": say(b"HTTP/1.1 abc OK\r\n\r\n"),
    "status is negative": say(b"HTTP/1.1 -20 OK\r\n\r\n"),
    "status is huge": say(b"HTTP/1.1 99999 OK\r\n\r\n"),
    "long status line": say(b"HTTP/1.1 200 " + b"x" * 100_000 + b"\r\n\r\n"),
    "long header": say(OK + b"X: " + b"x" * 100_000 + b"\r\n\r\nsigned"),
    "many headers": say(OK + b"X: y\r\n" * 5_000 + b"\r\nsigned"),
    "endless header": trickle(OK + b"X: ", b"x" * 50_000, 0.001),
    "endless headers": trickle(OK, b"X: y\r\n" * 1_000, 0.001),
    "endless continue": trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
    "endless body": trickle(OK + b"\r\n", b"x" * 500_000, 0),
    "endless chunks": trickle(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65_536 + b"\r\n", 0),
    "a chunk that is none": say(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nsigned\r\n0\r\n\r\n"),
    "a chunk cut short": say(OK + b"Transfer-Encoding: chunked\r\n\r\n100\r\nsigned"),
    "a negative chunk": say(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nsigned\r\n"),
    "an endless chunk length": trickle(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0", 0.02),
    "no answer": silence(),
    "slow status line": trickle(b"", b"H", 0.05),
    "slow headers": trickle(OK + b"X: ", b"x", 0.05),
    "slow header lines": trickle(OK, b"X: y\r\n", 0.05),
    "slow body": trickle(OK + b"Content-Length: 100000\r\n\r\n", b"x", 0.05),
    "slow error body": trickle(b"HTTP/1.1 500 x\r\n" + JSON.encode() + b"\r\n\r\n", b"x", 0.05),
    "slow body without a length": trickle(OK + b"\r\n", b"x", 0.05),
}  # fmt: skip


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
def test_what_is_no_usable_answer_is_unavailable(script: Script) -> None:
    with HostileServer(script) as server:
        ends(lambda: ask(server.url), ServiceUnavailable)


@pytest.mark.parametrize("script", BROKEN.values(), ids=BROKEN)
def test_a_download_of_it_ends_too(script: Script) -> None:
    with HostileServer(script) as server:
        started = time.monotonic()
        with pytest.raises((ServiceUnavailable, FilterError)) as caught:
            fetch(server.url)
        assert time.monotonic() - started < DEADLINE + SLACK
        in_our_words(caught.value)


def test_control_without_the_deadline_a_trickle_holds_us() -> None:
    """requests by itself begins its time-out anew with every byte."""
    with HostileServer(trickle(b"", b"H", 0.05, times=40)) as server:
        started = time.monotonic()
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(server.url, timeout=0.4)
        assert time.monotonic() - started > DEADLINE + SLACK


def test_a_slow_refusal_is_still_a_refusal_in_time() -> None:
    with HostileServer(trickle(b"HTTP/1.1 403 x\r\n" + JSON.encode() + b"\r\n\r\n", b" ", 0.05)) as server:
        ends(lambda: ask(server.url), RefusedError)


@pytest.mark.parametrize(
    "length", ["\xb2", "9" * 5_000, "-1", "+6", "0x6", " ", "6, 6", "6, 7", "\u0661".encode().decode("latin-1")]
)
def test_a_content_length_that_is_none(length: str) -> None:
    """Whether the body counts or not is the library's affair; it must not be a traceback."""
    script = say(OK + b"Content-Length: " + length.encode("latin-1") + b"\r\n\r\nsigned")
    with HostileServer(script) as server:
        try:
            assert b"signed".startswith(ask(server.url))
        except ServiceUnavailable as error:
            in_our_words(error)


def test_more_than_was_announced_is_not_read() -> None:
    with HostileServer(reply("200 OK", body=b"signed and more", length=6)) as server:
        assert ask(server.url) == b"signed"


def test_more_than_is_allowed() -> None:
    with HostileServer(reply("200 OK", body=b"x" * 1001)) as server:
        ends(lambda: fetch(server.url, max_bytes=1000), FilterError)
        assert fetch(server.url, max_bytes=1001) == b"x" * 1001
    with HostileServer(reply("200 OK", body=b"x" * (4 * 2**20 + 1))) as server:
        ends(lambda: ask(server.url), ServiceUnavailable)


def test_a_page_instead_of_an_answer_is_left_to_the_signature() -> None:
    """It comes back as it is: `known.verdicts` and `known.trust` refuse it."""
    with HostileServer(reply("200 OK", "Content-Type: text/html", body=b"<html>true</html>")) as server:
        assert ask(server.url) == b"<html>true</html>"


def test_nobody_listens() -> None:
    with HostileServer(silence()) as server:
        url = server.url
    ends(lambda: ask(url), ServiceUnavailable)
    ends(lambda: fetch(url), ServiceUnavailable)
    ends(lambda: ask(url.replace("http:", "https:")), ServiceUnavailable)


def test_tls_to_what_speaks_none() -> None:
    with HostileServer(reply("200 OK", body=b"signed")) as server:
        ends(lambda: ask(server.url.replace("http:", "https:")), ServiceUnavailable)


def test_an_answer_for_the_old_question_is_not_taken_for_the_new_one() -> None:
    """A connection that was left in the middle of a body is not used again."""
    endless = trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x", 0.05)
    with HostileServer(endless, reply("200 OK", body=b"second")) as server:
        service = HttpService(link(server.url), backoff=ONCE, clock=clock(Naps()))
        with pytest.raises(ServiceUnavailable):
            service.confirm(QUESTION)
        assert service.confirm(QUESTION) == b"second"
        service.close()


def test_noise_never_gets_through() -> None:
    """Honest answers with bytes flipped, cut and put in: usable or unavailable, nothing else."""
    picked = random.Random(7)
    honest = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsigned"
    got = 0
    for _ in range(150):
        data = bytearray(honest)
        for _ in range(picked.randint(1, 4)):
            place = picked.randrange(len(data))
            kind = picked.randrange(3)
            if kind == 0:
                data[place] = picked.randrange(256)
            elif kind == 1:
                del data[place : place + picked.randint(1, 9)]
            else:
                data[place:place] = picked.choice([b"\r\n", b"\0", b"\r\n\r\n", b": ", b"9" * 30, b"\xff"])
            data = data or bytearray(b"x")
        with HostileServer(say(bytes(data))) as server:
            try:
                got += bool(ask(server.url, read_timeout=0.2, deadline=0.4))
            except (ServiceUnavailable, RefusedError) as error:
                in_our_words(error)
    assert got, "some must get through, or nothing was tried"
    print(f"150 answers, {got} with a body")
