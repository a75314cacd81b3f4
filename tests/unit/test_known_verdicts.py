"""Verdicts and receipts: an answer to this very question, fresh, complete; else the candidates stay pending."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from blake3 import blake3

from hashscan.errors import FilterError, ServiceUnavailable
from hashscan.known import envelopes
from hashscan.known.verdicts import MAX_AGE, MAX_AHEAD, MAX_TTL, Asked, open_receipts, open_verdict, read_again
from hashscan.model import Act, Algorithm, Receipt, Standing, Tagged, Verdict, VerdictKey
from hashscan.ports import Question
from tests.support.hotline import LIST, NOW, PROVIDER, Hotline, Known

HOTLINE = Hotline(lists={LIST: [Known(b"harmless")]})
PREFIXES = {Algorithm.MD5: "5ed28a4d", Algorithm.SHA1: "00000000"}
QUESTION = Question(LIST, "n" * 43, (({Algorithm.MD5: "00000000"}, 5), (PREFIXES, 8)))
ASKED = Asked(QUESTION, PROVIDER, NOW)
TAG = "ab" * 32
ENTRY: dict[str, Any] = {
    "entry": "e_1", "tags": {"md5": TAG, "sha1": TAG}, "size": 8, "standing": "active", "category": "A", "sources": 2,
    "act": "quarantine",
}  # fmt: skip
ITEMS: list[dict[str, Any]] = [{"i": 0, "entries": []}, {"i": 1, "entries": [ENTRY]}]


def opened(document: dict[str, Any] | bytes, kind: str = envelopes.VERDICT, hotline: Hotline = HOTLINE) -> Verdict:
    return open_verdict(HOTLINE.verdict_keys, hotline.seal(document, kind), ASKED)


def good(**changes: Any) -> dict[str, Any]:
    return HOTLINE.verdict(QUESTION, **{"items": ITEMS, **changes})


def refused(document: dict[str, Any] | bytes, kind: str = envelopes.VERDICT, hotline: Hotline = HOTLINE) -> str:
    with pytest.raises(ServiceUnavailable) as caught:
        opened(document, kind, hotline)
    assert TAG not in str(caught.value)
    return str(caught.value)


def with_entry(**changes: Any) -> dict[str, Any]:
    entry = {key: value for key, value in {**ENTRY, **changes}.items() if value != "gone"}
    return good(items=[ITEMS[0], {"i": 1, "entries": [entry]}])


def test_control_what_was_signed_is_what_is_read() -> None:
    envelope = HOTLINE.seal(good(), envelopes.VERDICT)
    verdict = open_verdict(HOTLINE.verdict_keys, envelope, ASKED)
    tags = {Algorithm.MD5: TAG, Algorithm.SHA1: TAG}
    tagged = Tagged("e_1", tags, 8, Standing.ACTIVE, "A", 2, Act.QUARANTINE)
    assert verdict == Verdict(blake3(envelope).hexdigest(), PROVIDER, LIST, NOW, 3600.0, ((), (tagged,)), envelope)


LIST_FIELDS = {"id": LIST.id, "version": LIST.version, "epoch": LIST.epoch}
WRONG: dict[str, list[Any]] = {
    "nonce": [None, "", "m" * 43, "n" * 42, 3, "n" * 300],
    "provider": [None, "", "acme2", 3],
    "list": [None, "police", *({**LIST_FIELDS, **one} for one in ({"id": "b"}, {"version": 6}, {"version": 8}, {"epoch": 2}))],
    "issued": [None, NOW - MAX_AGE - 1, NOW + MAX_AHEAD + 1, 0, -1, "x", True, 1e300],
    "ttl": [None, -1, MAX_TTL + 1, "x", True],
    "items": [
        None, [], {}, ITEMS[:1], ITEMS[1:], ITEMS[::-1], [ITEMS[0], ITEMS[0]], [*ITEMS, {"i": 2, "entries": []}],
        [ITEMS[0], {"i": 1}], [ITEMS[0], {"entries": []}], [ITEMS[0], {"i": True, "entries": []}], [ITEMS[0], 1],
        [ITEMS[0], {"i": 1.0, "entries": []}], [ITEMS[0], {"i": 1, "entries": {}}], [ITEMS[0], {"i": 1, "entries": [1]}],
        [ITEMS[0], {"i": 1, "entries": [ENTRY] * 65}],
    ],
}  # fmt: skip


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values], ids=str)
def test_a_wrong_verdict_is_refused(field: str, value: Any) -> None:
    refused({**good(), field: value})
    refused({name: one for name, one in good().items() if name != field})


@pytest.mark.parametrize("issued", [NOW - MAX_AGE, NOW, NOW + MAX_AHEAD])
def test_the_bounds_of_age(issued: float) -> None:
    assert opened(good(issued=issued)).issued == issued


WRONG_ENTRY: dict[str, list[Any]] = {
    "entry": ["gone", None, "", "x" * 81, 3, "a\nb", "\ud800", "a\x7fb", "a\x85b"],
    "tags": ["gone", None, [], "x", {"md5": "00"}, {"md5": TAG.upper()}, {"md5": 3}, {"sha1": TAG, "md5": None}],
    "size": [-1, "8", 8.5, True, 2**63],
    "standing": ["gone", None, "", "ACTIVE", "unknown", 3, "active\n"],
    "category": ["gone", None, "x" * 81, 3, "a\x1bb", "\udfff"],
    "sources": ["gone", None, -1, "2", 1.5],
    "act": ["gone", None, "", "delete", "QUARANTINE", True],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG_ENTRY.items() for value in values], ids=ascii
)
def test_a_wrong_entry_spoils_the_verdict(field: str, value: Any) -> None:
    refused(with_entry(**{field: value}))


def test_what_may_be_missing_or_new() -> None:
    assert opened(with_entry(size=None)).answers[1][0].size is None
    assert opened(with_entry(size="gone")).answers[1][0].size is None
    assert opened(with_entry(category="")).answers[1][0].category == ""
    assert opened({**good(), "later": 1}).answers[1][0].entry == "e_1"
    assert opened(with_entry(tags={"sha3": "short", "md5": TAG})).answers[1][0].tags == {Algorithm.MD5: TAG}
    assert opened(with_entry(tags={})).answers[1][0].tags == {}


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"[]", b"true", b"true\n", b"<html>", b"\xff", b'{"nonce": NaN}', b'{"ttl": 1e999}', b"[" * 100_000,
     b'{"a":' * 100_000, json.dumps(good()).encode()[:-1], json.dumps(good()).encode().replace(b'"ttl"', b'"nonce"'),
     json.dumps(good()).replace('"i": 1', '"i": 1, "i": 1').encode()],
    ids=lambda payload: repr(payload[:12]),
)  # fmt: skip
def test_a_payload_that_is_not_ours(payload: bytes) -> None:
    refused(payload)


@pytest.mark.parametrize("data", [b"", b"true", b"<html>", b'{"a": 1}', b"{" * 10_000_000, b" " * 10_000_000])
def test_an_envelope_that_is_none_is_refused_quickly(data: bytes) -> None:
    started = time.monotonic()
    with pytest.raises(ServiceUnavailable):
        open_verdict(HOTLINE.verdict_keys, data, ASKED)
    assert time.monotonic() - started < 1


def test_another_key_another_kind() -> None:
    assert "trusted" in refused(good(), hotline=Hotline())
    assert "trusted" in refused(good(), envelopes.PROVIDER_KEYS)
    assert "trusted" in refused(good(), envelopes.RECEIPTS)


def test_a_replayed_verdict_answers_another_question() -> None:
    envelope = HOTLINE.seal(good(), envelopes.VERDICT)
    again = Asked(Question(LIST, "m" * 43, QUESTION.items), PROVIDER, NOW)
    with pytest.raises(ServiceUnavailable, match="nonce"):
        open_verdict(HOTLINE.verdict_keys, envelope, again)


# The time of a key.

OLD, NEW = envelopes.SigningKey.generate(), envelopes.SigningKey.generate()
UNTIL, SINCE = NOW - 100.0, NOW - 200.0
"""The old key is used until the former, the new one from the latter on: for a hundred seconds both sign."""

OFFERED = (VerdictKey(OLD.public_hex(), 0.0, UNTIL), VerdictKey(NEW.public_hex(), SINCE))


def sealed_by(signing: list[envelopes.SigningKey], issued: float, kind: str = envelopes.VERDICT) -> bytes:
    document = good(issued=issued) if kind == envelopes.VERDICT else {"provider": PROVIDER, "issued": issued, "receipts": []}
    return envelopes.seal(json.dumps(document).encode(), kind, signing)


def why_not(envelope: bytes, kind: str, keys: tuple[VerdictKey, ...] = OFFERED) -> str:
    try:
        open_verdict(keys, envelope, ASKED) if kind == envelopes.VERDICT else open_receipts(keys, envelope, PROVIDER)
    except ServiceUnavailable as error:
        return str(error)
    return ""


@pytest.mark.parametrize("kind", [envelopes.VERDICT, envelopes.RECEIPTS])
@pytest.mark.parametrize(
    ("signing", "issued", "refused_for"),
    [
        ([OLD], UNTIL, ""), ([OLD], UNTIL + 1, "time of its key"), ([OLD], NOW, "time of its key"), ([NEW], SINCE, ""),
        ([NEW], SINCE - 1, "time of its key"), ([NEW], NOW, ""), ([OLD, NEW], SINCE - 1, ""), ([OLD, NEW], SINCE, ""),
        ([OLD, NEW], NOW, ""), ([HOTLINE.signing], NOW, "signature"), ([], NOW, "signature"),
    ],
)  # fmt: skip
def test_a_signature_counts_in_the_time_of_its_key(
    kind: str, signing: list[envelopes.SigningKey], issued: float, refused_for: str
) -> None:
    why = why_not(sealed_by(signing, issued, kind), kind)
    assert refused_for in why
    assert bool(why) == bool(refused_for)


def test_an_agent_that_knows_only_one_key_of_a_rotation() -> None:
    both, kind = sealed_by([OLD, NEW], SINCE + 1), envelopes.VERDICT
    assert [why_not(both, kind, (one,)) for one in OFFERED] == ["", ""]
    assert "time" in why_not(sealed_by([OLD, NEW], NOW), kind, OFFERED[:1]), "the key that it knows was out of use"
    assert "signature" in why_not(both, kind, ())


def test_what_was_said_is_read_again_at_any_age_and_permits_nothing() -> None:
    envelope = HOTLINE.seal(good(issued=5.0, nonce="x"), envelopes.VERDICT)
    said = read_again(envelopes.open_envelope(envelope, envelopes.VERDICT, HOTLINE.verdict_keys))
    assert (said.provider, said.list, said.issued, [one.entry for one in said.entries]) == (PROVIDER, LIST, 5.0, ["e_1"])
    assert not hasattr(said, "answers"), "nothing that `judge` could take"
    for wrong in (good(items=[{"i": 0, "entries": [{**ENTRY, "act": "delete"}]}]), good(issued="x"), good(list=None)):
        opened_again = envelopes.open_envelope(HOTLINE.seal(wrong, envelopes.VERDICT), envelopes.VERDICT, HOTLINE.verdict_keys)
        with pytest.raises(FilterError):
            read_again(opened_again)


# Receipts.


def receipts(document: dict[str, Any], provider: str = PROVIDER) -> list[Receipt]:
    return open_receipts(HOTLINE.verdict_keys, HOTLINE.seal(document, envelopes.RECEIPTS), provider)


def test_receipts_are_read() -> None:
    document = {"provider": PROVIDER, "issued": NOW, "receipts": [{"id": "o_1", "received": NOW}]}
    (receipt,) = receipts(document)
    assert (receipt.outcome_id, receipt.received) == ("o_1", NOW)
    assert receipts({**document, "receipts": []}) == []


@pytest.mark.parametrize(
    "changes",
    [{"provider": "b"}, {"provider": None}, {"issued": None}, {"issued": "x"},
     {"receipts": None}, {"receipts": [1]}, {"receipts": [{"id": "o"}]},
     {"receipts": [{"id": "o", "received": "x"}]}, {"receipts": [{"id": "o", "received": 1}] * 101},
     {"receipts": [{"id": "x" * 81, "received": 1}]}],
    ids=lambda changes: repr(changes)[:60],
)  # fmt: skip
def test_wrong_receipts(changes: dict[str, Any]) -> None:
    with pytest.raises(ServiceUnavailable):
        receipts({"provider": PROVIDER, "issued": NOW, "receipts": [], **changes})


def test_receipts_of_another_kind_or_key() -> None:
    document = {"provider": PROVIDER, "issued": NOW, "receipts": []}
    for envelope in (HOTLINE.seal(document, envelopes.VERDICT), Hotline().seal(document, envelopes.RECEIPTS), b"", b"<html>"):
        with pytest.raises(ServiceUnavailable):
            open_receipts(HOTLINE.verdict_keys, envelope, PROVIDER)
