"""What machines were promised, byte for byte: one golden file an event type, and one report.

``python -m tests.support.golden`` writes them anew. A difference is a change of what others parse: it must be meant, a new
field at most, and stand in CHANGELOG.md.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from hashscan import __version__
from hashscan.model import Event, Json, Reason
from hashscan.report import document, events
from hashscan.report.ndjson import NdjsonReporter
from hashscan.report.recorder import Recorder, RunHead
from tests.support import nouns
from tests.support.telling import TYPES, every_event, tally

FOLDER = Path(__file__).resolve().parents[1] / "golden"
NAMES = (b"www/a.jpg", nouns.HOSTILE)
STARTED = 1_790_000_000.5
RUN = "00112233445566aa"


def written(told: list[Event]) -> str:
    """As ``--json`` writes them, at a fixed time; the version of the program is no promise."""
    out = io.StringIO()
    reporter = NdjsonReporter(out, RUN, "host-1", lambda: STARTED)
    for event in told:
        reporter.tell(event)
    return out.getvalue().replace(f'"version":"{__version__}"', '"version":"VERSION"')


def of_type(kind: str) -> str:
    """All golden lines of one type: with a calm name and with a hostile one."""
    return written([event for name in NAMES for event in every_event(name) if event.type == kind])


def recorded() -> dict[str, Json]:
    """The document of a run with one of everything in it."""
    clock = [STARTED]
    kept: list[Mapping[str, Json]] = []
    recorder = Recorder(RunHead(RUN, "host-1", "scan", STARTED), lambda: clock[0], kept.append)
    told = [event for event in every_event() if event.type not in ("exit_error", "summary")]
    for event in told:
        clock[0] += 1.0
        recorder.tell(event)
    recorder.tell(events.error(nouns.skip(Reason.ERROR, nouns.HOSTILE, errno="EIO")))
    recorder.tell(events.summary(tally(), complete=True, seconds=clock[0] - STARTED))
    return dict(kept[-1])


def report() -> str:
    """The golden report, with names."""
    text = document.as_json(document.disclosed(recorded(), names=True))
    return text.replace(f'"version": "{__version__}"', '"version": "VERSION"')


def all_files() -> dict[Path, str]:
    """Every golden file and what should be in it."""
    return {
        **{FOLDER / "events" / f"{kind}.ndjson": of_type(kind) for kind in sorted(TYPES)},
        FOLDER / "report.json": report(),
    }


if __name__ == "__main__":
    for path, text in all_files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="ascii", newline="\n")
        print(path.relative_to(FOLDER))
