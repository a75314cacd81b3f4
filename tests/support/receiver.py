"""A receiver on loopback that remembers what it was sent, and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer


@dataclass
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """``answers`` are status codes for the next requests; afterwards ``default``. ``extra`` are headers of every answer."""

    url: str = ""
    default: int = 204
    answers: list[int] = field(default_factory=list)
    got: list[Got] = field(default_factory=list)
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def everything(self) -> bytes:
        """All that was ever sent here."""
        return b"\n".join(b" ".join([one.path.encode(), repr(one.headers).encode(), one.body]) for one in self.got)


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Serve on a free port for the time of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            receiver.got.append(Got(self.path, dict(self.headers), self.rfile.read(length)))
            self.send_response(receiver.answers.pop(0) if receiver.answers else receiver.default)
            for name, value in receiver.extra.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
