"""Events for machines: NDJSON, one line an event, pure ASCII, flushed, numbered so that a gap is noticed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from hashscan.errors import IncompleteError
from hashscan.model import Json
from hashscan.units import rfc3339

if TYPE_CHECKING:  # status is asked every minute, and names few nouns
    from hashscan.model import Event

SCHEMA = "hashscan.event/1"
ENVELOPE = frozenset({"schema", "type", "time", "run_id", "seq", "host"})


@dataclass(frozen=True, slots=True)
class Envelope:
    """What stands around every event of one run: whose it is, and when; ``clock`` is seconds since 1970."""

    run_id: str
    host: str
    clock: Callable[[], float]

    def around(self, event: Event, seq: int) -> dict[str, Json]:
        """``{"schema", "type", "time", "run_id", "seq", "host", ...data}``."""
        if not ENVELOPE.isdisjoint(event.data):
            raise ValueError(f"event {event.type} uses a name of the envelope")
        return {
            "schema": SCHEMA,
            "type": event.type,
            "time": rfc3339(self.clock()),
            "run_id": self.run_id,
            "seq": seq,
            "host": self.host,
            **event.data,
        }


def line_of(record: Mapping[str, Json]) -> str:
    """A record as one line of pure ASCII, with its line end."""
    return json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=_plain) + "\n"


class NdjsonReporter:
    """Writes the events of a run to ``stream``, each in its envelope; ``clock`` is seconds since 1970.

    ``seq`` counts from 0. A control character or a line separator in a name cannot break a line: all but ASCII is escaped.
    """

    def __init__(self, stream: TextIO, run_id: str, host: str, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._envelope = Envelope(run_id, host, clock)
        self._seq = 0
        self._gone: str = ""

    def tell(self, event: Event) -> None:
        """Write one line. Raises `IncompleteError` where the stream is gone (EPIPE, ENOSPC, EIO ...), from then on always."""
        line = line_of(self._envelope.around(event, self._seq))
        if self._gone or self._stream.closed:  # closed: another sink on the same stream met the failure first
            raise _gone(self._gone or "the stream is closed")
        try:
            self._stream.write(line)
            self._stream.flush()
        except OSError as exc:
            self._gone = exc.strerror or str(exc)
            # What could not be written is still in the buffer: the interpreter would try again at its end, fail, and replace
            # our exit code by 120. Closing drops it; its own failure is the one that is raised below.
            with suppress(OSError):
                self._stream.close()
            raise _gone(self._gone) from exc
        self._seq += 1


def _plain(value: object) -> dict[str, Json]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"not JSON: {type(value).__name__}")


def _gone(why: str) -> IncompleteError:
    return IncompleteError(f"events cannot be written: {why}", hint="check the pipe or the disk that takes the output")
