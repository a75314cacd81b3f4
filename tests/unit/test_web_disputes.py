"""Disputes in a browser: opened, argued about and decided by forms that are filled in and sent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from hashscan.model import Standing
from hashscan.service.actors import PersonRole
from hashscan.service.store import open_store
from hashscan.service.tables import Entry
from tests.support.browsing import Browser, Page, pages, person
from tests.support.two_companies import Company, World, world

REASON = "a logo that\r\neverybody has"


@pytest.fixture
def two(tmp_path: Path) -> World:
    made = world(tmp_path, time.time())
    person(made.data, "second", PersonRole.REVIEWER)
    return made


@pytest.fixture
def app(two: World) -> Iterator[FastAPI]:
    with pages(two.data) as app:
        yield app


def logged_in(app: FastAPI, name: str) -> Browser:
    browser = Browser(app)
    assert browser.log_in(name).status_code == 303
    return browser


def standing(two: World, company: Company) -> Standing:
    with open_store(two.data) as store, store.reading() as session:
        return Standing(session.scalars(select(Entry.standing).where(Entry.public_id == company.entry)).one())


def opinion(browser: Browser, dispute: str, said: str) -> None:
    """Look at the dispute, choose, send, and look at where the browser is sent."""
    page = f"/web/disputes/{dispute}"
    assert browser.get(page).status_code == 200
    sent = browser.submit(f"{page}/opinion", {"opinion": said, "reason": REASON})
    assert (sent.status_code, sent.headers["location"]) == (303, page), browser.text
    assert browser.get(page).status_code == 200


def test_two_people_withdraw_an_entry(two: World, app: FastAPI) -> None:
    acme = two.companies["acme"]
    first, second = logged_in(app, "reviewer"), logged_in(app, "second")
    assert standing(two, acme) is Standing.ACTIVE, "a provider's word disarms nobody else"
    opinion(first, acme.dispute, "withdraw")
    assert standing(two, acme) is Standing.DISPUTED
    opinion(first, acme.dispute, "withdraw")
    assert standing(two, acme) is Standing.DISPUTED, "one person twice is one person"
    opinion(second, acme.dispute, "withdraw")
    assert standing(two, acme) is Standing.WITHDRAWN
    assert "a logo that everybody has" in second.text
    third = logged_in(app, "hotline")
    page = f"/web/disputes/{acme.dispute}"
    third.get(page)
    late = third.post(f"{page}/opinion", {"opinion": "confirm", "reason": "no"})
    assert late.status_code in (403, 422), "it is decided, and a form without its token is refused"
    assert standing(two, acme) is Standing.WITHDRAWN
    assert standing(two, two.companies["globex"]) is Standing.ACTIVE


def test_two_people_confirm_an_entry(two: World, app: FastAPI) -> None:
    acme = two.companies["acme"]
    for name in ("hotline", "reviewer"):
        opinion(logged_in(app, name), acme.dispute, "confirm")
    assert standing(two, acme) is Standing.ACTIVE
    owner = logged_in(app, "of-acme")
    assert owner.get(f"/web/disputes/{acme.dispute}").status_code == 200
    assert "confirmed" in owner.text.lower()


def test_an_entry_is_disputed_and_in_an_emergency_withdrawn_alone(two: World, app: FastAPI) -> None:
    globex = two.companies["globex"]
    browser = logged_in(app, "hotline")
    browser.get(f"/web/disputes/new?list=police&entry={globex.entry}")
    fields = {"list": "police", "entry": globex.entry, "reason": REASON}
    sent = browser.submit("/web/disputes/new", fields)
    assert (sent.status_code, sent.headers["location"]) == (303, f"/web/disputes/{globex.dispute}"), "it joins the open one"
    assert standing(two, globex) is Standing.DISPUTED
    browser.get("/web/disputes/new")
    sent = browser.post("/web/disputes/new/withdraw-alone", {**_hidden(browser), **fields})
    assert sent.status_code == 303, browser.text
    assert standing(two, globex) is Standing.WITHDRAWN
    browser.get("/web/disputes")
    assert "by one person" in browser.text
    opinion(logged_in(app, "second"), globex.dispute, "withdraw")
    browser.get("/web/disputes")
    assert globex.entry not in browser.text, "two people agree: nothing waits"


def test_a_company_disputes_from_its_page(two: World, app: FastAPI) -> None:
    acme, globex = two.companies["acme"], two.companies["globex"]
    browser = logged_in(app, "of-acme")
    browser.get("/web/disputes/new")
    sent = browser.submit("/web/disputes/new", {"list": "police", "entry": globex.entry, "reason": REASON})
    assert sent.status_code == 422, "an entry that it has not met"
    assert globex.dispute not in browser.last.text
    sent = browser.submit("/web/disputes/new", {"list": "police", "entry": acme.entry, "reason": REASON})
    assert (sent.status_code, sent.headers["location"]) == (303, f"/web/disputes/{acme.dispute}")
    assert standing(two, acme) is Standing.ACTIVE
    browser.get("/web/disputes/new")
    empty = browser.submit("/web/disputes/new", {"list": "police", "entry": acme.entry, "reason": " \r\n "})
    assert empty.status_code == 422


def _hidden(browser: Browser) -> dict[str, str]:
    return Page(browser.last.text).forms[-1]
