"""From a signed payload to a `Verdict`: every field checked, nothing believed about a question that was not asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from blake3 import blake3

from hashscan.errors import FilterError, ServiceUnavailable
from hashscan.known import envelopes
from hashscan.known.container import list_ref
from hashscan.model import Act, Algorithm, Receipt, Standing, Tagged, Verdict
from hashscan.ports import Question, Trust
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MAX_AGE = 15 * 60.0  # seconds
MAX_AHEAD = 5 * 60.0  # seconds that the service's clock may be ahead of ours
MAX_TTL = 7 * 86_400.0  # seconds
MAX_ENTRIES = 64  # entries that may share a four-byte prefix with one candidate
MAX_RECEIPTS = 100


@dataclass(frozen=True, slots=True)
class Asked:
    """What a verdict must be the answer to, and when (seconds since 1970)."""

    question: Question
    provider: str
    now: float


def open_verdict(trust: Trust, envelope: bytes, asked: Asked) -> Verdict:
    """Check signature and content. Raises `ServiceUnavailable`: whatever does not hold, the candidates stay pending."""
    try:
        payload = trust.open_envelope(envelope, envelopes.VERDICT)
        return _read_verdict(payload, envelope, asked)
    except FilterError as error:
        raise ServiceUnavailable(f"the verdict is not to be trusted: {error}", hint=error.hint) from None
    except StrictJsonError as error:
        raise ServiceUnavailable(f"the verdict cannot be used: {error}") from None


def _read_verdict(payload: bytes, envelope: bytes, asked: Asked) -> Verdict:
    """The rules of docs/wire.md, "Confirm", on a payload whose signature holds. Raises `StrictJsonError`."""
    fields = Fields(parse_object(payload, max_bytes=envelopes.MAX_ENVELOPE_BYTES), "verdict")
    question = asked.question
    if fields.text("nonce") != question.nonce:
        raise StrictJsonError("it answers another question (nonce)")
    if fields.text("provider") != asked.provider:
        raise StrictJsonError("it is for another provider")
    list_fields = fields.object("list")
    if list_ref(list_fields, "id") != question.list:
        raise StrictJsonError("it is about another list, version or epoch")
    issued = fields.number("issued")
    if not asked.now - MAX_AGE <= issued <= asked.now + MAX_AHEAD:
        raise StrictJsonError(f"it was issued {asked.now - issued:.0f} seconds ago; is a clock wrong?")
    items = fields.objects("items", at_most=len(question.items))
    if [item.integer("i") for item in items] != list(range(len(question.items))):
        raise StrictJsonError("it does not answer every item once")
    return Verdict(
        id=blake3(envelope).hexdigest(),
        provider=asked.provider,
        list=question.list,
        issued=issued,
        ttl=fields.number("ttl", high=MAX_TTL),
        answers=tuple(tuple(map(_tagged, item.objects("entries", at_most=MAX_ENTRIES))) for item in items),
        envelope=envelope,
    )


def _tagged(fields: Fields) -> Tagged:
    try:
        standing, act = Standing(fields.text("standing")), Act(fields.text("act"))
    except ValueError as error:
        raise StrictJsonError(f"an entry has an unknown word: {error}") from None
    return Tagged(
        entry=fields.text("entry", max_chars=80),
        tags=_tags(fields.object("tags")),
        size=None if fields.is_null("size") else fields.integer("size"),
        standing=standing,
        category=fields.text("category", max_chars=80, min_chars=0),
        sources=fields.integer("sources"),
        act=act,
    )


def _tags(fields: Fields) -> Mapping[Algorithm, str]:
    # A tag of an algorithm that this version does not know is left out: it could not be compared anyway.
    return {Algorithm(name): fields.hex(name, digits=64) for name in fields.names() if name in set(Algorithm)}


def open_receipts(trust: Trust, envelope: bytes, provider: str) -> list[Receipt]:
    """The receipts in a signed acknowledgement. Raises `ServiceUnavailable`."""
    try:
        payload = trust.open_envelope(envelope, envelopes.RECEIPTS)
        fields = Fields(parse_object(payload, max_bytes=envelopes.MAX_ENVELOPE_BYTES), "receipts")
        if fields.text("provider") != provider:
            raise StrictJsonError("they are for another provider")
        return [
            Receipt(one.text("id", max_chars=80), one.number("received"), envelope)
            for one in fields.objects("receipts", at_most=MAX_RECEIPTS)
        ]
    except FilterError as error:
        raise ServiceUnavailable(f"the receipts are not to be trusted: {error}", hint=error.hint) from None
    except StrictJsonError as error:
        raise ServiceUnavailable(f"the receipts cannot be used: {error}") from None
