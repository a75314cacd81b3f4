"""Reading without a session, and the route that does: one state, errors that are ours, and what was ended counts at once."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from hashscan import strict_json
from hashscan.known import envelopes
from hashscan.model import Algorithm
from hashscan.service import admin, confirming, entries, guard, parsing
from hashscan.service.asking import Asking, Statement
from hashscan.service.keys import rotate_verdict_key
from hashscan.service.store import is_away, open_store
from hashscan.service.tables import ApiKey, Phase, Provider
from tests.support import databases
from tests.support.databases import both
from tests.support.service import LIST, Client, Clock, asking, enrol, load, make, question, sha1, withdraw


@both
def test_a_transaction_sees_one_state_and_the_next_one_what_was_committed_meanwhile(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data)
    names = Statement(select(Provider.name))
    with open_store(data) as store:
        with store.asking() as first:
            assert first.rows(names) == [("acme",)]
            with store.writing() as session:
                session.execute(update(Provider).values(name="other"))
            assert first.rows(names) == [("acme",)]
        with store.asking() as second:
            assert second.rows(names) == [("other",)]


@both
def test_what_the_driver_raises_comes_as_an_error_of_sqlalchemy_and_the_connection_can_be_used_again(tmp_path: Path) -> None:
    data = make(tmp_path)
    with open_store(data) as store:
        for _ in range(50):  # more than the pool holds: each must come back
            with store.asking() as one, pytest.raises(DBAPIError) as raised:
                one.rows(Statement(text("SELECT nothing FROM nowhere")))
            assert type(raised.value.orig).__module__.startswith(("sqlite3", "psycopg"))
        with store.asking() as one:
            assert one.rows(Statement(select(Provider.name))) == []


@both
def test_a_server_that_was_restarted_costs_no_answer(tmp_path: Path) -> None:
    data = make(tmp_path)
    names = Statement(select(Provider.name))
    with open_store(data) as store:
        with store.asking() as one, store.asking() as other:
            assert one.rows(names) == other.rows(names) == []
            if databases.chosen() == "postgresql":
                databases.server().stop(kill=True)
                databases.server().start()
                with pytest.raises(DBAPIError) as raised:
                    one.rows(names)  # it has told something of a state that is gone
                assert is_away(raised.value)  # type: ignore[arg-type]
        for _ in range(3):
            with store.asking() as one, store.asking() as other:
                assert one.rows(names) == other.rows(names) == []


@pytest.mark.optional("postgresql")
def test_the_server_plans_a_statement_once_and_not_in_each_transaction(tmp_path: Path) -> None:
    with databases.choose("postgresql"):
        data = make(tmp_path)
        names = Statement(select(Provider.name))
        with open_store(data) as store:
            for _ in range(8):  # psycopg prepares what it has seen five times
                with store.asking() as one:
                    assert one.rows(names) == []
            with store.asking() as one:
                assert one.rows(Statement(text("SELECT count(*) FROM pg_prepared_statements")))[0][0] > 0


def plan(asked: Asking, sql: str, parameters: object) -> str:
    asked._cursor.execute("EXPLAIN QUERY PLAN " + sql, parameters)
    return "\n".join(row[3] for row in asked._cursor.fetchall())


def test_prefixes_are_found_by_an_index(tmp_path: Path) -> None:
    """SQLAlchemy's own way of writing a condition that is a function reads the whole table: the control."""
    data = make(tmp_path)
    values = {"list": 1, "prefixes": {1}, "algorithm": "md5", **{one.value: {1} for one in Algorithm}}
    statements = [confirming._ENTRIES, guard._GOOD, *map(Statement, entries._LOADERS.values()), Statement(guard._LOADER)]
    with open_store(data) as store, store.asking() as one:
        texts = [statement.text(one._engine.dialect) for statement in statements]
        for sql, parameters in texts:
            told = plan(one, sql, parameters(values))
            assert "SEARCH" in told
            assert "SCAN entry" not in told
            assert "SCAN known_good" not in told
        sql, parameters = texts[0]
        assert sql != (spoilt := sql.replace("json_each(?)))", "json_each(?))) = 1"))
        assert "SCAN entry" in plan(one, spoilt, parameters(values))


# -------------------------------------------------------------------------------------------- what counts at once


def end_key(data: Path) -> None:
    admin.revoke_api_key(data, "acme", "1")


def suspend(data: Path) -> None:
    admin.set_phase(data, "acme", Phase.SUSPENDED)


def revoke_provider_key(data: Path) -> None:
    admin.rotate_provider_key(data, "acme", revoke_old=True)


@both
@pytest.mark.parametrize(
    ("change", "status"), [(end_key, 401), (suspend, 403), (revoke_provider_key, 409)], ids=["api key", "suspended", "epoch"]
)
def test_what_another_process_ended_is_refused_at_the_next_request(
    tmp_path: Path, change: Callable[[Path], None], status: int
) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    admin.publish(data)
    with asking(data, agent) as client:
        for _ in range(3):
            assert client.post("/v1/confirm", question({"sha1": sha1("a")})).status_code == 200
        change(data)  # opens the database itself, as another process does
        assert client.post("/v1/confirm", question({"sha1": sha1("a")})).status_code == status


@both
def test_phase_standing_and_verdict_key_are_those_of_now(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data, phase=Phase.TRIAL)
    load(data, sha1("a"))
    admin.publish(data)

    def told(client: Client) -> tuple[str, str, int]:
        envelope = client.post("/v1/confirm", question({"sha1": sha1("a")})).content
        ((entry,),) = [one["entries"] for one in agent.open(envelope, envelopes.VERDICT)["items"]]
        return entry["act"], entry["standing"], len(json.loads(envelope)["signatures"])

    with asking(data, agent) as client:
        assert told(client) == ("report", "active", 1)
        admin.set_phase(data, "acme", Phase.REGULAR)
        assert told(client) == ("quarantine", "active", 1)
        withdraw(data, LIST, sha1("a"), "wrong")
        assert told(client) == ("quarantine", "withdrawn", 1)
        with open_store(data) as store:
            rotate_verdict_key(store)
        assert told(client) == ("quarantine", "withdrawn", 2)


def test_who_may_not_ask_hears_nothing_of_the_body(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    admin.publish(data)
    long = b" " * (parsing.MAX_CONFIRM_BYTES + 1)
    with asking(data, agent) as client, asking(data, None) as stranger:
        assert client.post("/v1/confirm", long).status_code == 413
        assert client.post("/v1/confirm", b"{}").status_code == 422
        assert stranger.post("/v1/confirm", long).status_code == 401
        end_key(data)
        assert client.post("/v1/confirm", long).status_code == 401
        assert client.post("/v1/confirm", b"{}").status_code == 401


def test_a_use_is_noted_also_where_the_question_fits_nothing(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    with asking(data, agent, Clock(10 * 86_400.0)) as client:
        assert client.post("/v1/confirm", question({"sha1": sha1("a")})).status_code == 409
    with open_store(data) as store, store.reading() as session:
        assert session.scalars(select(ApiKey.used_day)).one() == 10


# ------------------------------------------------------------------------------------------------- nesting, counted faster


def nesting_by_hand(data: bytes) -> int:
    depth = deepest = 0
    in_string = escaped = False
    for byte in data:
        if in_string:
            in_string, escaped = byte != 0x22 or escaped, byte == 0x5C and not escaped
        elif byte == 0x22:
            in_string, escaped = True, False
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def test_nesting_is_what_counting_byte_by_byte_says() -> None:
    pick = random.Random(5)
    seen = set()
    for _ in range(20_000):
        data = bytes(pick.choice(b'[[{{]}"\\a\n') for _ in range(pick.randrange(24)))
        seen.add(strict_json._nesting(data))
        assert strict_json._nesting(data) == nesting_by_hand(data), data
    assert len(seen) > 6
