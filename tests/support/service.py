"""A central service in a temporary folder, and a way to ask its app without a network. Digests are of made-up bytes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from hashscan.errors import FilterError, NotPublishedError
from hashscan.known import envelopes
from hashscan.known.keys import KeyRing
from hashscan.known.trust import TufTrust
from hashscan.model import Algorithm, Lists
from hashscan.service import admin, reviewing
from hashscan.service.app import create_app
from hashscan.service.importers.port import Shape
from hashscan.service.importing import ImportReport, ImportRequest
from hashscan.service.keys import OnlineKeys
from hashscan.service.standings import StandingChange, Wish
from hashscan.service.store import open_store
from hashscan.service.tables import Phase
from tests.support import databases

NONCE = "n" * 43
LIST = "police"


def digest(algorithm: Algorithm, what: str) -> str:
    """The digest (hex) of a made-up file."""
    if algorithm is Algorithm.BLAKE3:
        return hashlib.sha256(b"as if it were blake3" + what.encode()).hexdigest()
    return hashlib.new(algorithm.value, what.encode()).hexdigest()


def md5(what: str) -> str:
    return digest(Algorithm.MD5, what)


def sha1(what: str) -> str:
    return digest(Algorithm.SHA1, what)


def make(tmp_path: Path) -> Path:
    """A fresh service with a root of one key; the data folder."""
    data = tmp_path / "data"
    admin.init(data, name="Test hotline", root_keys=tmp_path / "root-keys", database=databases.url_file(tmp_path))
    return data


def load(data: Path, text: str | bytes, *, shape: Shape | None = None, **more: Any) -> ImportReport:
    """Import ``text`` as a file into LIST (or ``list_id``)."""
    source = data.parent / "source.txt"
    source.write_bytes(text.encode() if isinstance(text, str) else text)
    request = ImportRequest(
        list_id=more.pop("list_id", LIST),
        source=source,
        source_name=more.pop("source_name", "nl"),
        shape=shape or Shape(),
        **more,
    )
    return admin.import_list(data, request)


def withdraw(data: Path, list_id: str, named: str, reason: str) -> StandingChange:
    """In an emergency: one person, at once. In tests it is the short way; how two decide has tests of its own."""
    return reviewing.withdraw(data, Wish(list_id, named, reason, "anna"), alone=True)


def dispute(data: Path, list_id: str, named: str, reason: str) -> StandingChange:
    """One person, at once."""
    return reviewing.dispute(data, Wish(list_id, named, reason, "anna"))


def reinstate(data: Path, list_id: str, named: str, reason: str) -> StandingChange:
    """Two people; what the second one's opinion came to."""
    reviewing.reinstate(data, Wish(list_id, named, reason, "anna"))
    return reviewing.reinstate(data, Wish(list_id, named, reason, "bea"))


@dataclass(frozen=True)
class Agent:
    """What an enrolment gave to an agent of a provider; ``data`` is the folder of its service."""

    name: str
    api_key: str
    key: KeyRing
    root: bytes
    folder: Path
    data: Path

    def open(self, envelope: bytes, payload_type: str) -> dict[str, Any]:
        """The payload of an envelope whose signature holds, issued in the time of its key."""
        with open_store(self.data) as store:
            keys = OnlineKeys.open(store).verdict_keys()
        opened = envelopes.open_envelope(envelope, payload_type, keys)
        payload = json.loads(opened.payload)
        assert isinstance(payload, dict)
        opened.check_issued(payload["issued"])
        return payload

    def trust(self, now: Callable[[], float]) -> TufTrust:
        """What this agent believes by; it remembers between refreshes."""
        return TufTrust(self.root, self.name, self.folder / "trust", clock=now)


def enrol(data: Path, name: str = "acme", phase: Phase = Phase.REGULAR) -> Agent:
    """Admit a provider and read its files."""
    out = data.parent / f"enrolment-{name}"
    admin.add_provider(data, name, phase=phase, url="https://hashes.example.org", out=out)
    return Agent(
        name=name,
        api_key=(out / "api-key").read_text().strip(),
        key=KeyRing.from_text((out / "provider-key").read_text()),
        root=(out / "root.json").read_bytes(),
        folder=out,
        data=data,
    )


class Clock:
    """Time that a test moves. It begins a little after now: keys and roots are made with the real time."""

    def __init__(self, now: float | None = None) -> None:
        self.now = float(int(time.time())) + 60.0 if now is None else now

    def __call__(self) -> float:
        return self.now


class Client:
    """Asks an app; ``agent`` None sends no API key. It is a `ports.Fetcher` too."""

    def __init__(self, app: FastAPI, agent: Agent | None) -> None:
        self.app = app
        self.agent = agent

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        response = self.get(f"/v1/files/{name}")
        if response.status_code == 404:
            raise NotPublishedError(f"no {name}")
        if response.status_code != 200 or len(response.content) > max_bytes:
            raise FilterError(f"{name}: {response.status_code}, {len(response.content)} bytes")
        yield response.content

    def lists(self, trust: TufTrust) -> Lists:
        """What an agent believes after a refresh."""
        return trust.refresh(self)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, document: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", path, body=body, headers=headers)

    def ask(
        self, method: str, path: str, *, body: bytes | AsyncIterator[bytes] = b"", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        sent = {"Authorization": f"Bearer {self.agent.api_key}"} if self.agent else {}
        return asyncio.run(
            self._ask(httpx.Request(method, f"http://service{path}", content=body, headers={**sent, **(headers or {})}))
        )

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.send(request)


@contextmanager
def asking(data: Path, agent: Agent | None, now: Clock | None = None) -> Iterator[Client]:
    """The app of ``data`` for the time of the block."""
    app = create_app(data, now=now or Clock(), busy_seconds=0.1)
    try:
        yield Client(app, agent)
    finally:
        app.state.served.store.close()


def question(*items: dict[str, str], version: int = 1, epoch: int = 1, list_id: str = LIST) -> dict[str, Any]:
    """A confirm request; each item maps algorithm to a whole digest, of which the prefix is sent."""
    return {
        "list": {"id": list_id, "version": version, "epoch": epoch},
        "nonce": NONCE,
        "items": [
            {"i": index, "prefixes": {name: value[:8] for name, value in item.items()}, "size": 10}
            for index, item in enumerate(items)
        ],
    }
