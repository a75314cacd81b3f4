"""Envelopes: one key, one type, strict JSON. Whatever else comes is a `FilterError`, never a traceback of the library."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashscan.errors import FilterError, UsageError
from hashscan.known import envelopes
from hashscan.model import VerdictKey
from hashscan.strict_json import StrictJsonError
from tests.support.budget import attempts
from tests.support.hotline import envelope_of

SIGNING = envelopes.SigningKey.generate()
KEY = VerdictKey(SIGNING.public_hex(), 0.0)
PAYLOAD = b'{"a": 1}'
GOOD = SIGNING.seal(PAYLOAD, envelopes.VERDICT)


def refused(data: bytes, payload_type: str = envelopes.VERDICT) -> str:
    with pytest.raises(FilterError) as caught:
        envelopes.open_envelope(data, payload_type, [KEY])
    return str(caught.value)


def test_control_a_good_one_opens() -> None:
    assert envelopes.open_envelope(GOOD, envelopes.VERDICT, [KEY]) == envelopes.Opened(PAYLOAD, (KEY,))


def test_a_vector_that_was_signed_elsewhere() -> None:
    """RFC 8032, test 1 (secret 9d61...): the signature of the DSSE encoding, made once."""
    public = VerdictKey("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", 0.0)
    assert envelopes.open_envelope(VECTOR, envelopes.RECEIPTS, [public]).payload == b"{}"


VECTOR = (
    b'{"payload":"e30=","payloadType":"application/vnd.hashscan.receipts+json","signatures":[{"keyid":"21fe31dfa154a261626bf854046fd227",'
    b'"sig":"QSaVzTu/Tj3fOzuRj+6q4vaa+951Sy49e+xHzb8dW2HAkJTsQBVNBtwbu9//HPuuELWLXBylCVDHcb6RsTnXAw=="}]}'
)


@pytest.mark.parametrize("kind", [envelopes.PROVIDER_KEYS, envelopes.RECEIPTS, "", envelopes.VERDICT + " "])
def test_one_kind_is_not_passed_off_as_another(kind: str) -> None:
    assert "not" in refused(GOOD, kind)
    document = {**json.loads(GOOD), "payloadType": kind}
    assert "signature" in refused(json.dumps(document).encode(), kind)


def test_another_key() -> None:
    assert "signature" in refused(envelopes.SigningKey.generate().seal(PAYLOAD, envelopes.VERDICT))


def test_no_signature_two_signatures_many_signatures() -> None:
    (good,) = json.loads(GOOD)["signatures"]
    other = {**json.loads(envelopes.SigningKey.generate().seal(PAYLOAD, envelopes.VERDICT))["signatures"][0], "keyid": "other"}
    assert "signature" in refused(envelope_of(PAYLOAD, envelopes.VERDICT, []))
    assert "signature" in refused(envelope_of(PAYLOAD, envelopes.VERDICT, [other]))
    both = envelope_of(PAYLOAD, envelopes.VERDICT, [other, good])
    assert envelopes.open_envelope(both, envelopes.VERDICT, [KEY]).payload == PAYLOAD, "a rotation has two"
    refused(envelope_of(PAYLOAD, envelopes.VERDICT, [good, good]))
    many = [{**other, "keyid": str(number)} for number in range(8)]
    assert "too many" in refused(envelope_of(PAYLOAD, envelopes.VERDICT, [good, *many]))


def test_every_key_whose_signature_holds_is_a_signer() -> None:
    """The first that holds may be out of use: then the word of the others counts."""
    others = [envelopes.SigningKey.generate() for _ in range(3)]
    keys = [VerdictKey(one.public_hex(), float(number)) for number, one in enumerate([SIGNING, *others])]
    sealed = envelopes.seal(PAYLOAD, envelopes.VERDICT, [others[1], SIGNING, others[0]])
    assert envelopes.open_envelope(sealed, envelopes.VERDICT, keys).signers == tuple(keys[:3])
    assert envelopes.open_envelope(sealed, envelopes.VERDICT, keys[2:]).signers == (keys[2],)
    for none in ([], keys[3:]):
        with pytest.raises(FilterError, match="signature"):
            envelopes.open_envelope(sealed, envelopes.VERDICT, none)


@pytest.mark.parametrize(
    ("times", "issued", "holds"),
    [([(5.0, 9.0)], 4.9, False), ([(5.0, 9.0)], 5.0, True), ([(5.0, 9.0)], 9.0, True), ([(5.0, 9.0)], 9.1, False),
     ([(5.0, None)], 1e12, True), ([(5.0, 9.0), (20.0, None)], 10.0, False), ([(5.0, 9.0), (8.0, None)], 10.0, True)],
)  # fmt: skip
def test_a_signer_counts_while_it_is_in_use(times: list[tuple[float, float | None]], issued: float, holds: bool) -> None:
    opened = envelopes.Opened(PAYLOAD, tuple(VerdictKey(KEY.public, since, until) for since, until in times))
    if holds:
        opened.check_issued(issued)
    else:
        with pytest.raises(StrictJsonError, match="time of its key"):
            opened.check_issued(issued)


def test_a_signature_over_something_else() -> None:
    (good,) = json.loads(GOOD)["signatures"]
    refused(envelope_of(PAYLOAD + b" ", envelopes.VERDICT, [good]))
    for sig in ("", "AAAA", base64.b64encode(bytes(64)).decode(), "!!", "\u00e9", good["sig"][:-4], good["sig"] * 2):
        refused(envelope_of(PAYLOAD, envelopes.VERDICT, [{**good, "sig": sig}]))


def test_every_flipped_bit_of_the_signature_and_the_payload() -> None:
    document = json.loads(GOOD)
    (good,) = document["signatures"]
    signature = base64.b64decode(good["sig"])
    for bit in range(0, 8 * len(signature), 5):
        flipped = bytearray(signature)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(envelope_of(PAYLOAD, envelopes.VERDICT, [{**good, "sig": base64.b64encode(flipped).decode()}]))
    for bit in range(8 * len(PAYLOAD)):
        flipped = bytearray(PAYLOAD)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(envelope_of(bytes(flipped), envelopes.VERDICT, [good]))


JUNK: list[Any] = [None, 0, 1.5, True, "", "x", "\ud800", [], [1], {}, {"a": 1}, ["x"], [[]], [None], "é", "A" * 5]


@pytest.mark.parametrize("field", ["payload", "payloadType", "signatures"])
@pytest.mark.parametrize("value", JUNK, ids=repr)
def test_junk_instead_of_a_field(field: str, value: Any) -> None:
    document = json.loads(GOOD)
    refused(json.dumps({**document, field: value}).encode())
    del document[field]
    refused(json.dumps(document).encode())


@pytest.mark.parametrize("field", ["keyid", "sig"])
@pytest.mark.parametrize("value", JUNK, ids=repr)
def test_junk_instead_of_a_field_of_the_signature(field: str, value: Any) -> None:
    (good,) = json.loads(GOOD)["signatures"]
    refused(envelope_of(PAYLOAD, envelopes.VERDICT, [{**good, field: value}]))
    del good[field]
    refused(envelope_of(PAYLOAD, envelopes.VERDICT, [good]))


@pytest.mark.parametrize(
    "data",
    [b"", b"x", b"[]", b"null", b"{}", b'{"payload": NaN}', b"[" * 100_000, b'{"a":' * 100_000, b"\xff", GOOD[:-1], GOOD * 2,
     b'{"payload": "", "payload": ""}', b'{"a": [[[[[[]]]]]]}', b"<html>", b" " * (4 * 2**20 + 1)],
    ids=lambda data: repr(data[:20]),
)  # fmt: skip
def test_what_is_no_envelope(data: bytes) -> None:
    refused(data)


KEYS = st.sampled_from(["payload", "payloadType", "signatures", "keyid", "sig"])
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@settings(max_examples=attempts(200), deadline=None)
@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5)))
def test_any_json_is_refused(value: Any) -> None:
    refused(json.dumps(value).encode())


@pytest.mark.parametrize("text", ["", "00", "g" * 64, "0" * 63, "0" * 65, "\u0661" * 64])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(UsageError):
        envelopes.public_key(text)


def test_a_pinned_key_that_is_no_point_verifies_nothing() -> None:
    """And the small-order points, for which signatures without a secret exist in careless libraries."""
    for point in ("00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "ff" * 32):
        for signature in (bytes(64), b"\1" + bytes(63), bytes.fromhex(point) + bytes(32)):
            for public in (KEY.public, *([point] if point in ("00" * 32, "ff" * 32) else [])):
                signed = {"keyid": envelopes.key_id(public), "sig": base64.b64encode(signature).decode()}
                forged = envelope_of(PAYLOAD, envelopes.VERDICT, [signed])
                with pytest.raises(FilterError):
                    envelopes.open_envelope(forged, envelopes.VERDICT, [VerdictKey(public, 0.0)])


def test_a_private_key_round_trips_and_is_not_shown() -> None:
    again = envelopes.SigningKey.from_pem(SIGNING.to_pem())
    assert again.public_hex() == SIGNING.public_hex()
    assert envelopes.open_envelope(again.seal(b"x", "t"), "t", [KEY]).payload == b"x"
    assert SIGNING.to_pem().splitlines()[1].decode() not in repr(SIGNING)
    for data in (b"", b"x", SIGNING.to_pem()[:40], SIGNING.to_pem().replace(b"PRIVATE", b"PUBLIC")):
        with pytest.raises(UsageError):
            envelopes.SigningKey.from_pem(data)
