"""Fakes for the jobs: every port, and a way to break a run between any two steps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from hashscan.errors import RefusedError
from hashscan.model import Action, Candidate, Event, Finding, HashedFile, Sifted
from hashscan.ports import ActionResult, Memory, Ruling, Sieve, Waiting


class Told:
    """A `ports.Reporter` that remembers."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, event: Event) -> None:
        self.events.append(event)

    def types(self) -> list[str]:
        return [event.type for event in self.events if event.type != "progress"]


class Stretches:
    """A `ports.Engine` that yields what it is given. Whether it was closed is in ``closed``."""

    def __init__(self, stretches: Iterable[Sifted | Sequence[Candidate]]) -> None:
        self._stretches = stretches
        self.closed = False

    def sift(self, roots: Sequence[bytes], sieve: Sieve) -> Generator[Sifted, None, None]:
        try:
            for one in self._stretches:
                if isinstance(one, Sifted):
                    yield one
                else:
                    yield Sifted(seen=len(one), scanned=len(one), candidates=tuple(one))
        finally:
            self.closed = True


class Passing:
    """A `ports.Sieve` that lets through what ``contains`` says, as candidates made by ``make``."""

    algorithms = ()
    admits_size = None
    fingerprint = b""

    def __init__(self, make: Callable[[HashedFile], Candidate | None]) -> None:
        self._make = make

    def survivors(self, digests: Sequence[tuple[bytes, ...]]) -> list[int]:
        return list(range(len(digests)))

    def candidates(self, hashed: Sequence[HashedFile]) -> list[Candidate]:
        return [one for one in map(self._make, hashed) if one is not None]


class Judges:
    """A `ports.Confirmer` that asks ``rule``; batches are in ``batches``."""

    def __init__(self, rule: Callable[[Candidate], Ruling]) -> None:
        self._rule = rule
        self.refusal: RefusedError | None = None
        self.batches: list[list[Candidate]] = []

    def confirm(self, candidates: Sequence[Candidate]) -> list[Ruling]:
        self.batches.append(list(candidates))
        return [self._rule(one) for one in candidates]


class Hands:
    """A `ports.Quarantine` that notes what it was handed."""

    def __init__(self, action: Action = Action.QUARANTINED) -> None:
        self._action = action
        self.handled: list[Finding] = []

    def handle(self, finding: Finding) -> ActionResult:
        self.handled.append(finding)
        return ActionResult(finding, self._action.value, "case-1")


class Crash(Exception):
    """The power went."""


class Fuse:
    """Burns at the ``moment``-th step (from 0); counts steps in ``steps``."""

    def __init__(self, moment: int) -> None:
        self.moment = moment
        self.steps = 0

    def __call__(self) -> None:
        self.steps += 1
        if self.steps - 1 == self.moment:
            raise Crash


class Fused:
    """Any port with a step before and after each call of a method."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            self._fuse()
            result = found(*args, **kwargs)
            self._fuse()
            return result

        return call


class Eager:
    """The positive control: a memory that forgets a candidate when its finding is looked at, not when all is done."""

    def __init__(self, inner: Memory) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def first_seen(self, candidate: Candidate) -> float:
        seen = self._inner.first_seen(candidate)
        self._inner.settle([candidate])
        return seen


class InMemory:
    """A `ports.Memory` without a disk, held to the same contract."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waiting: dict[Any, Waiting] = {}
        self._cleared: dict[Any, float] = {}
        self.outcomes: set[tuple[Any, str, Action]] = set()

    def remember(self, candidates: Iterable[Candidate]) -> None:
        for one in candidates:
            old = self._waiting.get(one.hashed.entry)
            if old:
                self._waiting[one.hashed.entry] = replace(old, candidate=one)
            else:
                self._waiting[one.hashed.entry] = Waiting(one, self._clock(), 0, "")

    def wait(self, candidates: Iterable[Candidate], reason: str) -> None:
        for one in candidates:
            if old := self._waiting.get(one.hashed.entry):
                self._waiting[one.hashed.entry] = replace(old, asked=old.asked + 1, reason=reason)

    def judged(self, findings: Iterable[Finding]) -> None:
        for one in findings:
            if old := self._waiting.get(one.candidate.hashed.entry):
                self._waiting[one.candidate.hashed.entry] = replace(old, verdict=one.envelope)

    def settle(self, candidates: Iterable[Candidate]) -> None:
        for one in candidates:
            self._waiting.pop(one.hashed.entry, None)

    def waiting(self) -> Iterator[Waiting]:
        for key in sorted(self._waiting, key=lambda key: self._waiting[key].first_seen):
            if key in self._waiting:
                yield self._waiting[key]

    def first_seen(self, candidate: Candidate) -> float:
        known = self._waiting.get(candidate.hashed.entry)
        return known.first_seen if known else self._clock()

    def is_cleared(self, candidate: Candidate) -> bool:
        return self._cleared.get(_content(candidate), -1.0) >= self._clock()

    def clear(self, candidate: Candidate, ttl: float) -> None:
        self._cleared[_content(candidate)] = self._clock() + ttl

    def add_outcome(self, finding: Finding, action: Action, first_seen: float) -> None:
        self.outcomes.add((finding.candidate.hashed.entry, finding.entry, action))


def _content(candidate: Candidate) -> Any:
    return tuple(sorted(candidate.hashed.digests.items())), candidate.lists, candidate.hashed.entry.size
