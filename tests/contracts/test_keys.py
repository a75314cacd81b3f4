"""One contract for whoever changes keys: the desk of the tests, and the client over HTTP against the real service."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from hashscan.central.enrolling import HttpKeys
from hashscan.central.link import Link
from hashscan.central.retry import Backoff
from hashscan.errors import RefusedError, ServiceUnavailable
from hashscan.jobs.rekey import fetch_ring
from hashscan.known.codes import Code, read_code
from hashscan.known.enrolment import Application, api_key_sha256, new_api_key, open_handover
from hashscan.known.keys import KeyRing
from hashscan.model import VerdictKey
from hashscan.service import admin
from hashscan.service.embedded import start_embedded
from hashscan.service.keys import OnlineKeys
from tests.support.enrolling import Desk, found_service, opened
from tests.support.hostile_http import HostileServer, reply, say

DAY = 86_400.0


class Keys(Protocol):
    """What agents ask about keys."""

    def enrol(self, application: bytes) -> bytes: ...
    def add_api_key(self, sha256: str, label: str) -> None: ...
    def retire_api_key(self, sha256: str) -> None: ...
    def provider_keys(self, nonce: str, have: int) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Side:
    """A service, and how to ask it with an API key or none."""

    data: Path
    ask: Callable[[str | None], Keys]

    def code(self) -> Code:
        return read_code(admin.new_code(self.data, "acme", valid=DAY))

    def enrolled(self, label: str = "web1") -> tuple[str, KeyRing]:
        code, api_key = self.code(), new_api_key()
        application = Application.make(code, api_key, label, "n" * 43)
        return api_key, open_handover(self.ask(None).enrol(application.encode()), application, code).ring


@pytest.fixture(params=["desk", "http"])
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    data = found_service(tmp_path)
    if request.param == "desk":
        yield Side(data, lambda api_key: Desk(data, api_key, time.time))
        return
    made: list[HttpKeys] = []
    with start_embedded(data) as service:

        def ask(api_key: str | None) -> Keys:
            made.append(HttpKeys(Link(service.url, api_key), backoff=Backoff(attempts=1)))
            return made[-1]

        yield Side(data, ask)
        for one in made:
            one.close()


def test_a_code_makes_an_agent_that_is_known(side: Side) -> None:
    api_key, ring = side.enrolled()
    side.ask(api_key).add_api_key(api_key_sha256(new_api_key()), "web1")
    assert set(ring.keys) == {1}
    first, second = admin.agents(side.data, "acme").keys
    assert first.used_day == int(time.time() // DAY)
    assert (second.used_day, second.added_by) == (None, first.id)


def test_refusals_are_told(side: Side) -> None:
    code = side.code()
    good = Application.make(code, new_api_key(), "web1", "n" * 43)
    wrong = Application.make(Code(code.id, bytes(16), code.pin), new_api_key(), "web1", "n" * 43)
    with pytest.raises(RefusedError, match="401"):
        side.ask(None).enrol(wrong.encode())
    side.ask(None).enrol(good.encode())
    with pytest.raises(RefusedError, match="410"):
        side.ask(None).enrol(Application.make(code, new_api_key(), "web1", "n" * 43).encode())
    for body in (b"", b"{}", b'{"code_id": NaN}', b"[1]", good.encode()[:-1]):
        with pytest.raises(RefusedError, match="422"):
            side.ask(None).enrol(body)
    for key in (None, new_api_key()):
        with pytest.raises(RefusedError, match="401"):
            side.ask(key).add_api_key("0" * 64, "web1")
        with pytest.raises(RefusedError, match="401"):
            side.ask(key).retire_api_key("0" * 64)
        with pytest.raises(RefusedError, match="401"):
            side.ask(key).provider_keys("n" * 43, 1)


def test_a_key_is_added_tried_and_takes_over(side: Side) -> None:
    old, _ = side.enrolled()
    new = new_api_key()
    for asker in (old, new, old):
        side.ask(asker).add_api_key(api_key_sha256(new), "web1")
    with pytest.raises(RefusedError, match="409"):
        side.ask(old).retire_api_key(api_key_sha256(new))
    for _ in range(2):
        side.ask(new).retire_api_key(api_key_sha256(old))
    with pytest.raises(RefusedError, match="401"):
        side.ask(old).add_api_key(api_key_sha256(new_api_key()), "web1")


def test_provider_keys_are_signed_and_wrapped(side: Side) -> None:
    api_key, held = side.enrolled()
    admin.rotate_provider_key(side.data, "acme")
    with opened(side.data) as store:
        keys = tuple(VerdictKey(key.public, 0.0, None) for key in OnlineKeys.open(store).verdict_keys())
    ring = fetch_ring(side.ask(api_key), keys, "acme", held, time.time)
    assert set(ring.keys) == {1, 2}
    with pytest.raises(RefusedError, match="409"):
        side.ask(api_key).provider_keys("n" * 43, 3)


@pytest.mark.parametrize("query", ["", "?nonce=" + "n" * 43, "?have=1", "?nonce=x&have=1", f"?nonce={'n' * 43}&have=0&have=1"])
def test_a_question_without_its_form_is_refused(tmp_path: Path, query: str) -> None:
    data = found_service(tmp_path)
    code, api_key = read_code(admin.new_code(data, "acme", valid=DAY)), new_api_key()
    with start_embedded(data) as service:
        anonymous, known = HttpKeys(Link(service.url, None)), HttpKeys(Link(service.url, api_key))
        anonymous.enrol(Application.make(code, api_key, "web1", "n" * 43).encode())
        status = _status(service.url, f"/v1/provider-keys{query}", api_key)
        anonymous.close()
        known.close()
    assert status == 422


def _status(url: str, path: str, api_key: str) -> int:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 10) as connection:
        connection.sendall(f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {api_key}\r\n\r\n".encode())
        return int(connection.makefile("rb").readline().split()[1])


def test_no_api_key_is_sent_with_a_code() -> None:
    with HostileServer(reply("200 OK", body=b"{}")) as server:
        client = HttpKeys(Link(server.url, None))
        assert client.enrol(b"{}") == b"{}"
        client.close()
        assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize(
    ("script", "asked"),
    [
        (reply("500 Internal Server Error"), 2),
        (reply("200 OK", body=b"x" * 100, length=200), 2),
        (reply("302 Found", "Location: http://127.0.0.1:1/"), 2),
        (say(b""), 2),
        (reply("200 OK", body=b"x" * (5 << 20)), 1),
    ],
)
def test_what_is_no_answer_is_asked_again_and_told(script: Callable[[socket.socket], None], asked: int) -> None:
    with HostileServer(script) as server:
        client = HttpKeys(Link(server.url, None), backoff=Backoff(first=0.01, attempts=2))
        with pytest.raises(ServiceUnavailable):
            client.enrol(b"{}")
        client.close()
        assert len(server.requests) == asked


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "409 Conflict", "410 Gone", "422 Unprocessable"])
def test_a_refusal_is_not_asked_again(status: str) -> None:
    with HostileServer(reply(status)) as server:
        client = HttpKeys(Link(server.url, None), backoff=Backoff(first=0.01, attempts=3))
        with pytest.raises(RefusedError) as caught:
            client.enrol(b"{}")
        client.close()
        assert "code" in caught.value.hint
        assert len(server.requests) == 1
