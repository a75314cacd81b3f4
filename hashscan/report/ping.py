"""A sign of life to a monitor that raises the alarm when none comes: healthchecks.io, a server of one's own, and their like.

The beginning is told at ``URL/start``, the end at ``URL`` (exit code 0) or ``URL/EXIT-CODE``, all with ``?rid=UUID``, so that
the monitor can measure how long a run took. Source: https://healthchecks.io/docs/http_api/.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TypeAlias

from hashscan.errors import IncompleteError, ServiceUnavailable
from hashscan.model import Event
from hashscan.report.fields import number
from hashscan.report.minimal import minimal
from hashscan.report.ndjson import Envelope, line_of

PingPost: TypeAlias = Callable[[str, bytes], None]
"""Posts a body to what is appended to the address. Raises `ServiceUnavailable` where it has not said 2xx."""


class PingSink:
    """Tells the monitor of the beginning and the end of a run; the body is always minimal: it is somebody else's server."""

    def __init__(self, post: PingPost, envelope: Envelope) -> None:
        self._post = post
        self._envelope = envelope
        self._run = uuid.UUID(hex=envelope.run_id.rjust(32, "0"))

    def tell(self, event: Event) -> None:
        """Ping. Raises `IncompleteError`."""
        if event.type in ("scan_start", "test"):
            self._ping("/start" if event.type == "scan_start" else "/log", event)
        elif event.type in ("summary", "exit_error"):
            code = number(event.data, "exit_code")
            self._ping(f"/{code}" if code else "", event)

    def _ping(self, where: str, event: Event) -> None:
        body = line_of(self._envelope.around(minimal(event) or Event(event.type, {}), 0)).encode("ascii")
        try:
            self._post(f"{where}?rid={self._run}", body)
        except ServiceUnavailable as error:
            raise IncompleteError(str(error)) from None
