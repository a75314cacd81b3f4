"""How the service says a dispute stands: a signed answer, checked as verdicts are (docs/wire.md, "Disputes")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hashscan.errors import FilterError, ServiceUnavailable
from hashscan.known import envelopes
from hashscan.model import Dispute, VerdictKey
from hashscan.strict_json import Fields, StrictJsonError, parse_object


@dataclass(frozen=True, slots=True)
class Stand:
    """``state`` is open, confirmed (the entry stays) or withdrawn; ``paused``: answers to this provider say disputed meanwhile.

    ``id`` is the dispute at the service; times in seconds since 1970, ``decided`` None while it is open.
    """

    id: str
    state: str
    paused: bool
    opened: float
    decided: float | None


STATES = ("open", "confirmed", "withdrawn")


def open_stand(keys: Sequence[VerdictKey], envelope: bytes, provider: str, dispute: Dispute) -> Stand:
    """The answer in a signed envelope; ``keys`` are those of the lists in force. Raises `ServiceUnavailable`."""
    try:
        opened = envelopes.open_envelope(envelope, envelopes.DISPUTE, keys)
        fields = Fields(parse_object(opened.payload, max_bytes=envelopes.MAX_ENVELOPE_BYTES), "the answer")
        opened.check_issued(fields.number("issued"))
        said = (fields.text("provider"), fields.text("id"), fields.text("list"), fields.text("entry"))
        if said != (provider, dispute.key, dispute.list_id, dispute.entry):
            raise StrictJsonError("it is about another dispute")
        state = fields.text("state", max_chars=16)
        if state not in STATES:
            raise StrictJsonError("its 'state' is none of " + ", ".join(STATES))
        return Stand(
            fields.text("dispute", max_chars=80),
            state,
            fields.flag("paused"),
            fields.number("opened"),
            None if fields.is_null("decided") else fields.number("decided"),
        )
    except FilterError as error:
        raise ServiceUnavailable(f"the answer is not to be trusted: {error}", hint=error.hint) from None
    except StrictJsonError as error:
        raise ServiceUnavailable(f"the answer cannot be used: {error}") from None
