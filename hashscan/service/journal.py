"""What is written down about requests: one JSON line each, and never a digest, a prefix, a key, a token or a name of a file.

A line is made of what this program knows, not of what was sent: the template of the route and not the path, the name of the
provider and not the key. It goes out with one system call, so lines of several processes do not mix.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime

Said = str | int | float | None


class Journal:
    """Writes lines to a descriptor; None: to nowhere. A reader that is gone stops no answer."""

    def __init__(self, fd: int | None = None) -> None:
        self._fd = fd

    def write(self, at: float, event: str, **said: Said) -> None:
        """One line: the time (RFC 3339, UTC), what happened, and what is known of it; what is None is left out."""
        if self._fd is None:
            return
        moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told: Mapping[str, Said] = {"time": moment, "event": event, **said}
        line = json.dumps({key: value for key, value in told.items() if value is not None}, separators=(",", ":"))
        try:
            os.write(self._fd, line.encode("ascii") + b"\n")
        except OSError:
            self._fd = None  # it will not come back, and the answers matter more
