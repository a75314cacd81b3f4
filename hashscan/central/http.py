"""The gate of requests: one session over HTTPS, bounded in bytes and seconds, never redirected.

Foreign exceptions die here. What is no usable answer becomes `ServiceUnavailable`, a refusal `RefusedError`.
"""

from __future__ import annotations

import base64
import random
import re
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.cookiejar import DefaultCookiePolicy

import requests
from urllib3.exceptions import HTTPError

from hashscan import __version__
from hashscan.central import wire
from hashscan.central.certificates import tls_context
from hashscan.central.deadline import Deadline, DeadlineAdapter
from hashscan.central.link import Clock, Link
from hashscan.central.retry import Backoff, retry_after
from hashscan.errors import FilterError, HashscanError, NotPublishedError, RefusedError, ServiceUnavailable
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MAX_ERROR_BYTES = 4096
_PIECE = 1 << 16
_OK = frozenset({200})
_NOBODY = "is the service running, and reachable from here?"
_NO_TLS = re.compile("PROTOCOL|WRONG_VERSION|HTTP_REQUEST|RECORD_LAYER")
_THEIR_ALERT = re.compile("ALERT.*CERTIFICATE|ALERT_UNKNOWN_CA|ALERT_HANDSHAKE_FAILURE|ALERT_ACCESS_DENIED")


class Http:
    """One session to one service: attempts, status codes, size and time limits."""

    def __init__(self, link: Link, backoff: Backoff, clock: Clock) -> None:
        self._link = link
        self._backoff = backoff
        self._clock = clock
        self._deadline = Deadline()
        self._began = 0.0
        self._session = requests.Session()
        adapter = DeadlineAdapter(self._deadline, lambda: tls_context(link.ca_file, link.client_cert, clock.now()))
        for scheme in ("https://", "http://"):
            self._session.mount(scheme, adapter)
        self._session.trust_env = False  # proxy and CA come from our configuration, never from the environment or ~/.netrc
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        if link.proxy:
            self._session.proxies = {"https": link.proxy, "http": link.proxy}
        if link.api_key is not None:
            self._session.headers["Authorization"] = f"Bearer {link.api_key}"
        elif link.basic is not None:
            self._session.headers["Authorization"] = f"Basic {base64.b64encode(link.basic.encode()).decode()}"
        self._session.headers.update(
            {
                "User-Agent": f"hashscan/{__version__}",
                "Accept": "application/json, application/octet-stream, application/xml",
                "Accept-Encoding": "identity",  # a compressed body could be a bomb, and filters do not compress
            }
        )

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def repeated(self, attempt: Callable[[float], bytes]) -> bytes:
        """Call ``attempt(deadline)`` until it answers, attempts run out, or the next wait would pass the deadline."""
        deadline = self._clock.monotonic() + self._link.deadline
        waits = self._backoff.waits(random.random())  # noqa: S311 - jitter
        while True:
            try:
                return attempt(deadline)
            except ServiceUnavailable as error:
                wait = next(waits, None)
                if wait is None:
                    raise
                wait = max(wait, error.retry_after or 0.0)
                if self._clock.monotonic() + wait >= deadline:
                    raise
                self._clock.sleep(wait)

    @contextmanager
    def response(
        self, method: str, path: str, *, deadline: float, body: bytes | None = None, key: str = "", good: frozenset[int] = _OK
    ) -> Iterator[requests.Response]:
        """One request, over by ``deadline``; the body of a ``good`` status is left to the caller, everything else raises."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key:
            headers["Idempotency-Key"] = key
        self._began = self._clock.monotonic()
        left = max(deadline - self._began, 0.001)
        outside = sys.exception()  # what our caller is in the middle of handling is not why this fails
        self._deadline.begin(left)
        try:
            with self._session.request(
                method,
                self._link.url.rstrip("/") + path,
                data=body,
                headers=headers,
                timeout=(min(self._link.connect_timeout, left), min(self._link.read_timeout, left)),
                allow_redirects=False,
                stream=True,
                verify=str(self._link.ca_file) if self._link.ca_file else True,
            ) as response:
                if response.status_code not in good:
                    raise self._refusal(response, path)
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise ServiceUnavailable("the service sent a compressed body that was not asked for")
                yield response
        except (requests.exceptions.RequestException, HTTPError, OSError) as error:
            raise self._no_answer(_innermost(error, outside)) from None

    def _no_answer(self, cause: BaseException) -> ServiceUnavailable:
        hint = _NOBODY
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return ServiceUnavailable(f"no trusted connection to {self._link.url}: {_why(cause)}", hint=_tls_hint(cause))
        if isinstance(cause, ssl.SSLEOFError | ConnectionResetError | BrokenPipeError) and self._link.client_cert is None:
            # From TLS 1.3 on, a service that misses our certificate may be gone before we could read that it says so.
            hint += " Some services want to see a certificate: service.client_cert_file"
        return ServiceUnavailable(f"no answer from {self._link.url}: {_why(cause)}", hint=hint)

    def _refusal(self, response: requests.Response, path: str) -> HashscanError:
        status = response.status_code
        said = _error_message(response)
        if status in {401, 403}:
            hint = "check service.api_key_file, or ask the hotline whether this provider is still admitted"
            return RefusedError(f"the service refused us ({status}{said})", hint=hint)
        if status == 404 and path.startswith(wire.FILES_PATH):
            name = path.removeprefix(wire.FILES_PATH)
            hint = "has the hotline published a list yet?"
            return NotPublishedError(f"the service has no {name!r} for this provider{said}", hint=hint)
        if status in {409, 410, 413, 422}:
            hint = "run 'hashscan sync', or update hashscan"
            if path.startswith(wire.DISPUTES_PATH):
                hint = "only an entry of which this company has told an outcome can be disputed; 'hashscan report' names them"
            return RefusedError(f"the service does not accept the request ({status}{said})", hint=hint)
        wait = retry_after(response.headers.get("Retry-After"), self._clock.now()) if status in {429, 503} else None
        where = " elsewhere" if 300 <= status < 400 else ""
        return ServiceUnavailable(f"{self._link.url} answered {status}{where}{said}", retry_after=wait)

    def pieces(self, response: requests.Response, *, max_bytes: int, deadline: float) -> Iterator[bytes]:
        """The body in pieces as they arrive, after `response`.

        Raises `ServiceUnavailable` past the deadline, cut short, or below the rate, which counts from the request on: what
        trickles in before the body trickles too.
        """
        got, began = 0, self._began
        announced = response.headers.get("Content-Length", "")
        expected = int(announced) if re.fullmatch("[0-9]{1,18}", announced) else None
        while piece := response.raw.read1(_PIECE):
            got += len(piece)
            if got > max_bytes:
                raise FilterError(f"the service sent more than the {max_bytes} bytes allowed")
            took = self._clock.monotonic() - began
            if began + took > deadline or (took > self._link.grace and got / took < self._link.min_rate):
                raise ServiceUnavailable(f"the service sends too slowly ({got} bytes in {took:.0f} s)")
            yield piece
        if expected is not None and got != expected:
            raise ServiceUnavailable(f"the body ended after {got} of {expected} bytes")


def _innermost(error: BaseException, outside: BaseException | None) -> BaseException:
    """The innermost cause, short of ``outside``: requests wraps urllib3 wraps the system."""
    reason = error
    while True:
        inner = (getattr(reason, "reason", None), reason.__cause__, reason.__context__, *reason.args[:1])
        below = next((one for one in inner if isinstance(one, BaseException) and one is not outside), None)
        if below is None:
            return reason
        reason = below


def _why(error: BaseException) -> str:
    """In a few words."""
    text = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text)[:200]


def _tls_hint(error: ssl.SSLError) -> str:
    """What the reader can do about a handshake that failed; the numbers are those of X509_V_ERR_ in OpenSSL."""
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in {62, 64}:
            return "is service.url the name in the certificate of the service?"
        if error.verify_code in {9, 10}:
            return "the certificate of the service has expired or not begun: tell the hotline, and check the clock of this host"
        return "is service.ca_file the authority of this service?"
    if _THEIR_ALERT.search(reason):
        return "does the service want to see a certificate? Check service.client_cert_file and service.client_key_file"
    if _NO_TLS.search(reason):
        return "does service.url speak TLS 1.2 or newer?"
    return _NOBODY


def _error_message(response: requests.Response) -> str:
    """What the service said, one printable line, or nothing: an error page of a proxy is not worth showing."""
    if "json" not in response.headers.get("Content-Type", ""):
        return ""
    try:
        body = response.raw.read(MAX_ERROR_BYTES, decode_content=False)
        text = Fields(parse_object(body, max_bytes=MAX_ERROR_BYTES), "reply").object("error").text("message", max_chars=1000)
    except (StrictJsonError, HTTPError, OSError):
        return ""
    text = "".join(c if c.isprintable() else "?" for c in text)[:200]
    return f": {text}" if text else ""
