"""POST and GET /v1/disputes: what a provider may say and hear."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hashscan.known import envelopes, selftest
from hashscan.model import Algorithm
from hashscan.service import admin, reviewing
from hashscan.service.disputing import rules
from hashscan.service.standings import Wish
from tests.support.service import LIST, Agent, Client, asking, enrol, load, make, question, reinstate, sha1


def outcome(number: int, entry: str) -> dict[str, Any]:
    told = {"id": f"o_{number:020}", "entry": entry, "list": LIST, "verdict": "0" * 64, "action": "reported"}
    return {**told, "first_seen": 1_900_000_000, "acted_at": 1_900_000_000}


def complaint(entry: str, **other: Any) -> dict[str, Any]:
    return {"id": "q_" + "1" * 20, "list": LIST, "entry": entry, "reason": "our own logo", **other}


def ready(tmp_path: Path, *listed: str) -> tuple[Path, Agent]:
    data, agent, _ = ready_for_two(tmp_path, *listed)
    return data, agent


def ready_for_two(tmp_path: Path, *listed: str) -> tuple[Path, Agent, Agent]:
    data = make(tmp_path)
    agents = enrol(data), enrol(data, "other")
    load(data, "\n".join(sha1(one) for one in listed or ("a", "b")))
    admin.publish(data)
    return data, *agents


def entry_of(client: Client, agent: Agent, what: str) -> dict[str, Any]:
    answer = client.post("/v1/confirm", question({"sha1": sha1(what)}))
    (entry,) = agent.open(answer.content, envelopes.VERDICT)["items"][0]["entries"]
    assert set(entry["tags"]) == {Algorithm.SHA1}
    return dict(entry)


def test_a_dispute_from_the_first_word_to_the_decision(tmp_path: Path) -> None:
    data, agent, other = ready_for_two(tmp_path)
    with asking(data, agent) as client:
        entry = entry_of(client, agent, "a")["entry"]
        refused = client.post("/v1/disputes", complaint(entry))
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_met")
        client.post("/v1/outcomes", {"outcomes": [outcome(1, entry)]})
        said = client.post("/v1/disputes", complaint(entry))
        told = agent.open(said.content, envelopes.DISPUTE)
        assert (told["state"], told["paused"], told["decided"], told["entry"]) == ("open", True, None, entry)
        assert (
            agent.open(client.post("/v1/disputes", complaint(entry)).content, envelopes.DISPUTE)["dispute"] == told["dispute"]
        )
        assert entry_of(client, agent, "a")["standing"] == "disputed"
        assert entry_of(client, agent, "b")["standing"] == "active"
        stranger = Client(client.app, other)
        assert entry_of(stranger, other, "a")["standing"] == "active"
        assert stranger.get(f"/v1/disputes/{told['dispute']}").status_code == 404

        reviewing.withdraw(data, Wish(LIST, entry, "it is a logo", "anna"))
        assert entry_of(client, agent, "a")["standing"] == "disputed"
        reviewing.withdraw(data, Wish(LIST, entry, "it is", "bea"))
        assert entry_of(stranger, other, "a")["standing"] == "withdrawn"
        after = agent.open(client.get(f"/v1/disputes/{told['dispute']}").content, envelopes.DISPUTE)
        assert (after["state"], after["paused"], after["decided"] is None) == ("withdrawn", False, False)


def test_an_entry_that_two_people_confirmed_is_active_again_and_cannot_be_paused_at_once(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    with asking(data, agent) as client:
        entry = entry_of(client, agent, "a")["entry"]
        client.post("/v1/outcomes", {"outcomes": [outcome(1, entry)]})
        client.post("/v1/disputes", complaint(entry))
        reinstate(data, LIST, entry, "it is right")
        assert entry_of(client, agent, "a")["standing"] == "active"
        again = client.post("/v1/disputes", complaint(entry, id="q_" + "2" * 20))
        assert agent.open(again.content, envelopes.DISPUTE)["paused"] is False
        assert entry_of(client, agent, "a")["standing"] == "active"


WRONG: list[dict[str, Any]] = [
    {"id": "short"},
    {"id": "q_" + "x" * 80},
    {"id": "q_ with spaces in it"},
    {"reason": ""},
    {"reason": "x" * 1001},
    {"reason": "two\nlines"},
    {"reason": "line\u2028separator"},
    {"reason": 7},
    {"entry": ""},
    {"list": None},
]


def test_what_is_not_in_order_is_refused(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    with asking(data, agent) as client:
        for wrong in WRONG:
            response = client.post("/v1/disputes", {**complaint("e_x"), **wrong})
            assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid"), wrong
        assert client.post("/v1/disputes", b"x" * 9000).status_code == 413


def test_an_entry_that_is_not_there_is_told_like_one_that_was_not_met(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    with asking(data, agent) as client:
        real = entry_of(client, agent, "a")["entry"]
        answers = [client.post("/v1/disputes", complaint(one)) for one in ("e_aaaaaaaaaaaaaaaa", real)]
    assert [one.status_code for one in answers] == [409, 409]
    assert answers[0].content == answers[1].content


def test_the_self_tests_entry_cannot_be_disputed(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    with asking(data, agent) as client:
        test = {algorithm.value: value for algorithm, value in selftest.digests().items()}
        answer = client.post("/v1/confirm", question(test))
        entry = agent.open(answer.content, envelopes.VERDICT)["items"][0]["entries"][0]["entry"]
        client.post("/v1/outcomes", {"outcomes": [outcome(1, entry)]})
        assert client.post("/v1/disputes", complaint(entry)).status_code == 409


def test_a_provider_that_disputes_everything_is_stopped(tmp_path: Path) -> None:
    names = [f"file-{number}" for number in range(rules.MAX_OPEN + 1)]
    data, agent = ready(tmp_path, *names)
    with asking(data, agent) as client:
        entries = [entry_of(client, agent, one)["entry"] for one in names]
        client.post("/v1/outcomes", {"outcomes": [outcome(number, one) for number, one in enumerate(entries)]})
        answers = [client.post("/v1/disputes", complaint(one, id=f"q_{number:020}")) for number, one in enumerate(entries)]
        assert [one.status_code for one in answers] == [200] * rules.MAX_OPEN + [429]
        assert answers[-1].json()["error"]["code"] == "too_many"
        assert "retry-after" not in answers[-1].headers
        assert entry_of(client, agent, names[-1])["standing"] == "active"
