"""The HTTP door as docs/wire.md says it: every status, every answer signed, nothing innocent in it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from hashscan.known import envelopes, selftest
from hashscan.known.enrolment import new_api_key
from hashscan.known.keys import token
from hashscan.model import Action, Algorithm
from hashscan.service import admin, confirming, parsing, schemas
from hashscan.service.access import NotServed, api_key_hash, authenticate
from hashscan.service.batches import Terms
from hashscan.service.importers.port import Shape
from hashscan.service.store import open_store
from hashscan.service.tables import Entry, Phase
from hashscan.service.tables_back import OutcomeRow
from hashscan.strict_json import StrictJsonError
from tests.support.databases import both
from tests.support.service import (
    LIST,
    NONCE,
    Agent,
    Client,
    Clock,
    asking,
    digest,
    dispute,
    enrol,
    load,
    make,
    md5,
    question,
    sha1,
    withdraw,
)

AGENT_PATHS = [
    ("GET", "/v1/files/timestamp.json"),
    ("GET", "/v1/files/police-1-1.filter"),
    ("POST", "/v1/confirm"),
    ("POST", "/v1/outcomes"),
    ("POST", "/v1/disputes"),
    ("GET", "/v1/disputes/d_x"),
]


def ready(tmp_path: Path, phase: Phase = Phase.REGULAR) -> tuple[Path, Agent]:
    """A service with one list of two files, published to one provider."""
    data = make(tmp_path)
    agent = enrol(data, phase=phase)
    text = f"md5,sha1,size,category\n{md5('a')},{sha1('a')},1000,A\n{md5('b')},,,B\n"
    load(data, text)
    admin.publish(data)
    return data, agent


Shared = tuple[Path, Agent]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Shared:
    """One such service for all tests that change nothing: making one waits for the disk."""
    return ready(tmp_path_factory.mktemp("shared"))


def outcome(number: int = 1, **other: Any) -> dict[str, Any]:
    return {
        "id": f"o_{number}", "entry": "e_x", "list": LIST, "verdict": "0" * 64, "action": "quarantined",
        "first_seen": 1_790_000_000, "acted_at": 1_790_000_001.5, **other,
    }  # fmt: skip


def error_of(response: Any) -> str:
    body = response.json()
    jsonschema.validate(body, schemas.ERROR)
    return str(body["error"]["code"])


# Who asks.


@pytest.mark.parametrize(("method", "path"), AGENT_PATHS)
def test_without_a_known_key_nothing_is_said(shared: Shared, method: str, path: str) -> None:
    data, agent = shared
    with asking(data, None) as client:
        for value in (
            None, "", "Bearer", "Bearer ", f"Bearer {new_api_key()}", f"Basic {agent.api_key}", agent.api_key,
            f"Bearer {agent.api_key} x", f"Bearer {agent.api_key[:-1]}", "Bearer hsk_" + "\xe9" * 43,
        ):  # fmt: skip
            headers = {} if value is None else {"Authorization": value.encode("latin-1")}
            response = client.ask(method, path, body=b"not even JSON", headers=headers)  # type: ignore[arg-type]
            assert response.status_code == 401, value
            assert error_of(response) == "unauthorized"
            assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(("method", "path"), AGENT_PATHS)
def test_a_suspended_provider_is_refused(tmp_path: Path, method: str, path: str) -> None:
    data, agent = ready(tmp_path)
    admin.set_phase(data, "acme", Phase.SUSPENDED)
    with asking(data, agent) as client:
        response = client.ask(method, path)
    assert (response.status_code, error_of(response)) == (403, "suspended")


def test_keys_are_random_and_only_their_hash_is_compared(tmp_path: Path) -> None:
    assert new_api_key() != new_api_key()
    data, agent = ready(tmp_path)
    with open_store(data) as store:
        assert authenticate(store, f"bearer  {agent.api_key}").name == "acme"
        with pytest.raises(NotServed):
            authenticate(store, f"Bearer {api_key_hash(agent.api_key).hex()}")


# Files. The metadata itself: test_service_repository.py.


@pytest.mark.parametrize(
    "name",
    [
        "nothing",
        "police-2-1.filter",
        "../acme/police-1-1.filter",
        "..%2F..%2Fservice.sqlite3",
        "2.root.json",
        "01.root.json",
        "2.targets.json",
        "root.json",
        "targets.json",
        "%2e%2e",
        "",
        "a%00b",
        "x" * 3000,
    ],
)
def test_other_names_are_not_there(shared: Shared, name: str) -> None:
    data, agent = shared
    with asking(data, agent) as client:
        response = client.get(f"/v1/files/{name}")
    assert response.status_code == 404
    assert error_of(response)


@both
def test_a_provider_does_not_get_the_filter_of_another(tmp_path: Path) -> None:
    data, _ = ready(tmp_path)
    other = enrol(data, "other")
    with asking(data, other) as client:
        for name in ("police-1-1.filter", "timestamp.json", "1.targets.json", "1.snapshot.json", "verdict-keys.json"):
            assert client.get(f"/v1/files/{name}").status_code == 404
        assert client.post("/v1/confirm", question({"sha1": sha1("a")})).status_code == 409


# Confirm.


def confirm(client: Client, agent: Agent, asked: Any) -> dict[str, Any]:
    response = client.post("/v1/confirm", asked, {"Idempotency-Key": NONCE})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return agent.open(response.content, envelopes.VERDICT)


@both
def test_an_answer_holds_the_entries_of_the_prefixes_with_tags(shared: Shared) -> None:
    data, agent = shared
    key = agent.key.confirm_key(LIST, 1)
    clock = Clock()
    with asking(data, agent, clock) as client:
        said = confirm(
            client,
            agent,
            question(
                {"md5": md5("a"), "sha1": sha1("a")}, {"md5": md5("x"), "sha1": sha1("x")}, {"md5": md5("b"), "sha1": sha1("b")}
            ),
        )
    assert {name: said[name] for name in ("nonce", "issued", "provider", "ttl")} == {
        "nonce": NONCE, "issued": clock.now, "provider": "acme", "ttl": 86400,
    }  # fmt: skip
    assert said["list"] == {"id": LIST, "version": 1, "epoch": 1}
    first, second, third = said["items"]
    assert [first["i"], second["i"], third["i"]] == [0, 1, 2]
    assert second["entries"] == []
    (entry,) = first["entries"]
    assert entry.pop("entry").startswith("e_")
    assert entry == {
        "tags": {
            "md5": token(key, Algorithm.MD5, bytes.fromhex(md5("a"))),
            "sha1": token(key, Algorithm.SHA1, bytes.fromhex(sha1("a"))),
        },
        "size": 1000,
        "standing": "active",
        "category": "A",
        "sources": 1,
        "act": "quarantine",
    }
    (entry,) = third["entries"]
    assert entry["tags"] == {"md5": token(key, Algorithm.MD5, bytes.fromhex(md5("b")))}
    assert entry["size"] is None


@both
def test_no_answer_holds_a_digest(shared: Shared) -> None:
    data, agent = shared
    with asking(data, agent) as client:
        said = json.dumps(confirm(client, agent, question({"md5": md5("a"), "sha1": sha1("a")})))
    assert "tags" in said
    for value in (md5("a"), sha1("a")):
        assert value[:8] not in said
        assert value[8:24] not in said


@both
def test_the_prefix_alone_decides_what_is_handed_out(shared: Shared) -> None:
    """A file that shares four bytes with an entry gets that entry: the agent compares the tags."""
    data, agent = shared
    with asking(data, agent) as client:
        said = confirm(client, agent, question({"sha1": sha1("a")[:8] + "0" * 32}, {"md5": sha1("a")}))
    assert [len(item["entries"]) for item in said["items"]] == [1, 0]


@both
def test_standing_and_the_self_test_travel(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    withdraw(data, LIST, sha1("a"), "a stock image")
    dispute(data, LIST, md5("b"), "somebody objects")
    test = {algorithm.value: value for algorithm, value in selftest.digests().items()}
    with asking(data, agent) as client:
        said = confirm(client, agent, question({"sha1": sha1("a")}, {"md5": md5("b")}, test))
    entries = [item["entries"][0] for item in said["items"]]
    assert [entry["standing"] for entry in entries] == ["withdrawn", "disputed", "test"]
    assert (entries[2]["act"], entries[2]["category"], len(entries[2]["tags"])) == ("report", "test", 4)


def test_a_provider_on_trial_is_told_to_report(tmp_path: Path) -> None:
    data, agent = ready(tmp_path, Phase.TRIAL)
    with asking(data, agent) as client:
        assert confirm(client, agent, question({"sha1": sha1("a")}))["items"][0]["entries"][0]["act"] == "report"
        admin.set_phase(data, "acme", Phase.REGULAR)
        assert confirm(client, agent, question({"sha1": sha1("a")}))["items"][0]["entries"][0]["act"] == "quarantine"


def test_an_entry_can_ask_for_a_report(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    load(data, f"sha1,act\n{sha1('r')},report\n")
    with asking(data, agent) as client:
        assert confirm(client, agent, question({"sha1": sha1("r")}))["items"][0]["entries"][0]["act"] == "report"


@both
def test_an_older_published_version_can_still_be_asked_for(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    for _ in range(3):
        admin.publish(data, terms=Terms(anew=True))
    with asking(data, agent) as client:
        assert confirm(client, agent, question({"sha1": sha1("a")}, version=1))["list"]["version"] == 1
        for asked in (
            question({"sha1": sha1("a")}, version=5),
            question({"sha1": sha1("a")}, epoch=2),
            question({"sha1": sha1("a")}, list_id="other"),
        ):
            response = client.post("/v1/confirm", asked)
            assert (response.status_code, error_of(response)) == (409, "list_not_published")


@both
def test_other_lists_do_not_answer(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    load(data, sha1("elsewhere"), list_id="other")
    with asking(data, agent) as client:
        assert confirm(client, agent, question({"sha1": sha1("elsewhere")}))["items"][0]["entries"] == []


@both
def test_at_most_64_entries_answer_one_item(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    shared = [sha1("a")[:8] + sha1(str(number))[8:] for number in range(100)]
    load(data, "\n".join(shared))
    with asking(data, agent) as client:
        said = confirm(client, agent, question({"sha1": sha1("a"), "md5": md5("a")}))
    found = [entry["entry"] for entry in said["items"][0]["entries"]]
    assert len(found) == len(set(found)) == 64


def test_an_answer_that_agents_would_refuse_is_not_made(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    columns = "sha1,md5,sha256,blake3,category\n"
    lines = [
        ",".join(
            digest(one, "a" if one is Algorithm.SHA1 else str(number))[:8] + digest(one, str(number))[8:]
            for one in (Algorithm.SHA1, Algorithm.MD5, Algorithm.SHA256, Algorithm.BLAKE3)
        )
        + ","
        + "c" * 64
        for number in range(70)
    ]
    load(data, columns + "\n".join(lines))
    with asking(data, agent) as client:
        response = client.post("/v1/confirm", question(*[{"sha1": sha1("a")}] * 100))
        assert (response.status_code, error_of(response)) == (413, "too_large")
        response = client.post("/v1/confirm", question(*[{"sha1": sha1("a")}] * 80))
        assert response.status_code == 200
        assert len(response.content) < envelopes.MAX_ENVELOPE_BYTES
    assert confirming.MAX_PAYLOAD_BYTES * 4 / 3 + 1000 < envelopes.MAX_ENVELOPE_BYTES


@both
def test_a_hundred_items_fit_into_a_question(shared: Shared) -> None:
    data, agent = shared
    items = [{one.value: digest(one, str(number)) for one in Algorithm} for number in range(100)]
    with asking(data, agent) as client:
        assert len(confirm(client, agent, question(*items))["items"]) == 100


# Requests that do not fit.

GOOD = question({"sha1": sha1("a")})


def changed(**other: Any) -> dict[str, Any]:
    return {**GOOD, **other}


def with_item(**other: Any) -> dict[str, Any]:
    return changed(items=[{**GOOD["items"][0], **other}])


@pytest.mark.parametrize(
    "document",
    [
        b"", b"[]", b"null", b"{", b"\xff", b'{"nonce": NaN}', b'{"a":1,"a":2}', b"[" * 50_000,
        {}, changed(nonce="short"), changed(nonce="n" * 42 + "="), changed(nonce=7), changed(list=None),
        changed(list={"id": LIST, "version": 0, "epoch": 1}), changed(list={"id": LIST, "version": True, "epoch": 1}),
        changed(list={"id": "", "version": 1, "epoch": 1}), changed(list={"id": "x" * 65, "version": 1, "epoch": 1}),
        changed(items=[]), changed(items={}), changed(items=[GOOD["items"][0]] * 101), changed(items=[GOOD["items"][0]] * 2),
        with_item(i=-1), with_item(i="0"), with_item(i=10**9), with_item(prefixes={}),
        with_item(prefixes={"crc32": "00000000"}),
        with_item(prefixes={"sha1": "0" * 7}), with_item(prefixes={"sha1": "ABCDEF00"}),
        with_item(prefixes={"sha1": sha1("a")}),
        with_item(prefixes={"sha1": 12345678}), with_item(size=-1), with_item(size="10"), with_item(size=1.5),
    ],
)  # fmt: skip
def test_a_question_that_is_none_is_refused(shared: Shared, document: Any) -> None:
    data, agent = shared
    with asking(data, agent) as client:
        response = client.post("/v1/confirm", document)
    assert (response.status_code, error_of(response)) == (422, "invalid")
    if isinstance(document, dict):
        documented = not list(jsonschema.Draft202012Validator(schemas.CONFIRM_SCHEMA).iter_errors(document))
        # JSON Schema cannot say "no number twice" nor "one of the known algorithms".
        assert documented == (document in (changed(items=[GOOD["items"][0]] * 2), with_item(prefixes={"crc32": "00000000"})))


def test_what_is_documented_is_accepted_and_unknown_keys_are_ignored(shared: Shared) -> None:
    data, agent = shared
    with asking(data, agent) as client:
        for document in (
            GOOD, changed(extra=[1]), with_item(size=None), with_item(extra="x"),
            with_item(prefixes={"sha1": "00000000", "sha3": "?"}),
            changed(items=[{"i": 5, "prefixes": {"md5": "00000000"}}]),
        ):  # fmt: skip
            jsonschema.validate(document, schemas.CONFIRM_SCHEMA)
            assert confirm(client, agent, document)["items"]


def test_the_idempotency_key_is_the_nonce(shared: Shared) -> None:
    data, agent = shared
    with asking(data, agent) as client:
        assert client.post("/v1/confirm", GOOD).status_code == 200
        response = client.post("/v1/confirm", GOOD, {"Idempotency-Key": "other"})
    assert (response.status_code, error_of(response)) == (422, "invalid")


@pytest.mark.parametrize(
    ("path", "limit"), [("/v1/confirm", parsing.MAX_CONFIRM_BYTES), ("/v1/outcomes", parsing.MAX_OUTCOMES_BYTES)]
)
def test_a_body_is_read_up_to_its_limit(shared: Shared, path: str, limit: int) -> None:
    data, agent = shared
    pieces = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pieces
        while pieces < 10_000:
            pieces += 1
            yield b" " * 1024

    with asking(data, agent) as client:
        assert client.post(path, b" " * limit).status_code == 422
        for body in (b" " * (limit + 1), endless()):
            response = client.ask("POST", path, body=body)
            assert (response.status_code, error_of(response)) == (413, "too_large")
    assert pieces <= limit // 1024 + 2, "the rest was not read"


# Outcomes.


@both
def test_outcomes_are_kept_once_and_acknowledged_always(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    clock = Clock()
    with asking(data, agent, clock) as client:
        entry = confirm(client, agent, GOOD)["items"][0]["entries"][0]["entry"]
        first = client.post("/v1/outcomes", {"outcomes": [outcome(1, entry=entry), outcome(1, entry=entry), outcome(2)]})
        assert first.status_code == 200
        said = agent.open(first.content, envelopes.RECEIPTS)
        assert said == {
            "provider": "acme",
            "issued": clock.now,
            "receipts": [{"id": "o_1", "received": clock.now}, {"id": "o_2", "received": clock.now}],
        }
        then = clock.now
        clock.now += 60
        again = client.post("/v1/outcomes", {"outcomes": [outcome(2, action="failed"), outcome(3)]})
        said = agent.open(again.content, envelopes.RECEIPTS)
        assert said["receipts"] == [{"id": "o_2", "received": then}, {"id": "o_3", "received": clock.now}]
    with open_store(data) as store, store.reading() as session:
        rows = session.scalars(select(OutcomeRow).order_by(OutcomeRow.id)).all()
        known = session.scalars(select(Entry.id).where(Entry.public_id == entry)).one()
    assert [(row.outcome_id, row.action, row.received) for row in rows] == [
        ("o_1", "quarantined", then),
        ("o_2", "quarantined", then),
        ("o_3", "quarantined", clock.now),
    ]
    assert [row.entry_id for row in rows] == [known, None, None]
    assert (rows[0].list_name, rows[0].verdict, rows[0].acted_at) == (LIST, "0" * 64, 1_790_000_001.5)


@both
def test_two_providers_may_use_the_same_outcome_id(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    for one in (agent, enrol(data, "other")):
        with asking(data, one) as client:
            assert client.post("/v1/outcomes", {"outcomes": [outcome()]}).status_code == 200
    with open_store(data) as store, store.reading() as session:
        assert session.scalars(select(func.count()).select_from(OutcomeRow)).one() == 2


@pytest.mark.parametrize("action", list(Action))
def test_every_action_is_documented_and_accepted(tmp_path: Path, action: Action) -> None:
    data, agent = ready(tmp_path)
    document = {"outcomes": [outcome(action=action.value, extra=1)]}
    jsonschema.validate(document, schemas.OUTCOMES_SCHEMA)
    with asking(data, agent) as client:
        assert client.post("/v1/outcomes", document).status_code == 200


@pytest.mark.parametrize(
    "document",
    [
        b"", {}, {"outcomes": []}, {"outcomes": [7]}, {"outcomes": [outcome(number) for number in range(101)]},
        {"outcomes": [outcome(action="deleted")]}, {"outcomes": [outcome(verdict="x" * 64)]}, {"outcomes": [outcome(id="")]},
        {"outcomes": [outcome(id="i" * 81)]}, {"outcomes": [outcome(first_seen=-1)]}, {"outcomes": [outcome(acted_at="now")]},
        {"outcomes": [outcome(entry=None)]}, {"outcomes": [outcome(), {}]},
    ],
)  # fmt: skip
def test_outcomes_that_are_none_are_refused_and_none_is_kept(shared: Shared, document: Any) -> None:
    data, agent = shared
    with asking(data, agent) as client:
        response = client.post("/v1/outcomes", document)
    assert (response.status_code, error_of(response)) == (422, "invalid")
    with open_store(data) as store, store.reading() as session:
        assert session.scalars(select(func.count()).select_from(OutcomeRow)).one() == 0
    if isinstance(document, dict):
        assert list(jsonschema.Draft202012Validator(schemas.OUTCOMES_SCHEMA).iter_errors(document))


@both
def test_a_busy_database_means_wait(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    with asking(data, agent) as client, open_store(data) as other, other.writing():
        response = client.post("/v1/outcomes", {"outcomes": [outcome()]})
        assert (response.status_code, error_of(response), response.headers["retry-after"]) == (503, "busy", "10")
        assert client.post("/v1/confirm", GOOD).status_code == 200  # readers do not wait


# Everything else.


def test_health_and_readiness_need_no_key(tmp_path: Path) -> None:
    data, _ = ready(tmp_path)
    with asking(data, None) as client:
        assert client.get("/health").json() == {"status": "ok"}
        assert client.get("/ready").json() == {"status": "ready", "troubles": []}
        client.app.state.served.store.close()
        (data / "service.sqlite3").write_bytes(b"gone " * 1000)
        (data / "service.sqlite3-wal").unlink(missing_ok=True)
        assert client.get("/ready").status_code in {500, 503}
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404), ("GET", "/docs", 404), ("GET", "/redoc", 404), ("GET", "/openapi.json", 404),
        ("GET", "/v1/confirm/", 404), ("GET", "/v1/confirm", 405), ("PUT", "/v1/outcomes", 405),
        ("DELETE", "/v1/files/timestamp.json", 405), ("GET", "/health", 200),
    ],
)  # fmt: skip
def test_every_answer_is_ours_and_carries_the_security_headers(shared: Shared, method: str, path: str, status: int) -> None:
    data, agent = shared
    with asking(data, agent) as client:
        response = client.ask(method, path)
    assert response.status_code == status
    if status != 200:
        error_of(response)
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "server" not in response.headers


def test_a_bug_is_500_without_a_word_about_it(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    with open_store(data) as store, store.writing() as session:
        session.connection().exec_driver_sql("DROP TABLE outcome")
    with asking(data, agent) as client:
        response = client.post("/v1/outcomes", {"outcomes": [outcome()]})
    assert (response.status_code, error_of(response)) == (500, "internal")
    assert "outcome" not in response.json()["error"]["message"]
    assert response.headers["x-content-type-options"] == "nosniff"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["i", "list", "items", "prefixes", "x"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(_JSON, st.sampled_from(["list", "nonce", "items", "outcomes"]))
def test_no_json_breaks_the_parsers(value: Any, where: str) -> None:
    body = json.dumps({**GOOD, "outcomes": [outcome()], where: value}).encode()
    for parse in (parsing.parse_confirm, parsing.parse_outcomes):
        try:
            parse(body)
        except StrictJsonError:
            continue


def test_the_default_category_is_a_word(tmp_path: Path) -> None:
    data, agent = ready(tmp_path)
    load(data, sha1("plain"), shape=Shape())
    with asking(data, agent) as client:
        assert confirm(client, agent, question({"sha1": sha1("plain")}))["items"][0]["entries"][0]["category"] == "unspecified"
