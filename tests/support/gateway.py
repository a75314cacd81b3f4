"""A man in the middle: an HTTPS server on loopback in front of a service, which lets a fault strike where a test says so."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from tests.support.tls import Certificates, LoopbackServer

if TYPE_CHECKING:
    from tests.support.standin import Standin

REASON = {200: "OK", 404: "Not Found"}
MAX_REQUEST = 1 << 20  # bytes
PATIENCE = 20.0  # seconds that a connection of ours waits for the client


@dataclass(frozen=True)
class Request:
    """What came: ``headers`` with lowercase names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Reply:
    """What a service answers."""

    body: bytes = b""
    status: int = 200
    headers: tuple[str, ...] = ("Content-Type: application/octet-stream",)

    def head(self, *more: str, length: int | None = None) -> bytes:
        """Status line and headers, with the length of the body (or ``length``; -1 for none)."""
        lines = [f"HTTP/1.1 {self.status} {REASON.get(self.status, 'x')}", *self.headers, *more]
        if length != -1:
            lines.append(f"Content-Length: {len(self.body) if length is None else length}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Endpoint(StrEnum):
    """Where a fault may strike."""

    METADATA = "metadata"
    TARGETS = "targets"
    CONFIRM = "confirm"
    OUTCOMES = "outcomes"
    PROVIDER_KEYS = "provider-keys"
    ENROL = "enrol"
    REPOSITORY = "repository"
    """Metadata and targets together: a mirror that lies about everything."""


_METADATA = re.compile(r"(\d+\.)?(root|timestamp|snapshot|targets)\.json")
_POSTED = {
    "/v1/confirm": Endpoint.CONFIRM,
    "/v1/outcomes": Endpoint.OUTCOMES,
    "/v1/provider-keys": Endpoint.PROVIDER_KEYS,
    "/v1/enrol": Endpoint.ENROL,
}


def endpoint(request: Request) -> Endpoint:
    """Which one a request asks."""
    path = request.path.partition("?")[0]
    if path in _POSTED:
        return _POSTED[path]
    return Endpoint.METADATA if _METADATA.fullmatch(request.name) else Endpoint.TARGETS


@dataclass(frozen=True)
class Spot:
    """An endpoint, or only those of its files whose name matches ``names``."""

    endpoint: Endpoint
    names: str = ".*"
    what: str = ""

    def meets(self, request: Request) -> bool:
        asked = endpoint(request)
        if self.endpoint is Endpoint.REPOSITORY:
            return asked in {Endpoint.METADATA, Endpoint.TARGETS}
        return asked is self.endpoint and (asked in _POSTED.values() or re.fullmatch(self.names, request.name) is not None)

    def __str__(self) -> str:
        return f"{self.endpoint}-{self.what}" if self.what else str(self.endpoint)


@dataclass
class Strike:
    """One request that a fault answers in its own way on ``connection``; ``honest`` is what ``service`` said."""

    connection: ssl.SSLSocket
    request: Request
    honest: Reply
    service: Standin
    elsewhere: str = ""

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reply(self, reply: Reply) -> None:
        self.send(reply.head("Connection: close") + reply.body)

    def reset(self) -> None:
        """End the connection with RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


class Fault(Protocol):
    """What goes wrong."""

    name: str

    @property
    def refuses(self) -> bool:
        """Nobody listens while it lasts."""

    @property
    def greets(self) -> bool:
        """It strikes before or in the TLS handshake, not at a request."""

    def greet(self, connection: socket.socket, certificates: Certificates) -> ssl.SSLContext | None:
        """What a connection that was just accepted meets; the context with which to go on, None where that was all."""

    def play(self, strike: Strike) -> None:
        """Answer one request."""


@dataclass
class Gateway:
    """Serves ``service`` over TLS. ``left`` is how often the fault still strikes, ``struck`` how often it did.

    ``phase`` is what the agent does next: "sync", "confirm" or "outcomes". Only it can tell where a connection belongs before
    there is a request.
    """

    certificates: Certificates
    service: Standin
    fault: Fault | None = None
    spot: Spot = field(default_factory=lambda: Spot(Endpoint.METADATA))
    left: float = 0
    struck: int = 0
    requests: list[Request] = field(default_factory=list)
    elsewhere: str = ""
    context: ssl.SSLContext | None = None
    _phase: str = ""
    _has_targets: bool = False
    _knows_targets: bool = False

    def __post_init__(self) -> None:
        self._server = LoopbackServer(self._play)

    @property
    def url(self) -> str:
        return self._server.url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.__exit__(kind, error, trace)

    def attack(self, fault: Fault, spot: Spot, times: float) -> None:
        """From now on, ``times`` times."""
        self.fault, self.spot, self.left, self.struck = fault, spot, times, 0
        self._knows_targets = False

    def heal(self) -> None:
        """No fault any more; connections that a fault still holds are ended."""
        self.fault, self.left = None, 0
        self._server.hang_up()
        self._server.up()

    def enter(self, phase: str) -> None:
        """The agent goes on to ``phase``."""
        if self._down():
            self.left, self.struck = self.left - 1, self.struck + 1
        self._phase, self._has_targets = phase, False
        self._listen()

    def _next(self) -> Endpoint | None:
        """Whose turn it is, as far as one can tell before there is a request."""
        if self._phase == "sync":
            if self.spot.endpoint is Endpoint.PROVIDER_KEYS:  # the first thing after metadata that was accepted
                return Endpoint.PROVIDER_KEYS if self._has_targets else Endpoint.METADATA
            return Endpoint.TARGETS if self._has_targets else Endpoint.METADATA
        return Endpoint(self._phase) if self._phase else None

    def _down(self) -> bool:
        return self.fault is not None and self.fault.refuses and self.left > 0 and self._next() is self.spot.endpoint

    def _listen(self) -> None:
        if self._down():
            self._server.down()
        else:
            self._server.up()

    def _play(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE)
        context = self.context or self.certificates.honest
        fault = self.fault
        if fault is not None and fault.greets and self.left > 0 and self._next() is self.spot.endpoint:
            self.left, self.struck = self.left - 1, self.struck + 1
            shown = fault.greet(connection, self.certificates)
            if shown is None:
                return
            context = shown
        with context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=True) as tls:
            while (request := read_request(tls)) is not None:
                if not self._answer(tls, request):
                    break

    def _answer(self, tls: ssl.SSLSocket, request: Request) -> bool:
        """Whether the connection goes on."""
        self.requests.append(request)
        honest = self.service(request)
        if request.name.endswith("targets.json") or (request.name == "timestamp.json" and self._knows_targets):
            self._has_targets = True
            self._knows_targets = self.spot.endpoint is Endpoint.PROVIDER_KEYS
        if endpoint(request) is Endpoint.PROVIDER_KEYS:
            self._has_targets = False  # filters are next
        fault = self.fault
        if fault is None or not (self.left > 0 and self.spot.meets(request)) or fault.greets or fault.refuses:
            self._listen()
            # A fault of the handshake needs a handshake at each request.
            ends = fault is not None and (fault.greets or fault.refuses)
            tls.sendall(honest.head(*(["Connection: close"] if ends else [])) + honest.body)
            return not ends
        self.left, self.struck = self.left - 1, self.struck + 1
        fault.play(Strike(tls, request, honest, self.service, self.elsewhere))
        return False


def read_request(connection: ssl.SSLSocket) -> Request | None:
    """One request; None where the client is gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more or len(data) > MAX_REQUEST:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        more = connection.recv(65_536)
        if not more:
            return None
        body += more
    return Request(method, path, headers, body)


class Elsewhere:
    """Where redirects point to: nobody may come. ``visits`` counts connections."""

    def __init__(self) -> None:
        self.visits = 0
        self._server = LoopbackServer(self._note)
        self.url = self._server.url

    def _note(self, connection: socket.socket) -> None:
        self.visits += 1
        with suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.__exit__(kind, error, trace)
