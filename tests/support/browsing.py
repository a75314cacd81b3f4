"""A browser as far as the pages can tell: cookies, forms with their hidden fields, an Origin. No network."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import httpx
from fastapi import FastAPI

from hashscan.service.actors import PersonRole
from hashscan.service.app import create_app
from hashscan.service.web import managing, mount
from hashscan.service.web.passwords import Cost
from tests.support.service import Clock

PASSWORD = "correct horse battery staple"
_NETWORKS = itertools.count()
CHEAP = Cost(4, 8, 1)
HOST = "hotline.example"


class Page(HTMLParser):
    """The forms and the visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.forms: list[dict[str, str]] = []
        self.actions: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append({})
            self.actions.append(found.get("action", ""))
        elif tag == "input" and found.get("type") == "hidden" and self.forms:
            self.forms[-1][found["name"]] = found.get("value", "")
        elif tag == "a":
            self.links.append(found.get("href", ""))

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


class Browser:
    """One person's browser. ``scheme`` and ``host`` are what is in its address line, ``client`` where it is."""

    def __init__(self, app: FastAPI, *, scheme: str = "https", host: str = HOST, client: str = "") -> None:
        self.app, self.base = app, f"{scheme}://{host}"
        self.client = client or f"2001:db8:0:{next(_NETWORKS):x}::7"  # another person, another address
        self.cookies = httpx.Cookies()
        self.last = httpx.Response(204)

    def get(self, path: str) -> httpx.Response:
        return self.ask("GET", path)

    def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str | None] | None = None) -> httpx.Response:
        """A form with exactly these fields."""
        sent = {"Content-Type": "application/x-www-form-urlencoded", "Origin": self.base, **(headers or {})}
        return self.ask("POST", path, urlencode(fields).encode(), {name: value for name, value in sent.items() if value})

    def submit(self, action: str, fields: Mapping[str, str], *, number: int = 0) -> httpx.Response:
        """Fill in the form of the page last seen that goes to ``action``, and send it."""
        seen = Page(self.last.text)
        hidden = [form for form, there in zip(seen.forms, seen.actions, strict=True) if there == action]
        return self.post(action, {**hidden[number], **fields})

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> httpx.Response:
        return asyncio.run(self._ask(method, path, body, headers or {}))

    async def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False, client=(self.client, 40_000))
        async with httpx.AsyncClient(transport=transport, base_url=self.base, cookies=self.cookies) as client:
            response = await client.request(method, path, content=body, headers=headers)
            self.cookies = client.cookies
        if "text/html" in response.headers.get("content-type", ""):
            self.last = response
        return response

    def log_in(self, name: str, password: str = PASSWORD, code: str = "") -> httpx.Response:
        self.get("/web/login")
        return self.submit("/web/login", {"name": name, "password": password, "code": code})

    @property
    def token(self) -> str:
        """What the browser holds."""
        return next(iter(self.cookies.values()), "")

    @property
    def text(self) -> str:
        """The text of the page last seen."""
        return Page(self.last.text).text


def person(data: Path, name: str, role: PersonRole, provider: str | None = None) -> None:
    """An account with the password `PASSWORD`."""
    managing.add(data, name, role, provider=provider, password=PASSWORD, cost=CHEAP)


@contextmanager
def pages(data: Path, now: Clock | None = None) -> Iterator[FastAPI]:
    """The app of ``data`` for the time of the block."""
    app = create_app(data, now=now or Clock(), busy_seconds=0.1)
    mount.connect(app, app.state.served, CHEAP)
    try:
        yield app
    finally:
        app.state.served.store.close()


def browse(app: FastAPI, name: str, *, password: str = PASSWORD) -> Browser:
    """A browser in which ``name`` is logged in."""
    browser = Browser(app)
    response = browser.log_in(name, password)
    assert response.status_code == 303, browser.text
    return browser
