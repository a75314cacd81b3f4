"""What every implementation of `ports.Service` promises: the envelope as it came, or one of two errors."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hashscan.central import wire
from hashscan.central.client import HttpService, Link
from hashscan.central.retry import Backoff
from hashscan.errors import RefusedError, ServiceUnavailable
from hashscan.known.verdicts import Asked, open_receipts, open_verdict
from hashscan.model import Action, Algorithm, Outcome
from hashscan.ports import Question, Service
from tests.support.hostile_http import HostileServer, reply
from tests.support.hotline import LIST, NOW, PROVIDER, Hotline, Known, candidate

QUESTION = wire.question(LIST, [candidate(b"harmless"), candidate(b"other", b"b")])
OUTCOME = Outcome("o_1", "e_1", "police", "ab" * 32, Action.REPORTED, NOW, NOW)
Make = Callable[[Hotline], Service]


class Front:
    """A server on loopback that hands what comes to a `Hotline`, by what the wire says alone."""

    def __init__(self, hotline: Hotline) -> None:
        self._hotline = hotline
        self.server = HostileServer(self._answer)

    def _answer(self, connection: socket.socket) -> None:
        head, _, body = self.server.requests[-1].partition(b"\r\n\r\n")
        try:
            data = self._served(head.split(b" ")[1].decode(), json.loads(body))
        except RefusedError:
            reply("403 Forbidden")(connection)
        except ServiceUnavailable:
            reply("503 Unavailable")(connection)
        else:
            reply("200 OK", body=data)(connection)

    def _served(self, path: str, document: dict[str, Any]) -> bytes:
        if path == wire.CONFIRM_PATH:
            items = tuple(({Algorithm(n): p for n, p in one["prefixes"].items()}, one["size"]) for one in document["items"])
            assert [one["i"] for one in document["items"]] == list(range(len(items)))
            return self._hotline.confirm(Question(LIST, document["nonce"], items))
        rows = [
            Outcome(o["id"], o["entry"], o["list"], o["verdict"], Action(o["action"]), o["first_seen"], o["acted_at"])
            for o in document["outcomes"]
        ]
        return self._hotline.report_outcomes(rows)


@pytest.fixture(params=["http", "fake"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    fronts: list[Front] = []
    services: list[HttpService] = []

    def http(hotline: Hotline) -> Service:
        fronts.append(Front(hotline))
        fronts[-1].server.__enter__()
        services.append(HttpService(Link(fronts[-1].server.url, "hsk_x"), backoff=Backoff(attempts=1)))
        return services[-1]

    yield http if request.param == "http" else lambda hotline: hotline
    for service in services:
        service.close()
    for front in fronts:
        front.server.__exit__(None, None, None)


def test_a_question_gets_its_verdict(make: Make) -> None:
    hotline = Hotline(lists={LIST: [Known(b"harmless", size=8)]})
    verdict = open_verdict(hotline.verdict_keys, make(hotline).confirm(QUESTION), Asked(QUESTION, PROVIDER, NOW))
    assert [[one.entry for one in answer] for answer in verdict.answers] == [[Known(b"harmless").id], []]
    (asked,) = hotline.asked
    assert (asked.nonce, asked.items) == (QUESTION.nonce, QUESTION.items)


def test_outcomes_get_their_receipts(make: Make) -> None:
    hotline = Hotline()
    receipts = open_receipts(hotline.verdict_keys, make(hotline).report_outcomes([OUTCOME]), PROVIDER)
    assert [one.outcome_id for one in receipts] == ["o_1"]
    assert hotline.told == [OUTCOME]


@pytest.mark.parametrize("error", [ServiceUnavailable("busy"), RefusedError("suspended")])
def test_a_failure_is_one_of_two_errors(make: Make, error: Exception) -> None:
    hotline = Hotline(failures=[error, error])
    service = make(hotline)
    with pytest.raises(type(error)) as caught:
        service.confirm(QUESTION)
    assert str(caught.value)
    with pytest.raises(type(error)):
        service.report_outcomes([OUTCOME])
