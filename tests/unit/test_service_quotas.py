"""Budgets of agents: what explains a question passes, what asks too much is slowed and told, without a write a question."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from hashscan.errors import UsageError
from hashscan.service import admin
from hashscan.service.access import Caller, NotServed, api_key_hash, authenticate
from hashscan.service.parsing import parse_confirm
from hashscan.service.quotas import DAY, HURRY, MIN_BURST, REMEMBERED, Allowance, Quotas, cost_of
from hashscan.service.store import Store, open_store
from hashscan.service.tables_out import Budget
from tests.support.service import Agent, Client, Clock, asking, enrol, load, make, md5, question, sha1

NOW = 1_790_000_000.0
PER_DAY, BURST = 1000, 4000


class Desk:
    """The quotas of one process, on a service with one agent; ``told`` is whom the operator heard of."""

    def __init__(self, data: Path, agent: Agent, store: Store) -> None:
        self.data, self.store = data, store
        self.told: list[tuple[str, int]] = []
        self.caller: Caller = authenticate(store, f"Bearer {agent.api_key}")
        self.quotas = self.process()
        self.writes = 0
        event.listen(Engine, "before_cursor_execute", self.count)

    def process(self) -> Quotas:
        return Quotas(lambda provider, key: self.told.append((provider, key)))

    def count(self, _c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        self.writes += statement.startswith(("UPDATE", "INSERT"))

    def ask(self, cost: int, now: float = NOW, *, process: Quotas | None = None) -> float:
        """0.0 where it passed, else the seconds to wait."""
        try:
            (process or self.quotas).spend(self.store, self.caller, cost, now)
        except NotServed as error:
            refused = error
        else:
            return 0.0
        assert (refused.status, refused.code) == (429, "quota")
        return refused.retry_after or 0.0

    def budget(self) -> Budget:
        with self.store.reading() as session:
            return session.get_one(Budget, self.caller.api_key_id)


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    data = make(tmp_path)
    agent = enrol(data)
    admin.set_quota(data, "acme", per_day=PER_DAY, burst=BURST)
    with open_store(data) as store:
        made = Desk(data, agent, store)
        try:
            yield made
        finally:
            event.remove(Engine, "before_cursor_execute", made.count)


@given(st.floats(0, 4000), st.integers(-(10**9), 10**9), st.integers(1, 10**6))
def test_a_budget_fills_up_to_its_burst_and_never_empties_by_itself(level: float, later: int, per_day: int) -> None:
    allowance = Allowance(per_day, 4000)
    after = allowance.level(level, NOW, NOW + later)
    assert level <= after <= 4000
    assert after == pytest.approx(min(4000.0, level + max(later, 0) * per_day / DAY))


def test_a_question_costs_its_distinct_prefixes() -> None:
    def cost(*items: dict[str, str]) -> int:
        return cost_of(parse_confirm(json.dumps(question(*items)).encode()))

    one = {"sha1": sha1("a"), "md5": md5("a")}
    assert cost(one) == 2
    assert cost(*[one] * 100) == 2, "a hundred copies of one file are no more than one"
    assert cost(one, {"sha1": sha1("b"), "md5": md5("a")}) == 3
    assert cost(*({"sha1": sha1(str(number))} for number in range(100))) == 100


def test_asking_within_the_budget_writes_now_and_then_only(desk: Desk) -> None:
    for number in range(300):
        assert desk.ask(10, NOW + number) == 0.0
    assert desk.writes < 20, "3000 prefixes"
    assert desk.told == []
    assert desk.budget().asked >= 3000


def test_who_has_no_limit_waits_for_no_writer(desk: Desk) -> None:
    admin.set_quota(desk.data, "acme", per_day=0, burst=None)
    with desk.store.writing():
        for number in range(10):
            assert desk.ask(MIN_BURST, NOW + number * (REMEMBERED + 1)) == 0.0


class Greedy:
    """A store; whenever something was written, another thread of the process spends all that is in the purse."""

    def __init__(self, desk: Desk, process: Quotas) -> None:
        self._desk, self._process = desk, process
        self.reading = desk.store.reading

    @contextmanager
    def writing(self, *, wait: bool = True) -> Iterator[Session]:
        with self._desk.store.writing(wait=wait) as session:
            yield session
        while self._process.at_hand(self._desk.caller, 1, NOW):
            pass


def test_what_one_thread_has_paid_with_another_has_not_spent(desk: Desk) -> None:
    process = desk.process()
    for _ in range(5):
        process.spend(Greedy(desk, process), desk.caller, 100, NOW)  # type: ignore[arg-type]
    assert desk.told == []


def test_who_asks_more_is_slowed_and_told(desk: Desk) -> None:
    passed = sum(desk.ask(100) == 0.0 for _ in range(60))
    assert passed * 100 == BURST
    wait = desk.ask(100)
    assert wait == pytest.approx(100 * DAY / PER_DAY, abs=1) or wait == 3600.0
    assert desk.told == [("acme", desk.caller.api_key_id)], "once a minute, not at each request"
    writes = desk.writes
    for _ in range(50):
        assert desk.ask(100) > 0
    assert desk.writes == writes, "and refusing costs no write"
    later = NOW + DAY / 10  # a tenth of the daily rate is one question
    assert desk.ask(100, later) == 0.0
    assert desk.ask(100, later) > 0
    stats = admin.stats(desk.data).providers[0]
    assert stats.slowed > 0
    assert stats.slowed_at == later
    assert desk.budget().refused == stats.slowed


def test_a_restart_and_several_processes_give_nothing_away(desk: Desk) -> None:
    processes = [desk.process() for _ in range(4)]
    passed = sum(desk.ask(50, process=processes[number % 4]) == 0.0 for number in range(200))
    assert BURST - 4 * 50 <= passed * 50 <= BURST
    restarted = [desk.process() for _ in range(20)]
    assert all(desk.ask(50, NOW + REMEMBERED, process=one) > 0 for one in restarted)
    assert desk.budget().level >= 0


def test_a_process_that_dies_takes_a_part_along_and_never_adds_one(desk: Desk) -> None:
    passed = 0
    for _ in range(200):
        passed += desk.ask(10, process=desk.process()) == 0.0  # each dies after one question
    assert 0 < passed * 10 <= BURST


def test_keys_that_an_agent_made_itself_share_its_budget(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    admin.publish(data)
    admin.set_quota(data, "acme", per_day=1, burst=MIN_BURST)
    clock = Clock()
    with asking(data, agent, clock) as client:
        keys = ["hsk_" + letter * 43 for letter in "ab"]
        for here, key in zip([agent.api_key, keys[0]], keys, strict=True):
            body = {"api_key_sha256": api_key_hash(key).hex(), "label": "thief"}
            assert client.post("/v1/api-keys", body, {"Authorization": f"Bearer {here}"}).status_code == 201
        statuses = []
        for number in range(6):
            items = [{"sha1": sha1(f"{number} {one}")} for one in range(100)]
            bearer = {"Authorization": f"Bearer {[agent.api_key, *keys][number % 3]}"}
            response = client.post("/v1/confirm", question(*items), bearer)
            statuses.append(response.status_code)
        assert statuses == [200] * 4 + [429] * 2
        assert 1 <= int(response.headers["Retry-After"]) <= 3600
        assert response.json()["error"]["code"] == "quota"
        assert client.get("/v1/files/timestamp.json").status_code == 200, "lists are fetched all the same"
        assert 'quota_refusals_total{provider="acme"} 1' in client.get("/metrics").text


def test_numbers_change_within_seconds(desk: Desk) -> None:
    while desk.ask(100) == 0.0:
        pass
    admin.set_quota(desk.data, "acme", per_day=0, burst=None)
    assert desk.ask(100, NOW + REMEMBERED) == 0.0
    assert all(desk.ask(100, NOW + REMEMBERED) == 0.0 for _ in range(100)), "no limit"
    admin.set_quota(desk.data, "acme", per_day=PER_DAY, burst=BURST)
    later = NOW + 3 * REMEMBERED
    passed = sum(desk.ask(100, later) == 0.0 for _ in range(60))
    assert BURST - 100 <= passed * 100 <= BURST, "full again, and no more than that"


def test_providers_without_numbers_have_those_of_the_service(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data)
    assert admin.set_quota(data, None, per_day=50, burst=None).per_day == 50
    assert admin.set_quota(data, "acme", per_day=None, burst=700) == Allowance(50, 700)
    assert admin.set_quota(data, None, per_day=None, burst=None).per_day > 50
    for wrong in ({"per_day": 1, "burst": MIN_BURST - 1}, {"per_day": 10**10, "burst": None}):
        with pytest.raises(UsageError, match="a quota is from"):
            admin.set_quota(data, "acme", **wrong)
    with pytest.raises(UsageError, match="no provider"):
        admin.set_quota(data, "nobody", per_day=1, burst=None)


def test_while_the_database_is_busy_a_little_is_lent(desk: Desk) -> None:
    """An import holds the write lock for minutes; agents are not sent away for it, and nothing is given away."""
    with desk.store.writing():
        assert [desk.ask(100) for _ in range(4)] == [0.0] * 4
        with pytest.raises(Exception, match="locked"):
            desk.ask(100)
    assert desk.ask(100, NOW + HURRY) == 0.0
    assert desk.budget().level <= BURST - 500 + PER_DAY * HURRY / DAY


def test_a_clock_that_went_back_fills_nothing(desk: Desk) -> None:
    while desk.ask(100) == 0.0:
        pass
    level = desk.budget().level
    assert desk.ask(100, NOW - 10 * DAY, process=desk.process()) > 0
    assert desk.budget().level == level
    assert desk.budget().at >= NOW


def test_a_client_that_is_not_slowed_is_the_control(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    admin.publish(data)
    with asking(data, agent, Clock()) as client:
        assert isinstance(client, Client)
        items = [{"sha1": sha1(f"{one}")} for one in range(100)]
        assert all(client.post("/v1/confirm", question(*items)).status_code == 200 for _ in range(6))
    assert admin.stats(data).providers[0].slowed == 0
