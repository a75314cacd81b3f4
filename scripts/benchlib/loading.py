"""Connections that ask as fast as they are answered, or at a pace. One thread; nothing is checked while it measures."""

from __future__ import annotations

import base64
import secrets
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO

PLACE_OF_NONCE = b"N" * 43
_READ = 1 << 18  # bytes
PATIENCE = 30.0  # seconds without any answer, and the service is called dead


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent for one question: the head with ``%d`` for the length and the nonce's place, the body with its place."""

    host: int
    question: int
    head: bytes
    body: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole answer: whose and to what, its nonce, where its body lies in the file of answers, when it was due and there."""

    request: Request
    nonce: str
    at: int
    length: int
    status: int
    due: float
    done: float


@dataclass(slots=True)
class Load:
    """What came of it. ``broken`` connections ended without an answer."""

    answers: list[Answer] = field(default_factory=list)
    broken: int = 0

    def statuses(self) -> Counter[int]:
        """How often each status was answered."""
        return Counter(one.status for one in self.answers)


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard: ``connections`` at once for ``seconds``; ``per_second`` questions at most (0: as fast as it goes)."""

    connections: int
    seconds: float
    per_second: float = 0.0


class _Line:
    """One connection with at most one question under way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.request: Request | None = None
        self.nonce = ""
        self.due = 0.0

    def ask(self, request: Request, due: float) -> None:
        self.request, self.due, self.nonce = request, due, secrets.token_urlsafe(32)
        nonce = self.nonce.encode()
        self.socket.sendall(request.head.replace(PLACE_OF_NONCE, nonce) + request.body.replace(PLACE_OF_NONCE, nonce))

    def whole(self) -> tuple[int, bytes] | None:
        """Status and body once all is there."""
        end = self.received.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(self.received) < end + 4 + length:
            return None
        body = bytes(self.received[end + 4 : end + 4 + length])
        self.received.clear()
        return int(head[9:12]), body


def load(port: int, requests: Sequence[Request], pace: Pace, answers: IO[bytes], started: Callable[[], None]) -> Load:
    """Ask for ``pace.seconds``; bodies go to ``answers``, ``started`` is called first. Raises `ValueError`: no answer comes."""
    found = Load()
    with ExitStack() as stack:
        chooser = stack.enter_context(selectors.DefaultSelector())
        lines = [_Line(port) for _ in range(pace.connections)]
        for line in lines:
            stack.callback(lambda line=line: line.socket.close())
            chooser.register(line.socket, selectors.EVENT_READ, line)
        _Round(chooser, requests, pace, answers, found, deque(lines)).go(started)
    return found


@dataclass(slots=True)
class _Round:
    chooser: selectors.BaseSelector
    requests: Sequence[Request]
    pace: Pace
    answers: IO[bytes]
    found: Load
    idle: deque[_Line]
    sent: int = 0
    written: int = 0

    def go(self, started: Callable[[], None]) -> None:
        started()
        began = last = time.monotonic()
        until = began + self.pace.seconds
        under_way = 0
        while (now := time.monotonic()) < until or under_way:
            wait = 1.0
            while self.idle and now < until:
                due = began + self.sent / self.pace.per_second if self.pace.per_second else now
                if due > now:
                    wait = due - now
                    break
                self.idle.popleft().ask(self.requests[self.sent % len(self.requests)], due)
                self.sent += 1
                under_way += 1
            for key, _ in self.chooser.select(min(wait, max(until - now, 0.001)) if now < until else 1.0):
                if self._hear(key.data):
                    under_way -= 1
                    last = time.monotonic()
            if under_way and time.monotonic() - last > PATIENCE:
                raise ValueError(f"the service has not answered for {PATIENCE:.0f} seconds")

    def _hear(self, line: _Line) -> bool:
        """Take what came; whether a question is settled."""
        piece = line.socket.recv(_READ)
        if not piece:
            self.found.broken += 1
            raise ValueError("the service ended a connection")
        line.received += piece
        whole = line.whole()
        if whole is None or line.request is None:
            return False
        status, body = whole
        self.answers.write(body)
        self.found.answers.append(Answer(line.request, line.nonce, self.written, len(body), status, line.due, time.monotonic()))
        self.written += len(body)
        line.request = None
        self.idle.append(line)
        return True


def http_head(port: int, api_key: str, length: int) -> bytes:
    """The head of a question as agents send it."""
    return (
        f"POST /v1/confirm HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: hashscan-bench\r\nAccept-Encoding: identity\r\n"
        f"Accept: */*\r\nConnection: keep-alive\r\nAuthorization: Bearer {api_key}\r\nContent-Type: application/json\r\n"
        f"Idempotency-Key: {PLACE_OF_NONCE.decode()}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def random_digest(size: int) -> str:
    """Of a file that nobody knows."""
    return base64.b16encode(secrets.token_bytes(size)).decode().lower()
