"""One event to many sinks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from hashscan.errors import IncompleteError

if TYPE_CHECKING:  # status is asked every minute, and names few nouns
    from hashscan.model import Event
    from hashscan.ports import Reporter


class Reporters:
    """Tells every reporter in order. One that is gone does not keep the others from hearing."""

    def __init__(self, reporters: Sequence[Reporter]) -> None:
        self._reporters = tuple(reporters)

    def tell(self, event: Event) -> None:
        """Tell all. Raises the first `IncompleteError` after all have been told."""
        failures = [failure for reporter in self._reporters if (failure := _tell(reporter, event)) is not None]
        if failures:
            raise failures[0]


class Except:
    """Tells a reporter everything but events of some types: progress in NDJSON is for those who ask for it."""

    def __init__(self, reporter: Reporter, types: Collection[str]) -> None:
        self._reporter = reporter
        self._types = frozenset(types)

    def tell(self, event: Event) -> None:
        """Pass the event on, or not."""
        if event.type not in self._types:
            self._reporter.tell(event)


def _tell(reporter: Reporter, event: Event) -> IncompleteError | None:
    try:
        reporter.tell(event)
    except IncompleteError as exc:
        return exc
    return None
