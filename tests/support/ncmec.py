"""A stand-in for NCMEC's Hash Sharing over HTTP: pages in memory, basic authentication, and misbehaviour on demand."""

from __future__ import annotations

import base64
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.list_files import page

LOGIN = "hotline:secret"
SIZE = 2  # entries of a page


@dataclass
class Source:
    """What the stand-in serves: ``entries`` are XML, `SIZE` a page. ``asked`` are the requests that were answered.

    ``fails`` are statuses for the next requests; ``bodies`` replaces the page of that number (from 0), ``next_path`` all links.
    """

    entries: Sequence[str] = ()
    asked: list[dict[str, str]] = field(default_factory=list)
    fails: list[int] = field(default_factory=list)
    bodies: dict[int, bytes] = field(default_factory=dict)
    next_path: str | None = None
    stop_at: int | None = None  # the page from which on there is no answer
    url: str = ""

    def answer(self, path: str, login: str) -> tuple[int, bytes]:
        if login != "Basic " + base64.b64encode(LOGIN.encode()).decode():
            return 401, b""
        if self.fails:
            return self.fails.pop(0), b"no"
        parts = urlsplit(path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path != "/hashsharing/v2/entries" or not {"from", "to"} <= set(query):
            return 404, b""
        start = int(query.get("start", "0"))
        if self.stop_at is not None and start // SIZE >= self.stop_at:
            return 503, b""
        self.asked.append(query)
        if start // SIZE in self.bodies:
            return 200, self.bodies[start // SIZE]
        some, left = self.entries[start : start + SIZE], len(self.entries) > start + SIZE
        here = f"/v2/entries?from={query['from']}&to={query['to']}&start={start + SIZE}&size={SIZE}&max={len(self.entries)}"
        following = (here if self.next_path is None else self.next_path) if left else ""
        return 200, page(*some, next_path=following).encode()


@contextmanager
def serving(source: Source, tls: ssl.SSLContext | None = None) -> Iterator[Source]:
    """Serve ``source`` on loopback for the time of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = source.answer(self.path, self.headers.get("Authorization", ""))
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", source.url + "/elsewhere")
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    source.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}/hashsharing"
    try:
        yield source
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
