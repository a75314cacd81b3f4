"""How the parts of a split host confirm: READ asks nobody, NET asks the service, ACT believes what is signed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hashscan.errors import RefusedError, ServiceUnavailable
from hashscan.jobs.confirm import Court
from hashscan.known.judge import judge
from hashscan.known.verdicts import open_handed
from hashscan.model import Candidate, Outcome
from hashscan.ports import Backlog, LogHead, Question, Ruling

HANDED_ON = "handed over to the part that asks"
NO_NETWORK = "this part of the host asks nobody"


class HandingOn:
    """The `ports.Confirmer` of READ: whatever is remembered is in the hands of NET."""

    refusal: RefusedError | None = None

    def confirm(self, candidates: Sequence[Candidate]) -> list[Ruling]:
        """All pending."""
        return [Ruling(candidate, pending=HANDED_ON) for candidate in candidates]


class Mute:
    """A `ports.Service` that cannot be asked."""

    def confirm(self, question: Question) -> bytes:  # noqa: ARG002 - the port
        """Raises `ServiceUnavailable`."""
        raise ServiceUnavailable(NO_NETWORK)

    def report_outcomes(
        self,
        outcomes: Sequence[Outcome],  # noqa: ARG002
        head: LogHead | None = None,  # noqa: ARG002
        backlog: Backlog | None = None,  # noqa: ARG002
    ) -> bytes:
        """Raises `ServiceUnavailable`."""
        raise ServiceUnavailable(NO_NETWORK)


class SignedConfirmer:
    """The `ports.Confirmer` of ACT: judges by verdicts that NET handed over, checked again; nothing else is believed of NET.

    ``envelope`` gives the signed verdict of a candidate. One that is too old, or not to be trusted, settles nothing: pending.
    """

    refusal: RefusedError | None = None

    def __init__(self, court: Court, envelope: Callable[[Candidate], bytes]) -> None:
        self._court, self._envelope = court, envelope

    def confirm(self, candidates: Sequence[Candidate]) -> list[Ruling]:
        """One ruling for each candidate, in order."""
        return [self._ruling(candidate) for candidate in candidates]

    def _ruling(self, candidate: Candidate) -> Ruling:
        court = self._court
        try:
            if why := court.doubt():
                raise ServiceUnavailable(why)
            verdict = open_handed(court.keys, self._envelope(candidate), court.provider, court.clock())
        except ServiceUnavailable as error:
            return Ruling(candidate, pending=str(error))
        answers = [court.answer(verdict, index) for index in range(len(verdict.answers))]
        finding = judge(candidate, answers)
        if finding is None:
            return Ruling(candidate, pending="the verdict that was handed over is about another file")
        return Ruling(candidate, finding=finding)
