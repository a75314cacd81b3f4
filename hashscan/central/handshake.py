"""One TLS handshake with the service, to see how long its certificate lasts. Nothing is asked."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from hashscan.central.certificates import tls_context, validity
from hashscan.central.link import Link
from hashscan.errors import ServiceUnavailable


def certificate_until(link: Link, now: float) -> float | None:
    """Until when the certificate is valid, in seconds since 1970; None where the service is reached without TLS.

    Raises `ServiceUnavailable` where it is not reached or not trusted, `UsageError` for files that cannot be used.
    """
    parts = urlsplit(link.url)
    if link.proxy:
        raise ServiceUnavailable("behind a proxy the certificate is not looked at; hashscan selftest goes the whole way")
    host = parts.hostname or ""
    address = (host, parts.port or (443 if parts.scheme == "https" else 80))
    try:
        with socket.create_connection(address, timeout=link.connect_timeout) as plain:
            if parts.scheme != "https":
                return None
            context = tls_context(link.ca_file, link.client_cert, now)
            if link.ca_file is None:
                context.load_default_certs()
            with context.wrap_socket(plain, server_hostname=host) as secured:
                der = secured.getpeercert(binary_form=True)
    except (OSError, ValueError) as error:
        why = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error)
        raise ServiceUnavailable(f"no trusted connection to {link.url}: {why}") from None
    return validity(der)[1] if der else None
