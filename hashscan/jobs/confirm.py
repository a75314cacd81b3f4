"""Confirm: from candidates to rulings, and asking again about those that wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from hashscan.central import wire
from hashscan.central.retry import Quiet
from hashscan.errors import RefusedError, ServiceUnavailable
from hashscan.jobs.conclude import ActTools, Deferred, conclude, report_pending
from hashscan.known.exact import ExactSieve
from hashscan.known.judge import Answer, judge, judge_local, none_withdrawn, settles
from hashscan.known.keys import KeyRing
from hashscan.known.verdicts import Asked, open_verdict
from hashscan.model import Candidate, ListRef, Verdict, VerdictKey
from hashscan.ports import Ruling, Service, Sieve
from hashscan.report.tally import Tally


def no_doubt() -> str:
    """The clock of this host is believed."""
    return ""


@dataclass(frozen=True, slots=True)
class Court:
    """What it takes to ask the service and to judge its answers.

    ``keys`` are the verdict keys of the lists in force. On the lists (ids) in ``md5_is_enough``, MD5 alone is a match; findings
    of those in ``report_only`` are only ever reported. ``withdrawn``: whether the lists in force name an entry (list id, entry)
    as withdrawn. ``doubt``: why nothing can be believed now, or "": a clock that jumped back makes old answers look new.
    """

    service: Service
    keys: tuple[VerdictKey, ...]
    ring: KeyRing
    provider: str
    clock: Callable[[], float]
    md5_is_enough: frozenset[str] = frozenset()
    report_only: frozenset[str] = frozenset()
    withdrawn: Callable[[str, str], bool] = none_withdrawn
    doubt: Callable[[], str] = no_doubt

    def answer(self, verdict: Verdict, index: int) -> Answer:
        """What ``verdict`` says of the item ``index`` of its question, with what this host says of the list."""
        reference = verdict.list
        return Answer(
            verdict,
            index,
            self.ring.confirm_key(reference.id, reference.epoch),
            md5_is_enough=reference.id in self.md5_is_enough,
            report_only=reference.id in self.report_only,
            withdrawn=self.withdrawn,
        )


@dataclass(slots=True)
class _Round:
    """The answers gathered for one call, by candidate; and why some have none."""

    answers: dict[int, list[Answer]] = field(default_factory=dict)
    missing: dict[int, str] = field(default_factory=dict)


class ServiceConfirmer:
    """A `ports.Confirmer` that asks the service list by list, a hundred candidates a question.

    After a failure it lets the service rest; meanwhile everything is pending. ``refusal`` is what a person must look at.
    """

    def __init__(self, court: Court, quiet: Quiet | None = None) -> None:
        self._court = court
        self._quiet = quiet or Quiet()
        self._last_failure = ""
        self.refusal: RefusedError | None = None

    def confirm(self, candidates: Sequence[Candidate]) -> list[Ruling]:
        """One ruling for each candidate, in order."""
        gathered = _Round()
        for reference in sorted({one for candidate in candidates for one in candidate.lists}):
            concerned = [index for index, candidate in enumerate(candidates) if reference in candidate.lists]
            for part in wire.chunks(concerned):
                self._ask(reference, candidates, part, gathered)
        return [self._ruling(index, candidate, gathered) for index, candidate in enumerate(candidates)]

    def _ask(self, reference: ListRef, candidates: Sequence[Candidate], indices: Sequence[int], gathered: _Round) -> None:
        court = self._court
        if why := court.doubt():
            self._no_answer(why, indices, gathered)
            return
        try:
            if self.refusal or not self._quiet.asks(court.clock()):
                raise ServiceUnavailable(self._last_failure)
            question = wire.question(reference, [candidates[index] for index in indices])
            envelope = court.service.confirm(question)
            verdict = open_verdict(court.keys, envelope, Asked(question, court.provider, court.clock()))
        except ServiceUnavailable as error:
            if self._quiet.asks(court.clock()):
                self._quiet.failed(court.clock(), error.retry_after)
            self._no_answer(str(error), indices, gathered)
        except RefusedError as error:
            self.refusal = error
            self._no_answer(str(error), indices, gathered)
        else:
            self._quiet.succeeded()
            for place, index in enumerate(indices):
                answer = court.answer(verdict, place)
                gathered.answers.setdefault(index, []).append(answer)

    def _no_answer(self, why: str, indices: Sequence[int], gathered: _Round) -> None:
        self._last_failure = why or "no answer"  # an empty reason would read as an answer: cleared
        gathered.missing.update(dict.fromkeys(indices, self._last_failure))

    def _ruling(self, index: int, candidate: Candidate, gathered: _Round) -> Ruling:
        answers = gathered.answers.get(index, [])
        finding = judge(candidate, answers)
        missing = gathered.missing.get(index, "")
        if not settles(finding, missing):
            return Ruling(candidate, pending=missing)
        ttl = min((answer.verdict.ttl for answer in answers), default=0.0)
        return Ruling(candidate, finding=finding, ttl=ttl)


class LocalConfirmer:
    """A `ports.Confirmer` by a plain list on this host: no service, no doubt, no removal."""

    refusal: RefusedError | None = None

    def __init__(self, known: ExactSieve) -> None:
        self._known = known

    def confirm(self, candidates: Sequence[Candidate]) -> list[Ruling]:
        """A finding for each candidate."""
        return [Ruling(candidate, finding=judge_local(candidate, self._known)) for candidate in candidates]


def confirm_waiting(tools: ActTools, sieve: Sieve, tally: Tally, deferred: Deferred | None = None) -> None:
    """Ask again about everything that waits, old and new, and act on the answers.

    ``deferred`` are the candidates that this run has met and counted already. A candidate that the lists in force no longer
    contain is cleared.
    """
    counted = deferred or Deferred()
    for batch in _batches(waiting.candidate for waiting in tools.memory.waiting()):
        tally.candidates += sum(candidate not in counted for candidate in batch)
        # One by one: two candidates may be of one place, before and after somebody wrote to it.
        current = [sieve.candidates([one.hashed]) for one in batch]
        gone = [one for one, still in zip(batch, current, strict=True) if not still]
        tally.cleared += len(gone)
        tools.memory.settle(gone)
        asked = [candidate for still in current for candidate in still]
        report_pending(tools, conclude(tools, asked, tally), tally)


def _batches(candidates: Iterable[Candidate]) -> Iterator[list[Candidate]]:
    batch: list[Candidate] = []
    for candidate in candidates:
        batch.append(candidate)
        if len(batch) == wire.MAX_ITEMS:
            yield batch
            batch = []
    if batch:
        yield batch
