"""The central service as jobs see it. What goes over the wire, and comes back unchecked, is in `central.http`.

requests costs 45 ms to import, a fifth of the start of a scan, and most runs have nobody to ask: the first call loads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from hashscan.central import wire
from hashscan.central.certificates import tls_context
from hashscan.central.link import Clock, Link
from hashscan.central.retry import Backoff
from hashscan.errors import FilterError, ServiceUnavailable
from hashscan.model import Dispute, Outcome
from hashscan.ports import Backlog, LogHead, Question

if TYPE_CHECKING:
    from hashscan.central.http import Http

MAX_REPLY_BYTES = 4 * 2**20

__all__ = ["Clock", "HttpFetcher", "HttpService", "Line", "Link"]


class Line:
    """A session that is opened when it is first used, and everything that is asked in it.

    Raises `UsageError` at once where the files of the configuration cannot be used.
    """

    def __init__(self, link: Link, backoff: Backoff | None = None, clock: Clock | None = None) -> None:
        self._link, self._backoff, self._clock = link, backoff or Backoff(), clock or Clock()
        self._http: Http | None = None
        if link.ca_file is not None or link.client_cert is not None:
            tls_context(link.ca_file, link.client_cert, self._clock.now())

    def http(self) -> Http:
        """The session."""
        if self._http is None:
            from hashscan.central.http import Http  # noqa: PLC0415 - see the docstring of this module

            self._http = Http(self._link, self._backoff, self._clock)
        return self._http

    def ask(
        self, method: str, path: str, body: bytes | None = None, *, key: str = "", good: frozenset[int] = frozenset({200})
    ) -> bytes:
        """The answer, at most `MAX_REPLY_BYTES`; asked again within the deadline where there is none.

        ``key`` makes asking again harmless. Raises `ServiceUnavailable`, `RefusedError`.
        """
        http = self.http()

        def attempt(deadline: float) -> bytes:
            with http.response(method, path, deadline=deadline, body=body, key=key, good=good) as response:
                return b"".join(http.pieces(response, max_bytes=MAX_REPLY_BYTES, deadline=deadline))

        try:
            return http.repeated(attempt)
        except FilterError as error:  # more bytes than an answer may have: no usable answer
            raise ServiceUnavailable(str(error)) from None

    def close(self) -> None:
        """Close it, where it was opened."""
        if self._http is not None:
            self._http.close()


class HttpService:
    """A `ports.Service` over HTTPS."""

    def __init__(self, link: Link, *, backoff: Backoff | None = None, clock: Clock | None = None) -> None:
        self._line = Line(link, backoff, clock)

    def confirm(self, question: Question) -> bytes:
        """POST /v1/confirm: the signed envelope, unchecked."""
        return self._line.ask("POST", wire.CONFIRM_PATH, wire.encode_question(question), key=question.nonce)

    def report_outcomes(
        self, outcomes: Sequence[Outcome], head: LogHead | None = None, backlog: Backlog | None = None
    ) -> bytes:
        """POST /v1/outcomes: the signed envelope, unchecked."""
        key = outcomes[0].id if outcomes else ""
        return self._line.ask("POST", wire.OUTCOMES_PATH, wire.encode_outcomes(outcomes, head, backlog), key=key)

    def dispute(self, dispute: Dispute) -> bytes:
        """POST /v1/disputes: the signed envelope, unchecked."""
        return self._line.ask("POST", wire.DISPUTES_PATH, wire.encode_dispute(dispute), key=dispute.key)

    def close(self) -> None:
        """Close the connections."""
        self._line.close()


class HttpFetcher:
    """A `ports.Fetcher` over HTTPS. From the first fetch on, all of them together may take ``link.total`` seconds."""

    def __init__(self, link: Link, *, backoff: Backoff | None = None, clock: Clock | None = None) -> None:
        self._link = link
        self._clock = clock or Clock()
        self._line = Line(link, backoff, self._clock)
        self._end: float | None = None

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        """GET /v1/files/NAME in pieces. The time allowed grows with ``max_bytes`` at the minimum rate, up to the total."""
        now = self._clock.monotonic()
        if self._end is None:
            self._end = now + self._link.total
        if now >= self._end:
            hint = "a slow line? service.sync_deadline is how long a sync may take"
            raise ServiceUnavailable(f"the sync took longer than {self._link.total:g} seconds", hint=hint)
        deadline = min(self._end, now + self._link.deadline + max_bytes / self._link.min_rate)
        http = self._line.http()
        with http.response("GET", wire.FILES_PATH + name, deadline=deadline) as response:
            yield from http.pieces(response, max_bytes=max_bytes, deadline=deadline)

    def close(self) -> None:
        """Close the connections."""
        self._line.close()
