"""No request without the right role sees another company: every route of the app with every role, and what is in the answers.

The routes are those that the app has: one that is not in the table here fails the test.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest
from fastapi import FastAPI

from hashscan.service.actors import PersonRole
from hashscan.service.app import new_app
from hashscan.service.web.entrance import PAGES
from hashscan.service.web.mount import PREFIX, pages_of
from hashscan.service.web.sessions import csrf_of
from tests.house.source import REPOSITORY
from tests.support.browsing import Browser, browse, pages
from tests.support.two_companies import PEOPLE, World, world

NOBODY = "nobody"
EVERYBODY = ("hotline", "reviewer", "authority", "of-acme", "of-globex")
HOTLINE, REVIEWER, AUTHORITY, ACME, GLOBEX = EVERYBODY


@dataclass(frozen=True)
class Route:
    """How to ask for one route, and who gets which status; who is not named gets 403, nobody is sent to the login."""

    path: str
    answers: dict[str, int]
    form: dict[str, str] = field(default_factory=dict)


def all_of(status: int, *but: str) -> dict[str, int]:
    return {one: status for one in EVERYBODY if one not in but}


ROUTES: dict[tuple[str, str], list[Route]] = {
    ("GET", "style"): [Route("/style.css", {NOBODY: 200, **all_of(200)})],
    ("GET", "icon"): [Route("/icon.svg", {NOBODY: 200, **all_of(200)})],
    ("GET", "login"): [Route("/login", {NOBODY: 200, **all_of(200)})],
    ("POST", "log_in"): [Route("/login", {NOBODY: 403, **all_of(403)}, {"name": "hotline", "password": "wrong"})],
    ("GET", "welcome"): [Route("/welcome", {NOBODY: 200, **all_of(200)})],
    ("POST", "set_up"): [Route("/welcome", {NOBODY: 422, **all_of(422)}, {"name": "hotline", "again": "x"})],
    ("GET", "start"): [Route("/", all_of(303))],
    ("GET", "account"): [Route("/account", all_of(200))],
    ("POST", "change_password"): [Route("/account/password", all_of(422))],
    ("POST", "end_logins"): [Route("/account/logins", all_of(303))],
    ("GET", "second_factor"): [Route("/account/second-factor", all_of(200))],
    ("POST", "start_second_factor"): [Route("/account/second-factor", all_of(422))],
    ("POST", "end_second_factor"): [Route("/account/second-factor/end", all_of(422))],
    ("GET", "overview"): [
        Route(f"/overview{more}", all_of(200, ACME, GLOBEX))
        for more in ("", "?names=yes", "?provider=acme", "?provider=globex&names=yes", "?period=all&open=all", "?country=NL")
    ],
    ("GET", "export_json"): [Route("/export/monitor.json?names=yes", {HOTLINE: 200, AUTHORITY: 200})],
    ("GET", "export_csv"): [
        Route("/export/providers.csv?names=yes", {HOTLINE: 200, AUTHORITY: 200}),
        Route("/export/open.csv", {HOTLINE: 200, AUTHORITY: 200}),
        Route("/export/nothing.csv", {HOTLINE: 404, AUTHORITY: 404}),
    ],
    ("GET", "own"): [
        Route(f"/own{more}", {ACME: 200, GLOBEX: 200})
        for more in ("", "?provider=acme", "?provider=globex&names=yes&period=all")
    ],
    ("GET", "provider"): [
        Route("/providers/acme", {HOTLINE: 200, AUTHORITY: 200, ACME: 200, GLOBEX: 404}),
        Route("/providers/globex", {HOTLINE: 200, AUTHORITY: 200, ACME: 404, GLOBEX: 200}),
        Route("/providers/globex?provider=acme", {HOTLINE: 200, AUTHORITY: 200, ACME: 404, GLOBEX: 200}),
        Route("/providers/nosuch", {HOTLINE: 404, AUTHORITY: 404, ACME: 404, GLOBEX: 404}),
    ],
    ("GET", "disputes"): [Route("/disputes", all_of(200, AUTHORITY)), Route("/disputes?every=yes", all_of(200, AUTHORITY))],
    ("GET", "new_dispute"): [Route("/disputes/new", all_of(200, AUTHORITY))],
    ("POST", "open_dispute"): [
        Route("/disputes/new", all_of(422, AUTHORITY), {"list": "police", "entry": "e_aaaaaaaaaaaaaaaa", "reason": "why"}),
    ],
    ("POST", "withdraw_alone"): [
        Route("/disputes/new/withdraw-alone", {HOTLINE: 422}, {"list": "police", "entry": "{acme.entry}", "reason": ""})
    ],
    ("GET", "dispute"): [
        Route("/disputes/{acme.dispute}", {HOTLINE: 200, REVIEWER: 200, ACME: 200, GLOBEX: 404}),
        Route("/disputes/{globex.dispute}", {HOTLINE: 200, REVIEWER: 200, ACME: 404, GLOBEX: 200}),
        Route("/disputes/d_nosuch", all_of(404, AUTHORITY)),
    ],
    ("POST", "give_opinion"): [
        Route("/disputes/{acme.dispute}/opinion", {HOTLINE: 422, REVIEWER: 422}, {"opinion": "perhaps", "reason": "x"}),
        Route("/disputes/d_nosuch/opinion", {HOTLINE: 404, REVIEWER: 404}, {"opinion": "confirm", "reason": "x"}),
    ],
    ("GET", "trail"): [Route("/trail", {HOTLINE: 200}), Route("/trail?name=of-globex", {HOTLINE: 200})],
    ("GET", "people"): [Route("/people", {HOTLINE: 200})],
    ("POST", "log_out"): [Route("/logout", all_of(303))],  # the last one
}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> World:
    return world(tmp_path_factory.mktemp("world"), time.time())


@pytest.fixture(scope="module")
def app(there: World) -> Iterator[FastAPI]:
    with pages(there.data) as made:
        yield made


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """(method, name) of all routes of the pages; HEAD is not among them."""
    return {(method, one.name) for one in pages_of(app).routes for method in one.methods}  # type: ignore[attr-defined]


def filled(text: str, there: World) -> str:
    return text.format(**there.companies)


def answered(browser: Browser, method: str, route: Route, there: World) -> httpx.Response:
    path = PREFIX + filled(route.path, there)
    if method == "GET":
        return browser.get(path)
    form = {name: filled(value, there) for name, value in route.form.items()}
    return browser.post(path, {"csrf": csrf_of(browser.token) if browser.token else "", **form})


def leaked(response: httpx.Response, secrets: tuple[str, ...]) -> list[str]:
    said = response.text + " ".join(f"{name}: {value}" for name, value in response.headers.items())
    return [one for one in secrets if one in said]


def test_every_route_is_in_the_table() -> None:
    there = routes_of(new_app())
    assert there == set(ROUTES)
    assert {name for _, name in there} == set(PAGES)


def test_control_a_route_without_an_entry_is_noticed_and_closed(there: World) -> None:
    with pages(there.data) as app:
        from hashscan.service.web.entrance import checked  # noqa: PLC0415

        pages_of(app).get("/forgotten", name="forgotten", dependencies=[checked])(lambda: "acme and globex")
        assert routes_of(app) != set(ROUTES)
        for name in EVERYBODY:
            assert browse(app, name).get("/web/forgotten").status_code == 403
        assert Browser(app).get("/web/forgotten").status_code == 303


@pytest.mark.parametrize("who", [NOBODY, *EVERYBODY])
def test_every_route_with_every_role(app: FastAPI, there: World, who: str) -> None:
    browser = Browser(app) if who == NOBODY else browse(app, who)
    if who == NOBODY:
        browser.get("/web/login")
    secrets = secrets_for(who, there)
    tried = 0
    for (method, name), routes in ROUTES.items():
        for route in routes:
            response = answered(browser, method, route, there)
            wanted = route.answers.get(who, 303 if who == NOBODY else 403)
            assert response.status_code == wanted, (who, method, name, route.path, browser.text)
            if who == NOBODY and wanted == 303:
                assert response.headers["location"].startswith("/web/login")
            assert leaked(response, secrets) == [], (who, route.path)
            tried += 1
    assert browser.get("/web/account").status_code == 303, "logged out by the last route"
    print(f"{who}: {tried} requests")


def secrets_for(who: str, there: World) -> tuple[str, ...]:
    """What must not be in any answer to somebody. Pages repeat addresses and fields only to who sent them."""
    acme, globex = there.companies["acme"], there.companies["globex"]
    if who == NOBODY:
        return (*acme.secrets[1:4], *globex.secrets[1:4])
    if who == REVIEWER:  # who decides about entries does not know where they were found
        return (acme.agent, acme.site, globex.agent, globex.site)
    if who == ACME:
        return (*globex.secrets[1:],)
    return (*acme.secrets[1:],) if who == GLOBEX else ()


@pytest.mark.parametrize("who", [REVIEWER, ACME, GLOBEX])
def test_pages_that_are_shown_name_nobody_else(app: FastAPI, there: World, who: str) -> None:
    """The same with names, on every page that is shown at all."""
    browser = browse(app, who)
    acme, globex = there.companies["acme"], there.companies["globex"]
    others = {REVIEWER: ("acme", "globex"), ACME: globex.secrets, GLOBEX: acme.secrets}[who]
    shown = 0
    for (method, _), routes in ROUTES.items():
        for route in routes:
            if method == "GET" and route.answers.get(who) == 200:
                response = answered(browser, method, route, there)
                said = re.sub(r"doubts of (acme|globex)", "", response.text)  # the words of a complaint are for reviewers
                assert [one for one in others if one in said] == [], route.path
                shown += 1
    assert shown >= 8


def test_control_the_others_see_what_must_be_hidden(app: FastAPI, there: World) -> None:
    """The pages do hold it: names, agents, sites, entries and disputes of both, for who may see them."""
    browser = browse(app, HOTLINE)
    said = "".join(
        answered(browser, "GET", route, there).text
        for (method, _), routes in ROUTES.items()
        for route in routes
        if method == "GET" and route.answers.get(HOTLINE) == 200
    )
    for company in there.companies.values():
        assert [one for one in company.secrets if one not in said] == []
    for name in ("acme", "globex"):
        own = browse(app, f"of-{name}")
        seen = own.get("/web/own").text + own.get("/web/disputes").text
        company = there.companies[name]
        assert [one for one in company.secrets if one not in seen and one != company.pseudonym] == []


def test_reviewers_see_pseudonyms(app: FastAPI, there: World) -> None:
    said = browse(app, REVIEWER).get("/web/overview?names=yes").text
    assert all(company.pseudonym in said for company in there.companies.values())


def test_names_are_hidden_until_they_are_asked_for(app: FastAPI, there: World) -> None:
    for who in (HOTLINE, AUTHORITY):
        browser = browse(app, who)
        assert leaked(browser.get("/web/overview"), ("acme", "globex", "cellar-acme")) == []
        assert "acme" in browser.get("/web/overview?names=yes").text


def test_an_authority_takes_figures_away(app: FastAPI, there: World) -> None:
    browser = browse(app, AUTHORITY)
    response = browser.get("/web/export/monitor.json")
    assert re.fullmatch(
        r'attachment; filename="hashscan-\d{4}-\d\d-\d\d-monitor.json"', response.headers["content-disposition"]
    )
    document = response.json()
    assert document["total"]["overdue"] == 0, "disputed entries are not overdue"
    assert {one["key"] for one in document["providers"]} == {one.pseudonym for one in there.companies.values()}
    named = browser.get("/web/export/monitor.json?names=yes").json()
    assert {one["key"] for one in named["providers"]} == set(there.companies)
    lines = browser.get("/web/export/providers.csv?names=yes&provider=acme").text.splitlines()
    assert lines[0].startswith("schema,table,as_of,provider,findings,open")
    assert [line.split(",")[3] for line in lines[1:]] == ["acme"]


def test_people_open_no_door_of_agents_and_agents_no_page(app: FastAPI, there: World) -> None:
    doors = [(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods]
    agents = [(method, path) for method, path in doors if path.startswith("/v1/")]
    assert len(agents) >= 6
    for who in EVERYBODY:
        browser = browse(app, who)
        for method, path in agents:
            response = browser.ask(method, path.replace("{name}", "timestamp.json"), b"{}")
            assert response.status_code in (401, 422), (who, path)  # 422: /v1/enrol asks for a code and nothing else
            assert (response.status_code == 422) <= (path == "/v1/enrol")
    browser = Browser(app)
    for method, name in ROUTES:
        if PAGES[name]:
            path = PREFIX + filled(ROUTES[method, name][0].path, there)
            response = browser.ask(method, path, headers={"Authorization": "Bearer hsk_" + "A" * 43})
            assert (response.status_code, response.headers["location"][:10]) == (303, "/web/login")


# Forms of other sites.


def test_a_form_of_another_site_changes_nothing(app: FastAPI, there: World) -> None:
    browser = browse(app, HOTLINE)
    csrf = csrf_of(browser.token)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": None},
        {"Origin": "http://hotline.example"},
    ):
        assert browser.post("/web/account/logins", {"csrf": csrf}, headers).status_code == 403, headers
    for wrong in ("", csrf[:-1], csrf_of("x"), "é"):
        assert browser.post("/web/account/logins", {"csrf": wrong}).status_code == 403
    assert browser.post("/web/account/logins", {}).status_code == 403
    assert browser.post("/web/account/logins", {"csrf": csrf}).status_code == 303
    other = browse(app, AUTHORITY)
    assert browser.post("/web/account/logins", {"csrf": csrf_of(other.token)}).status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"csrf=" + b"x" * 20_000, 413), (b"&".join(b"a=1" for _ in range(100)), 422), (b"csrf=%ff", 422), (b"csrf=\xff", 422)],
)
def test_a_form_that_cannot_be_read_is_refused(app: FastAPI, body: bytes, status: int) -> None:
    browser = browse(app, HOTLINE)
    assert browser.ask("POST", "/web/account/logins", body, {"Origin": browser.base}).status_code == status


def test_other_methods_and_unknown_pages_are_errors_in_the_same_clothes(app: FastAPI) -> None:
    browser = browse(app, HOTLINE)
    for method, path, status in (
        ("PUT", "/web/account", 405),
        ("POST", "/web/overview", 405),
        ("GET", "/web/nothing", 404),
        ("GET", "/web/%2e%2e/health", 404),
        ("HEAD", "/web/account", 405),
    ):
        response = browser.ask(method, path)
        assert response.status_code == status, path
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert method == "HEAD" or "<main" in response.text
    assert browser.get("/").headers["location"] == browser.get("/web").headers["location"] == "/web/"


def test_an_entry_of_others_is_as_one_that_is_not_there(app: FastAPI, there: World) -> None:
    browser = browse(app, GLOBEX)
    said = set()
    for entry in (there.companies["acme"].entry, "e_" + "a" * 16):
        form = {"csrf": csrf_of(browser.token), "list": "police", "entry": entry, "reason": "why"}
        response = browser.post("/web/disputes/new", form)
        assert response.status_code == 422
        said.add(response.text.replace(entry, ""))
    assert len(said) == 1


# The way to the pages.


def test_without_tls_only_this_machine_is_served(app: FastAPI) -> None:
    for host, client, status in (
        ("127.0.0.1:8443", "127.0.0.1", 200),
        ("localhost", "127.0.0.1", 200),
        ("[::1]:8443", "::1", 200),
        ("hotline.example", "127.0.0.1", 403),
        ("127.0.0.1", "198.51.100.7", 403),
        ("127.0.0.1.evil.example", "127.0.0.1", 403),
    ):
        response = Browser(app, scheme="http", host=host, client=client).get("/web/login")
        assert response.status_code == status, (host, client)
        assert ("Secure" in response.headers.get("set-cookie", "")) is False
    local = Browser(app, scheme="http", host="localhost", client="127.0.0.1")
    assert local.log_in(HOTLINE).status_code == 303
    assert local.get("/web/account").status_code == 200


def test_headers_of_pages(app: FastAPI) -> None:
    response = browse(app, HOTLINE).get("/web/overview")
    assert response.headers.get_list("content-security-policy") == [
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ]
    assert response.headers.get_list("cache-control") == ["no-store"]
    assert response.headers.get_list("referrer-policy") == ["same-origin"]
    assert response.headers["x-frame-options"] == "DENY"
    assert "<script" not in response.text
    assert " style=" not in response.text
    assert len(PEOPLE) == len(EVERYBODY)


def test_the_table_in_the_documents_is_that_of_the_program() -> None:
    text = (REPOSITORY / "docs/service.md").read_text(encoding="utf-8")
    body = text.partition("<!-- pages:begin -->")[2].partition("<!-- pages:end -->")[0]
    roles = [PersonRole(one.strip()) for one in body.strip().splitlines()[0].strip("|").split("|")[1:]]
    told = 0
    for line in body.strip().splitlines()[2:]:
        cells = [one.strip() for one in line.strip("|").split("|")]
        names = re.findall(r"<!-- (\w+) -->", cells[0])
        allowed = {role for role, cell in zip(roles, cells[1:], strict=True) if cell != "no"}
        assert all(PAGES[name] == allowed for name in names), line
        told += len(names)
    assert told >= 10
