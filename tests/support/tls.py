"""TLS on loopback: certificates of every kind (made by trustme), and a server that plays with each connection in a thread."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme

HOST = "127.0.0.1"
LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pair:
    """The files of one certificate with its key."""

    certificate: Path
    key: Path

    @property
    def files(self) -> tuple[Path, Path]:
        return self.certificate, self.key


class Certificates:
    """Authorities and what they issued, as files in ``folder``; keys of mode 0600."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.stranger = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.stranger_file = folder / "stranger.pem"
        self.authority.cert_pem.write_to_path(str(self.ca_file))
        self.stranger.cert_pem.write_to_path(str(self.stranger_file))

    def client(self, name: str = "acme", *, authority: trustme.CA | None = None, ends: datetime | None = None) -> Pair:
        """The certificate of an agent."""
        return self._write(
            (authority or self.authority).issue_cert(f"{name}@agents.example", common_name=name, not_after=ends), name
        )

    def server(self) -> Pair:
        """The certificate of a server on loopback, as files."""
        return self._write(self.authority.issue_cert(HOST, "localhost"), "server")

    def _write(self, issued: trustme.LeafCert, name: str) -> Pair:
        pair = Pair(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        pair.key.touch(mode=0o600)
        pair.key.write_bytes(issued.private_key_pem.bytes())
        return pair

    # What a server may show.

    @cached_property
    def honest(self) -> ssl.SSLContext:
        return self._context(self.authority.issue_cert(HOST, "localhost"))

    @cached_property
    def of_a_stranger(self) -> ssl.SSLContext:
        return self._context(self.stranger.issue_cert(HOST, "localhost"))

    @cached_property
    def expired(self) -> ssl.SSLContext:
        return self._context(self.authority.issue_cert(HOST, not_before=LONG_AGO, not_after=LONG_AGO + timedelta(days=1)))

    @cached_property
    def not_yet_valid(self) -> ssl.SSLContext:
        later = datetime.now(UTC) + timedelta(days=30)
        return self._context(self.authority.issue_cert(HOST, not_before=later, not_after=later + timedelta(days=1)))

    @cached_property
    def of_another_name(self) -> ssl.SSLContext:
        return self._context(self.authority.issue_cert("other.example.org"))

    @cached_property
    def of_another_address(self) -> ssl.SSLContext:
        return self._context(self.authority.issue_cert("127.0.0.2"))

    @cached_property
    def self_signed(self) -> ssl.SSLContext:
        """A certificate that nobody else has signed: that of an authority, shown as if it were a server's."""
        alone = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with alone.cert_pem.tempfile() as certificate, alone.private_key_pem.tempfile() as key:
            context.load_cert_chain(certificate, key)
        return context

    @cached_property
    def mutual(self) -> ssl.SSLContext:
        """Honest, and wants a certificate of the same authority from the client."""
        context = self._context(self.authority.issue_cert(HOST, "localhost"))
        self.authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    @staticmethod
    def _context(issued: trustme.LeafCert) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        issued.configure_cert(context)
        return context


class LoopbackServer:
    """Gives each connection to ``play`` in a thread of its own. It can be taken down and up again at the same port."""

    def __init__(self, play: Callable[[socket.socket], None]) -> None:
        self._play = play
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listening: socket.socket | None = None
        self._port = 0
        self.up()

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self._port}"

    def up(self) -> None:
        """Listen, unless it does."""
        if self._listening is not None:
            return
        self._listening = socket.create_server((HOST, self._port))
        self._port = self._listening.getsockname()[1]
        thread = threading.Thread(target=self._accept, args=(self._listening,), daemon=True)
        thread.start()
        self._threads.append(thread)

    def down(self) -> None:
        """Whoever connects is refused by the system."""
        if self._listening is not None:
            with suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None

    def hang_up(self) -> None:
        """End all connections."""
        for one in list(self._connections):
            with suppress(OSError):  # it is closed already: that is what we want
                one.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.down()
        self.hang_up()
        for thread in self._threads:
            thread.join(5)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            # Nagle's algorithm would hold an answer back behind the session tickets of TLS: 40 ms a connection.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads = [one for one in self._threads if one.is_alive()]
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self._play(connection)
        except OSError:
            pass  # the client went away, or did not like our certificate
        finally:
            self._connections.discard(connection)
            connection.close()
