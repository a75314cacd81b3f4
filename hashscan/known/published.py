"""What the signed metadata says of lists and verdict keys (docs/wire.md, "Lists and filters"): a reader of JSON, no I/O.

Everything was signed, and is read with suspicion nevertheless: a name from outside is a path, a number is an amount of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from hashscan.errors import FilterError
from hashscan.known.chain import MAX_VERDICT_KEYS_BYTES, Verified
from hashscan.known.container import MAX_BODY_BYTES, list_ref
from hashscan.model import Delta, ListRef, Lists, PublishedFile, Target, VerdictKey
from hashscan.strict_json import Fields, StrictJsonError, parse_object

CUSTOM = "x-hashscan"
FORMAT = 1
MAX_LISTS = 32
MAX_DELTAS = 16  # of one list
MAX_TARGETS = 2048  # names in the targets, unknown kinds too
MAX_WITHDRAWN_BYTES = 16 * 2**20
MAX_VERDICT_KEYS = 8
MAX_WAIT = 86_400.0  # seconds: a service cannot keep its agents away for longer
_MOST_SAID = 120  # characters of a name that is wrong
MAX_LIFETIME = 7 * 86_400.0  # seconds between issued and expires; the service uses 48 hours


@dataclass
class _Found:
    """What the targets hold, sorted by kind."""

    filters: dict[ListRef, tuple[PublishedFile, float]] = field(default_factory=dict)
    deltas: dict[ListRef, list[Delta]] = field(default_factory=dict)
    withdrawn: dict[ListRef, PublishedFile] = field(default_factory=dict)


def lists_of(verified: Verified, proof: bytes, provider: str) -> Lists:
    """What is in force for ``provider``. Raises `FilterError` saying what is wrong, or whom the metadata is really for."""
    try:
        return _lists(verified, proof, provider)
    except StrictJsonError as error:
        raise FilterError(f"the list metadata cannot be used: {error}") from None


def _lists(verified: Verified, proof: bytes, provider: str) -> Lists:
    signed = Fields(verified.targets, "targets")
    terms = signed.object(CUSTOM)
    terms.integer("format", low=FORMAT, high=FORMAT)
    if terms.text("provider") != provider:
        raise StrictJsonError(f"it is for provider {terms.text('provider')!r}, we are {provider!r}")
    issued = Fields(verified.timestamp, "timestamp").object(CUSTOM).number("issued")
    if not issued < verified.expires <= issued + MAX_LIFETIME:
        raise StrictJsonError("it expires before it was issued, or too long after")
    return Lists(
        provider=provider,
        issued=issued,
        expires=verified.expires,
        sequence=verified.sequence,
        targets=_targets(signed.object("targets")),
        verdict_keys=_verdict_keys(verified.verdict_keys),
        proof=proof,
        wait=min(terms.number("wait"), MAX_WAIT),
        jitter=min(terms.number("jitter"), MAX_WAIT),
        root=verified.root,
        online=verified.online,
    )


def _targets(files: Fields) -> tuple[Target, ...]:
    """The newest filter of each list with what belongs to it, in the order of the list ids."""
    if len(files.names()) > MAX_TARGETS:
        raise StrictJsonError(f"it has more than {MAX_TARGETS} targets")
    found = _Found()
    for name in files.names():
        one = files.object(name)
        if one.is_null("custom"):
            continue
        custom = one.object("custom")
        if read := _KINDS.get(custom.text("kind")):
            read(found, name, one, custom)
    newest = {ref.id: ref for ref in sorted(found.filters)}
    if len(newest) > MAX_LISTS:
        raise StrictJsonError(f"it has more than {MAX_LISTS} lists")
    return tuple(_target(found, ref) for _, ref in sorted(newest.items()))


def _target(found: _Found, ref: ListRef) -> Target:
    file, created = found.filters[ref]
    same = ListRef(ref.id, 0, ref.epoch)
    deltas = sorted((one for one in found.deltas.get(same, ()) if one.new <= ref.version), key=lambda one: (one.new, one.old))
    if len(deltas) > MAX_DELTAS:
        raise StrictJsonError(f"the list {ref.id} has more than {MAX_DELTAS} deltas")
    return Target(list=ref, filter=file, created=created, deltas=tuple(deltas), withdrawn=found.withdrawn.get(ref))


def _filter(found: _Found, name: str, one: Fields, custom: Fields) -> None:
    ref = list_ref(custom, "list")
    file = _file(f"{ref.id}-{ref.version}-{ref.epoch}.filter", name, one, MAX_BODY_BYTES)
    found.filters[ref] = (file, custom.number("created"))


def _delta(found: _Found, name: str, one: Fields, custom: Fields) -> None:
    ref = list_ref(custom, "list")
    old = custom.integer("from", low=1, high=ref.version - 1)
    file = _file(f"{ref.id}-{old}-{ref.version}-{ref.epoch}.delta", name, one, MAX_BODY_BYTES)
    found.deltas.setdefault(ListRef(ref.id, 0, ref.epoch), []).append(Delta(file, old, ref.version))


def _withdrawn(found: _Found, name: str, one: Fields, custom: Fields) -> None:
    ref = list_ref(custom, "list")
    found.withdrawn[ref] = _file(f"{ref.id}-{ref.version}-{ref.epoch}.withdrawn", name, one, MAX_WITHDRAWN_BYTES)


_KINDS: dict[str, Callable[[_Found, str, Fields, Fields], None]] = {"filter": _filter, "delta": _delta, "withdrawn": _withdrawn}
"""Kinds that are not here are for other readers, or for later versions."""


def _file(expected: str, name: str, one: Fields, max_bytes: int) -> PublishedFile:
    """``expected`` is made of checked parts; the name in the metadata must be the same."""
    if name != expected:
        raise StrictJsonError(f"a target is called {name[:_MOST_SAID]!r} and should be called {expected!r}")
    return PublishedFile(
        name=expected,
        length=one.integer("length", low=1, high=max_bytes),
        sha256=one.object("hashes").hex("sha256", digits=64),
    )


def _verdict_keys(data: bytes) -> tuple[VerdictKey, ...]:
    document = Fields(parse_object(data, max_bytes=MAX_VERDICT_KEYS_BYTES, max_depth=4), "verdict-keys.json")
    document.integer("format", low=FORMAT, high=FORMAT)
    keys = tuple(_each_key(document))
    if not keys or len({key.public for key in keys}) != len(keys):
        raise StrictJsonError("verdict-keys.json names no key, or one twice")
    return keys


def _each_key(document: Fields) -> Iterator[VerdictKey]:
    for one in document.objects("keys", at_most=MAX_VERDICT_KEYS):
        since = one.number("since")
        until = None if one.is_null("until") else one.number("until", low=since)
        yield VerdictKey(one.hex("public", digits=64), since, until)
