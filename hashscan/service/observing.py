"""Around every request: bounds on what comes in and how slowly, a number for it, a line in the journal, and counts."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hashscan.service.access import NotServed
from hashscan.service.answers import error_response
from hashscan.service.journal import Journal
from hashscan.service.meters import Meters
from hashscan.service.metrics import count_request
from hashscan.service.web import mount

MAX_TARGET_BYTES = 4096  # path and query
MAX_HEADERS = 64
MAX_HEADER_BYTES = 16 * 1024  # all of them
MAX_BODY_BYTES = 1 << 20  # whatever a route says
SEND_SECONDS = 60.0  # for one piece of an answer (64 kB of a file) to be taken
REQUEST_ID = "request_id"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def refusal(scope: Scope) -> NotServed | None:
    """Why a request is not even routed; None where it is."""
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > MAX_TARGET_BYTES:
        return NotServed(414, "too_large", f"an address has at most {MAX_TARGET_BYTES} bytes")
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        return NotServed(431, "too_large", f"a request has at most {MAX_HEADERS} headers, {MAX_HEADER_BYTES} bytes together")
    announced = dict(headers).get(b"content-length", b"0")
    if not announced.isdigit() or len(announced) > 18 or int(announced) > MAX_BODY_BYTES:
        return NotServed(413, "too_large", f"a request has at most {MAX_BODY_BYTES} bytes")
    return None


class Observed:
    """The middleware. The app's state has what it writes to (`serving.Served`)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `ASGIApp`."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        served = scope["app"].state.served
        exchange = _Exchange(scope, receive, send, served.options.body_seconds)
        try:
            refused = refusal(scope)
            if refused is not None:
                page = mount.is_page(scope["path"])
                answer = mount.refusal(scope["app"], refused) if page else error_response(refused)
                await answer(scope, exchange.receive, exchange.send)
            else:
                await self._app(scope, exchange.receive, exchange.send)
        finally:
            exchange.tell(served.journal, served.meters, served.now())


class _Exchange:
    """One request and its answer, as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, patience: float) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._patience = patience
        self._began = time.monotonic()
        self._until = 0.0
        self._whole = False
        self._in = self._out = 0
        self._status = 500  # where nothing was answered
        self._id = secrets.token_hex(8)
        scope.setdefault("state", {})[REQUEST_ID] = self._id

    async def receive(self) -> Message:
        """The next piece of the body. Raises `NotServed`: 408 too slow, 413 too long."""
        if self._whole:
            return await self._receive()  # waits for the end of the connection, for as long as the answer takes
        self._until = self._until or time.monotonic() + self._patience
        try:
            async with asyncio.timeout(max(self._until - time.monotonic(), 0.001)):  # wait_for makes a task each time
                message = await self._receive()
        except TimeoutError:
            raise NotServed(408, "slow", f"a request is sent within {self._patience:.0f} seconds") from None
        self._in += len(message.get("body", b""))
        if self._in > MAX_BODY_BYTES:
            raise NotServed(413, "too_large", f"a request has at most {MAX_BODY_BYTES} bytes")
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """A piece of the answer. Raises TimeoutError, which ends the connection, where nobody takes it."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._id.encode())]
        self._out += len(message.get("body", b""))
        async with asyncio.timeout(SEND_SECONDS):
            await self._send(message)

    def tell(self, journal: Journal, meters: Meters, now: float) -> None:
        """Write down what it was, in words of our own."""
        seconds = time.monotonic() - self._began
        route = self._route()
        method = self._scope["method"] if self._scope["method"] in _METHODS else "-"
        count_request(meters, method, route, self._status, seconds)
        journal.write(
            now,
            "request",
            id=self._id,
            method=method,
            route=route,
            status=self._status,
            ms=round(1000 * seconds, 1),
            bytes_in=self._in,
            bytes_out=self._out,
            provider=self._scope["state"].get("provider"),
        )

    def _route(self) -> str:
        """The template of the route, that of a page with the place where pages are; "-" where nothing fits."""
        path = getattr(self._scope.get("route"), "path", None)
        return "-" if path is None else f"{self._scope.get('root_path', '')}{path}"
