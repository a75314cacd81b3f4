"""What is fuzzed of `hashscan.known`: for each parser valid inputs, the errors it may raise, and what must hold of the rest.

All keys are fixed, so that an input that fails is the same in every process.
"""

from __future__ import annotations

import base64
import json
import math
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hashscan.errors import FilterError, ServiceUnavailable, UsageError
from hashscan.known import (
    bloom,
    codes,
    container,
    delta,
    enrolment,
    envelopes,
    metadata,
    notifications,
    proof,
    published,
    selftest,
    sizes,
)
from hashscan.known import chain as metadata_chain
from hashscan.known import withdrawn as withdrawals
from hashscan.known.container import BLOOM_HEADER, FilterHeader
from hashscan.known.disputes import STATES, Stand, open_stand
from hashscan.known.envelopes import SigningKey
from hashscan.known.keys import KeyRing, ProviderKey, token
from hashscan.known.notifications import Count, Notification
from hashscan.known.verdicts import Asked, open_receipts, open_verdict, read_again
from hashscan.model import Algorithm, Dispute, ListRef, Lists, Receipt, Tagged, Verdict, VerdictKey
from hashscan.ports import Question
from hashscan.strict_json import Fields, StrictJsonError, parse_object
from tests.support.agents import with_keys
from tests.support.fuzzing import Target
from tests.support.hotline import LIST, NOW, PROVIDER, Hotline, Known, build_filter
from tests.support.repository import Repository

KEY = bytes(range(32))
RING = KeyRing({1: ProviderKey(KEY), 3: ProviderKey(bytes(range(1, 33)))})
FILTER_KEY = RING.filter_key(LIST.id, LIST.epoch)
_PREFIX = struct.Struct("<8sHI")


def signing_key(number: int) -> SigningKey:
    return SigningKey._of(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


def problem(*claims: tuple[bool, str]) -> str:
    """The first claim that does not hold."""
    return next((said for holds, said in claims if not holds), "")


def same(value: Any, again: Any, what: str = "it is not what was written again") -> str:
    return "" if value == again else what


# Filters.


def filter_file(contents: int = 6, version: int = 7, with_sizes: Iterable[int] = (), **changes: Any) -> bytes:
    known = [b"harmless %d" % number for number in range(contents)] + [selftest.CONTENT]
    # The capacity is that of a published filter: room to grow, so that two versions have one shape.
    return build_filter(RING, ListRef("police", version, 1), known, capacity=200, sizes=with_sizes, **changes)


SIZES = (len(selftest.CONTENT), 100, 5000, 77_777)
PLAIN = filter_file()
SIZED = filter_file(with_sizes=SIZES)
NEXT = filter_file(9, 8, with_sizes=(*SIZES[1:], len(selftest.CONTENT), 123, 456))


def split_filter(data: bytes) -> tuple[FilterHeader, memoryview, memoryview]:
    return container.split(memoryview(data), "a filter")


def header_holds(data: bytes, value: tuple[FilterHeader, memoryview, memoryview]) -> str:
    header, body, section = value
    again = split_filter(header.encode() + bytes(body) + bytes(section))
    return problem(
        (again == value, "another header when written again"),
        ((len(body), len(section)) == (header.body_length, header.sizes_length), "parts of another length"),
        (container.MIN_ERROR_RATE <= header.error_rate <= container.MAX_ERROR_RATE, "error rate out of bounds"),
        (0 < len(header.algorithms) <= len(Algorithm), "algorithms"),
        (math.isfinite(header.created), "created"),
        (section.nbytes % 8 == 0, "half a size token"),
    )


def _parts(data: bytes) -> tuple[bytes, bytes]:
    """The JSON header of a filter file, and everything after it."""
    end = _PREFIX.size + _PREFIX.unpack_from(data)[2]
    return data[_PREFIX.size : end], data[end:]


def with_header(text: bytes) -> bytes:
    """A filter file with this header in a right frame; the body is the one that was there."""
    return _PREFIX.pack(container.MAGIC, container.FORMAT, len(text)) + text + _parts(SIZED)[1]


_HEADER = split_filter(PLAIN)[0]
_SHAPE = struct.Struct("<IIdQ")


def open_body(body: bytes) -> tuple[bloom.Bloom, FilterHeader]:
    """pybloom's header and bits under a header of ours that promises what is there: only the shape stands against them."""
    count = int.from_bytes(body[32:40], "little")
    told = body[:8].ljust(8, b"\0")
    header = replace(_HEADER, body_length=len(body), tokens=count, error_rate=struct.unpack("<d", told)[0])
    # What `container.split` lets through.
    if len(body) <= BLOOM_HEADER.size or not 1 <= count <= 4 * container.MAX_ENTRIES + 16:
        raise StrictJsonError("the header would have been refused")
    if not container.MIN_ERROR_RATE <= header.error_rate <= container.MAX_ERROR_RATE:
        raise StrictJsonError("the header would have been refused")
    return bloom.Bloom(header, memoryview(body)), header


def body_holds(data: bytes, value: tuple[bloom.Bloom, FilterHeader]) -> str:
    opened, header = value
    rate, slices, bits, capacity, count = BLOOM_HEADER.unpack_from(data)
    probes = [blake3(b"absent %d" % number).hexdigest() for number in range(64)]
    return problem(
        (count <= capacity <= max(2 * count, 1024), "capacity out of bounds"),
        ((slices, bits) == container.dimensions(capacity, rate), "another shape than pybloom's"),
        (len(data) == 40 + (slices * bits + 7) // 8, "another length"),
        (len(opened) == count == header.tokens, "another count"),
        (sum(one in opened for one in probes) <= 3, "random tokens are in it"),
        (opened.screen(probes) is not None, "it cannot be asked"),
    )


def as_file(parse: Callable[[Path], Any]) -> Callable[[bytes], Any]:
    """For a parser that reads files: one that is only in memory, and new for each input, because filters are mapped."""

    def read(data: bytes) -> Any:
        fd = os.memfd_create("input")
        try:
            with open(fd, "wb", closefd=False) as stream:
                stream.write(data)
            return parse(Path(f"/proc/self/fd/{fd}"))
        finally:
            os.close(fd)

    return read


def open_filter(path: Path) -> bloom.Bloom:
    opened = bloom.open_filter(path, LIST, FILTER_KEY)
    bloom.check_order(opened, "filter")
    return opened


def checksummed(data: bytes) -> bytes:
    """The filter file with the checksums and lengths of what it holds, where it can be read at all."""
    try:
        text, rest = _parts(data)
        fields = json.loads(text)
        cut = fields["body_length"] if 40 < fields["body_length"] <= len(rest) else len(rest)
        body, section = rest[:cut], rest[cut:]
        fields.update(body_length=len(body), body_blake3=blake3(body).hexdigest())
        if "sizes_length" in fields:
            fields.update(sizes_length=len(section), sizes_blake3=blake3(section).hexdigest())
        text = json.dumps(fields).encode()
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, struct.error):
        return data
    return _PREFIX.pack(container.MAGIC, container.FORMAT, len(text)) + text + body + section


def opened_holds(data: bytes, opened: bloom.Bloom) -> str:
    return problem(
        (opened.header.list == LIST, "another list"),
        (all(one in opened for one in bloom.canaries(FILTER_KEY)), "a canary is missing"),
        (token(FILTER_KEY, Algorithm.SHA1, selftest.digest(Algorithm.SHA1, selftest.CONTENT)) in opened, "no self-test file"),
        (opened.sizes is None or len(selftest.CONTENT) in opened.sizes, "no size of the self-test file"),
    )


def read_sizes(data: bytes) -> sizes.SizeSet:
    found = sizes.SizeSet(memoryview(data), FILTER_KEY)
    found.check_order()
    return found


def sizes_hold(data: bytes, found: sizes.SizeSet) -> str:
    tokens = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    truth = [sizes.size_token(FILTER_KEY, size) in tokens for size in SIZES]
    return problem(
        (len(found) == len(tokens), "another number of sizes"),
        (tokens == sorted(set(tokens)), "not in order"),
        ([size in found for size in SIZES] == truth, "a size that is there is not found, or the other way round"),
    )


# Deltas.

DELTA = delta.make(SIZED, NEXT) or b""
PLAIN_DELTA = delta.make(PLAIN, filter_file(7, 8)) or b""  # its parts, spliced into the other
_DELTA_LENGTHS = struct.Struct("<8sIQQQ")


def framed(data: bytes) -> bytes:
    """A delta whose lengths add up: what is bent are its parts. The first byte says which part gets what was added."""
    if len(data) < _DELTA_LENGTHS.size:
        return data
    _, *lengths = _DELTA_LENGTHS.unpack_from(data)
    there, kept = len(data) - _DELTA_LENGTHS.size, []
    for length in lengths[:3]:
        kept.append(min(length, there))
        there -= kept[-1]
    kept[1 if there % 8 else 0] += there % 8
    return _DELTA_LENGTHS.pack(delta.MAGIC, *kept, there - there % 8) + data[_DELTA_LENGTHS.size :]


def delta_holds(old: bytes, data: bytes, made: bytes) -> str:
    return problem(
        (len(made) <= len(old) + len(data), "longer than filter and delta together"),
        ((old, data) != (SIZED, DELTA) or made == NEXT, "not the next version"),
    )


def applied_to_bent(data: bytes, made: bytes) -> str:
    as_it_was = split_filter(data)[1:] == split_filter(SIZED)[1:]
    return delta_holds(data, DELTA, made) or problem((not as_it_was or made == NEXT, "not the next version"))


def made_holds(data: bytes, made: bytes | None) -> str:
    if made is None:
        return ""
    section = list(split_filter(data)[2].cast("Q"))
    if section != sorted(set(section)):
        return ""  # `bloom.check_order` refuses it, before it is published and after it was fetched
    return problem(
        (2 * len(made) < len(data), "a delta that is not worth it"),
        (delta.apply(SIZED, made) == data, "it does not lead to the new filter"),
    )


# Withdrawn entries.


def withdrawn_file() -> bytes:
    hotline = Hotline(signing=signing_key(9))
    return hotline.withdrawn_file(LIST, [Known(b"x"), Known(b"y", algorithms=(Algorithm.MD5,))])


def withdrawn_holds(data: bytes, found: tuple[withdrawals.Withdrawal, ...]) -> str:
    again = withdrawals.encode(LIST, found)
    looked = withdrawals.Withdrawn({LIST: found}, RING)
    return problem(
        (withdrawals.decode(again, LIST) == found, "another list when written again"),
        (len(looked) == len(found), "an entry is there twice"),
        (all(math.isfinite(one.at) for one in found), "a time that is none"),
    )


# Envelopes.

SIGNING = signing_key(9)
VERDICT_KEYS = (VerdictKey(SIGNING.public_hex(), NOW - 1e6, NOW + 1e6), VerdictKey(signing_key(10).public_hex(), 0.0))
QUESTION = Question(LIST, "n" * 43, (({Algorithm.SHA1: "12345678"}, 100), ({Algorithm.MD5: "12345678"}, 200)))
ASKED = Asked(QUESTION, PROVIDER, NOW)


def verdict_payload() -> bytes:
    hotline = Hotline(signing=SIGNING, lists={LIST: [Known(b"x"), Known(b"y", size=1)]})
    document = hotline.verdict(QUESTION)
    tagged = [hotline._tagged(one, LIST) for one in hotline.lists[LIST]]
    document["items"] = [{"i": 0, "entries": tagged}, {"i": 1, "entries": []}]
    return json.dumps(document).encode()


RECEIPTS = json.dumps(
    {
        "provider": PROVIDER,
        "issued": NOW,
        "receipts": [{"id": "o-1", "received": NOW}, {"id": "o-2", "received": 0}],
        "log": {"lines": 3, "hash": "ab" * 32},
    }
).encode()


DISPUTE = Dispute("q_" + "1" * 20, LIST.id, "e_1", "our own logo")
STAND = json.dumps(
    {
        "provider": PROVIDER,
        "issued": NOW,
        "id": DISPUTE.key,
        "dispute": "d_1",
        "list": LIST.id,
        "entry": "e_1",
        "state": "withdrawn",
        "paused": False,
        "opened": NOW - 5,
        "decided": NOW,
    }
).encode()
NOTIFICATION = notifications.encode(
    Notification(
        "Hotline", 7, NOW, NOW - 9, "ab" * 32, (Count("s-1", 20, 10), Count("s-2", 10, 0)), (VerdictKey("cd" * 32, 1.0, 2.0),)
    )
)


def stand_holds(data: bytes, stand: Stand) -> str:
    return problem((stand.state in STATES, "a state"), (math.isfinite(stand.opened), "a time that is none"))


def notification_holds(data: bytes, read: tuple[Notification, ...]) -> str:
    (one,) = read
    return problem(
        (all(0 <= row.removed <= row.found for row in one.counts), "more removed than found"),
        (all(row.found >= 2 for row in one.counts), "a small count"),
    )


def sealed_as(payload_type: str, *keys: SigningKey) -> Callable[[bytes], bytes]:
    return lambda payload: envelopes.seal(payload, payload_type, keys or [SIGNING])


def open_any(data: bytes) -> envelopes.Opened:
    return envelopes.open_envelope(data, envelopes.VERDICT, VERDICT_KEYS)


def envelope_holds(data: bytes, opened: envelopes.Opened) -> str:
    return problem((opened.payload == verdict_payload(), "a payload that nobody signed"), (bool(opened.signers), "no signer"))


def verdict_holds(data: bytes, verdict: Verdict) -> str:
    said = parse_object(base64.b64decode(json.loads(data)["payload"]), max_bytes=1 << 22)
    tagged = [one for entries in verdict.answers for one in entries]
    return problem(
        ((verdict.provider, verdict.list, verdict.envelope) == (PROVIDER, LIST, data), "it answers another question"),
        (said["nonce"] == QUESTION.nonce, "another nonce"),
        (len(verdict.answers) == len(QUESTION.items), "another number of answers"),
        (NOW - 900 <= verdict.issued <= NOW + 300, "issued at another time"),
        (0 <= verdict.ttl <= 7 * 86_400, "time to live out of bounds"),
        (all(len(entries) <= 64 for entries in verdict.answers), "too many entries"),
        (all(map(_is_tagged, tagged)), "an entry out of bounds"),
        (read_again(open_any(data)).entries == tuple(tagged), "it says something else when it is read again"),
    )


def _is_tagged(one: Tagged) -> bool:
    hexes = all(len(tag) == 64 and not tag.strip("0123456789abcdef") for tag in one.tags.values())
    return hexes and 0 < len(one.entry) <= 80 and len(one.category) <= 80 and (one.size is None or 0 <= one.size < 1 << 63)


def receipts_hold(data: bytes, receipts: list[Receipt]) -> str:
    return problem(
        (len(receipts) <= 100, "too many"),
        (all(one.envelope == data and 0 < len(one.outcome_id) <= 80 for one in receipts), "a receipt out of bounds"),
        (all(0 <= one.received <= 2.5e11 for one in receipts), "a time that is none"),
    )


# The proof, and what the signed metadata says.


def _published() -> tuple[Hotline, bytes]:
    repository = Repository(
        NOW,
        PROVIDER,
        root_keys=[signing_key(1)],
        online={role: signing_key(number) for number, role in enumerate(metadata.ONLINE_ROLES, 2)},
    )
    repository.rotate_online()  # signed by the same root key; the new online keys are random, and signed over below
    repository.online = {role: signing_key(number) for number, role in enumerate(metadata.ONLINE_ROLES, 5)}
    del repository.roots[1]
    repository.add_root()
    hotline = with_keys(Hotline(signing=SIGNING, lists={LIST: [Known(b"x")]}, withdrawn={"police": [Known(b"z")]}), repository)
    about = {"list": "police", "version": 7, "epoch": 1}
    hotline.extra = {
        "police-6-7-1.delta": (b"d", {"kind": "delta", "from": 6, **about}),
        "hints.json": (b"{}", {"kind": "hints"}),
    }
    return hotline, hotline.publish()


HOTLINE, PROOF = _published()
CHAIN = metadata_chain.unpack(PROOF)
ROOT = HOTLINE.root


def proof_holds(data: bytes, chain: metadata_chain.Chain) -> str:
    return same(metadata_chain.unpack(metadata_chain.pack(chain)), chain)


def verify_with(name: str) -> Callable[[bytes], metadata_chain.Verified]:
    """Verify the chain with one of its files replaced."""
    return lambda data: proof.verify(replace(CHAIN, **{name: (ROOT, data) if name == "roots" else data}), ROOT)


def signed(data: bytes, role: str) -> bytes:
    """Signed with the key of the role again, where the library can read it: an online key in the wrong hands."""
    key = HOTLINE.repository.root_keys[0] if role == "root" else HOTLINE.repository.online[role]
    try:
        return metadata.sign(data, key)
    except UsageError:
        return data


def as_timestamp(data: bytes) -> bytes:
    return signed(data, "timestamp")


VERIFIED = proof.verify(CHAIN, ROOT)


def verified_holds(data: bytes, found: metadata_chain.Verified) -> str:
    # Who bends a file without its key may change white space and signatures that do not count, and nothing else.
    return same(found, VERIFIED, "something was believed that nobody signed")


def signed_timestamp_holds(data: bytes, found: metadata_chain.Verified) -> str:
    return problem(
        (found.targets == VERIFIED.targets, "other targets"),
        (found.sequence >= 1 and found.root == VERIFIED.root, "a version that is none"),
        (lists_or_refused(found), "neither lists nor a refusal"),
    )


def lists_or_refused(found: metadata_chain.Verified) -> bool:
    try:
        return isinstance(published.lists_of(found, b"", PROVIDER), Lists)
    except FilterError:
        return True


def lists_of(data: bytes) -> Lists:
    """``data`` takes the place of the signed part of targets.json. The gate of tuf has parsed it by then."""
    try:
        targets = parse_object(data, max_bytes=metadata_chain.MAX_TARGETS_BYTES, max_depth=metadata_chain.MAX_METADATA_DEPTH)
    except StrictJsonError as error:
        raise FilterError(str(error)) from None
    return published.lists_of(replace(VERIFIED, targets=targets), PROOF, PROVIDER)


def verdict_keys_of(data: bytes) -> Lists:
    return published.lists_of(replace(VERIFIED, verdict_keys=data), PROOF, PROVIDER)


def lists_hold(data: bytes, lists: Lists) -> str:
    names = [one.name for target in lists.targets for one in (target.filter, *(each.file for each in target.deltas))]
    return problem(
        (lists.provider == PROVIDER, "for another provider"),
        (not [name for name in names if "/" in name or name.startswith(".")], "a name that leads elsewhere"),
        (len(lists.targets) <= 32 and all(len(one.deltas) <= 16 for one in lists.targets), "too many lists or deltas"),
        (0 <= lists.wait <= 86_400 and 0 <= lists.jitter <= 86_400, "it keeps its agents away"),
        (all(one.list.id.strip("abcdefghijklmnopqrstuvwxyz0123456789-_.") == "" for one in lists.targets), "a list id"),
        (all(each.old < each.new <= one.list.version for one in lists.targets for each in one.deltas), "a delta backwards"),
        (0 < len(lists.verdict_keys) <= 8, "verdict keys"),
        (len({one.public for one in lists.verdict_keys}) == len(lists.verdict_keys), "a verdict key twice"),
        (all(one.until is None or one.since <= one.until for one in lists.verdict_keys), "a key that ends before it begins"),
    )


def root_holds(data: bytes, plan: metadata.RootPlan) -> str:
    return problem(
        (metadata.read_root(metadata.draft_root(plan)) == plan, "another plan when written again"),
        (1 <= plan.threshold <= len(set(plan.root_keys)), "a threshold that cannot be met"),
    )


# Enrolment.

CODE = codes.Code(bytes(range(8)), bytes(range(16)), codes.pin_of(ROOT))
APPLICATION = enrolment.Application.make(CODE, "hsk_" + "k" * 43, "web1", "n" * 43)
HANDOVER = enrolment.Handover(PROVIDER, RING, ROOT)
SEALED = enrolment.seal_handover(HANDOVER, APPLICATION, CODE.secret)


def typed(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")  # as the command line hands it over


def code_holds(data: bytes, code: codes.Code) -> str:
    return same(codes.read_code(code.text()), code)


def code_secret(data: bytes) -> bytes:
    """A piece from the middle of what was typed, where the secret is."""
    return data[30:42] if len(data) > 60 else b""


def open_handover(data: bytes) -> enrolment.Handover:
    return enrolment.open_handover(data, APPLICATION, CODE)


def handover_holds(data: bytes, found: enrolment.Handover) -> str:
    return same(found, HANDOVER, "something was believed that the service did not say")


def handed_over(ring: bytes) -> bytes:
    """What a service hands over that has the secret, and any bytes for keys."""
    bound = enrolment._bound(APPLICATION, PROVIDER, ROOT)
    wrapped, tag = enrolment._wrap(CODE.secret, enrolment._SEAL_CONTEXT, bound, ring)
    encoded = [base64.b64encode(one).decode() for one in (wrapped, ROOT)]
    return json.dumps({"provider": PROVIDER, "keys": encoded[0], "root": encoded[1], "mac": tag.hex()}).encode()


def ring_holds(data: bytes, found: enrolment.Handover | KeyRing) -> str:
    ring = found if isinstance(found, KeyRing) else found.ring
    return problem(
        (KeyRing.from_text(ring.text()) == ring, "another ring when written again"),
        (0 < len(ring.keys) <= 64 and min(ring.keys) >= 1, "keys out of bounds"),
    )


def unwrap(data: bytes) -> KeyRing:
    fields = Fields(parse_object(data, max_bytes=1 << 16, max_depth=2), "provider keys")
    return enrolment.unwrap_ring(fields, KEY, PROVIDER, "n" * 43)


def application_holds(data: bytes, found: enrolment.Application) -> str:
    return same(enrolment.Application.parse(found.encode()), found)


def from_pem(data: bytes) -> SigningKey:
    return SigningKey.from_pem(data)


def targets() -> list[Target]:
    refused = (FilterError,)
    pending = (ServiceUnavailable,)
    header = _parts(SIZED)[0]
    wrapped = json.dumps(enrolment.wrap_ring(RING, KEY, PROVIDER, "n" * 43)).encode()
    code = CODE.text().encode()
    envelope = sealed_as(envelopes.VERDICT)(verdict_payload())
    both = sealed_as(envelopes.VERDICT, SIGNING, signing_key(10))(verdict_payload())
    body = bytes(split_filter(PLAIN)[1])
    section = sizes.encode_sizes(FILTER_KEY, SIZES)
    signed_targets = json.dumps(VERIFIED.targets).encode()
    numbers = (b"0", b"1", b"-1", b"9" * 21, b"1e400", b"NaN")
    return [
        Target("container.split", [PLAIN, SIZED], split_filter, refused, header_holds, words=(container.MAGIC, *numbers)),
        Target(
            "container.split, a right frame", [header], split_filter, refused, header_holds, wrap=with_header, words=numbers
        ),
        Target("bloom: shape and fill", [body], open_body, (StrictJsonError,), body_holds),
        Target("bloom.open_filter", [PLAIN, SIZED], as_file(open_filter), refused, opened_holds, share=0.2),
        Target(
            "bloom.open_filter, right checksums",
            [PLAIN, SIZED],
            as_file(open_filter),
            refused,
            opened_holds,
            wrap=checksummed,
            share=0.2,
        ),
        Target("sizes", [section], read_sizes, (StrictJsonError,), sizes_hold),
        Target(
            "delta.apply",
            [DELTA, PLAIN_DELTA],
            lambda data: delta.apply(SIZED, data),
            refused,
            lambda data, made: delta_holds(SIZED, data, made),
            words=(delta.MAGIC, b"\x80\x80\x80\x80\x80", b"\xff\xff\xff\xff\x7f"),
        ),
        Target(
            "delta.apply, lengths that fit",
            [DELTA, PLAIN_DELTA],
            lambda data: delta.apply(SIZED, data),
            refused,
            lambda data, made: delta_holds(SIZED, data, made),
            wrap=framed,
            words=(b"\x80\x80\x80\x80\x80", b"\xff\xff\xff\xff\x7f", b"\x80"),
        ),
        Target(
            "delta.apply to a bent filter",
            [SIZED, PLAIN],
            lambda data: delta.apply(data, DELTA),
            refused,
            applied_to_bent,
            wrap=checksummed,
        ),
        Target(
            "delta.make of a bent filter", [NEXT], lambda data: delta.make(SIZED, data), refused, made_holds, wrap=checksummed
        ),
        Target("withdrawn.decode", [withdrawn_file()], lambda data: withdrawals.decode(data, LIST), refused, withdrawn_holds),
        Target("envelopes.open_envelope", [envelope, both], open_any, refused, envelope_holds, share=0.5),
        Target(
            "verdicts.open_verdict, sealed",
            [verdict_payload()],
            lambda data: open_verdict(VERDICT_KEYS, data, ASKED),
            pending,
            verdict_holds,
            wrap=sealed_as(envelopes.VERDICT),
            share=0.4,
        ),
        Target(
            "verdicts.open_receipts, sealed",
            [RECEIPTS],
            lambda data: open_receipts(VERDICT_KEYS, data, PROVIDER),
            pending,
            receipts_hold,
            wrap=sealed_as(envelopes.RECEIPTS),
            share=0.4,
        ),
        Target(
            "disputes.open_stand, sealed",
            [STAND],
            lambda data: open_stand(VERDICT_KEYS, data, PROVIDER, DISPUTE),
            pending,
            stand_holds,
            wrap=sealed_as(envelopes.DISPUTE),
            share=0.4,
        ),
        Target(
            "notifications.verify, sealed",
            [NOTIFICATION],
            lambda data: notifications.verify([data], SIGNING.public_hex()),
            refused,
            notification_holds,
            wrap=sealed_as(envelopes.NOTIFICATION),
            share=0.4,
        ),
        Target("proof.unpack", [PROOF], metadata_chain.unpack, refused, proof_holds),
        *(
            Target(f"proof.verify: {name}", [data], verify_with(name), refused, verified_holds, share=0.1)
            for name, data in (("roots", CHAIN.roots[1]), *((one, getattr(CHAIN, one)) for one in ("timestamp", "targets")))
        ),
        Target(
            "proof.verify: timestamp, signed",
            [CHAIN.timestamp],
            verify_with("timestamp"),
            refused,
            signed_timestamp_holds,
            wrap=as_timestamp,
            share=0.1,
        ),
        Target("published.lists_of", [signed_targets], lists_of, refused, lists_hold),
        Target("published: verdict-keys.json", [CHAIN.verdict_keys], verdict_keys_of, refused, lists_hold),
        Target("metadata.read_root", [CHAIN.roots[1]], metadata.read_root, (UsageError,), root_holds, share=0.2),
        Target(
            "codes.read_code",
            [code, code.upper(), code.replace(b"-", b" ")],
            lambda data: codes.read_code(typed(data)),
            (UsageError,),
            code_holds,
            secret=code_secret,
            words=("\u2013".encode(), "\u200b".encode(), "\u212a".encode(), "İ".encode(), b"hse1", b"0", b"1", b"\xff"),
        ),
        Target("enrolment.open_handover", [SEALED], open_handover, refused, handover_holds),
        Target(
            "enrolment.open_handover, sealed",
            [RING.text().encode()],
            open_handover,
            refused,
            ring_holds,
            wrap=handed_over,
            words=(b"1 ", b"\n", b"0" * 64, b"\x85", b"\x1c", "\u0661".encode()),
        ),
        Target("enrolment.unwrap_ring", [wrapped], unwrap, (FilterError, StrictJsonError), lambda _, ring: same(ring, RING)),
        Target(
            "keys.KeyRing.from_text",
            [RING.text().encode(), KEY.hex().encode()],
            lambda data: KeyRing.from_text(typed(data)),
            (UsageError,),
            ring_holds,
            words=(b"1 ", b"\n", b"0" * 64, "\u0661".encode(), b"999999999 ", b"9999999999 "),
        ),
        Target(
            "enrolment.Application.parse",
            [APPLICATION.encode()],
            enrolment.Application.parse,
            (StrictJsonError,),
            application_holds,
        ),
        Target(
            "envelopes.SigningKey.from_pem",
            [SIGNING.to_pem()],
            from_pem,
            (UsageError,),
            lambda _, key: same(len(key.public_hex()), 64),
            share=0.3,
        ),
    ]
