"""A deadline for everything that is read from a connection, header lines too.

The read timeout of requests begins anew with each byte that arrives. A server that sends its status line, its headers or the
length of a chunk one byte at a time would keep us for days; here each wait on the socket ends with the deadline of the call.
"""

from __future__ import annotations

import io
import socket
import ssl
import time
from collections.abc import Callable
from functools import cache
from http.client import HTTPResponse
from typing import Any

from requests.adapters import HTTPAdapter


class Deadline:
    """When the call in hand ends, in monotonic seconds of the system: sockets know no other clock."""

    def __init__(self) -> None:
        self._end = float("inf")

    def begin(self, seconds: float) -> None:
        """The call that begins now may take that long."""
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left. Raises TimeoutError where none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer took too long")
        return left


class _Bounded(io.RawIOBase):
    """The reading side of a socket; no wait is longer than its read timeout, or than what is left of the deadline."""

    def __init__(self, connection: socket.socket, deadline: Deadline) -> None:
        self._below = connection.makefile("rb", buffering=0)  # keeps the socket open until we are closed
        self._connection = connection
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        timeout = self._connection.gettimeout()
        left = self._deadline.left()
        self._connection.settimeout(left if timeout is None else min(timeout, left))
        try:
            return self._connection.recv_into(buffer)
        finally:
            self._connection.settimeout(timeout)

    def close(self) -> None:
        self._below.close()
        super().close()


class DeadlineAdapter(HTTPAdapter):
    """An adapter of requests whose connections obey ``deadline``, and speak TLS by the context that ``tls`` makes once."""

    def __init__(self, deadline: Deadline, tls: Callable[[], ssl.SSLContext]) -> None:
        class Response(HTTPResponse):
            def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
                super().__init__(sock, *args, **kwargs)
                unbounded, self.fp = self.fp, io.BufferedReader(_Bounded(sock, deadline))
                unbounded.close()

        self._response_class = Response
        self._tls = cache(tls)
        super().__init__()

    def build_connection_pool_key_attributes(self, *args: Any, **kwargs: Any) -> Any:
        """As requests does it, with our context: also behind a proxy."""
        host, pool = super().build_connection_pool_key_attributes(*args, **kwargs)
        if host["scheme"] == "https":
            pool["ssl_context"] = self._tls()
        return host, pool

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """As requests does it; then the pool makes connections that read through us."""
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        if getattr(pool.ConnectionCls, "response_class", None) is not self._response_class:
            pool.ConnectionCls = type("BoundedConnection", (pool.ConnectionCls,), {"response_class": self._response_class})
        return pool
