"""The process that answers agents: uvicorn around the app. Slow clients are the reverse proxy's work, and so is TLS mostly.

``python -m hashscan.service.run DATA [CERT KEY [CLIENT-CA]]`` serves on a free loopback port, writes one line ``ready URL`` to
stdout, and ends when its stdin does: that is how `embedded` starts it, and why no such process outlives its parent.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from hashscan import flow
from hashscan.errors import HashscanError, UsageError
from hashscan.service.app import create_app
from hashscan.service.patience import PatientProtocol
from hashscan.service.serving import Options

SHUTDOWN_SECONDS = 10  # for requests that are under way
MAX_REQUESTS_AT_ONCE = 200  # more are answered 503
IDLE_SECONDS = 15  # keep-alive
MAX_HEAD_BYTES = 32 * 1024  # of a request; of more nobody reads the rest
_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: the certificate chain, its private key, and where agents must show a certificate the authority of theirs."""

    cert: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """Raises `UsageError` where uvicorn could not use them."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.cert, self.key, password=lambda: "")  # never ask on the terminal
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise UsageError(f"cannot use {self.cert} and {self.key} for TLS: {error}") from None


class _Server(uvicorn.Server):
    """Tells when it accepts connections, and ends with ``follow`` (a file descriptor) where there is one."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], follow: int | None) -> None:
        super().__init__(config)
        self._ready = ready
        self._follow = follow

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell."""
        await super().startup(sockets)
        if self.started:
            if self._follow is not None:
                asyncio.get_running_loop().add_reader(self._follow, self._stop)
            self._ready()

    def _stop(self) -> None:
        if self._follow is not None:
            asyncio.get_running_loop().remove_reader(self._follow)
        self.should_exit = True


@dataclass(frozen=True, slots=True)
class Door:
    """Where agents come in. Port 0 picks a free one; without ``tls`` plain HTTP is spoken. ``workers`` are processes.

    Several accept from one socket: of one that dies only the answers under way are lost, and another takes its place.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls: Tls | None = None
    workers: int = 1


def serve(
    data: Path,
    door: Door,
    options: Options,
    *,
    ready: Callable[[str], None] | None = None,
    follow: int | None = None,
) -> None:
    """Answer agents until SIGTERM or SIGINT (or until ``follow`` is at its end), then finish what is under way and return.

    ``ready`` is called with the URL once connections are accepted. Raises `UsageError` (no service in
    ``data``, the address or the certificate cannot be used). Main thread only, because of the signals.
    """
    if not 1 <= door.workers <= flow.MAX_WORKERS:
        raise UsageError(f"there are 1 to {flow.MAX_WORKERS} workers")
    if door.tls is not None:
        door.tls.check()
    app = create_app(data, options=options)
    try:
        listener = _listen(door.host, door.port)
    except BaseException:
        app.state.served.store.close()
        raise
    url = _url("https" if door.tls else "http", door.host, listener.getsockname()[1])

    def tell() -> None:
        if ready is not None:
            ready(url)

    def work(say: Callable[[], None]) -> None:
        _answer(create_app(data, options=together), door, listener, say, None)

    with listener, _counted_together(options, door.workers) as together:
        if door.workers == 1:
            _answer(app, door, listener, tell, follow)
        else:
            app.state.served.store.close()  # no connection to a database survives a fork: each worker opens its own
            flow.Herd(work, door.workers, patience=SHUTDOWN_SECONDS + 5).run(tell, follow=follow)


@contextmanager
def _counted_together(options: Options, workers: int) -> Iterator[Options]:
    """Several processes count in files of one fresh folder, which goes when they do."""
    if workers == 1 or options.meters_folder is not None:
        yield options
        return
    with tempfile.TemporaryDirectory(prefix="hashscan-meters-") as folder:
        yield replace(options, meters_folder=Path(folder))


def _answer(app: FastAPI, door: Door, listener: socket.socket, ready: Callable[[], None], follow: int | None) -> None:
    """One process of the service, from its first answer to its last."""
    with _quiet_signals():
        _Server(_config(app, door.tls), ready, follow).run(sockets=[listener])


def _config(app: FastAPI, tls: Tls | None) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,  # requests are sensitive: what is told of them is in `observing`
        http=PatientProtocol,
        h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        server_header=False,
        lifespan="on",
        limit_concurrency=MAX_REQUESTS_AT_ONCE,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    if tls is not None:
        config.ssl_certfile, config.ssl_keyfile = str(tls.cert), str(tls.key)
        if tls.client_ca is not None:
            config.ssl_ca_certs, config.ssl_cert_reqs = str(tls.client_ca), ssl.CERT_REQUIRED
    return config


def _listen(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65_535:
        raise UsageError(f"cannot listen on port {port}: it is not from 0 to 65535")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror}", hint="is another service on that port?"
        ) from None
    # Connections inherit this. asyncio sets it only on sockets that name their protocol: each answer then waited 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


@contextmanager
def _quiet_signals() -> Iterator[None]:
    """uvicorn raises the signal that stopped it again when it is done; here that must not kill the caller."""

    def ignore(_number: int, _frame: FrameType | None) -> None:
        return None

    before = {number: signal.signal(number, ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(arguments: list[str]) -> int:
    """The command of this module; the exit code."""

    def ready(url: str) -> None:
        sys.stdout.write(f"ready {url}\n")
        sys.stdout.flush()

    if len(arguments) not in (1, 3, 4):
        sys.stderr.write("usage: python -m hashscan.service.run DATA [CERT KEY [CLIENT-CA]]\n")
        return 2
    data, *files = map(Path, arguments)
    try:
        door = Door(tls=Tls(*files) if files else None)
        serve(data, door, Options(), ready=ready, follow=sys.stdin.fileno())
    except HashscanError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
