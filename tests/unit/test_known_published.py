"""What is read out of signed metadata: exactly what docs/wire.md says, within bounds, and never a name from outside."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashscan.errors import FilterError
from hashscan.known.chain import Verified
from hashscan.known.published import MAX_DELTAS, MAX_LISTS, MAX_WAIT, MAX_WITHDRAWN_BYTES, lists_of
from hashscan.model import Delta, ListRef, Lists, PublishedFile, Target, VerdictKey
from tests.support.hotline import NOW, PROVIDER

SHA = "ab" * 32
KEY = {"public": "cd" * 32, "since": NOW, "until": None}


def file(custom: dict[str, Any], length: int = 100) -> dict[str, Any]:
    return {"length": length, "hashes": {"sha256": SHA}, "custom": custom}


def about(kind: str, list_id: str = "police", version: int = 7, epoch: int = 1, **more: Any) -> dict[str, Any]:
    return {"kind": kind, "list": list_id, "version": version, "epoch": epoch, **more}


FILES: dict[str, Any] = {
    "police-7-1.filter": file(about("filter", created=int(NOW)), 5000),
    "police-5-6-1.delta": file(about("delta", version=6, **{"from": 5})),
    "police-6-7-1.delta": file(about("delta", **{"from": 6})),
    "police-7-1.withdrawn": file(about("withdrawn")),
    "verdict-keys.json": file({"kind": "verdict-keys"}),
}
TARGETS: dict[str, Any] = {"x-hashscan": {"format": 1, "provider": PROVIDER, "wait": 3600, "jitter": 1800}, "targets": FILES}
TIMESTAMP: dict[str, Any] = {"x-hashscan": {"issued": int(NOW)}}
KEYS: dict[str, Any] = {"format": 1, "keys": [KEY]}


def read(
    targets: dict[str, Any] = TARGETS, timestamp: dict[str, Any] = TIMESTAMP, keys: Any = KEYS, expires: float = NOW + 172_800
) -> Lists:
    data = keys if isinstance(keys, bytes) else json.dumps(keys).encode()
    return lists_of(Verified(2, "online", 12, expires, timestamp, targets, data), b"proof", PROVIDER)


def with_files(**files: Any) -> dict[str, Any]:
    """Other target files; None takes one away."""
    return {**TARGETS, "targets": {name: one for name, one in {**FILES, **files}.items() if one is not None}}


def refusal(*arguments: Any, **named: Any) -> str:
    try:
        read(*arguments, **named)
    except FilterError as error:
        return str(error) or "an error without a word"
    return ""


def published(name: str, length: int = 100) -> PublishedFile:
    return PublishedFile(name, length, SHA)


def test_what_is_signed_is_what_is_read() -> None:
    target = Target(
        ListRef("police", 7, 1),
        published("police-7-1.filter", 5000),
        NOW,
        (Delta(published("police-5-6-1.delta"), 5, 6), Delta(published("police-6-7-1.delta"), 6, 7)),
        published("police-7-1.withdrawn"),
    )
    keys = (VerdictKey("cd" * 32, NOW),)
    expected = Lists(PROVIDER, NOW, NOW + 172_800, 12, (target,), keys, b"proof", 3600.0, 1800.0, root=2, online="online")
    assert read() == expected


def test_a_provider_with_no_lists_yet() -> None:
    assert read({**TARGETS, "targets": {}}).targets == ()


def test_unknown_kinds_and_fields_are_for_others() -> None:
    more = {
        "../../etc/passwd": file({"kind": "poster"}),
        "plain": {"length": 1, "hashes": {"sha256": SHA}},
        "nothing": {"length": 1, "hashes": {"sha256": SHA}, "custom": None},
        "police-7-1.filter": {**FILES["police-7-1.filter"], "x": 1, "hashes": {"sha256": SHA, "sha512": "x"}},
    }
    assert read(with_files(**more)).targets == read().targets


def test_the_newest_filter_of_each_list_in_the_order_of_their_ids() -> None:
    older = file(about("filter", version=6, created=1))
    newer_key = file(about("filter", version=7, epoch=2, created=1))
    other = file(about("filter", "a", 1, 3, created=1))
    lists = read(with_files(**{"police-6-1.filter": older, "police-7-2.filter": newer_key, "a-1-3.filter": other}))
    assert [target.list for target in lists.targets] == [ListRef("a", 1, 3), ListRef("police", 7, 2)]
    assert lists.targets[1].deltas == ()
    assert lists.targets[1].withdrawn is None, "what belongs to another epoch says nothing here"


def test_deltas_in_ascending_order_and_none_beyond() -> None:
    beyond = file(about("delta", version=8, **{"from": 7}))
    far = file(about("delta", version=7, **{"from": 3}))
    (target,) = read(with_files(**{"police-7-8-1.delta": beyond, "police-3-7-1.delta": far})).targets
    assert [(one.old, one.new) for one in target.deltas] == [(5, 6), (3, 7), (6, 7)]


@pytest.mark.parametrize(
    "name",
    [
        "police-7-1.filter ",
        "Police-7-1.filter",
        "police-8-1.filter",
        "../police-7-1.filter",
        "/etc/passwd",
        "",
        "police-7-1.delta",
    ],
)
@pytest.mark.parametrize("old", ["police-7-1.filter", "police-6-7-1.delta", "police-7-1.withdrawn"])
def test_the_name_is_the_one_that_the_fields_make(name: str, old: str) -> None:
    assert "should be called" in refusal(with_files(**{old: None, name: FILES[old]}))


WRONG_CUSTOM: dict[str, list[Any]] = {
    "list": [None, "", "x" * 65, "Police", "../x", "a/b", "a b", "p\u00f6", 3, "\u0661", "a\0"],
    "version": [None, 0, -1, 1.0, "7", True, 2**53 + 1],
    "epoch": [None, 0, -1, True, 2**31 + 1],
    "kind": [3, "", ["filter"], {}, "x" * 300],
}
WRONG_FILE: dict[str, list[Any]] = {
    "length": [None, 0, -1, 100.0, "1", 2**31 + 1, True],
    "hashes": [None, {}, [], "x", {"sha512": SHA}, {"sha256": SHA[:-1]}, {"sha256": SHA.upper()}, {"sha256": None}],
    "custom": ["x", [], 3],
}


@pytest.mark.parametrize("victim", ["police-7-1.filter", "police-6-7-1.delta", "police-7-1.withdrawn"])
@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, all_ in WRONG_CUSTOM.items() for value in all_], ids=str
)
def test_a_wrong_description_is_refused(victim: str, field: str, value: Any) -> None:
    one = copy.deepcopy(FILES[victim])
    one["custom"][field] = value
    assert refusal(with_files(**{victim: one}))
    del one["custom"][field]
    assert refusal(with_files(**{victim: one}))


@pytest.mark.parametrize("victim", ["police-7-1.filter", "police-6-7-1.delta", "police-7-1.withdrawn"])
@pytest.mark.parametrize(("field", "value"), [(field, value) for field, all_ in WRONG_FILE.items() for value in all_], ids=str)
def test_a_wrong_file_is_refused(victim: str, field: str, value: Any) -> None:
    assert refusal(with_files(**{victim: {**FILES[victim], field: value}}))


@pytest.mark.parametrize("value", [None, 0, 7, 8, -1, "6", 6.0])
def test_a_delta_leads_upwards(value: Any) -> None:
    one = file(about("delta", **{"from": value}))
    assert refusal(with_files(**{f"police-{value}-7-1.delta": one}))


@pytest.mark.parametrize("created", [None, -1, "x", 1e300, True])
def test_when_a_filter_was_made(created: Any) -> None:
    assert refusal(with_files(**{"police-7-1.filter": file(about("filter", created=created))}))


def test_bounds() -> None:
    one = FILES["police-7-1.withdrawn"]
    assert not refusal(with_files(**{"police-7-1.withdrawn": {**one, "length": MAX_WITHDRAWN_BYTES}}))
    assert refusal(with_files(**{"police-7-1.withdrawn": {**one, "length": MAX_WITHDRAWN_BYTES + 1}}))

    lists = {f"l{number}-1-1.filter": file(about("filter", f"l{number}", 1, created=1)) for number in range(MAX_LISTS + 1)}
    assert "more than 32 lists" in refusal({**TARGETS, "targets": lists})
    lists.popitem()
    assert len(read({**TARGETS, "targets": lists}).targets) == MAX_LISTS

    deltas = {f"police-{number}-7-1.delta": file(about("delta", **{"from": number})) for number in range(1, 7)}
    deltas |= {f"police-{old}-6-1.delta": file(about("delta", version=6, **{"from": old})) for old in range(1, 6)}
    deltas |= {f"police-{old}-5-1.delta": file(about("delta", version=5, **{"from": old})) for old in range(1, 5)}
    deltas["police-1-2-1.delta"] = file(about("delta", version=2, **{"from": 1}))
    assert len(deltas) == MAX_DELTAS
    assert len(read(with_files(**deltas)).targets[0].deltas) == MAX_DELTAS
    deltas["police-1-3-1.delta"] = file(about("delta", version=3, **{"from": 1}))
    assert "more than 16 deltas" in refusal(with_files(**deltas))

    many = {f"x{number}": {"length": 1} for number in range(2049)}
    assert "2048 targets" in refusal({**TARGETS, "targets": many})


# For whom, and for how long.

WRONG_TERMS: dict[str, list[Any]] = {
    "format": [None, 0, 2, "1", True, 1.0],
    "provider": [None, "", "acme2", "ACME", 3, "x" * 300, "acme "],
    "wait": [None, -1, "3600", True, 1e300],
    "jitter": [None, -1, "3600", False, 1e300],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, all_ in WRONG_TERMS.items() for value in all_], ids=str)
def test_wrong_terms_are_refused(field: str, value: Any) -> None:
    terms = {**TARGETS["x-hashscan"], field: value}
    assert refusal({**TARGETS, "x-hashscan": terms})
    del terms[field]
    assert refusal({**TARGETS, "x-hashscan": terms})


@pytest.mark.parametrize("document", [None, [], "x", 3])
def test_no_terms_at_all(document: Any) -> None:
    assert refusal({**TARGETS, "x-hashscan": document})
    assert refusal({**TARGETS, "targets": document})
    assert refusal(timestamp={"x-hashscan": document})
    assert refusal({"targets": FILES})
    assert refusal(timestamp={})


def test_nobody_is_kept_away_for_longer_than_a_day() -> None:
    lists = read({**TARGETS, "x-hashscan": {"format": 1, "provider": PROVIDER, "wait": 10**9, "jitter": 10**9}})
    assert (lists.wait, lists.jitter) == (MAX_WAIT, MAX_WAIT)


@pytest.mark.parametrize("issued", [None, -1, "x", True, 1e300, NOW + 172_800, NOW + 172_801, NOW + 172_799 - 7 * 86_400])
def test_when_it_was_issued(issued: Any) -> None:
    assert refusal(timestamp={"x-hashscan": {"issued": issued}})


# Verdict keys.


@pytest.mark.parametrize(
    "keys",
    [
        b"", b"[]", b"null", b"\xff", b"{}", b"[" * 5000, b'{"format": NaN}', b"x" * 16_385,
        b'{"format": 1, "format": 1, "keys": []}',
        {**KEYS, "format": 2}, {**KEYS, "keys": []}, {**KEYS, "keys": {}}, {**KEYS, "keys": [1]}, {**KEYS, "keys": [KEY] * 2},
        {**KEYS, "keys": [{**KEY, "public": f"{number:064x}"} for number in range(9)]},
        *({**KEYS, "keys": [{**KEY, "public": value}]} for value in (None, "", "cd" * 31, "CD" * 32, 3)),
        *({**KEYS, "keys": [{**KEY, "since": value}]} for value in (None, -1, "x", True)),
        *({**KEYS, "keys": [{**KEY, "until": value}]} for value in (NOW - 1, "x", False, -1)),
    ],
    ids=lambda keys: repr(keys)[:60],
)  # fmt: skip
def test_wrong_verdict_keys_are_refused(keys: Any) -> None:
    assert refusal(keys=keys)


def test_verdict_keys_with_an_end_and_without() -> None:
    second = {"public": "ef" * 32, "since": NOW + 1, "until": NOW + 1}
    third = {"public": "0f" * 32, "since": 0}
    found = read(keys={**KEYS, "keys": [KEY, second, third]}).verdict_keys
    assert found == (VerdictKey("cd" * 32, NOW), VerdictKey("ef" * 32, NOW + 1, NOW + 1), VerdictKey("0f" * 32, 0.0))


# Anything at all.

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
    | st.just("filter"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["kind", "list", "version", "custom", "x"]), inner)
    ),
    max_leaves=12,
)


@given(
    st.lists(st.sampled_from(["x-hashscan", "targets", "police-7-1.filter", "custom", "hashes", "version"]), max_size=4), JSON
)
def test_whatever_stands_anywhere_it_is_read_or_refused(path: list[str], value: Any) -> None:
    document = copy.deepcopy(TARGETS)
    here: Any = document
    for step in path[:-1]:
        here = here[step] if isinstance(here, dict) and isinstance(here.get(step), dict) else here
    if path:
        here[path[-1]] = value
    refusal(document)
