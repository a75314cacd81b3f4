"""How grave an event is, as syslog, the journal and others count: 0 is the gravest, 7 the least (RFC 5424, 6.2.1)."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from hashscan.model import Action, Event
from hashscan.report.fields import number, text


class Severity(enum.IntEnum):
    """Those that are used here."""

    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


_BY_TYPE: Mapping[str, Severity] = {
    "finding": Severity.CRITICAL,
    "exit_error": Severity.ERROR,
    "pending": Severity.WARNING,
    "warning": Severity.WARNING,
    "withdrawn": Severity.WARNING,
    "error": Severity.NOTICE,
    "skipped": Severity.NOTICE,
    "progress": Severity.DEBUG,
}
_BY_EXIT_CODE: Mapping[int, Severity] = {
    0: Severity.INFO,
    3: Severity.WARNING,
    4: Severity.NOTICE,
    10: Severity.CRITICAL,
    11: Severity.WARNING,
    12: Severity.CRITICAL,
}
_NEEDS_A_PERSON = ("waiting", "damaged", "orphan")


def severity(event: Event) -> Severity:
    """How grave ``event`` is; one of a type from a later version is information."""
    if event.type == "summary":
        return _BY_EXIT_CODE.get(number(event.data, "exit_code"), Severity.ERROR)
    if event.type == "action":
        undone = text(event.data, "action") in (Action.FAILED, Action.HELD)
        return Severity.ERROR if undone else Severity.NOTICE
    if event.type == "recovered":
        return Severity.ERROR if text(event.data, "outcome") in _NEEDS_A_PERSON else Severity.NOTICE
    return _BY_TYPE.get(event.type, Severity.INFO)
