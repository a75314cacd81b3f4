"""One event of every type, from nouns with a given name in them."""

from __future__ import annotations

from hashscan.errors import FilterError
from hashscan.model import Event, Place, Reason, Sifted, Warned
from hashscan.report import events
from hashscan.report.tally import Tally
from tests.support import nouns

TYPES = frozenset(
    "scan_start finding pending action skipped error progress summary exit_error sync check case".split()  # noqa: SIM905
) | {"recovered", "warning", "status", "withdrawn", "sync_wait", "test"}


def tally(at: bytes = b"/srv/www") -> Tally:
    """A count that adds up: 100 paths; 4 candidates of which 1 cleared, 1 pending, 2 found (1 taken, 1 reported)."""
    done = Tally()
    skipped = {Reason.SYMLINK: 6, Reason.TOO_LARGE: 1}
    candidates = tuple(nouns.candidate() for _ in range(4))
    done.add(Sifted(9, 100, 70, 20, 1, 1_500_000, skipped, {"EACCES": 2}, (), candidates, at))
    done.cleared += 1
    done.pending += 1
    for action in ("quarantined", "reported"):
        done.found(nouns.finding())
        done.acted(nouns.result(action))
    return done


def every_event(name: bytes = b"www/a.jpg") -> list[Event]:
    """All types, with ``name`` in every place where a tenant's name or a stranger's text can stand."""
    text = name.decode("utf-8", "surrogateescape")
    full = b"/srv/" + name
    done = tally(full)
    return [
        events.scan_start([full], "report", [nouns.LIST], {"jobs": 2}),
        events.progress(done),
        events.finding(nouns.finding(name, category=text)),
        events.pending(nouns.candidate(name), text),
        events.recovered("0123456789abcdef", "put_back", text),
        events.action(nouns.result("failed", name)),
        events.skipped(nouns.skip(path=name, detail=text)),
        events.error(nouns.skip(Reason.ERROR, name, errno="EACCES", detail=text)),
        events.sync(nouns.LIST, "updated", previous=6, size=5_000_000, way=events.Way("full", 5_060_000, text)),
        events.withdrawn(nouns.LIST, 3, 1, 2),
        events.sync_wait("minimum", 1234.5),
        events.sync(nouns.LIST, "new"),
        events.check(full, [nouns.LIST]),
        events.check(full, []),
        events.test(),
        events.case(nouns.case(name)),
        events.warning(Warned(text, Place(b"/srv", name))),
        events.warning(Warned(text)),
        events.status({"filters": {"police-nl": {"age_hours": 3}}, "pending": 0, "roots": ["/srv"], "last": None}),
        events.exit_error(FilterError(text, hint=text)),
        events.summary(done, complete=True, seconds=12.3456),
    ]
