"""A clock that jumped back makes no new trust decision: what was stale would look fresh, and withdrawn answers new.

Remembered is when a sync last succeeded. That took metadata which had not expired, so by signed words the remembered time is
at most their expiry: 48 hours ahead of the truth at the worst, after a clock that was ahead. Then it heals by itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import FilterError
from hashscan.model import Lists
from hashscan.strict_json import Fields, StrictJsonError, parse_object

TOLERANCE = 5 * 60.0  # seconds that a clock may be set back without a word: time daemons step by less
MAX_CLOCK_BYTES = 256
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Seen:
    """What this host knows of the time: ``latest`` has passed, at ``last_sync`` a sync succeeded. Seconds since 1970."""

    latest: float | None = None
    last_sync: float | None = None

    def behind(self, now: float) -> float:
        """Seconds by which ``now`` is before a time that has passed, beyond the tolerance; else 0."""
        if self.latest is None or now >= self.latest - TOLERANCE:
            return 0.0
        return self.latest - now

    def doubt(self, now: float) -> str:
        """Why nothing new can be believed at ``now``, or ""."""
        behind = self.behind(now)
        return f"the clock of this host stands {_ago(behind)} before a time that it has seen" if behind else ""


def seen(last_sync: float | None, lists: Lists | None) -> Seen:
    """What follows from the remembered time and the signed metadata in force. Without metadata nothing is known.

    The service signed ``issued``, so that time has passed. A remembered time past the expiry cannot be true: see above.
    """
    if lists is None:
        return Seen()
    if last_sync is None or last_sync > lists.expires:
        return Seen(lists.issued)
    return Seen(max(lists.issued, last_sync), last_sync)


def refuse_doubt(known: Seen, now: float, path: Path) -> None:
    """Raises `FilterError` where the clock jumped back; ``path`` is where the time is remembered."""
    if why := known.doubt(now):
        hint = f"set the clock; was it ahead before? Then this ends within 48 hours, or when {path} is removed"
        raise FilterError(f"{why}; the lists in force are unchanged", hint=hint)


def read_last_sync(path: Path) -> float | None:
    """The remembered time, None where there is none or the file is damaged: the next sync writes it again.

    Raises `FilterError` where it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            fields = Fields(parse_object(stream.read(MAX_CLOCK_BYTES + 1), max_bytes=MAX_CLOCK_BYTES, max_depth=1), "clock")
        fields.integer("format", low=_FORMAT, high=_FORMAT)
        return fields.number("last_sync")
    except (FileNotFoundError, StrictJsonError):
        return None
    except OSError as error:
        raise FilterError(f"cannot read {path}: {error.strerror}") from None


def write_last_sync(path: Path, now: float) -> None:
    """Remember that a sync succeeded at ``now``. Raises OSError."""
    make_private_directory(path.parent)
    write_bytes(path, json.dumps({"format": _FORMAT, "last_sync": now}).encode())


def _ago(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"
