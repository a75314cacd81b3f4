"""The outbox of a dry run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from hashscan.central.outbox import Outbox, candidate_key
from hashscan.model import Action, Candidate, Finding


class UntoldOutbox(Outbox):
    """The outbox of a dry run: it keeps outcomes to itself, and what waited before the run still waits after it.

    Those candidates are for a run that acts; a dry run has done nothing about them.
    """

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        super().__init__(path, clock)
        with self._guard():
            self._earlier = frozenset(key for (key,) in self._db.execute("SELECT key FROM pending"))

    def settle(self, candidates: Iterable[Candidate]) -> None:
        """Forget those that this run has remembered itself."""
        super().settle([one for one in candidates if candidate_key(one) not in self._earlier])

    def add_outcome(self, finding: Finding, action: Action, first_seen: float) -> None:
        """Nothing."""
