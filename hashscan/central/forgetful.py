"""The memory of an audit without a service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from hashscan.errors import StateError
from hashscan.model import Action, Candidate, Finding
from hashscan.ports import Waiting


class Forgetful:
    """A `ports.Memory` for audits without a service: every candidate is settled at once, so there is nothing to remember."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    def remember(self, candidates: Iterable[Candidate]) -> None:
        """Nothing: the answer is on this host."""

    def wait(self, candidates: Iterable[Candidate], reason: str) -> None:
        """Cannot happen. Raises `StateError`, because a candidate would be lost."""
        if any(True for _ in candidates):
            raise StateError(f"a candidate would be forgotten: {reason}")

    def judged(self, findings: Iterable[Finding]) -> None:
        """Nothing: no finding of a local list has a verdict."""

    def settle(self, candidates: Iterable[Candidate]) -> None:
        """Nothing."""

    def waiting(self) -> Iterator[Waiting]:
        """None."""
        return iter(())

    def first_seen(self, candidate: Candidate) -> float:  # noqa: ARG002 - the port
        """Now."""
        return self._clock()

    def is_cleared(self, candidate: Candidate) -> bool:  # noqa: ARG002 - the port
        """Never."""
        return False

    def clear(self, candidate: Candidate, ttl: float) -> None:
        """Nothing."""

    def add_outcome(self, finding: Finding, action: Action, first_seen: float) -> None:
        """Nothing: nobody is to be told."""
