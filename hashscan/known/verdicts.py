"""From a signed payload to a `Verdict`: every field checked, nothing believed about a question that was not asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from blake3 import blake3

from hashscan.errors import FilterError, ServiceUnavailable
from hashscan.known import envelopes
from hashscan.known.container import list_ref
from hashscan.model import Act, Algorithm, ListRef, Receipt, Standing, Tagged, Verdict, VerdictKey
from hashscan.ports import LogHead, Question
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MAX_AGE = 15 * 60.0  # seconds
MAX_AHEAD = 5 * 60.0  # seconds that the service's clock may be ahead of ours
MAX_TTL = 7 * 86_400.0  # seconds
MAX_ENTRIES = 64  # entries that may share a four-byte prefix with one candidate
MAX_RECEIPTS = 100
MAX_ITEMS = 100  # candidates of one question


@dataclass(frozen=True, slots=True)
class Asked:
    """What a verdict must be the answer to, and when (seconds since 1970)."""

    question: Question
    provider: str
    now: float


@dataclass(frozen=True, slots=True)
class Said:
    """What a verdict said when it was given, read again from its envelope: no `Verdict`, so it permits nothing today.

    ``entries`` are those of all items of its question; ``issued`` in seconds since 1970.
    """

    provider: str
    list: ListRef
    issued: float
    entries: tuple[Tagged, ...]


def open_verdict(keys: Sequence[VerdictKey], envelope: bytes, asked: Asked) -> Verdict:
    """Check signature and content; ``keys`` are those of the lists in force.

    Raises `ServiceUnavailable`: whatever does not hold, the candidates stay pending.
    """
    try:
        opened = envelopes.open_envelope(envelope, envelopes.VERDICT, keys)
        return _read_verdict(opened, envelope, asked)
    except FilterError as error:
        raise ServiceUnavailable(f"the verdict is not to be trusted: {error}", hint=error.hint) from None
    except StrictJsonError as error:
        raise ServiceUnavailable(f"the verdict cannot be used: {error}") from None


def open_handed(keys: Sequence[VerdictKey], envelope: bytes, provider: str, now: float) -> Verdict:
    """A verdict that another part of this host has asked for, checked again from its signature on; ``now`` as in `Asked`.

    Only the nonce is taken as it is: the part that asked has compared it, and age bounds what a replay could do. All items are
    answers to one question, of which only its asker knows who they were about. Raises `ServiceUnavailable`.
    """
    try:
        opened = envelopes.open_envelope(envelope, envelopes.VERDICT, keys)
        fields = _payload(opened.payload)
        nothing: tuple[Mapping[Algorithm, str], int] = ({}, 0)
        items = (nothing,) * len(fields.objects("items", at_most=MAX_ITEMS))
        question = Question(list_ref(fields.object("list"), "id"), fields.text("nonce"), items)
        return _read_verdict(opened, envelope, Asked(question, provider, now))
    except FilterError as error:
        raise ServiceUnavailable(f"the verdict is not to be trusted: {error}", hint=error.hint) from None
    except StrictJsonError as error:
        raise ServiceUnavailable(f"the verdict cannot be used: {error}") from None


def _read_verdict(opened: envelopes.Opened, envelope: bytes, asked: Asked) -> Verdict:
    """The rules of docs/wire.md, "Confirm", on a payload whose signature holds. Raises `StrictJsonError`."""
    fields = _payload(opened.payload)
    question = asked.question
    if fields.text("nonce") != question.nonce:
        raise StrictJsonError("it answers another question (nonce)")
    if fields.text("provider") != asked.provider:
        raise StrictJsonError("it is for another provider")
    if list_ref(fields.object("list"), "id") != question.list:
        raise StrictJsonError("it is about another list, version or epoch")
    issued = fields.number("issued")
    if not asked.now - MAX_AGE <= issued <= asked.now + MAX_AHEAD:
        raise StrictJsonError(f"it was issued {asked.now - issued:.0f} seconds ago; is a clock wrong?")
    opened.check_issued(issued)
    items = fields.objects("items", at_most=len(question.items))
    if [item.integer("i") for item in items] != list(range(len(question.items))):
        raise StrictJsonError("it does not answer every item once")
    return Verdict(
        id=verdict_id(envelope),
        provider=asked.provider,
        list=question.list,
        issued=issued,
        ttl=fields.number("ttl", high=MAX_TTL),
        answers=tuple(map(_entries, items)),
        envelope=envelope,
    )


def verdict_id(envelope: bytes) -> str:
    """What a verdict is called: the BLAKE3 of its envelope, in hex."""
    return blake3(envelope).hexdigest()


def read_again(opened: envelopes.Opened) -> Said:
    """What a verdict of any age says, its signature checked by the caller. Raises `FilterError`.

    Whether a signer was in use when it was issued is for `envelopes.Opened.check_issued`.
    """
    try:
        fields = _payload(opened.payload)
        return Said(
            provider=fields.text("provider"),
            list=list_ref(fields.object("list"), "id"),
            issued=fields.number("issued"),
            entries=tuple(one for item in fields.objects("items", at_most=MAX_ITEMS) for one in _entries(item)),
        )
    except StrictJsonError as error:
        raise FilterError(f"the verdict cannot be read: {error}") from None


def _payload(data: bytes) -> Fields:
    return Fields(parse_object(data, max_bytes=envelopes.MAX_ENVELOPE_BYTES), "verdict")


def _entries(item: Fields) -> tuple[Tagged, ...]:
    return tuple(map(_tagged, item.objects("entries", at_most=MAX_ENTRIES)))


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


def open_receipts(keys: Sequence[VerdictKey], envelope: bytes, provider: str, head: LogHead | None = None) -> list[Receipt]:
    """The receipts in a signed acknowledgement; ``keys`` are those of the lists in force.

    ``head`` is the head of the log that was told with the outcomes: the receipts must repeat it. Raises `ServiceUnavailable`.
    """
    try:
        opened = envelopes.open_envelope(envelope, envelopes.RECEIPTS, keys)
        fields = Fields(parse_object(opened.payload, max_bytes=envelopes.MAX_ENVELOPE_BYTES), "receipts")
        if fields.text("provider") != provider:
            raise StrictJsonError("they are for another provider")
        opened.check_issued(fields.number("issued"))
        if head is not None:
            log = fields.object("log")
            if (log.integer("lines"), log.hex("hash", digits=64)) != (head.lines, head.hash):
                raise StrictJsonError("they repeat another head of the log")
        return [
            Receipt(one.text("id", max_chars=80), one.number("received"), envelope)
            for one in fields.objects("receipts", at_most=MAX_RECEIPTS)
        ]
    except FilterError as error:
        raise ServiceUnavailable(f"the receipts are not to be trusted: {error}", hint=error.hint) from None
    except StrictJsonError as error:
        raise ServiceUnavailable(f"the receipts cannot be used: {error}") from None
