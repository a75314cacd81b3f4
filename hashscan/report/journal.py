"""Text for people where stderr is the journal: each line says how grave it is, so that ``journalctl -p err`` finds it.

systemd takes a line that begins with ``<3>`` as priority 3 and leaves the mark out (sd-daemon(3)). Whether stderr is the
journal stands in ``JOURNAL_STREAM`` (systemd.exec(5)): device and inode of the stream.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from hashscan.report.severity import Severity, severity

if TYPE_CHECKING:  # status is asked every minute, and names few nouns
    from hashscan.model import Event
    from hashscan.ports import Reporter


def is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether what is written to ``stream`` goes to the journal."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class Marked(io.TextIOBase):
    """A stream that begins each line with the priority in force."""

    def __init__(self, below: TextIO) -> None:
        self._below = below
        self._at_start = True
        self.level = Severity.INFO

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str, /) -> int:
        """Write ``text``; an empty line needs no mark."""
        marked = []
        for line in text.splitlines(keepends=True):
            marked.append(f"<{int(self.level)}>{line}" if self._at_start and line.strip() else line)
            self._at_start = line.endswith("\n")
        self._below.write("".join(marked))
        return len(text)

    def flush(self) -> None:
        """Write out what waits."""
        if not self.closed:
            self._below.flush()

    def close(self) -> None:
        """Close what is below too: it must not be written to again."""
        if not self.closed:
            self._below.close()
        super().close()


class JournalReporter:
    """Sets the priority of each event before ``inner``, which writes to ``stream``, tells it."""

    def __init__(self, stream: Marked, inner: Reporter) -> None:
        self._stream = stream
        self._inner = inner

    def tell(self, event: Event) -> None:
        """Tell one event. Raises what ``inner`` raises."""
        self._stream.level = severity(event)
        self._inner.tell(event)
