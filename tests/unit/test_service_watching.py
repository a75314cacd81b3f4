"""What is told of requests, and what must never be; numbers for Prometheus; bounds on what comes in; who may ask how often."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.server import ServerState

from hashscan.known.keys import token
from hashscan.model import Algorithm
from hashscan.service import admin, observing
from hashscan.service.app import create_app
from hashscan.service.journal import Journal
from hashscan.service.limits import Buckets, Gate, Rate
from hashscan.service.meters import MAX_LINES, Meters
from hashscan.service.metrics import count_request, exposition, named
from hashscan.service.patience import PatientProtocol
from hashscan.service.serving import Options
from hashscan.service.store import open_store
from hashscan.service.tables import Phase
from hashscan.service.web import rendering
from tests.support import databases
from tests.support.databases import both
from tests.support.service import LIST, Agent, Client, Clock, asking, enrol, load, make, md5, question, sha1


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = make(tmp_path)
    load(made, f"md5,sha1\n{md5('a')},{sha1('a')}\n{md5('b')},{sha1('b')}\n")
    return made


@contextmanager
def served(data: Path, agent: Agent | None, clock: Clock, options: Options) -> Iterator[Client]:
    app = create_app(data, now=clock, busy_seconds=0.1, options=options)
    try:
        yield Client(app, agent)
    finally:
        app.state.served.store.close()


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# The journal.


def story(client: Client, data: Path, agent: Agent) -> list[str]:
    """Everything that an agent does, and some that nobody should; the secrets and digests that were in it."""
    code = admin.new_code(data, "acme", valid=3600)
    assert client.get("/v1/files/timestamp.json").status_code == 200
    assert client.get("/v1/files/police-1-1.filter").status_code == 200
    assert client.post("/v1/confirm", question({"sha1": sha1("a"), "md5": md5("a")}, {"sha1": sha1("z")})).status_code == 200
    outcome = {"id": "o_secret", "entry": "e_x", "list": LIST, "verdict": "5" * 64, "action": "reported"}
    body = {"outcomes": [{**outcome, "first_seen": 1, "acted_at": 2}], "log": {"lines": 4, "hash": "6" * 64}}
    assert client.post("/v1/outcomes", body).status_code == 200
    wrong = "hsk_" + "w" * 43
    assert client.post("/v1/confirm", question({"sha1": sha1("b")}), {"Authorization": f"Bearer {wrong}"}).status_code == 401
    assert client.post("/v1/confirm", b'{"nonce": "' + sha1("c").encode() + b'"}').status_code == 422
    assert client.get(f"/srv/customers/{sha1('d')}?q={sha1('e')}").status_code == 404
    assert client.get(f"/v1/files/{sha1('f')}").status_code == 404
    assert client.get(f"/v1/provider-keys?nonce={'n' * 43}&have=1", {"User-Agent": sha1("g")}).status_code == 200
    application = {"code_id": "7" * 16, "nonce": "n" * 43, "api_key_sha256": "8" * 64, "label": "web1", "proof": "9" * 64}
    assert client.post("/v1/enrol", application).status_code == 401
    key = agent.key.at(1).raw.hex()
    names = [sha1(one) for one in "abcdefgz"] + [md5("a")]
    tags = [token(agent.key.confirm_key(LIST, 1), Algorithm.SHA1, bytes.fromhex(sha1("a")))]
    made_up = ["o_secret", "e_x", "5" * 16, "6" * 16, "7" * 16, "8" * 16, "9" * 16, "web1", "customers", "n" * 43]
    return [*names, *tags, *(one[:8] for one in names), agent.api_key, wrong, code, key, *made_up]


def test_nothing_secret_is_in_the_journal_or_the_metrics(data: Path, tmp_path: Path) -> None:
    agent = enrol(data)
    admin.publish(data)
    path = tmp_path / "journal"
    with path.open("wb") as journal, served(data, agent, Clock(), Options(journal_fd=journal.fileno())) as client:
        secrets = story(client, data, agent)
        told = path.read_text() + client.get("/metrics").text
    assert [one for one in secrets if one in told] == []
    assert "acme" in told, "control: names of providers are told"
    found = lines(path)
    assert {one["route"] for one in found} == {
        "/v1/files/{name}", "/v1/confirm", "/v1/outcomes", "/v1/provider-keys", "/v1/enrol", "/metrics", "-",
    }  # fmt: skip
    assert {key for one in found for key in one} == {
        "time", "event", "id", "method", "route", "status", "ms", "bytes_in", "bytes_out", "provider",
    }  # fmt: skip
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", one["time"]) for one in found)


def test_control_a_journal_of_paths_would_be_noticed(data: Path, tmp_path: Path) -> None:
    agent = enrol(data)
    admin.publish(data)
    path = tmp_path / "journal"
    with path.open("wb") as stream, served(data, agent, Clock(), Options()) as client:
        naive = Journal(stream.fileno())
        naive.write(0.0, "request", path=f"/srv/customers/{sha1('d')}")
        secrets = story(client, data, agent)
    assert [one for one in secrets if one in path.read_text()]


def test_a_request_is_one_line_with_the_number_of_the_answer(data: Path, tmp_path: Path) -> None:
    agent = enrol(data)
    admin.publish(data)
    path = tmp_path / "journal"
    clock = Clock(1_790_000_000.5)
    with path.open("wb") as journal, served(data, agent, clock, Options(journal_fd=journal.fileno())) as client:
        answer = client.post("/v1/confirm", question({"sha1": sha1("a")}))
    (one,) = lines(path)
    assert (one["id"], one["method"], one["status"], one["provider"]) == (answer.headers["x-request-id"], "POST", 200, "acme")
    assert (one["time"], one["bytes_out"]) == ("2026-09-21T14:13:20.500Z", len(answer.content))
    assert one["bytes_in"] > 100
    assert one["ms"] > 0


def test_a_journal_that_nobody_reads_stops_no_answer(data: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with served(data, None, Clock(), Options(journal_fd=writer)) as client:
        assert [client.get("/health").status_code for _ in range(2)] == [200, 200]
    os.close(writer)


# Metrics.


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=60), st.integers(1, 4))
def test_sums_over_processes(additions: list[tuple[str, int]], processes: int) -> None:
    meters = [Meters() for _ in range(processes)]
    for number, (name, amount) in enumerate(additions):
        meters[number % processes].add(name, amount)
    total: dict[str, float] = {}
    for one in meters:
        for name, value in one.sums().items():
            total[name] = total.get(name, 0) + value
    assert total == {name: sum(a for n, a in additions if n == name) for name in {n for n, _ in additions}}


def test_processes_share_a_folder_and_the_dead_are_counted(tmp_path: Path) -> None:
    first = Meters(tmp_path)
    first.add("requests", 2)
    for _ in range(3):
        pid = os.fork()
        if pid == 0:
            mine = Meters(tmp_path)
            mine.add("requests")
            mine.add("others", 0.5)
            os._exit(0)
        os.waitpid(pid, 0)
    assert dict(first.sums()) == {"requests": 5, "others": 1.5}
    (tmp_path / "torn.count").write_bytes(b"\x05\x00" + bytes(126))
    assert dict(Meters(tmp_path).sums())["requests"] == 5
    assert len(list(tmp_path.glob("*.count"))) == 6


def test_names_without_end_are_bounded() -> None:
    meters = Meters()
    for number in range(MAX_LINES + 10):
        meters.add(f"name {number}")
    meters.add("x" * 200)
    assert len(meters.sums()) == MAX_LINES


_SAMPLE = re.compile(r'[a-z_]+(\{[a-z]+="(\\.|[^"\\])*"(,[a-z]+="(\\.|[^"\\])*")*\})? -?(\d+(\.\d+)?(e[+-]\d+)?)')


def test_the_text_is_what_prometheus_reads() -> None:
    meters = Meters()
    for seconds in (0.001, 0.005, 0.2, 99.0):
        count_request(meters, "GET", "/v1/files/{name}", 200, seconds)
    meters.add(named("questions_total", provider='odd "name"\\\n'), 3)
    text = exposition(meters.sums(), [])
    for line in text.splitlines():
        assert line.startswith("# ") or _SAMPLE.fullmatch(line), line
    buckets = [int(one) for one in re.findall(r'request_seconds_bucket\{route="/v1/files/\{name\}",le="[^"]+"\} (\d+)', text)]
    assert buckets == sorted(buckets)
    assert (buckets[0], buckets[-2], buckets[-1]) == (2, 3, 4)
    assert 'request_seconds_count{route="/v1/files/{name}"} 4' in text
    assert 'requests_total{method="GET",route="/v1/files/{name}",status="200"} 4' in text


def test_what_the_metrics_say_of_a_service(data: Path) -> None:
    agent = enrol(data)
    enrol(data, "newbie", Phase.TRIAL)
    clock = Clock()
    admin.publish(data)
    with asking(data, agent, clock) as client:
        client.get("/v1/files/timestamp.json")
        client.post("/v1/confirm", question({"sha1": sha1("a")}, {"sha1": sha1("z")}))
        outcome = {"id": "o_1", "entry": "e_x", "list": LIST, "verdict": "5" * 64, "action": "reported"}
        client.post("/v1/outcomes", {"outcomes": [{**outcome, "first_seen": 1, "acted_at": 2}]})
        answer = client.get("/metrics")
        for said in (
            'requests_total{method="POST",route="/v1/confirm",status="200"} 1',
            'questions_total{provider="acme"} 2',
            'entries_told_total{standing="active"} 1',
            'outcomes_total{action="reported"} 1',
            f'list_version{{list="{LIST}"}} 1',
            'providers{phase="trial"} 1',
        ):
            assert f"hashscan_service_{said}\n" in answer.text, said
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        ages = dict(re.findall(r"hashscan_service_(\w+_seconds)(?:\{[^}]*\})? ([0-9.e+]+)", answer.text))
        assert 0 <= float(ages["list_age_seconds"]) < 3600
        assert 300 * 86_400 < float(ages["root_expires_seconds"]) < 366 * 86_400


def test_who_may_see_the_metrics(data: Path) -> None:
    with served(data, None, Clock(), Options(metrics_token="a-token")) as client:
        assert client.get("/metrics").status_code == 404
        assert client.get("/metrics", {"Authorization": "Bearer another"}).status_code == 404
        assert client.get("/metrics", {"Authorization": "Bearer a-token"}).status_code == 200
    with served(data, None, Clock(), Options()) as client:
        assert client.get("/metrics").status_code == 200
        for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"):
            assert client.get("/metrics", {name: "127.0.0.1"}).status_code == 404, "through a proxy: from anywhere"
        assert from_address(client.app, "192.0.2.7", "/metrics") == 404
        assert from_address(client.app, "::1", "/metrics") == 200


def from_address(app: FastAPI, address: str, path: str, **headers: str) -> int:
    async def go() -> int:
        transport = httpx.ASGITransport(app=app, client=(address, 1), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.get(f"http://service{path}", headers=headers)).status_code

    return asyncio.run(go())


# Whether it can work.


def test_ready_says_what_a_person_should_see_to(data: Path) -> None:
    clock = Clock()
    with asking(data, None, clock) as client:
        assert client.get("/ready").json() == {"status": "ready", "troubles": ["nothing is published"]}
        enrol(data)
        admin.publish(data)
        assert client.get("/ready").json() == {"status": "ready", "troubles": []}
        clock.now += 8 * 86_400
        assert client.get("/ready").json()["troubles"] == ["a list was not published for a week"]
        clock.now += 330 * 86_400
        assert "the root expires soon" in client.get("/ready").json()["troubles"]
        clock.now += 100 * 86_400
        assert "the root has expired" in client.get("/ready").json()["troubles"]


def test_not_ready_without_a_key_to_sign_with_or_a_database(data: Path) -> None:
    enrol(data)
    admin.publish(data)
    with asking(data, None, Clock()) as client:
        for path in (data / "keys").glob("snapshot-*.pem"):
            path.rename(path.with_suffix(".away"))
    with asking(data, None, Clock()) as client:
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "not ready: online keys")
        for path in data.glob("service.sqlite3*"):
            path.rename(path.with_name(f"{path.name}.away"))
        client.app.state.served.store.close()
        answer = client.get("/ready")
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "not ready: database")
        assert client.get("/health").status_code == 200


# Bounds.


def test_heads_that_are_too_long(data: Path) -> None:
    with asking(data, None, Clock()) as client:
        assert client.get(f"/health?{'q' * observing.MAX_TARGET_BYTES}").status_code == 414
        assert client.get("/health", {"x": "y" * observing.MAX_HEADER_BYTES}).status_code == 431
        assert client.get("/health", {f"x{n}": "y" for n in range(observing.MAX_HEADERS)}).status_code == 431
        assert client.get("/health", {f"x{n}": "y" for n in range(20)}).status_code == 200


@pytest.mark.parametrize("path", ["/health", "/ready", "/v1/files/timestamp.json", "/nothing", "/v1/confirm", "/v1/enrol"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_no_route_reads_a_body_that_is_too_long(data: Path, path: str, method: str) -> None:
    agent = enrol(data)
    given_out = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given_out
        for _ in range(1000):
            given_out += 65_536
            yield bytes(65_536)

    with asking(data, agent, Clock()) as client:
        announced = client.ask(method, path, headers={"Content-Length": str(observing.MAX_BODY_BYTES + 1)})
        assert announced.status_code == 413
        assert announced.headers["connection"] == "close"
        client.ask(method, path, body=endless())
        assert given_out <= 2 * observing.MAX_BODY_BYTES + 65_536


def test_a_body_that_trickles_is_given_up(data: Path) -> None:
    agent = enrol(data)

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"{"
            await asyncio.sleep(0.05)

    with served(data, agent, Clock(), Options(body_seconds=0.2)) as client:
        answer = client.ask("POST", "/v1/confirm", body=trickle())
        assert (answer.status_code, answer.json()["error"]["code"]) == (408, "slow")
        assert answer.headers["connection"] == "close"


class _Hasty(PatientProtocol):
    head_seconds = 0.3


def test_a_head_that_does_not_come_is_given_up(data: Path) -> None:
    whole = b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n"

    async def go(app: FastAPI, sent: list[bytes]) -> bytes:
        config = uvicorn.Config(app, log_config=None, timeout_keep_alive=600)
        config.load()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Hasty(config, ServerState(), {}), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        said = b""
        for piece in sent:
            writer.write(piece)
            said += await asyncio.wait_for(reader.read(65_536), 20)  # an answer, or the end
        writer.close()
        server.close()
        return said

    with asking(data, None, Clock()) as client:
        assert asyncio.run(go(client.app, [whole])).startswith(b"HTTP/1.1 200")
        assert asyncio.run(go(client.app, [b"GET /health HT"])) == b"", "closed without a word, and nobody waited"
        twice = asyncio.run(go(client.app, [whole, b"GET /he"]))
        assert twice.count(b"HTTP/1.1 200") == 1, "the second request of a connection has the same time"


# Rates.


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), min_size=1, max_size=80))
def test_no_bucket_gives_more_than_its_rate(steps: list[tuple[float, bool]]) -> None:
    buckets, now, took = Buckets(Rate(2.0, 5.0)), 1000.0, 0
    for pause, asks in steps:
        now += pause
        if asks and buckets.wait("me", now) == 0.0:
            took += 1
        assert took <= 5 + 2.0 * (now - 1000.0) + 1e-6


def test_buckets_forget_the_quiet_and_wait_is_enough() -> None:
    buckets = Buckets(Rate(1.0, 2.0), most=3)
    assert [buckets.wait("a", 0.0) for _ in range(2)] == [0.0, 0.0]
    wait = buckets.wait("a", 0.0)
    assert 0 < wait <= 1.0
    assert buckets.wait("a", wait + 1e-6) == 0.0
    assert buckets.wait("a", -100.0) > 0, "a clock that went back gives nothing"
    for other in "bcd":
        buckets.wait(other, 0.0)
    assert buckets.wait("a", 0.0) == 0.0, "forgotten: the limit is for who is loud now"
    assert Buckets(Rate(0.0, 0.0)).wait("a", 0.0) == 0.0


def test_one_key_does_not_take_the_time_of_others(data: Path) -> None:
    acme, other = enrol(data), enrol(data, "other")
    clock = Clock()
    with served(data, acme, clock, Options(per_key=Rate(1.0, 3.0))) as client:
        statuses = [client.get("/v1/files/1.root.json").status_code for _ in range(5)]
        assert statuses == [200] * 3 + [429] * 2
        answer = client.get("/v1/files/1.root.json")
        assert (answer.json()["error"]["code"], answer.headers["retry-after"]) == ("too_often", "1")
        assert client.get("/v1/files/1.root.json", {"Authorization": f"Bearer {other.api_key}"}).status_code == 200
        clock.now += 2
        assert client.get("/v1/files/1.root.json").status_code == 200


def test_strangers_are_slowed_and_known_agents_at_their_address_are_not(data: Path) -> None:
    agent = enrol(data)
    clock = Clock()
    with served(data, agent, clock, Options(per_stranger=Rate(0.1, 3.0))) as client:
        assert client.get("/v1/files/1.root.json").status_code == 200
        wrong = [client.get("/v1/files/x", {"Authorization": f"Bearer hsk_{'w' * 42}{n}"}).status_code for n in range(5)]
        assert wrong == [401] * 3 + [429] * 2
        assert client.post("/v1/enrol", {}).status_code == 429
        assert from_address(client.app, "192.0.2.9", "/v1/files/x") == 401, "another address"
        assert client.get("/v1/files/1.root.json").status_code == 200
        clock.now += 60
        assert client.post("/v1/enrol", {}).status_code == 422


def test_networks_of_addresses() -> None:
    gate = Gate(per_stranger=Rate(0.1, 1.0))
    gate.stranger("2001:db8::1", 0.0)
    for same in ("2001:db8::2", "2001:db8:0:0:ffff::1"):
        with pytest.raises(Exception, match="too many"):
            gate.stranger(same, 0.0)
    for other in ("2001:db8:0:1::1", "192.0.2.1", "192.0.2.2", "::ffff:192.0.2.3", "what"):
        gate.stranger(other, 0.0)
    with pytest.raises(Exception, match="too many"):
        gate.stranger("192.0.2.3", 0.0)


def test_the_journal_tells_of_agents_that_are_slowed(data: Path, tmp_path: Path) -> None:
    agent = enrol(data)
    admin.publish(data)
    admin.set_quota(data, "acme", per_day=1, burst=400)
    path = tmp_path / "journal"
    with path.open("wb") as journal, served(data, agent, Clock(), Options(journal_fd=journal.fileno())) as client:
        for number in range(5):
            client.post("/v1/confirm", question(*({"sha1": sha1(f"{number} {one}")} for one in range(100))))
    with open_store(data) as store, store.reading() as session:
        key_id = session.connection().exec_driver_sql("SELECT id FROM api_key").scalar_one()
    told = [one for one in lines(path) if one["event"] == "quota"]
    assert [(one["provider"], one["api_key_id"]) for one in told] == [("acme", key_id)]


def test_a_person_who_is_refused_before_any_page_sees_a_page(tmp_path: Path) -> None:
    data = make(tmp_path)
    long = "q" * observing.MAX_TARGET_BYTES
    with asking(data, None) as client:
        for path, status, headers in (
            (f"/web/login?{long}", 414, {}),
            ("/web/login", 413, {"Content-Length": str(observing.MAX_BODY_BYTES + 1)}),
            ("/web/login", 431, {"X-Long": "x" * observing.MAX_HEADER_BYTES}),
        ):
            page = client.ask("POST", path, headers=headers)
            assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
            assert "<h1>Too long</h1>" in page.text
            assert f"Status {status}" in page.text
            assert page.headers["content-security-policy"] == rendering.CONTENT_SECURITY_POLICY
            assert "x-request-id" in page.headers
            said = client.ask("POST", path.replace("/web/", "/v1/"), headers=headers)
            assert (said.status_code, said.headers["content-type"]) == (status, "application/json"), "programs see JSON"
        assert client.get(f"/website?{long}").headers["content-type"] == "application/json"


@both
def test_a_person_sees_a_page_also_where_the_database_is_away_or_broken(tmp_path: Path) -> None:
    data = make(tmp_path)
    with asking(data, None) as client:
        who = {"Cookie": f"hashscan-loopback={'x' * 43}", "Host": "127.0.0.1"}
        assert client.get("/web/overview", who).status_code == 303, "nobody is logged in"
        if databases.chosen() == "postgresql":
            databases.server().stop(kill=True)
            try:
                away = client.get("/web/overview", who)
            finally:
                databases.server().start()
            assert (away.status_code, away.headers["retry-after"]) == (503, "10")
            assert "<h1>The service is busy</h1>" in away.text
            assert client.get("/web/overview", who).status_code in {303, 503}
            assert client.get("/web/overview", who).status_code == 303
        with open_store(data) as store, store.writing() as session:
            session.connection().exec_driver_sql("DROP TABLE web_session")
        failed = client.get("/web/overview", who)
        assert (failed.status_code, failed.headers["content-type"]) == (500, "text/html; charset=utf-8")
        assert "web_session" not in failed.text
        assert failed.headers["content-security-policy"] == rendering.CONTENT_SECURITY_POLICY
