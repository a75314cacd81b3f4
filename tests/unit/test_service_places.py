"""Where agents are, and how much waits there: told once, shown by the monitor."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from hashscan.errors import UsageError
from hashscan.service import admin, agents, reviewing
from hashscan.service.access import authenticate
from hashscan.service.monitor.fetching import Selection
from hashscan.service.places import Place
from hashscan.service.store import open_store
from hashscan.service.tables import ApiKey, EnrolmentCode
from tests.support.service import LIST, asking, enrol, load, make, sha1


@pytest.mark.parametrize("country", ["nl", "NLD", "N1", "", "\u00c4A"])
def test_what_is_no_country_is_refused(country: str) -> None:
    with pytest.raises(UsageError, match="no country"):
        Place(country)


@pytest.mark.parametrize("site", ["", "a b", "-x", "x" * 65, "=1+1", "a\n"])
def test_what_is_no_site_is_refused(site: str) -> None:
    with pytest.raises(UsageError, match="cannot be a site"):
        Place(None, site)


def test_a_place_is_of_the_company_or_of_one_agent(tmp_path: Path) -> None:
    data = make(tmp_path)
    enrol(data)
    reviewing.set_place(data, "acme", None, Place("NL"))
    reviewing.set_place(data, "acme", 1, Place(None, "ams-1"))
    reviewing.set_place(data, "acme", 1, Place("DE"))
    with open_store(data) as store, store.reading() as session:
        assert session.execute(select(ApiKey.site, ApiKey.country)).one() == ("ams-1", "DE")
    for name, key, place in (("nobody", None, Place("NL")), ("acme", 9, Place("NL")), ("acme", None, Place(None, "ams-1"))):
        with pytest.raises(UsageError):
            reviewing.set_place(data, name, key, place)


def test_a_code_gives_its_place_to_the_agent_and_a_new_key_keeps_it(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    admin.new_code(data, "acme", valid=600, place=Place("BE", "bru-2"))
    reviewing.set_place(data, "acme", 1, Place("NL", "ams-1"))
    with open_store(data) as store:
        with store.reading() as session:
            assert session.execute(select(EnrolmentCode.country, EnrolmentCode.site)).one() == ("BE", "bru-2")
        caller = authenticate(store, f"Bearer {agent.api_key}")
        agents.introduce(store, caller, b"x" * 32, "web1", 5.0)
        with store.reading() as session:
            rows = session.execute(select(ApiKey.country, ApiKey.site).order_by(ApiKey.id)).all()
    assert [tuple(row) for row in rows] == [("NL", "ams-1")] * 2


def test_what_waits_at_an_agent_is_told_and_shown(tmp_path: Path) -> None:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    with asking(data, agent) as client:
        assert client.post("/v1/outcomes", {"outcomes": []}).status_code == 422
        for backlog, status in (
            ({"pending": 3, "since": 1_900_000_000}, 200),
            ({"pending": -1}, 422),
            ({"pending": "3"}, 422),
            ({"pending": 2, "since": "x"}, 422),
        ):
            assert client.post("/v1/outcomes", {"outcomes": [], "backlog": backlog}).status_code == status
    shown = reviewing.figures(data, Selection(list=LIST), names=True)
    assert [(one.pending, one.pending_since) for one in shown.contacts] == [(3, 1_900_000_000.0)]
    with asking(data, agent) as client:
        assert client.post("/v1/outcomes", {"outcomes": [], "backlog": {"pending": 0}}).status_code == 200
    shown = reviewing.figures(data, Selection(), names=True)
    assert [(one.pending, one.pending_since) for one in shown.contacts] == [(0, None)]
