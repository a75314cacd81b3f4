"""An HTTP server on loopback that answers whatever bytes a test wants, as slowly as it wants."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

Script = Callable[[socket.socket], None]


def say(data: bytes, *, reset: bool = False) -> Script:
    """Send ``data``, then close (or reset) the connection."""

    def script(connection: socket.socket) -> None:
        connection.sendall(data)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return script


def reply(status: str, *headers: str, body: bytes = b"", length: int | None = None, reset: bool = False) -> Script:
    """A whole answer, with a Content-Length that may be a lie."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", f"Content-Length: {len(body) if length is None else length}", *headers]
    return say("\r\n".join([*lines, "", ""]).encode("latin-1") + body, reset=reset)


def trickle(head: bytes, piece: bytes, pause: float, times: int = 100_000) -> Script:
    """``head`` at once, then ``piece`` again and again with ``pause`` seconds between."""

    def script(connection: socket.socket) -> None:
        connection.sendall(head)
        for _ in range(times):
            connection.sendall(piece)
            time.sleep(pause)

    return script


def silence(seconds: float = 5.0) -> Script:
    def script(connection: socket.socket) -> None:
        connection.settimeout(seconds)
        connection.recv(1)

    return script


class HostileServer:
    """Plays one script a connection, the last one again and again; ``requests`` are the raw requests that came."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for one in [self._listening, *self._connections]:
            with suppress(OSError):  # it is closed already: that is what we want
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self._connections.append(connection)
            script = self._scripts.pop(0) if len(self._scripts) > 1 else self._scripts[0]
            threading.Thread(target=self._play, args=(connection, script), daemon=True).start()

    def _play(self, connection: socket.socket, script: Script) -> None:
        try:
            self.requests.append(_request(connection))
            script(connection)
        except OSError:
            pass  # the client went away
        finally:
            connection.close()


def _request(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return data
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")),
        0,
    )
    while len(body) < length:
        more = connection.recv(65_536)
        if not more:
            break
        body += more
    return head + b"\r\n\r\n" + body
