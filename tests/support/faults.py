"""The catalogue of what goes wrong between agent and service: on the wire, in HTTP, in the bytes, in what was signed.

The first three kinds strike at every endpoint; lies about signed things (`tests.support.lies`) belong to one endpoint each.
"""

from __future__ import annotations

import gzip
import random
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from email.utils import formatdate
from functools import cache

from tests.support.gateway import Reply, Strike
from tests.support.tls import Certificates

Play = Callable[[Strike], None]
Greet = Callable[[socket.socket, Certificates], ssl.SSLContext | None]

# Exit codes: what a sync may end with where the fault struck it, and what a scan may.
NONE, PENDING, FILTER, REFUSED = 0, 11, 20, 22


@dataclass(frozen=True)
class Wire:
    """A `tests.support.gateway.Fault`. ``codes`` are the exit codes besides 0 (and 10, findings) that a run may have.

    ``insider`` needs keys that only the service has.
    """

    name: str
    codes: frozenset[int]
    at_request: Play | None = None
    at_greeting: Greet | None = None
    refuses: bool = False
    insider: bool = False

    @property
    def greets(self) -> bool:
        return self.at_greeting is not None

    def greet(self, connection: socket.socket, certificates: Certificates) -> ssl.SSLContext | None:
        assert self.at_greeting is not None
        return self.at_greeting(connection, certificates)

    def play(self, strike: Strike) -> None:
        assert self.at_request is not None
        self.at_request(strike)

    def __str__(self) -> str:
        return self.name


def _codes(*codes: int) -> frozenset[int]:
    return frozenset(codes)


# Before there is a request.


def _shows(pick: Callable[[Certificates], ssl.SSLContext]) -> Greet:
    return lambda _, certificates: pick(certificates)


def _hello_then(reaction: bytes, *, reset: bool = False) -> Greet:
    """Read what the client says first, answer with ``reaction``, and end."""

    def greet(connection: socket.socket, _: Certificates) -> None:
        connection.recv(65_536)
        if reaction:
            connection.sendall(reaction)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    return greet


def _silent_greeting(connection: socket.socket, _: Certificates) -> None:
    while connection.recv(65_536):
        pass


def _trickled_greeting(connection: socket.socket, _: Certificates) -> None:
    connection.recv(65_536)
    connection.sendall(b"\x16\x03\x03\x40\x00")
    while True:
        connection.sendall(b"\x02")
        time.sleep(0.02)


def _greetings() -> Iterator[Wire]:
    shown: dict[str, Callable[[Certificates], ssl.SSLContext]] = {
        "wrong authority": lambda one: one.of_a_stranger,
        "expired": lambda one: one.expired,
        "not yet valid": lambda one: one.not_yet_valid,
        "wrong host name": lambda one: one.of_another_name,
        "wrong address": lambda one: one.of_another_address,
        "self-signed": lambda one: one.self_signed,
        "wants a client certificate": lambda one: one.mutual,
    }
    for name, pick in shown.items():
        yield Wire(f"tls {name}", _codes(PENDING), at_greeting=_shows(pick))
    played: dict[str, Greet] = {
        "closed at once": lambda *_: None,
        "closed in the handshake": _hello_then(b""),
        "reset in the handshake": _hello_then(b"", reset=True),
        "half a record": _hello_then(b"\x16\x03\x03\x02\x00\x02\x00"),
        "plain text": _hello_then(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue"),
        "alert": _hello_then(b"\x15\x03\x03\x00\x02\x02\x28"),
        "old version": _hello_then(b"\x16\x03\x01\x00\x31\x02\x00\x00\x2d\x03\x01" + bytes(32) + b"\0\0\x2f\0\0\5\xff\1\0\1\0"),
        "silence": _silent_greeting,
        "trickled": _trickled_greeting,
    }
    for name, greet in played.items():
        yield Wire(f"tls {name}", _codes(PENDING), at_greeting=greet)
    yield Wire("connection refused", _codes(PENDING), refuses=True)


# Status codes.


def _says(status: int, *headers: str, body: bytes = b"") -> Play:
    return lambda strike: strike.reply(Reply(body, status, headers))


def _points(status: int) -> Play:
    def play(strike: Strike) -> None:
        strike.reply(Reply(b"moved", status, (f"Location: {strike.elsewhere}{strike.request.path}",)))

    return play


RETRY_AFTER = {
    "none": None,
    "seconds": "1",
    "zero": "0",
    "date": "date",
    "date of long ago": "Mon, 21 Sep 2020 13:14:20 GMT",
    "negative": "-5",
    "huge": "9" * 40,
    "fraction": "1.5",
    "garbage": "soon \xb2",
}


def _busy(status: int, header: str | None) -> Play:
    def play(strike: Strike) -> None:
        value = formatdate(time.time() + 5, usegmt=True) if header == "date" else header
        strike.reply(Reply(b"", status, () if value is None else (f"Retry-After: {value}",)))

    return play


def _statuses() -> Iterator[Wire]:
    for status in (201, 204, 206, 304, 400, 405, 407, 418, 500, 502, 504, 599):
        yield Wire(f"status {status}", _codes(PENDING), _says(status))
    for status in (301, 302, 303, 307, 308):
        yield Wire(f"redirect {status}", _codes(PENDING), _points(status))
    for status in (401, 403, 409, 410, 413, 422):
        yield Wire(f"status {status}", _codes(REFUSED, PENDING), _says(status, body=b"no"))
    yield Wire("status 404", _codes(FILTER, PENDING), _says(404))
    for name, header in RETRY_AFTER.items():
        yield Wire(f"429 retry after {name}", _codes(PENDING), _busy(429, header))
    for name in ("none", "date", "huge"):
        yield Wire(f"503 retry after {name}", _codes(PENDING), _busy(503, RETRY_AFTER[name]))
    html = b"<html><h1>Forbidden</h1>" + b" " * 9000
    yield Wire("status 403 with a page", _codes(REFUSED, PENDING), _says(403, "Content-Type: text/html", body=html))
    deep = b"[" * 3000
    yield Wire("status 500 with deep JSON", _codes(PENDING), _says(500, "Content-Type: application/json", body=deep))


# The form of an HTTP message.

_OK = b"HTTP/1.1 200 OK\r\n"
_ZIPPED_CHUNKS = b"Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
_PAUSE = 0.02  # seconds


def _raw(data: bytes, *, reset: bool = False) -> Play:
    def play(strike: Strike) -> None:
        strike.send(data)
        if reset:
            strike.reset()

    return play


def _forever(head: bytes, piece: bytes, pause: float = 0.0) -> Play:
    """Until the client hangs up."""

    def play(strike: Strike) -> None:
        strike.send(head)
        while True:
            strike.send(piece)
            if pause:
                time.sleep(pause)

    return play


def _slowly(strike: Strike) -> None:
    """The honest answer, a byte at a time."""
    strike.send(strike.honest.head())
    for byte in strike.honest.body:
        strike.send(bytes([byte]))
        time.sleep(_PAUSE)


def _silence(strike: Strike) -> None:
    while strike.connection.recv(65_536):
        pass


def _cut(bytes_left: Callable[[int], int], *, reset: bool = True) -> Play:
    """The honest answer up to some byte of the whole message, then RST or an end."""

    def play(strike: Strike) -> None:
        whole = strike.honest.head() + strike.honest.body
        strike.send(whole[: bytes_left(len(whole))])
        if reset:
            strike.reset()

    return play


def _length(claimed: Callable[[int], object]) -> Play:
    def play(strike: Strike) -> None:
        strike.send(strike.honest.head(f"Content-Length: {claimed(len(strike.honest.body))}", length=-1) + strike.honest.body)

    return play


def _coded(coding: str, encode: Callable[[bytes], bytes]) -> Play:
    def play(strike: Strike) -> None:
        strike.reply(replace(strike.honest, body=encode(strike.honest.body), headers=(f"Content-Encoding: {coding}",)))

    return play


def _chunked(encode: Callable[[bytes], bytes]) -> Play:
    def play(strike: Strike) -> None:
        strike.send(strike.honest.head("Transfer-Encoding: chunked", length=-1) + encode(strike.honest.body))

    return play


def _chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""


def _before(data: bytes) -> Play:
    return lambda strike: strike.send(data + strike.honest.head("Connection: close") + strike.honest.body)


def _and_another(strike: Strike) -> None:
    """A second answer behind the first, for whoever asks next on this connection."""
    forged = Reply(b'{"payload": "", "payloadType": "x", "signatures": []}')
    strike.send(strike.honest.head() + strike.honest.body + forged.head() + forged.body)
    _silence(strike)


def _squeezed(window: int) -> bytes:
    """64 MiB of zeros in 64 kB, made without ever holding them."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join([*(squeeze.compress(bytes(1 << 20)) for _ in range(64)), squeeze.flush()])


@cache
def _bomb() -> bytes:
    return _squeezed(16 + zlib.MAX_WBITS)


@cache
def _zlib_bomb() -> bytes:
    return _squeezed(zlib.MAX_WBITS)


def _messages() -> Iterator[Wire]:
    chunks = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
    slow = {
        "no answer": _silence,
        "slow status line": _forever(b"", b"H", _PAUSE),
        "slow headers": _forever(_OK + b"X: ", b"x", _PAUSE),
        "slow header lines": _forever(_OK, b"X: y\r\n", _PAUSE),
        "slow body": _slowly,
        "slow body without a length": _forever(_OK + b"\r\n", b"x", _PAUSE),
        "slow chunk length": _forever(chunks, b"0", _PAUSE),
        "endless continue": _forever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
    }
    endless = {
        "endless body": _forever(_OK + b"\r\n", b"x" * 65_536),
        "endless chunks": _forever(chunks, _chunk(b"x" * 65_536)),
        "endless header": _forever(_OK + b"X: ", b"x" * 65_536),
        "endless headers": _forever(_OK, b"X: y\r\n" * 1000),
        "endless white space": _forever(_OK + b"\r\n", b" " * 65_536),
    }
    broken = {
        "HTTP/0.9": lambda strike: strike.send(strike.honest.body),
        "another protocol": _raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
        "half a status line": _raw(b"HTTP/1."),
        "status that is no number": _raw(b"HTTP/1.1 abc OK\r\n\r\n"),
        "huge status": _raw(b"HTTP/1.1 99999 OK\r\n\r\n"),
        "long header": _raw(_OK + b"X: " + b"x" * 100_000 + b"\r\n\r\ntrue"),
        "many headers": _raw(_OK + b"X: y\r\n" * 5000 + b"\r\ntrue"),
        "switching protocols": _raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"),
        "chunk that is none": _chunked(lambda body: b"zz\r\n" + body + b"\r\n0\r\n\r\n"),
        "negative chunk": _chunked(lambda body: b"-5\r\n" + body),
        "chunk cut short": _chunked(lambda body: _chunk(body)[:-5]),
        "chunks without an end": _chunked(_chunk),
        "longer length": _length(lambda length: length + 100),
        "shorter length": _length(lambda length: length // 2),
        "negative length": _length(lambda length: -length),
        "length that is none": _length(lambda _: "many"),
        "two lengths": _length(lambda length: f"{length}\r\nContent-Length: {length + 7}"),
        "huge length": _length(lambda _: "9" * 40),
        "zero length": _length(lambda _: 0),
        "gzip": _coded("gzip", gzip.compress),
        "gzip bomb": _coded("gzip", lambda _: _bomb()),
        "deflate bomb": _coded("deflate", lambda _: _zlib_bomb()),
        "coding that is none": _coded("br, zstd, x", lambda body: body),
        "bomb in chunks": lambda strike: strike.send(_OK + _ZIPPED_CHUNKS + _chunk(_bomb()) + _chunk_end()),
        "reset at once": _cut(lambda _: 0),
        "reset after 1 byte": _cut(lambda _: 1),
        "reset in the headers": _cut(lambda _: 40),
        "reset before the body": _cut(lambda _: 92),
        "reset in the middle": _cut(lambda length: length // 2),
        "reset before the last byte": _cut(lambda length: length - 1),
        "closed at once": _cut(lambda _: 0, reset=False),
        "closed in the middle": _cut(lambda length: length // 2, reset=False),
        "closed before the last byte": _cut(lambda length: length - 1, reset=False),
    }
    benign = {
        "chunks": _chunked(
            lambda body: b"".join(_chunk(body[at : at + 100]) for at in range(0, len(body), 100)) + _chunk_end()
        ),
        "continue before the answer": _before(b"HTTP/1.1 100 Continue\r\n\r\n" * 3),
        "a cookie": lambda strike: strike.reply(replace(strike.honest, headers=(f"Set-Cookie: a={'x' * 3000}",))),
        "another answer behind it": _and_another,
    }
    for name, play in {**slow, **endless, **broken, **benign}.items():
        yield Wire(name, _codes(PENDING, FILTER), play)


def _chunk_end() -> bytes:
    return b"0\r\n\r\n"


# The bytes of the body.


def _body(change: Callable[[bytes], bytes]) -> Play:
    return lambda strike: strike.reply(replace(strike.honest, body=change(strike.honest.body)))


def _flip(place: Callable[[int], int], bit: int = 1) -> Callable[[bytes], bytes]:
    def change(body: bytes) -> bytes:
        changed = bytearray(body or b"\0")
        changed[min(max(place(len(changed)), 0), len(changed) - 1)] ^= bit
        return bytes(changed)

    return change


def _flip_after(mark: bytes, distance: int) -> Callable[[bytes], bytes]:
    """Flip a bit behind the last ``mark`` (a signature, say); the middle where there is none."""
    return lambda body: _flip(lambda n: body.rfind(mark) + len(mark) + distance if mark in body else n // 2)(body)


def _twice(body: bytes) -> bytes:
    """The first key of the document a second time, in front, with another value."""
    if body[:1] != b"{" or b'"' not in body:
        return b'{"a": 1, "a": 2}'
    name = body.split(b'"', 2)[1]
    return b'{"' + name + b'": null,' + body[1:]


def _noise(seed: int) -> Callable[[bytes], bytes]:
    """Bytes changed, cut out and put in, the same each time."""

    def change(body: bytes) -> bytes:
        picked, data = random.Random(seed * 1000 + len(body)), bytearray(body or b"x")
        for _ in range(picked.randint(1, 4)):
            place = picked.randrange(len(data) + 1)
            kind = picked.randrange(3)
            if kind == 0 and place < len(data):
                data[place] = picked.randrange(256)
            elif kind == 1:
                del data[place : place + picked.randint(1, 9)]
            else:
                data[place:place] = picked.choice([b"\r\n", b"\0", b'"', b"{", b"9" * 30, b"\xff"])
        return bytes(data)

    return change


def _number(body: bytes, number: bytes) -> bytes:
    """The first number of a JSON document becomes ``number``; a document of our own where there is none."""
    for mark in (b'"version": ', b'"issued": ', b'"since": ', b'"version":', b'"issued":'):
        head, found, tail = body.partition(mark)
        if found:
            return head + found + number + tail.lstrip(b"0123456789.")
    return b'{"version": ' + number + b', "signed": {}, "signatures": []}'


def _bodies() -> Iterator[Wire]:
    changed: dict[str, Callable[[bytes], bytes]] = {
        "empty body": lambda _: b"",
        "a page": lambda _: b"<!doctype html><html><body>true</body></html>",
        "true": lambda _: b"true",
        "null": lambda _: b"null",
        "an array": lambda _: b"[]",
        "an empty object": lambda _: b"{}",
        "deep JSON": lambda _: b'{"signed":' * 30_000,
        "deep arrays": lambda _: b'{"signed":' + b"[" * 60_000,
        "a key twice": _twice,
        "NaN": lambda body: _number(body, b"NaN"),
        "Infinity": lambda body: _number(body, b"-Infinity"),
        "huge number": lambda body: _number(body, b"9" * 5000),
        "huge exponent": lambda body: _number(body, b"1e999999"),
        "not UTF-8": lambda body: b"\xff\xfe" + body,
        "UTF-16": lambda body: b"\xfe\xff" + body.hex().encode("utf-16-be"),
        "byte order mark": lambda body: b"\xef\xbb\xbf" + body,
        "surrogates": lambda _: b'{"signed": "\\ud800", "payload": "\\udfff"}',
        "many keys": lambda _: b"{" + b",".join(b'"%d":0' % number for number in range(50_000)) + b"}",
        "truncated to half": lambda body: body[: len(body) // 2],
        "without the last byte": lambda body: body[:-1],
        "the last byte twice": lambda body: body + body[-1:],
        "garbage behind": lambda body: body + b"garbage",
        "the body twice": lambda body: body + body,
        "zeros behind": lambda body: body + bytes(4096),
        "white space behind": lambda body: body + b" \n" * 4096,
        "zeros": lambda body: bytes(len(body)),
        "ones": lambda body: b"\xff" * len(body),
        "raw gzip bomb": lambda _: _bomb(),
        "bit flip at the first byte": _flip(lambda _: 0),
        "bit flip in the header": _flip(lambda _: 12, 4),
        "bit flip in the first quarter": _flip(lambda n: n // 4),
        "bit flip in the middle": _flip(lambda n: n // 2),
        "bit flip in the last quarter": _flip(lambda n: 3 * n // 4, 2),
        "bit flip at the last byte": _flip(lambda n: n - 1, 0x80),
        "bit flip in the signature": _flip_after(b'"sig":"', 20),
        "bit flip in a signature": _flip_after(b'"sig": "', 20),
        "bit flip in the payload": _flip_after(b'"payload":"', 60),
        "bit flip in the padding": _flip(lambda n: n - 3, 0x20),
        **{f"noise {seed}": _noise(seed) for seed in range(6)},
    }
    for name, change in changed.items():
        yield Wire(name, _codes(PENDING, FILTER), _body(change))


def everywhere() -> tuple[Wire, ...]:
    """Faults that strike at every endpoint."""
    return (*_greetings(), *_statuses(), *_messages(), *_bodies())
