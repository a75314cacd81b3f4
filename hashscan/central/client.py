"""The central service as jobs see it. What goes over the wire, and comes back unchecked, is in `central.http`.

requests costs 45 ms to import, a fifth of the start of a scan, and most runs have nobody to ask: the first call loads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hashscan.central import wire
from hashscan.central.link import Clock, Link
from hashscan.central.retry import Backoff
from hashscan.errors import FilterError, ServiceUnavailable
from hashscan.model import Outcome
from hashscan.ports import Question

if TYPE_CHECKING:
    from hashscan.central.http import Http

MAX_REPLY_BYTES = 4 * 2**20

__all__ = ["Clock", "HttpFetcher", "HttpService", "Link"]


class _Line:
    """A session that is opened when it is first used."""

    def __init__(self, link: Link, backoff: Backoff, clock: Clock) -> None:
        self._link, self._backoff, self._clock = link, backoff, clock
        self._http: Http | None = None

    def http(self) -> Http:
        """The session."""
        if self._http is None:
            from hashscan.central.http import Http  # noqa: PLC0415 - see the docstring of this module

            self._http = Http(self._link, self._backoff, self._clock)
        return self._http

    def close(self) -> None:
        """Close it, where it was opened."""
        if self._http is not None:
            self._http.close()


class HttpService:
    """A `ports.Service` over HTTPS."""

    def __init__(self, link: Link, *, backoff: Backoff | None = None, clock: Clock | None = None) -> None:
        self._link = link
        self._clock = clock or Clock()
        self._line = _Line(link, backoff or Backoff(), self._clock)

    def confirm(self, question: Question) -> bytes:
        """POST /v1/confirm: the signed envelope, unchecked."""
        return self._post(wire.CONFIRM_PATH, wire.encode_question(question), question.nonce)

    def report_outcomes(self, outcomes: Sequence[Outcome]) -> bytes:
        """POST /v1/outcomes: the signed envelope, unchecked."""
        return self._post(wire.OUTCOMES_PATH, wire.encode_outcomes(outcomes), outcomes[0].id)

    def close(self) -> None:
        """Close the connections."""
        self._line.close()

    def _post(self, path: str, body: bytes, key: str) -> bytes:
        def attempt(deadline: float) -> bytes:
            with self._line.http().response("POST", path, deadline=deadline, body=body, key=key) as response:
                return b"".join(self._line.http().pieces(response, max_bytes=MAX_REPLY_BYTES, deadline=deadline))

        try:
            return self._line.http().repeated(attempt)
        except FilterError as error:  # more bytes than a verdict may have: no usable answer
            raise ServiceUnavailable(str(error)) from None


class HttpFetcher:
    """A `ports.Fetcher` over HTTPS."""

    def __init__(self, link: Link, *, backoff: Backoff | None = None, clock: Clock | None = None) -> None:
        self._link = link
        self._clock = clock or Clock()
        self._line = _Line(link, backoff or Backoff(), self._clock)

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        """GET /v1/files/NAME in pieces. The time allowed grows with ``max_bytes`` at the minimum rate."""
        deadline = self._clock.monotonic() + self._link.deadline + max_bytes / self._link.min_rate
        with self._line.http().response("GET", wire.FILES_PATH + name, deadline=deadline) as response:
            yield from self._line.http().pieces(response, max_bytes=max_bytes, deadline=deadline)

    def close(self) -> None:
        """Close the connections."""
        self._line.close()
