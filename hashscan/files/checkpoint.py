"""What is left of a scan, in a file, so that another process can go on with it.

The promise, at every moment and after any kill: a path is counted in the totals of the file, or it will be met from the
stacks of the file; never neither, never both. What was yielded, and followed by a call for more, before the file was written
is not scanned again; what came later may be. So a caller that makes candidates durable before it asks for more loses none.

Format 1 (docs/formats.md): a line that says so, a line of JSON, the roots, the stacks, and BLAKE3 over everything before.
Directories are known again by their inodes: device numbers may be others after the machine was started anew.
"""

from __future__ import annotations

import json
import os
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from hashscan.atomic import fsync_directory, write_bytes
from hashscan.errors import StateError
from hashscan.files.walk import ANY_DEVICE, Kind, Packed, WalkOptions
from hashscan.model import Algorithm, Reason, Sifted
from hashscan.strict_json import Fields, parse_object

MAX_BYTES = 256 << 20  # of a checkpoint; names of some ten million directories that wait
SECONDS = 30.0  # between two of them
_MAGIC = b"hashscan.checkpoint/1\n"
_MAX_HEADER = 64 << 10  # bytes
_CHECK = 32  # bytes of BLAKE3
_COUNT = struct.Struct("=I")
_FRAME = struct.Struct("=BiIQI")  # kind, root, bytes of the path, inode, bytes of the names
_TOTALS = ("directories", "seen", "scanned", "cached", "by_size", "bytes_hashed")


@dataclass(slots=True)
class Totals:
    """The counts of all stretches so far."""

    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[Reason] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, one: Sifted) -> None:
        """Count one stretch."""
        for name in _TOTALS:
            self.counts[name] += getattr(one, name)
        self.skipped.update(one.skipped)
        self.errors.update(one.errors)

    def sifted(self) -> Sifted:
        """As one stretch, without notes and candidates."""
        return _stretch(self.counts.__getitem__, dict(self.skipped), dict(self.errors))


def _stretch(count: Callable[[str], int], skipped: Mapping[Reason, int], errors: Mapping[str, int]) -> Sifted:
    return Sifted(
        directories=count("directories"),
        seen=count("seen"),
        scanned=count("scanned"),
        cached=count("cached"),
        by_size=count("by_size"),
        bytes_hashed=count("bytes_hashed"),
        skipped=skipped,
        errors=errors,
    )


@dataclass(frozen=True, slots=True)
class Saved:
    """A scan that was not finished: its roots as they were given, what it was asked for (`fingerprint`), when it began (seconds
    since 1970), what it had counted, and what was left."""

    roots: tuple[bytes, ...]
    fingerprint: str
    started: float
    totals: Sifted
    stacks: tuple[tuple[Packed, ...], ...]


class Checkpoint:
    """Where the checkpoints of a scan go, and how often.

    ``purpose`` is part of what a resumed scan must agree with. ``already`` was counted before the walk began.
    """

    def __init__(self, path: Path, *, purpose: str = "", seconds: float = SECONDS, already: Sifted | None = None) -> None:
        self.path, self.purpose, self.seconds, self.already = path, purpose, seconds, already or Sifted()

    def load(self) -> Saved | None:
        """The last one, if there is one. Raises `StateError` where it is damaged or not ours."""
        try:
            with open(
                self.path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
            ) as stream:
                data = stream.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"cannot read {self.path}: {error.strerror}") from error
        try:
            return decode(data)
        except ValueError as error:
            raise StateError(f"{self.path} is damaged: {error}", hint="scan without --resume") from error

    def save(self, saved: Saved) -> bool:
        """Replace the last one in one step; false where too much is left for one: the last one stays. Raises `StateError`."""
        data = encode(saved)
        if len(data) > MAX_BYTES:
            return False
        try:
            write_bytes(self.path, data)
        except OSError as error:
            raise StateError(f"cannot write {self.path}: {error.strerror}") from error
        return True

    def remove(self) -> None:
        """The scan is complete. Raises `StateError`."""
        try:
            self.path.unlink(missing_ok=True)
            fsync_directory(self.path.parent)
        except OSError as error:
            raise StateError(f"cannot remove {self.path}: {error.strerror}") from error


class ScanKeeper:
    """The `flow.Keeper` of one scan. Count a stretch with ``totals.add`` once the caller has asked for the next one."""

    def __init__(self, checkpoint: Checkpoint, roots: Sequence[bytes], fingerprint: str, resumed: Saved | None) -> None:
        self._checkpoint, self._roots, self._fingerprint = checkpoint, tuple(roots), fingerprint
        self._started = resumed.started if resumed else time.time()
        self._next = time.monotonic() + checkpoint.seconds
        self.totals = Totals()
        self.totals.add(resumed.totals if resumed else checkpoint.already)

    def due(self) -> bool:
        """Whether the last one is old enough."""
        return time.monotonic() >= self._next

    def keep(self, stacks: Sequence[Sequence[Packed]]) -> None:
        """Write a checkpoint. Raises `StateError`."""
        left = tuple(tuple(stack) for stack in stacks)
        self._checkpoint.save(Saved(self._roots, self._fingerprint, self._started, self.totals.sifted(), left))
        self._next = time.monotonic() + self._checkpoint.seconds


def encode(saved: Saved) -> bytes:
    """The bytes of a checkpoint."""
    header = {
        "fingerprint": saved.fingerprint,
        "started": saved.started,
        "totals": {name: getattr(saved.totals, name) for name in _TOTALS},
        "skipped": {str(reason): count for reason, count in saved.totals.skipped.items()},
        "errors": dict(saved.totals.errors),
    }
    parts = [_MAGIC, json.dumps(header).encode("ascii"), b"\n", _COUNT.pack(len(saved.roots))]
    for root in saved.roots:
        parts += (_COUNT.pack(len(root)), root)
    parts.append(_COUNT.pack(len(saved.stacks)))
    for stack in saved.stacks:
        parts.append(_COUNT.pack(len(stack)))
        for kind, root_index, path, _device, inode, names in stack:
            parts += (_FRAME.pack(kind, root_index, len(path), inode, len(names)), path, names)
    body = b"".join(parts)
    return body + blake3(body).digest()


def decode(data: bytes) -> Saved:
    """The inverse. Raises ValueError: not a whole checkpoint of this format."""
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    body = data[:-_CHECK]
    if not body.startswith(_MAGIC) or blake3(body).digest() != data[-_CHECK:]:
        raise ValueError("the checksum does not fit, or it is of another version")
    line_end = body.index(b"\n", len(_MAGIC), len(_MAGIC) + _MAX_HEADER)
    header = Fields(parse_object(body[len(_MAGIC) : line_end], max_bytes=_MAX_HEADER), "its header")
    cursor = _Cursor(body, line_end + 1)
    roots = tuple(cursor.take(cursor.count()) for _ in range(cursor.count()))
    stacks = tuple(tuple(_frame(cursor, len(roots)) for _ in range(cursor.count())) for _ in range(cursor.count()))
    if not cursor.at_end:
        raise ValueError("something follows the last stack")
    counts, skipped, errors = (header.object(name) for name in ("totals", "skipped", "errors"))
    totals = _stretch(
        counts.integer,
        {Reason(name): skipped.integer(name) for name in skipped.names()},
        {name: errors.integer(name) for name in errors.names()},
    )
    return Saved(roots, header.hex("fingerprint", digits=64), header.number("started"), totals, stacks)


def fingerprint_of(options: WalkOptions, algorithms: Sequence[Algorithm], roots: Sequence[bytes], purpose: str) -> str:
    """What a scan and its continuation must agree in, as 64 hex digits: which paths are visited and which digests are made.

    The lists themselves are not in it: they change every night.
    """
    asked = [
        purpose,
        options.max_file_bytes,
        options.exclude.fingerprint if options.exclude else "",
        [options.shard.index, options.shard.count] if options.shard else [],
        sorted(name.hex() for name in options.own_names),
        [str(one) for one in algorithms],
        [root.hex() for root in roots],
    ]
    return blake3(json.dumps(asked).encode("ascii")).hexdigest()


@dataclass(slots=True)
class _Cursor:
    """Where one is in the bytes. Raises ValueError beyond their end."""

    data: bytes
    at: int

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.at:
            raise ValueError("it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def count(self) -> int:
        (count,) = _COUNT.unpack(self.take(_COUNT.size))
        return int(count)

    @property
    def at_end(self) -> bool:
        return self.at == len(self.data)


def _frame(cursor: _Cursor, roots: int) -> Packed:
    kind, root, path_size, inode, names_size = _FRAME.unpack(cursor.take(_FRAME.size))
    path, names = cursor.take(path_size), cursor.take(names_size)
    if not -1 <= root < roots or (root < 0) != (Kind(kind) is Kind.ROOTS) or not names:
        raise ValueError("a frame that says nothing")
    return kind, root, path, 0 if root < 0 else ANY_DEVICE, inode, names
