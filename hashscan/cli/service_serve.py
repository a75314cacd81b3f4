"""hashscan service serve: the process that answers agents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hashscan.cli.folding import speak
from hashscan.cli.service_admin import admin
from hashscan.errors import ExitCode, UsageError
from hashscan.settings import read_secret

_STDERR = 2  # not sys.stderr: lines go out whole, past its buffer
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@dataclass(frozen=True, slots=True)
class _Pem:
    cert: Path | None
    key: Path | None
    client_ca: Path | None

    def check(self) -> None:
        if (self.cert is None) != (self.key is None) or (self.client_ca and not self.cert):
            raise UsageError("TLS needs --tls-cert and --tls-key")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8443, show_default=True, help="0 picks a free one.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer: one a core.")
@click.option("--tls-cert", type=_FILE, help="Certificate chain (PEM), for small set-ups; else TLS is a reverse proxy's work.")
@click.option("--tls-key", type=_FILE, help="Its private key (PEM).")
@click.option("--tls-client-ca", type=_FILE, help="Agents must show a certificate of this authority (PEM).")
@click.option("--metrics-token", type=_FILE, help="File (0600) with the token that opens /metrics; without, this host only.")
@click.option("--rate", type=click.FloatRange(0), help="Requests a second of one API key in the long run; 0: no limit.")
@click.option("--log/--no-log", default=True, show_default=True, help="One JSON line a request on stderr.")
@click.pass_obj
def serve(data: Path, /, host: str, port: int, **more: Any) -> int:
    """Answer agents until SIGTERM or SIGINT."""
    admin()
    from hashscan.service.run import Door, Tls  # noqa: PLC0415 - an extra
    from hashscan.service.run import serve as run  # noqa: PLC0415 - an extra

    pem = _Pem(more["tls_cert"], more["tls_key"], more["tls_client_ca"])
    pem.check()
    tls = Tls(pem.cert, pem.key, pem.client_ca) if pem.cert and pem.key else None
    run(
        data,
        Door(host, port, tls, more["workers"]),
        _options(more),
        ready=lambda url: speak(f"answering on {url}", err=True),
    )
    return ExitCode.OK


def _options(more: dict[str, Any]) -> Any:
    from hashscan.service.limits import BURST_SECONDS, PER_KEY, Rate  # noqa: PLC0415 - an extra
    from hashscan.service.serving import Options  # noqa: PLC0415 - an extra

    rate = PER_KEY if more["rate"] is None else Rate(more["rate"], max(1.0, more["rate"] * BURST_SECONDS))
    return Options(
        per_key=rate,
        journal_fd=_STDERR if more["log"] else None,
        metrics_token=None if more["metrics_token"] is None else read_secret(more["metrics_token"]),
    )
