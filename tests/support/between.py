"""Somebody between agent and service, on loopback: passes everything on, and does to replies what a test wants."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Change = Callable[[str, bytes, bytes], bytes | None]
"""(path, body of the request, body of the reply) to the reply that is given, None for none at all."""


def honest(_path: str, _request: bytes, reply: bytes) -> bytes | None:
    return reply


class Between:
    """Listens on ``url``; ``seen`` holds all requests and replies as (path, request, reply)."""

    def __init__(self, upstream: str, change: Change = honest) -> None:
        host, port = upstream.removeprefix("http://").split(":")
        self.change = change
        self.seen: list[tuple[str, bytes, bytes]] = []
        between = self

        class Handler(BaseHTTPRequestHandler):
            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                connection = http.client.HTTPConnection(host, int(port), timeout=30)
                connection.request(self.command, self.path, body or None, dict(self.headers.items()))
                answer = connection.getresponse()
                content = answer.read()
                connection.close()
                between.seen.append((self.path, body, content))
                changed = between.change(self.path, body, content)
                self.close_connection = True
                if changed is None:
                    return
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "application/octet-stream"))
                self.send_header("Content-Length", str(len(changed)))
                self.end_headers()
                self.wfile.write(changed)

            do_GET = do_POST = _pass_on  # noqa: N815 - the names that http.server calls

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
