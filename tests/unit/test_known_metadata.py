"""What the service signs: shapes as on the wire, roots that only a threshold can change, never a traceback of the library."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tuf.api.metadata import Metadata

from hashscan.errors import UsageError
from hashscan.known import metadata
from hashscan.known.envelopes import SigningKey, key_id
from hashscan.known.metadata import RootPlan, TargetFileSpec
from tests.support.budget import attempts

NOW = 1_790_000_000.75
DAY = 86_400.0
A, B, C, D = ROOT_KEYS = tuple(SigningKey.generate() for _ in range(4))
ONLINE = {role: SigningKey.generate() for role in metadata.ONLINE_ROLES}
PLAN = RootPlan(
    version=1,
    expires=float(int(NOW + 365 * DAY)),
    root_keys=tuple(key.public_hex() for key in (A, B, C)),
    threshold=2,
    online={role: key.public_hex() for role, key in ONLINE.items()},
)


def signed(plan: RootPlan, *keys: SigningKey) -> bytes:
    data = metadata.draft_root(plan)
    for key in keys:
        data = metadata.sign(data, key)
    return data


FIRST = signed(PLAN, A, B)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    return str(caught.value)


def test_a_root_says_what_was_planned_whoever_signed_it() -> None:
    assert metadata.read_root(metadata.draft_root(PLAN)) == PLAN
    assert metadata.read_root(FIRST) == PLAN
    said = json.loads(FIRST)["signed"]
    assert said["consistent_snapshot"] is True
    assert said["roles"]["root"] == {"keyids": [key_id(one) for one in PLAN.root_keys], "threshold": 2}
    assert {said["roles"][role]["threshold"] for role in metadata.ONLINE_ROLES} == {1}


def test_signatures_add_up_and_one_key_counts_once() -> None:
    publics = PLAN.root_keys
    once = metadata.sign(metadata.draft_root(PLAN), B)
    assert metadata.signed_by(once, publics) == (B.public_hex(),)
    again = metadata.sign(metadata.sign(once, B), A)
    assert metadata.signed_by(again, publics) == (A.public_hex(), B.public_hex())
    assert len(json.loads(again)["signatures"]) == 2


def test_a_signature_over_something_else_does_not_count() -> None:
    document = json.loads(FIRST)
    document["signed"]["version"] = 2
    assert metadata.signed_by(json.dumps(document).encode(), PLAN.root_keys) == ()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": 0}, "whole numbers"),
        ({"version": True}, "whole numbers"),
        ({"threshold": 1.0}, "whole numbers"),
        ({"threshold": 0}, "threshold of 0"),
        ({"threshold": 4}, "threshold of 4"),
        ({"root_keys": ()}, "from 1 to 16"),
        ({"root_keys": PLAN.root_keys[:1] * 2}, "different keys"),
        ({"root_keys": (*PLAN.root_keys[:2], "ab")}, "64 hex digits"),
        ({"root_keys": (PLAN.root_keys[0].upper(), *PLAN.root_keys[1:])}, "lowercase"),
        ({"root_keys": (PLAN.online["targets"], *PLAN.root_keys[1:])}, "cannot be a root key and an online key"),
        ({"online": {"targets": PLAN.online["targets"]}}, "one online key for each"),
        ({"expires": float("nan")}, "not a number of seconds"),
        ({"expires": -1.0}, "not a number of seconds"),
    ],
)
def test_a_plan_that_makes_no_sense_is_not_drafted(change: dict[str, Any], word: str) -> None:
    assert word in refused(lambda: metadata.draft_root(replace(PLAN, **change)))


def test_the_next_root_needs_the_threshold_of_both() -> None:
    """Specification, section 5.3.4: a new root is signed by a threshold of the old keys and of its own."""
    metadata.check_root(FIRST, None)
    plan = replace(PLAN, version=2, root_keys=tuple(key.public_hex() for key in (C, D)), threshold=2)
    metadata.check_root(signed(plan, B, C, D), FIRST)
    assert "1 of the 2 signatures that the root in force" in refused(lambda: metadata.check_root(signed(plan, C, D), FIRST))
    assert "1 of the 2 signatures that the new root" in refused(lambda: metadata.check_root(signed(plan, A, B, C), FIRST))
    assert "0 of the 2" in refused(lambda: metadata.check_root(metadata.draft_root(plan), FIRST))


def test_the_first_root_needs_its_own_threshold() -> None:
    assert "1 of the 2" in refused(lambda: metadata.check_root(signed(PLAN, A), None))
    assert "0 of the 2" in refused(lambda: metadata.check_root(signed(PLAN, D, *ONLINE.values()), None))


@pytest.mark.parametrize("version", [1, 3])
def test_no_version_is_left_out_or_comes_twice(version: int) -> None:
    assert "version 2 comes next" in refused(lambda: metadata.check_root(signed(replace(PLAN, version=version), A, B), FIRST))
    assert "version 1 comes next" in refused(lambda: metadata.check_root(signed(replace(PLAN, version=2), A, B), None))


def _two_ids(said: dict[str, Any]) -> None:
    name = key_id(A.public_hex())
    said["keys"]["another"] = said["keys"][name]
    said["roles"]["root"]["keyids"].append("another")


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "one key under two ids": _two_ids,
    "an unknown field": lambda said: said.update(extra=1),
    "no consistent snapshot": lambda said: said.update(consistent_snapshot=False),
    "a role without a key": lambda said: said["roles"]["targets"].update(keyids=[]),
    "a role with a key that is not there": lambda said: said["roles"]["root"].update(keyids=["0" * 32]),
    "another kind of key": lambda said: said["keys"][key_id(A.public_hex())].update(keytype="ecdsa"),
    "a key without a value": lambda said: said["keys"][key_id(A.public_hex())].update(keyval={}),
    "a fraction as version": lambda said: said.update(version=1.0),
    "a text as threshold": lambda said: said["roles"]["root"].update(threshold="2"),
    "a date that is none": lambda said: said.update(expires="soon"),
    "a role too many": lambda said: said["roles"].update(mirror={"keyids": [], "threshold": 1}),
    "another type": lambda said: said.update(_type="targets"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_root_of_another_form_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    document = json.loads(FIRST)
    change(document["signed"])
    refused(lambda: metadata.read_root(json.dumps(document).encode()))


def test_what_is_not_a_root_is_refused() -> None:
    for data in (
        b"",
        b"[]",
        b"{}",
        b'{"signed":{}}',
        b"{" * 50_000,
        b" " * (metadata.MAX_ROOT_BYTES + 1),
        FIRST[:-1],
        b'{"a":1,"a":1}',
    ):
        refused(lambda data=data: metadata.read_root(data))
    other = metadata.make_snapshot(version=1, expires=NOW, targets_version=1, keys=[ONLINE["snapshot"]])
    assert "snapshot metadata" in refused(lambda: metadata.read_root(other))


@settings(max_examples=attempts(300), deadline=None)
@given(st.integers(0, len(FIRST) - 1), st.integers(0, 255))
def test_a_damaged_root_is_refused_or_loses_signatures(place: int, byte: int) -> None:
    damaged = FIRST[:place] + bytes([byte]) + FIRST[place + 1 :]
    try:
        metadata.check_root(damaged, None)
    except UsageError:
        return
    assert metadata.read_root(damaged) == PLAN, "what is accepted says what was signed"


def targets_of(*files: TargetFileSpec) -> bytes:
    return metadata.make_targets(
        version=3, expires=NOW + DAY, provider="acme", wait=3600.0, jitter=1800.0, files=files, keys=[ONLINE["targets"]]
    )


def test_targets_say_whom_they_are_for_and_what_is_published() -> None:
    custom = {"kind": "filter", "list": "police", "version": 7, "epoch": 1, "created": NOW}
    said = json.loads(targets_of(TargetFileSpec("police-7-1.filter", 5, "ab" * 32, custom)))["signed"]
    assert said["version"] == 3
    assert said[metadata.CUSTOM] == {"format": 1, "provider": "acme", "wait": 3600, "jitter": 1800}
    assert said["targets"] == {
        "police-7-1.filter": {"length": 5, "hashes": {"sha256": "ab" * 32}, "custom": {**custom, "created": 1_790_000_000}}
    }


def test_a_target_name_occurs_once() -> None:
    one = TargetFileSpec("a.filter", 1, "ab" * 32, {})
    assert "occurs twice" in refused(lambda: targets_of(one, one))


@pytest.mark.parametrize("wait", [float("inf"), float("nan"), -1.0])
def test_a_wait_is_a_number_of_seconds(wait: float) -> None:
    refused(
        lambda: metadata.make_targets(
            version=1, expires=NOW, provider="a", wait=wait, jitter=0, files=(), keys=[ONLINE["targets"]]
        )
    )


def test_snapshot_and_timestamp_name_the_very_bytes() -> None:
    targets = targets_of()
    snapshot = metadata.make_snapshot(
        version=4, expires=NOW + DAY, targets_version=3, targets=targets, keys=[ONLINE["snapshot"]]
    )
    assert json.loads(snapshot)["signed"]["meta"] == {
        "targets.json": {"version": 3, "length": len(targets), "hashes": {"sha256": hashlib.sha256(targets).hexdigest()}}
    }
    timestamp = metadata.make_timestamp(
        version=5, expires=NOW + DAY, issued=NOW, snapshot_version=4, snapshot=snapshot, keys=[ONLINE["timestamp"]]
    )
    said = json.loads(timestamp)["signed"]
    assert said["meta"]["snapshot.json"]["hashes"] == {"sha256": hashlib.sha256(snapshot).hexdigest()}
    assert said[metadata.CUSTOM] == {"issued": 1_790_000_000}


def test_without_bytes_only_the_version_is_named() -> None:
    snapshot = metadata.make_snapshot(version=1, expires=NOW, targets_version=9, keys=[ONLINE["snapshot"]])
    assert json.loads(snapshot)["signed"]["meta"] == {"targets.json": {"version": 9}}


def test_every_role_is_believed_by_the_root() -> None:
    """Checked by the library's own rule, not ours."""
    root = Metadata.from_bytes(FIRST).signed
    snapshot = metadata.make_snapshot(version=1, expires=NOW, targets_version=1, keys=[ONLINE["snapshot"]])
    timestamp = metadata.make_timestamp(version=1, expires=NOW, issued=NOW, snapshot_version=1, keys=[ONLINE["timestamp"]])
    for role, data in {"targets": targets_of(), "snapshot": snapshot, "timestamp": timestamp, "root": FIRST}.items():
        document = Metadata.from_bytes(data)
        root.verify_delegate(role, document.signed_bytes, document.signatures)


def test_two_keys_of_a_role_sign_both() -> None:
    other = SigningKey.generate()
    data = metadata.make_snapshot(version=1, expires=NOW, targets_version=1, keys=[ONLINE["snapshot"], other])
    publics = (ONLINE["snapshot"].public_hex(), other.public_hex())
    assert metadata.signed_by(data, publics) == publics


def test_what_cannot_be_signed_is_refused() -> None:
    document = json.loads(FIRST)
    document["signed"]["extra"] = 1.5  # canonical JSON has no fractions
    assert "cannot be signed" in refused(lambda: metadata.sign(json.dumps(document).encode(), A))
