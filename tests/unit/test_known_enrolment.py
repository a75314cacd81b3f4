"""The words of an enrolment: only who knows the secret of the code can write them, or read them."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashscan.errors import FilterError, UsageError
from hashscan.known import enrolment
from hashscan.known.codes import Code
from hashscan.known.enrolment import Application, Handover, check_label, new_api_key, open_handover, seal_handover
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.strict_json import Fields, StrictJsonError
from tests.support.budget import attempts

ROOT = b'{"signatures": [], "signed": {}}' * 40
CODE = Code.generate(ROOT)
NONCE = "n" * 43
API_KEY = new_api_key()
RING = KeyRing({1: ProviderKey(bytes(range(32))), 4: ProviderKey(bytes(range(1, 33)))})
HANDOVER = Handover("acme", RING, ROOT)


def application(code: Code = CODE, nonce: str = NONCE, api_key: str = API_KEY, label: str = "web1") -> Application:
    return Application.make(code, api_key, label, nonce)


def test_the_application_says_nothing_secret() -> None:
    body = application().encode()
    assert Application.parse(body) == application()
    for secret in (
        CODE.secret.hex(),
        base64.b64encode(CODE.secret).decode(),
        API_KEY,
        API_KEY.removeprefix("hsk_"),
        CODE.text(),
    ):
        assert secret.encode() not in body


def test_the_handover_says_nothing_secret_and_is_read_by_who_has_the_code() -> None:
    sealed = seal_handover(HANDOVER, application(), CODE.secret)
    assert open_handover(sealed, application(), CODE) == HANDOVER
    wrapped = base64.b64decode(json.loads(sealed)["keys"])
    for key in RING.keys.values():
        assert key.raw not in wrapped
        assert key.hex().encode() not in wrapped
        assert key.hex().encode() not in sealed


def test_the_proof_holds_for_the_secret_only() -> None:
    assert application().is_proven(CODE.secret)
    assert not application().is_proven(bytes(16))


@pytest.mark.parametrize(
    "change",
    [
        {"code_id": "0" * 16},
        {"nonce": "m" * 43},
        {"api_key_sha256": "0" * 64},
        {"label": "web2"},
        {"proof": "0" * 64},
    ],
)
def test_the_proof_binds_everything(change: dict[str, str]) -> None:
    document = {**json.loads(application().encode()), **change}
    assert not Application.parse(json.dumps(document).encode()).is_proven(CODE.secret)


@pytest.mark.parametrize(
    "other",
    [
        application(nonce="m" * 43),
        application(api_key=new_api_key()),
        application(label="web2"),
        application(code=Code(bytes(8), CODE.secret, CODE.pin)),
    ],
)
def test_a_handover_answers_one_application(other: Application) -> None:
    with pytest.raises(FilterError, match="does not come from the service"):
        open_handover(seal_handover(HANDOVER, other, CODE.secret), application(), CODE)


def test_every_flipped_byte_of_the_reply_is_noticed() -> None:
    """A man in the middle can change nothing: all bytes, each in eight ways, and every truncation."""
    sealed = seal_handover(HANDOVER, application(), CODE.secret)
    tried = 0
    for at in range(len(sealed)):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128) if at % 7 == 0 or at < 120 else (1, 0x20):
            changed = bytearray(sealed)
            changed[at] ^= flip
            tried += 1
            with pytest.raises(FilterError):
                open_handover(bytes(changed), application(), CODE)
    for length in range(len(sealed)):
        tried += 1
        with pytest.raises(FilterError):
            open_handover(sealed[:length], application(), CODE)
    print(f"{tried} changed replies, all refused")


def test_a_swapped_root_is_refused_even_with_a_mac_that_holds() -> None:
    swapped = seal_handover(Handover("acme", RING, ROOT + b" "), application(), CODE.secret)
    with pytest.raises(FilterError, match="another root"):
        open_handover(swapped, application(), CODE)


@pytest.mark.parametrize("provider", ["../acme", "Acme", "a" * 64 + "b", ""])
def test_a_provider_name_that_is_none_is_refused(provider: str) -> None:
    with pytest.raises(FilterError):
        open_handover(seal_handover(Handover(provider, RING, ROOT), application(), CODE.secret), application(), CODE)


def test_a_nonce_that_is_used_again_makes_another_key_stream() -> None:
    """SIV: otherwise two replies to the same application would give away the difference of two keys."""
    other = Handover("acme", KeyRing({1: RING.keys[1], 4: ProviderKey.generate()}), ROOT)
    first, second = (
        base64.b64decode(json.loads(seal_handover(one, application(), CODE.secret))["keys"]) for one in (HANDOVER, other)
    )
    plain_first, plain_second = HANDOVER.ring.text().encode(), other.ring.text().encode()
    same = sum(a ^ b == c ^ d for a, b, c, d in zip(first, second, plain_first, plain_second, strict=True))
    assert same < len(first) // 4
    again = seal_handover(HANDOVER, application(), CODE.secret)
    assert again == seal_handover(HANDOVER, application(), CODE.secret)


def test_wrapped_rings_are_for_one_holder_provider_and_nonce() -> None:
    held = RING.keys[1].raw
    fields = Fields(dict(enrolment.wrap_ring(RING, held, "acme", NONCE)), "answer")
    assert enrolment.unwrap_ring(fields, held, "acme", NONCE) == RING
    for key, provider, nonce in ((bytes(32), "acme", NONCE), (held, "other", NONCE), (held, "acme", "m" * 43)):
        with pytest.raises(FilterError):
            enrolment.unwrap_ring(fields, key, provider, nonce)


@pytest.mark.parametrize("label", ["", "-web", "web 1", "wéb", "a" * 65, "web\n", "../x", "web/1"])
def test_labels_are_names_of_hosts(label: str) -> None:
    with pytest.raises(UsageError):
        check_label(label)
    document = {**json.loads(application().encode()), "label": label}
    with pytest.raises(StrictJsonError):
        Application.parse(json.dumps(document).encode())


@pytest.mark.parametrize(
    "change", [lambda d: d.pop("proof"), lambda d: d.update(nonce="n" * 42), lambda d: d.update(code_id="x")]
)
def test_an_application_is_read_strictly(change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(application().encode())
    change(document)
    with pytest.raises(StrictJsonError):
        Application.parse(json.dumps(document).encode())


def test_bodies_are_bounded() -> None:
    with pytest.raises(StrictJsonError, match="longer than 4096"):
        Application.parse(b" " * 5000 + application().encode())
    with pytest.raises(FilterError, match="longer than 262144"):
        open_handover(b" " * 300_000, application(), CODE)


@settings(max_examples=300)
@given(st.binary(max_size=400))
def test_whatever_comes_is_refused_in_our_words(data: bytes) -> None:
    with pytest.raises(FilterError):
        open_handover(data, application(), CODE)
    with pytest.raises(StrictJsonError):
        Application.parse(data)


def test_a_fuzzer_opens_nothing() -> None:
    """HASHSCAN_BUDGET=50 is a million changed replies and applications."""
    rng = random.Random(6)
    sealed, body = seal_handover(HANDOVER, application(), CODE.secret), application().encode()
    count, refused = attempts(10_000), 0
    for _ in range(count):
        for original in (sealed, body):
            data = bytearray(original)
            for _ in range(rng.randrange(1, 4)):
                at = rng.randrange(len(data))
                data[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
            if data == original:
                continue
            try:
                if original is sealed:
                    assert open_handover(bytes(data), application(), CODE) == HANDOVER
                else:
                    assert Application.parse(bytes(data)) == application() or not Application.parse(bytes(data)).is_proven(
                        CODE.secret
                    )
            except (FilterError, StrictJsonError):
                refused += 1
    print(f"{2 * count} attempts, {refused} refused before the proof")
