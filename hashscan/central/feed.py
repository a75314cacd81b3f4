"""A source of hash lists over HTTPS: pages of its answer, bounded in bytes and seconds, asked for again where none came."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hashscan.central.http import Http
from hashscan.central.link import Clock, Link
from hashscan.central.retry import Backoff
from hashscan.errors import FilterError, RefusedError, ServiceUnavailable


class FeedLine:
    """One session to one source, whose address is that of ``link``. Redirects are not followed."""

    def __init__(self, link: Link, *, backoff: Backoff | None = None, clock: Clock | None = None) -> None:
        self._link = link
        self._clock = clock or Clock()
        self._http = Http(link, backoff or Backoff(), self._clock)
        self._end = self._clock.monotonic() + link.total

    def page(self, path: str, save: Callable[[Iterator[bytes]], None], *, max_bytes: int) -> None:
        """Give the body at ``path`` to ``save`` in pieces; anew from its start where an attempt fails.

        All pages together may take ``link.total`` seconds. Raises `ServiceUnavailable`, `RefusedError`.
        """
        if self._clock.monotonic() >= self._end:
            raise ServiceUnavailable(f"fetching took longer than {self._link.total:g} seconds", hint="run it again: it goes on")

        def attempt(deadline: float) -> bytes:
            deadline = min(deadline, self._end)
            with self._http.response("GET", path, deadline=deadline) as response:
                save(self._http.pieces(response, max_bytes=max_bytes, deadline=deadline))
            return b""

        try:
            self._http.repeated(attempt)
        except FilterError as error:  # more bytes than a page may have
            raise ServiceUnavailable(str(error)) from None
        except RefusedError as error:
            raise RefusedError(str(error), hint="check the login and the address, or ask the source") from None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
