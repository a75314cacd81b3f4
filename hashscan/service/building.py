"""The files of one list for one provider: filter, delta, withdrawn tokens. No database: forked processes do it.

What goes out was opened and asked as an agent would. A file that a broken-off publication has left is taken again where a note
beside it (``.draft``) says that it was made of the same things.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from blake3 import blake3

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import FilterError
from hashscan.known import bloom, delta
from hashscan.known.container import FilterHeader
from hashscan.known.keys import token
from hashscan.known.sizes import encode_sizes, extend_sizes
from hashscan.model import Algorithm, ListRef
from hashscan.service.contents import Change, Content
from hashscan.service.planning import Before, Wanted, why_anew
from hashscan.service.withdrawals import Told, file_of

_TRIES = 4
_BEAT_TOKENS = 20_000
_EXTENDED = ""  # the reason why a filter was not built from nothing


@dataclass(frozen=True, slots=True)
class Subject:
    """What the filters of one list are made of, the same for all providers.

    ``change`` leads from the content that was published last, ``lingering`` says with which version a digest left. ``anew``:
    build all from nothing.
    """

    content: Content
    change: Change | None
    told: Told
    lingering: Mapping[tuple[Algorithm, bytes], int]
    anew: bool


@dataclass(frozen=True, slots=True)
class Order:
    """Whose filter, of which version and epoch, with which key, in which folder, after which."""

    list: ListRef
    provider: str
    folder: Path
    before: Before | None
    wanted: Wanted
    key: bytes = field(repr=False)

    @property
    def path(self) -> Path:
        """The filter."""
        return self.folder / f"{self.list.id}-{self.list.version}-{self.list.epoch}.filter"

    def id(self, subject: Subject) -> str:
        """A digest of everything that the files are made of, the time aside."""
        made_of = (self.list, self.provider, self.before, self.wanted.content, self.wanted.withdrawn, self.wanted.error_rate)
        return blake3(repr((made_of, self.wanted.limits, subject.anew)).encode(), key=self.key).hexdigest()


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file that is there now, with its length in bytes. ``old``: of a delta the version that it leads from, else 0."""

    name: str
    length: int
    sha256: str
    old: int = 0


@dataclass(frozen=True, slots=True)
class Made:
    """What was made. ``tokens`` are the filter's, canaries counted; ``why`` from nothing, empty where it was added to."""

    filter: MadeFile
    tokens: int
    base: int
    why: str
    delta: MadeFile | None
    withdrawn: MadeFile | None
    seconds: float


def make(subject: Subject, order: Order, beat: Callable[[], None]) -> Made:
    """Write the files of ``order``, or find them. ``beat`` is called now and then. Raises `FilterError`, OSError.

    Two filters in memory.
    """
    note = order.path.with_suffix(".draft")
    if (found := _draft(note, order, order.id(subject))) is not None:
        return found
    started = time.monotonic()
    make_private_directory(order.folder)
    old = _read(order)
    data, tokens, why = _filter(subject, order, old, beat)
    ref, before = order.list, order.before
    change = delta.make(old, data) if old is not None and before is not None else None
    stem = f"{ref.id}-{ref.version}-{ref.epoch}"
    made = Made(
        MadeFile(order.path.name, len(data), hashlib.sha256(data).hexdigest()),
        tokens,
        before.base if before is not None and why == _EXTENDED else ref.version,
        why,
        _beside(order.folder / f"{ref.id}-{before.version}-{ref.version}-{ref.epoch}.delta", change, before.version)
        if change is not None and before is not None
        else None,
        _beside(order.folder / f"{stem}.withdrawn", file_of(subject.told, ref, order.key)) if subject.told.rows else None,
        time.monotonic() - started,
    )
    if tokens > order.wanted.limits.quick:  # what takes a moment is made again
        _note(note, {"id": order.id(subject), "made": asdict(made)})
    return made


def _note(path: Path, said: Mapping[str, object]) -> None:
    """Not made durable: torn or gone, it costs time."""
    with open(path, "w", opener=partial(os.open, mode=0o600)) as stream:
        json.dump(said, stream)


def _beside(path: Path, data: bytes, old: int = 0) -> MadeFile:
    write_bytes(path, data)
    return MadeFile(path.name, len(data), hashlib.sha256(data).hexdigest(), old)


def _draft(note: Path, order: Order, order_id: str) -> Made | None:
    """What an earlier attempt has left, if it was of the same things and is whole. A note is never believed about a file."""
    try:
        said = json.loads(note.read_bytes())
        made = said["made"]
        files = {key: MadeFile(**made[key]) if made[key] else None for key in ("filter", "delta", "withdrawn")}
        whole = all(_holds(order.folder / one.name, one.sha256) for one in files.values() if one)
        return Made(**{**made, **files}) if whole and said["id"] == order_id else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _holds(path: Path, sha256: str) -> bool:
    return hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _read(order: Order) -> bytes | None:
    """The filter before, where a delta could lead from it; None where it is gone (a folder restored without it) or damaged."""
    before = order.before
    if before is None or before.epoch != order.list.epoch:
        return None
    try:
        data = (order.folder / before.file_name).read_bytes()
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest() == before.sha256 else None


def _filter(subject: Subject, order: Order, old: bytes | None, beat: Callable[[], None]) -> tuple[bytes, int, str]:
    """Write the filter; its bytes, the number of its tokens, and why it was built from nothing."""
    before, change = order.before, subject.change
    added = _really_added(subject, order, old)
    capacity = delta.capacity_of(old) if old is not None else None
    known = change.before if change is not None else ""
    why = "asked for" if subject.anew else why_anew(before, order.wanted, known, added=len(added), capacity=capacity)
    if not why and old is not None and change is not None:
        try:
            return (*_extended(subject, order, old, added), _EXTENDED)
        except FilterError:
            why = "with the change it would be refused"  # by chance, see `write_checked`
    return (*_built(subject, order, capacity, beat), why)


def _really_added(subject: Subject, order: Order, old: bytes | None) -> list[str]:
    """Tokens that the filter before does not hold yet. What came back may linger there: the bits are asked, nothing else."""
    if subject.change is None or order.before is None or old is None:
        return []
    back = {one for one in subject.change.added if one in subject.lingering}
    added = [token(order.key, *one) for one in subject.change.added if one not in back]
    return added + bloom.missing(old, [token(order.key, *one) for one in back])


def _built(subject: Subject, order: Order, before: int | None, beat: Callable[[], None]) -> tuple[bytes, int]:
    """A filter of everything, as large as the one before as long as that fits, so that a delta is small."""
    content = subject.content
    sizes = b"" if content.sizes is None else encode_sizes(order.key, content.sizes.cast("Q"))

    def once(capacity: int) -> bytes:
        rate, tokens = order.wanted.error_rate, _tokens(content, order.key, beat)
        return bloom.build(_header(content, order), order.key, tokens, capacity=capacity, error_rate=rate, sizes=sizes)

    return write_checked(order, once, delta.stable_capacity(content.tokens, before))


def _tokens(content: Content, key: bytes, beat: Callable[[], None]) -> Iterator[str]:
    for count, one in enumerate(content.each()):
        if count % _BEAT_TOKENS == 0:
            beat()
        yield token(key, *one)


def _extended(subject: Subject, order: Order, old: bytes, added: list[str]) -> tuple[bytes, int]:
    """The filter before with the tokens that are new. Raises `FilterError`."""
    sizes = _sizes(subject, order, old)
    data = bloom.extend(_header(subject.content, order), old, added, sizes=sizes)
    return write_checked(order, lambda _: data, 0, tries=1)


def _sizes(subject: Subject, order: Order, old: bytes) -> bytes:
    """Sizes that no entry has any more linger too: a file more is read, and nothing is missed."""
    content, change = subject.content, subject.change
    if content.sizes is None:
        return b""
    section = bloom.sizes_of(old)
    if not section or change is None:
        return encode_sizes(order.key, content.sizes.cast("Q"))
    return extend_sizes(section, order.key, change.sizes)


def _header(content: Content, order: Order) -> bloom.HeaderMaker:
    def header(tokens: int, body_length: int, body_blake3: str) -> FilterHeader:
        return FilterHeader(
            list=order.list,
            provider=order.provider,
            algorithms=content.algorithms,
            also=content.also,
            created=time.time(),
            entries=content.entries,
            tokens=tokens,
            error_rate=order.wanted.error_rate,
            body_length=body_length,
            body_blake3=body_blake3,
        )

    return header


def write_checked(order: Order, build: Callable[[int], bytes], capacity: int, *, tries: int = _TRIES) -> tuple[bytes, int]:
    """Write a filter that an agent will accept; return its bytes and the number of its tokens.

    At 1e-6 one filter in some 30,000 contains a trivial file or a random token by chance, and agents would refuse it. Another
    capacity moves all bits. What fails ``tries`` times does not fail by chance.
    """
    for attempt in range(tries):
        data = build(capacity + attempt * (capacity // 100 + 1))
        write_bytes(order.path, data)
        try:
            opened = bloom.open_filter(order.path, order.list, order.key)
            bloom.check_order(opened, order.path.name)
            return data, len(opened)
        except FilterError:
            order.path.unlink()
            if attempt == tries - 1:
                raise
    raise AssertionError("unreachable")
