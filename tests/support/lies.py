"""Lies about signed things, endpoint by endpoint: by whoever sits on the way, and by an insider who has some of the keys.

Each tries to have an innocent file moved or an older state believed, so that believing it shows.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hashscan.known import envelopes, metadata, selftest
from hashscan.known.enrolment import wrap_ring
from hashscan.known.envelopes import SigningKey
from hashscan.known.keys import KeyRing, ProviderKey
from hashscan.known.metadata import TargetFileSpec
from tests.support.faults import FILTER, NONE, PENDING, Play, Wire
from tests.support.gateway import Reply, Strike
from tests.support.standin import CONFUSED, DAY, INNOCENT, ONE, THREE, TWO, Keys, Publisher, Standin

Files = dict[str, bytes]
FRAMED = (selftest.CONTENT, ONE, TWO, CONFUSED, INNOCENT)


@dataclass(frozen=True)
class Editions:
    """The history of a service: agents hold 6, it publishes 7. With the honest publisher go a stranger and another provider."""

    honest: Publisher
    stranger: Publisher
    other: Publisher
    fifth: Files
    sixth: Files
    seventh: Files
    whole: Files
    anew: Files
    rekeyed: Files

    @classmethod
    def make(cls, now: float) -> Editions:
        honest = Publisher(now)
        stranger = Publisher(now, ring=honest.ring)  # he has stolen the provider key as well
        other = Publisher(now, provider="other", keys=honest.keys, root=honest.root)
        fifth = honest.edition(5, honest.targets(5, 1, [ONE, THREE], {}))
        sixth = honest.edition(6, honest.targets(6, 1, [ONE, THREE], fifth))
        listed = honest.targets(7, 1, [ONE, TWO], sixth)
        listed["verdict-keys.json"] = (honest.verdict_keys([SigningKey.generate()]), {"kind": "verdict-keys"})
        later = honest.targets(9, 1, [ONE, TWO], {})
        without = {name: one for name, one in listed.items() if not name.endswith(".delta")}
        return cls(
            honest, stranger, other, fifth, sixth,
            seventh=honest.edition(7, listed), whole=honest.edition(7, without), anew=honest.edition(90, later),
            rekeyed=honest.edition(7, honest.targets(7, 2, [ONE, TWO], {})),
        )  # fmt: skip


# The repository.


def _from(files: Files | Callable[[str], bytes | None]) -> Play:
    """Serve the repository from elsewhere; what is not there is 404."""

    def play(strike: Strike) -> None:
        name = strike.request.name
        found = files.get(name) if isinstance(files, dict) else files(name)
        strike.reply(Reply(b"", 404) if found is None else Reply(found))

    return play


def _mixed(files: Files, **instead: bytes) -> Play:
    return _from({**files, **{name.replace("__", "."): data for name, data in instead.items()}})


def _with_specs(editions: Editions, change: Callable[[list[TargetFileSpec]], list[TargetFileSpec]]) -> Files:
    honest = editions.honest
    targets = honest.targets(8, 1, [ONE, TWO], editions.seventh)
    return honest.edition(80, targets, specs=change)


def _changed(ending: str, **fields: Any) -> Callable[[list[TargetFileSpec]], list[TargetFileSpec]]:
    """The target whose name ends so, with other ``fields``."""
    return lambda specs: [replace(one, **fields) if one.name.endswith(ending) else one for one in specs]


def _filled(editions: Editions, data: bytes, name: str = "police-8-1.filter", *, delta: bool = False) -> Files:
    """An edition whose file ``name`` is ``data``, signed for."""
    targets = editions.honest.targets(8, 1, [ONE, TWO], editions.seventh)
    targets = {key: one for key, one in targets.items() if delta or not key.endswith(".delta")}
    targets[name] = (data, targets[name][1])
    return editions.honest.edition(80, targets)


def _unsigned(data: bytes) -> bytes:
    return json.dumps({**json.loads(data), "signatures": []}).encode()


def _signed_thousandfold(data: bytes) -> bytes:
    document = json.loads(data)
    document["signatures"] = [{"keyid": f"{number:064x}", "sig": "00" * 64} for number in range(1000)] + document["signatures"]
    return json.dumps(document).encode()


def _repository(editions: Editions) -> Iterator[Wire]:
    refused = frozenset({FILTER, PENDING})
    for name, play in _mirrors(editions).items():
        yield Wire(name, refused | {NONE}, play)
    for name, files in _by_insiders(editions).items():
        yield Wire(name, refused | {NONE}, _from(files), insider=True)


def _mirrors(editions: Editions) -> dict[str, Play]:
    """What somebody on the way can do, without a key of the service."""
    honest, stranger, other = editions.honest, editions.stranger, editions.other
    fifth, sixth, seventh = editions.fifth, editions.sixth, editions.seventh
    forged = stranger.edition(70, stranger.targets(70, 1, FRAMED, {}))
    keys, now = honest.keys, honest.now
    stolen = Keys(root=stranger.keys.root, online=stranger.keys.online)
    appointed = stranger.edition(70, stranger.targets(70, 1, FRAMED, {}))
    below = stolen.make_root(now, 2, [keys.root[0], *stolen.root])
    alone = stolen.make_root(now, 2)
    twice = json.loads(stolen.make_root(now, 2, [keys.root[0], *stolen.root]))
    twice["signatures"] += [one for one in twice["signatures"] if one["keyid"] == envelopes.key_id(keys.root[0].public_hex())]
    theirs = other.edition(70, other.targets(70, 1, FRAMED, {}))
    return {
        "rollback": _from(fifth),
        "rollback of the timestamp": _mixed(seventh, timestamp__json=fifth["timestamp.json"]),
        "freeze": _from(sixth),
        "an older snapshot": _from({**seventh, "7.snapshot.json": sixth["6.snapshot.json"]}),
        "older targets": _from({**seventh, "7.targets.json": sixth["6.targets.json"]}),
        "an older filter": _from({**seventh, "police-7-1.filter": sixth["police-6-1.filter"]}),
        "older verdict keys": _from({**seventh, "verdict-keys.json": sixth["verdict-keys.json"]}),
        "the snapshot as the timestamp": _mixed(seventh, timestamp__json=seventh["7.snapshot.json"]),
        "the targets as the snapshot": _from({**seventh, "7.snapshot.json": seventh["7.targets.json"]}),
        "signed by a stranger": _from(forged),
        "a stranger's targets": _from({**seventh, "7.targets.json": forged["70.targets.json"]}),
        "a stranger's filter": _from({**seventh, "police-7-1.filter": forged["police-70-1.filter"]}),
        "a stranger's verdict keys": _from({**seventh, "verdict-keys.json": forged["verdict-keys.json"]}),
        "no signature": _mixed(seventh, timestamp__json=_unsigned(seventh["timestamp.json"])),
        "a thousand signatures": _mixed(seventh, timestamp__json=_signed_thousandfold(forged["timestamp.json"])),
        "rotation of the root below the threshold": _from({**appointed, "2.root.json": below}),
        "rotation of the root by a stranger": _from({**appointed, "2.root.json": alone}),
        "rotation of the root signed twice by one": _from({**appointed, "2.root.json": json.dumps(twice).encode()}),
        "a root of another version": _from({**seventh, "2.root.json": keys.make_root(now, 3)}),
        "the first root again": _from({**seventh, "2.root.json": honest.root}),
        "another provider": _from(theirs),
        "another provider's timestamp": _mixed(seventh, timestamp__json=theirs["timestamp.json"]),
        "another provider's filter": _from({**seventh, "police-7-1.filter": theirs["police-70-1.filter"]}),
        "files in each other's place": _from(
            {
                **seventh,
                "police-7-1.filter": seventh["police-7-1.withdrawn"],
                "police-6-7-1.delta": seventh["police-7-1.filter"],
            }
        ),
        "roots without an end": _from(lambda name: honest.root if name.endswith("root.json") else seventh.get(name)),
        "a long delta": _from({**seventh, "police-6-7-1.delta": b"HSDELTA1" + b"\xff" * (1 << 20)}),
        "no delta": _from({name: data for name, data in seventh.items() if not name.endswith(".delta")}),
        "no filter": _from({name: data for name, data in seventh.items() if name.endswith(".json")}),
        "nothing": _from({}),
    }


def _by_insiders(editions: Editions) -> dict[str, Files]:
    """What only the service can sign: its own mistakes, a stolen online key, a backup that was put back."""
    honest, other = editions.honest, editions.other
    role = honest.keys.online
    listed = honest.targets(7, 1, [ONE, TWO], editions.sixth)
    made = honest.filter(8, 1, [selftest.CONTENT, ONE, TWO])
    everything = made[:-3000] + b"\xff" * 3000
    thousand = 1000 * DAY
    return {
        "expired timestamp": honest.edition(70, listed, age={"timestamp": 3 * DAY}),
        "expired snapshot": honest.edition(70, listed, age={"snapshot": 31 * DAY}),
        "expired targets": honest.edition(70, listed, age={"targets": 31 * DAY}),
        "expired long ago": honest.edition(70, listed, age=dict.fromkeys(metadata.ONLINE_ROLES, thousand)),
        "signed for the future": honest.edition(70, listed, age={"timestamp": -DAY}),
        "a timestamp by the key of the targets": honest.edition(70, listed, keys={"timestamp": [role["targets"]]}),
        "targets by the key of the timestamp": honest.edition(70, listed, keys={"targets": [role["timestamp"]]}),
        "a downgraded list": honest.edition(70, honest.targets(5, 1, [ONE, THREE], {})),
        "no verdict keys": honest.edition(70, {name: one for name, one in listed.items() if name != "verdict-keys.json"}),
        "an empty list of verdict keys": _filled(editions, b'{"format": 1, "keys": []}', "verdict-keys.json"),
        "verdict keys that are none": _filled(editions, b'{"format": 1, "keys": [{"public": 7}]}', "verdict-keys.json"),
        "a path for a name": _with_specs(editions, _changed("8-1.filter", name="../../etc/police-8-1.filter")),
        "a name for another": _with_specs(editions, _changed("8-1.filter", name="police-9-1.filter")),
        "a huge file": _with_specs(editions, _changed("8-1.filter", length=2**40)),
        "an endless file": _with_specs(editions, _changed("8-1.filter", length=2**31 - 1)),
        "another hash": _with_specs(editions, _changed(".filter", sha256="00" * 32)),
        "another length": _with_specs(editions, _changed(".filter", length=100)),
        "a filter that says yes to everything": _filled(editions, everything),
        "a filter that says no to everything": _filled(editions, made[:-3500] + bytes(3500)),
        "a filter without the self-test": _filled(editions, honest.filter(8, 1, [ONE, TWO])),
        "a filter with the empty file": _filled(editions, honest.filter(8, 1, [selftest.CONTENT, b"", ONE])),
        "a filter of another version": _filled(editions, editions.seventh["police-7-1.filter"]),
        "a filter for another provider": _filled(editions, other.filter(8, 1, [selftest.CONTENT, ONE])),
        "a filter that is none": _filled(editions, b"true"),
        "withdrawals that are none": _filled(editions, b"[]", "police-8-1.withdrawn"),
        "withdrawals of another list": _filled(editions, editions.seventh["police-7-1.withdrawn"], "police-8-1.withdrawn"),
    }


def _with_useless_deltas(editions: Editions) -> dict[str, Files]:
    """Mistakes of the service that do no harm: the whole filter is fetched."""
    seventh = editions.seventh["police-6-7-1.delta"]
    return {
        "a delta to somewhere else": _filled(editions, seventh, "police-7-8-1.delta", delta=True),
        "a delta that is none": _filled(editions, b"HSDELTA1" + b"\xff" * 300, "police-7-8-1.delta", delta=True),
        "a delta of huge numbers": _filled(
            editions, seventh[:12] + b"\xff" * 24 + seventh[36:], "police-7-8-1.delta", delta=True
        ),
    }


# Verdicts.


def _verdict(change: Callable[[dict[str, Any]], dict[str, Any]] = lambda verdict: verdict, **how: Any) -> Play:
    """A verdict that frames innocent files, changed and sealed with ``keys`` as ``kind``; ``wrap`` changes the envelope."""

    def play(strike: Strike) -> None:
        asked = json.loads(strike.request.body)
        document = change(strike.service.verdict(asked, FRAMED))
        payload = document if isinstance(document, bytes) else json.dumps(document).encode()
        keys = how.get("keys", lambda service: service.publisher.keys.verdict)(strike.service)
        envelope = strike.service.seal(payload, how.get("kind", envelopes.VERDICT), keys)
        strike.reply(replace(strike.honest, status=200, body=how.get("wrap", lambda data, _: data)(envelope, strike)))

    return play


def _but(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda verdict: {**verdict, **changes}


def _list_but(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda verdict: {**verdict, "list": {**verdict["list"], **changes}}


def _entries_but(**changes: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def change(verdict: dict[str, Any]) -> dict[str, Any]:
        items = [{**item, "entries": [{**entry, **changes} for entry in item["entries"]]} for item in verdict["items"]]
        return {**verdict, "items": items}

    return change


def _items(change: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda verdict: {**verdict, "items": change(verdict["items"])}


def _late(seconds: float) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda verdict: {**verdict, "issued": time.time() - seconds}


def _envelope(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[bytes, Strike], bytes]:
    return lambda data, _: json.dumps(change(json.loads(data))).encode()


def _five_hundredfold(envelope: dict[str, Any]) -> dict[str, Any]:
    return {**envelope, "signatures": envelope["signatures"] * 500}


def _called(kind: str) -> Callable[[bytes, Strike], bytes]:
    return _envelope(lambda envelope: {**envelope, "payloadType": kind})


def _honest_signature(data: bytes, strike: Strike) -> bytes:
    """The signature of the honest verdict under the payload of another."""
    return json.dumps({**json.loads(data), "signatures": json.loads(strike.honest.body)["signatures"]}).encode()


def _as_if_by(keys: Keys) -> Callable[[bytes, Strike], bytes]:
    """Signatures of a stranger under the key ids of the service."""

    def wrap(data: bytes, strike: Strike) -> bytes:
        document = json.loads(data)
        names = [envelopes.key_id(key.public_hex()) for key in strike.service.publisher.keys.verdict]
        document["signatures"] = [{**one, "keyid": name} for one, name in zip(document["signatures"], names, strict=False)]
        return json.dumps(document).encode()

    return wrap


def _strangers(editions: Editions) -> Callable[[Standin], list[SigningKey]]:
    return lambda _: editions.stranger.keys.verdict


def _verdicts(editions: Editions) -> Iterator[Wire]:
    by_stranger = {"keys": _strangers(editions)}
    lies: dict[str, Play] = {
        "signed by a stranger": _verdict(**by_stranger),
        "signed by a stranger under our key id": _verdict(**by_stranger, wrap=_as_if_by(editions.stranger.keys)),
        "signed by a retired key": _verdict(keys=lambda service: [service.publisher.keys.retired]),
        "signed by the key of the timestamp": _verdict(keys=lambda service: [service.publisher.keys.online["timestamp"]]),
        "no signature": _verdict(keys=lambda _: []),
        "the signature of another verdict": _verdict(**by_stranger, wrap=_honest_signature),
        "a thousand signatures": _verdict(**by_stranger, wrap=_envelope(_five_hundredfold)),
        "a replayed verdict": _verdict(_but(nonce="r" * 43)),
        "no nonce": _verdict(lambda verdict: {key: value for key, value in verdict.items() if key != "nonce"}),
        "an empty nonce": _verdict(_but(nonce="")),
        "an array of nonces": _verdict(lambda verdict: {**verdict, "nonce": [verdict["nonce"]]}),
        "for another provider": _verdict(_but(provider="other")),
        "for another list": _verdict(_list_but(id="old")),
        "for another version": _verdict(_list_but(version=5)),
        "for another epoch": _verdict(_list_but(epoch=2)),
        "issued an hour ago": _verdict(_late(3600)),
        "issued two days ago by a retired key": _verdict(_late(2 * DAY), keys=lambda service: [service.publisher.keys.retired]),
        "issued in an hour": _verdict(_late(-3600)),
        "sealed as receipts": _verdict(kind=envelopes.RECEIPTS),
        "called a verdict afterwards": _verdict(kind=envelopes.RECEIPTS, wrap=_called(envelopes.VERDICT)),
        "called receipts afterwards": _verdict(wrap=_called(envelopes.RECEIPTS)),
        "the payload in the open": _verdict(wrap=lambda data, _: base64.b64decode(json.loads(data)["payload"])),
        "no items": _verdict(_items(lambda _: [])),
        "an item left out": _verdict(_items(lambda items: items[1:])),
        "items of other numbers": _verdict(_items(lambda items: [{**item, "i": item["i"] + 1} for item in items])),
        "an item twice": _verdict(_items(lambda items: [*items, items[0]])),
        "items that are none": _verdict(_items(lambda _: {"0": "true"})),
        "one word": _verdict(lambda _: b"true"),  # type: ignore[arg-type, return-value]
        "NaN for a time": _verdict(_but(issued=float("nan"))),
        "an endless clearance": _verdict(_but(ttl=1e300)),
        "a negative clearance": _verdict(_but(ttl=-5)),
        "a number for a standing": _verdict(_entries_but(standing=1)),
        "an unknown standing": _verdict(_entries_but(standing="certain")),
        "an unknown act": _verdict(_entries_but(act="delete")),
        "tags that are none": _verdict(_entries_but(tags={"sha1": "true"})),
        "a long name": _verdict(_entries_but(entry="e" * 5000)),
        "a thousand entries": _verdict(_items(lambda items: [{**item, "entries": item["entries"] * 1000} for item in items])),
    }  # fmt: skip
    for name, play in lies.items():
        yield Wire(f"verdict: {name}", frozenset({NONE, PENDING}), play)


# Receipts.


def _receipts(names: Callable[[list[str]], Sequence[str]] = lambda names: names, **how: Any) -> Play:
    def play(strike: Strike) -> None:
        asked = json.loads(strike.request.body)
        told = [one["id"] for one in asked["outcomes"]]
        payload = strike.service.receipts(names(told), **{"log": asked.get("log"), **how.get("changes", {})})
        keys = how.get("keys", lambda service: service.publisher.keys.verdict)(strike.service)
        strike.reply(replace(strike.honest, body=strike.service.seal(payload, how.get("kind", envelopes.RECEIPTS), keys)))

    return play


def _all_receipts(editions: Editions) -> Iterator[Wire]:
    lies: dict[str, Play] = {
        "signed by a stranger": _receipts(keys=_strangers(editions)),
        "signed by a retired key": _receipts(keys=lambda service: [service.publisher.keys.retired]),
        "no signature": _receipts(keys=lambda _: []),
        "for another provider": _receipts(changes={"provider": "other"}),
        "for other outcomes": _receipts(lambda names: ["o_" + "0" * 32 for _ in names]),
        "for none": _receipts(lambda _: []),
        "for half of them": _receipts(lambda names: names[: -(-len(names) // 2)]),
        "twice": _receipts(lambda names: [*names, *names]),
        "for a thousand": _receipts(lambda names: [*names, *(f"o_{number:032d}" for number in range(1000))]),
        "sealed as a verdict": _receipts(kind=envelopes.VERDICT),
        "without a time": _receipts(changes={"issued": None}),
        "rows that are none": _receipts(changes={"receipts": "true"}),
        "another head of the log": _receipts(changes={"log": {"lines": 1, "hash": "0" * 64}}),
        "no head of the log": _receipts(changes={"log": None}),
    }
    for name, play in lies.items():
        yield Wire(f"receipts: {name}", frozenset({NONE, PENDING}), play)


# Provider keys.


def _provider_keys(
    ring: Callable[[Standin], KeyRing] = lambda service: service.publisher.ring,
    held: Callable[[Standin], bytes] = lambda service: service.publisher.ring.at(1).raw,
    **how: Any,
) -> Play:
    """Keys, wrapped for who holds ``held``; ``changes`` to the payload, ``keys`` that sign it, ``kind``."""

    def play(strike: Strike) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(strike.request.path).query).items()}
        wrapped = wrap_ring(ring(strike.service), held(strike.service), strike.service.publisher.provider, asked["nonce"])
        payload = {
            "provider": strike.service.publisher.provider, "nonce": asked["nonce"], "issued": time.time(),
            "have": int(asked["have"]), **wrapped, **how.get("changes", {}),
        }  # fmt: skip
        keys = how.get("keys", lambda service: service.publisher.keys.verdict)(strike.service)
        envelope = strike.service.seal(json.dumps(payload).encode(), how.get("kind", envelopes.PROVIDER_KEYS), keys)
        strike.reply(replace(strike.honest, body=envelope))

    return play


def _all_provider_keys(editions: Editions) -> Iterator[Wire]:
    foreign = KeyRing({1: editions.honest.ring.at(1), 2: ProviderKey.generate()})
    lies: dict[str, Play] = {
        "signed by a stranger": _provider_keys(lambda _: foreign, keys=_strangers(editions)),
        "signed by a retired key": _provider_keys(lambda _: foreign, keys=lambda service: [service.publisher.keys.retired]),
        "no signature": _provider_keys(lambda _: foreign, keys=lambda _: []),
        "for another provider": _provider_keys(changes={"provider": "other"}),
        "for another nonce": _provider_keys(changes={"nonce": "r" * 43}),
        "for another key": _provider_keys(changes={"have": 2}),
        "of yesterday": _provider_keys(changes={"issued": time.time() - DAY}),
        "of tomorrow": _provider_keys(changes={"issued": time.time() + DAY}),
        "sealed as a verdict": _provider_keys(kind=envelopes.VERDICT),
        "wrapped for somebody else": _provider_keys(held=lambda _: bytes(32)),
        "without a MAC": _provider_keys(changes={"mac": "00" * 32}),
        "that contradict ours": _provider_keys(lambda _: KeyRing({1: ProviderKey.generate(), 2: foreign.at(2)})),
        "in the open": _provider_keys(changes={"keys": foreign.text()}),
        "of ours only": _provider_keys(lambda _: KeyRing({2: foreign.at(1)}), changes={"mac": "11" * 32}),
    }
    for name, play in lies.items():
        yield Wire(f"provider keys: {name}", frozenset({FILTER, PENDING}), play)


@dataclass(frozen=True)
class Lies:
    """All of them, by endpoint. ``harmless`` are the editions among them that may come into force."""

    repository: tuple[Wire, ...]
    verdicts: tuple[Wire, ...]
    receipts: tuple[Wire, ...]
    provider_keys: tuple[Wire, ...]
    harmless: tuple[Files, ...]

    @classmethod
    def about(cls, editions: Editions) -> Lies:
        harmless = _with_useless_deltas(editions)
        useless = (Wire(name, frozenset({FILTER}), _from(files), insider=True) for name, files in harmless.items())
        return cls(
            (*_repository(editions), *useless),
            tuple(_verdicts(editions)),
            tuple(_all_receipts(editions)),
            tuple(_all_provider_keys(editions)),
            tuple(harmless.values()),
        )
