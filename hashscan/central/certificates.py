"""TLS as we speak it: 1.2 or newer, the authority of the configuration, and our own certificate where the service wants one.

What is wrong with a configured file is told before anything is sent. ``ssl`` is imported where it is used: most runs of the
agent have nobody to ask, and it costs 10 ms.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hashscan.errors import UsageError

if TYPE_CHECKING:
    import ssl

MAX_PEM_BYTES = 1 << 20
_CERTIFICATE = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_SEQUENCE, _VERSION, _UTC_TIME, _LONG_TIME = 0x30, 0xA0, 0x17, 0x18  # tags of DER

ClientCertificate = tuple[Path, Path]
"""The files of our certificate (PEM, with what leads to the authority) and of its key (PEM, without a password)."""


def tls_context(
    ca_file: Path | None, client: ClientCertificate | None, now: float, *, setting: str = "service.ca_file"
) -> ssl.SSLContext:
    """A context that checks the chain and the name of the service; ``setting`` is where ``ca_file`` comes from.

    Raises `UsageError` for files that cannot be used, and for a certificate of ours that has expired at ``now``.
    """
    import ssl  # noqa: PLC0415 - see the docstring of this module

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # which checks the chain and the name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(cadata=_pem(ca_file, setting))
        except ssl.SSLError:
            raise _wrong(setting, ca_file, "is not a certificate in PEM") from None
    if client is not None:
        _load_client(context, client, now)
    return context


def _load_client(context: ssl.SSLContext, client: ClientCertificate, now: float) -> None:
    """Raises `UsageError`."""
    import ssl  # noqa: PLC0415 - see the docstring of this module

    certificate, key = client
    first = _CERTIFICATE.search(_pem(certificate, "service.client_cert_file"))
    if first is None:
        raise _wrong("service.client_cert_file", certificate, "is not a certificate in PEM")
    try:
        begins, ends = validity(ssl.PEM_cert_to_DER_cert(first[0]))
    except ValueError:
        raise _wrong("service.client_cert_file", certificate, "is not a certificate in PEM") from None
    if now > ends:
        raise _wrong("service.client_cert_file", certificate, f"expired on {_day(ends)}", hint="ask the hotline for a new one")
    if now < begins:
        raise _wrong(
            "service.client_cert_file", certificate, f"begins on {_day(begins)}", hint="is the clock of this host right?"
        )
    _check_private(key)
    try:
        context.load_cert_chain(certificate, key, password=_no_password(key))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _wrong("service.client_key_file", key, f"is not the key of {certificate}") from None
        raise _wrong("service.client_key_file", key, "is not a key in PEM") from None


def _no_password(key: Path) -> Callable[[], str]:
    """OpenSSL would ask on the terminal, and a nightly run would wait for ever."""

    def refuse() -> str:
        raise _wrong("service.client_key_file", key, "is protected by a password", hint="store the key without one, mode 0600")

    return refuse


def _check_private(key: Path) -> None:
    _pem(key, "service.client_key_file")
    status = key.stat()
    if status.st_uid not in {os.geteuid(), 0} or status.st_mode & 0o077:
        raise _wrong("service.client_key_file", key, "can be read by others", hint=f"chmod 600 {key}")


def _pem(path: Path, setting: str) -> str:
    """The text of a file. Raises `UsageError`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would wait for a writer for ever
        with os.fdopen(fd, "rb") as stream:
            regular = stat.S_ISREG(os.fstat(fd).st_mode)
            data = stream.read(MAX_PEM_BYTES + 1) if regular else b""
    except OSError as error:
        raise _wrong(setting, path, f"cannot be read: {error.strerror}") from None
    if not data or len(data) > MAX_PEM_BYTES or b"\0" in data:
        raise _wrong(setting, path, "is not a file in PEM")
    return data.decode("ascii", "replace").replace("\ufffd", "?")  # comments beside the certificates may be in any language


def _wrong(setting: str, path: Path, what: str, *, hint: str = "") -> UsageError:
    return UsageError(f"{setting}: {path} {what}", hint=hint or f"check {setting} in the configuration")


def _day(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def validity(der: bytes) -> tuple[float, float]:
    """From when to when a certificate is valid, in seconds since 1970. Raises ValueError (RFC 5280, 4.1)."""
    fields = _inside(_inside(der, _SEQUENCE)[0], _SEQUENCE)[0]  # Certificate, TBSCertificate
    if fields[:1] == bytes([_VERSION]):
        fields = _inside(fields, _VERSION)[1]
    for _ in range(3):  # serialNumber, signature, issuer
        fields = _inside(fields)[1]
    times = _inside(fields, _SEQUENCE)[0]
    begins, rest = _time(times)
    return begins, _time(rest)[0]


def _inside(data: bytes, tag: int | None = None) -> tuple[bytes, bytes]:
    """The content of the first element of ``data``, and what follows it."""
    if len(data) < 2 or (tag is not None and data[0] != tag):
        raise ValueError("not the certificate that was expected")
    length, start = data[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise ValueError("the certificate is cut short")
    return data[start : start + length], data[start + length :]


def _time(data: bytes) -> tuple[float, bytes]:
    tag = data[0] if data else 0
    if tag not in {_UTC_TIME, _LONG_TIME}:
        raise ValueError("a certificate without its times")
    content, rest = _inside(data, tag)
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp(), rest
