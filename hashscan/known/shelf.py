"""The shelf: the signed metadata and the filters in force, on disk. After a crash at any point the old lists are in force.

::

    in-force.json              the proof of the metadata; replacing it is the moment when new lists come into force
    police-7-1.filter          the filters that it names (list, version, epoch)
    police-7-1.withdrawn       what these lists took back
    clock                      when a sync last succeeded (`known.clock`)
    tuf/                       what the trust works with
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from hashscan.atomic import fsync_directory, make_private_directory, replace_file, write_bytes
from hashscan.errors import FilterError
from hashscan.known import clock, memo
from hashscan.known.chain import MAX_PROOF_BYTES
from hashscan.known.keys import KeyRing
from hashscan.known.withdrawn import Withdrawal, Withdrawn, decode
from hashscan.model import ListRef, Lists, PublishedFile, Target

if TYPE_CHECKING:  # loaded late: status is asked every minute, and most often no filter has changed
    from hashscan.known.sieve import FilterInForce, FilterSieve
    from hashscan.ports import Trust

IN_FORCE = "in-force.json"
CLOCK = "clock"
_OURS = frozenset({".filter", ".withdrawn", ".new"})  # what may be removed by its ending
_SYNC = "run 'hashscan sync'"
_PIECE = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class ShelfView:
    """What is on the shelf and how old it is at ``now``: ages in seconds, counted from the signing of the metadata."""

    lists: Lists
    age: float
    stale: bool


def file_digest(stream: BinaryIO, length: int) -> str:
    """SHA-256 (hex) of a file of exactly ``length`` bytes, else "". Raises OSError."""
    hasher, got = hashlib.sha256(), 0
    while got <= length and (piece := stream.read(_PIECE)):
        got += len(piece)
        hasher.update(piece)
    return hasher.hexdigest() if got == length else ""


def check_file(data: bytes, file: PublishedFile) -> bytes:
    """``data``, where it is the very file that the signed metadata describes. Raises `FilterError`."""
    if len(data) != file.length or hashlib.sha256(data).hexdigest() != file.sha256:
        raise FilterError(f"{file.name} is not the file that the signed metadata describes")
    return data


def gather(file: PublishedFile, pieces: Iterable[bytes]) -> bytes:
    """A published file in memory, checked; never more than one piece longer than it may be. Raises `FilterError`."""
    data = bytearray()
    for piece in pieces:
        data += piece
        if len(data) > file.length:
            raise FilterError(f"{file.name} is longer than the {file.length} bytes that the metadata states")
    return check_file(bytes(data), file)


class Shelf:
    """The folder with the lists in force. Raises `FilterError` for what is missing or not to be trusted.

    ``remembered`` is the folder where `check_all` remembers what it checked; None: nothing is remembered.
    """

    def __init__(self, folder: Path, trust: Trust, ring: KeyRing, remembered: Path | None = None) -> None:
        self._folder = folder
        self._trust = trust
        self.ring = ring
        self._remembered = remembered

    def with_ring(self, ring: KeyRing) -> Shelf:
        """The same shelf with other keys."""
        return Shelf(self._folder, self._trust, ring, self._remembered)

    @property
    def clock_file(self) -> Path:
        """Where the time is remembered."""
        return self._folder / CLOCK

    @property
    def clock(self) -> clock.Seen:
        """What is known of the time, from the metadata in force and the last sync."""
        return clock.seen(clock.read_last_sync(self.clock_file), self.lists())

    def lists(self) -> Lists | None:
        """The metadata in force, verified again; None on a fresh shelf."""
        path = self._folder / IN_FORCE
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_PROOF_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FilterError(f"cannot read {path}: {error.strerror}") from None
        try:
            return self._trust.reopen(data)
        except FilterError as error:
            raise FilterError(f"{path}: {error}", hint=error.hint or f"remove it and {_SYNC}") from None

    def view(self, now: float, *, max_age: float) -> ShelfView:
        """What is in force. Raises `FilterError` where nothing is, or where it is older than ``max_age`` seconds."""
        seen = self.look(now)
        if seen.age > max_age:
            raise FilterError(
                f"the lists in force are {seen.age / 86_400:.1f} days old, more than the {max_age / 86_400:.1f} days allowed",
                hint=f"{_SYNC}; the limit is lists.max_age in the configuration",
            )
        return seen

    def look(self, now: float) -> ShelfView:
        """What is in force, however old. Raises `FilterError` where nothing is."""
        lists = self.lists()
        if lists is None or not lists.targets:
            raise FilterError("there is no hash list on this host yet", hint=_SYNC)
        return ShelfView(lists, now - lists.issued, stale=now > lists.expires)

    def holds(self, target: Target) -> bool:
        """Whether a usable filter for ``target`` is there: one that was damaged on this disk must be fetched again."""
        try:
            self._open_verified(target)
        except FilterError:
            return False
        return True

    def check_held(self, target: Target) -> None:
        """Raises `FilterError` saying why the filter of ``target`` or its withdrawn entries cannot be used."""
        self._open_verified(target)
        self._withdrawn(target)

    def check_all(self, lists: Lists) -> None:
        """`check_held` for each of them; where something is remembered, a filter is read only when it has changed since."""
        names = {target: self._name(target) for target in lists.targets}
        known = memo.recall_checked(self._remembered) if self._remembered else frozenset()
        for target, name in names.items():
            if name not in known:
                self._open_verified(target)
            self._withdrawn(target)
        if self._remembered and known != frozenset(names.values()):
            memo.keep_checked(self._remembered, [name for name in names.values() if name])

    def _name(self, target: Target) -> str:
        """What the filter of ``target`` is remembered by, as it is now; "" where it is not there."""
        filter_key = self.ring.filter_key(target.list.id, target.list.epoch)
        try:
            return memo.name_of_filter(self._folder / target.filter.name, target.filter.sha256, filter_key)
        except OSError:
            return ""

    def put(self, target: Target, pieces: Iterable[bytes]) -> None:
        """Store a filter: written beside, length and digest checked, opened as a scan would, then put in place.

        Raises `FilterError` (not what the metadata promises), OSError (disk full). What was there stays until then.
        """
        file = target.filter
        make_private_directory(self._folder)
        with replace_file(self._folder / file.name) as stream:
            hasher, length = hashlib.sha256(), 0
            for piece in pieces:
                length += len(piece)
                if length > file.length:
                    raise FilterError(f"{file.name} is longer than the {file.length} bytes that the metadata states")
                hasher.update(piece)
                stream.write(piece)
            if length != file.length or hasher.hexdigest() != file.sha256:
                raise FilterError(f"{file.name} is not the file that the signed metadata describes")
            stream.flush()
            from hashscan.known.bloom import check_order  # noqa: PLC0415

            check_order(self._open(target, Path(stream.name)).filter, file.name)

    def patch(self, held: Target, target: Target, deltas: Sequence[bytes]) -> None:
        """Make the filter of ``target`` of that of ``held`` and the contents of a chain of deltas, and store it as `put` does.

        What is between is in memory, twice the filter at most. Raises as `put`; then a full fetch is due.
        """
        from hashscan.known import delta  # noqa: PLC0415 - only a sync patches, and status is asked every minute

        path = self._folder / held.filter.name
        self._check(held.filter)
        try:
            with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as here:
                made = bytes(here)
        except (OSError, ValueError) as error:
            raise FilterError(f"cannot read the filter {path}: {error}", hint=_SYNC) from None
        for one in deltas:
            made = delta.apply(made, one)
        self.put(target, [made])

    def put_withdrawn(self, target: Target, pieces: Iterable[bytes]) -> None:
        """Store what the list of ``target`` took back, checked and read as it will be used. Raises `FilterError`, OSError."""
        if target.withdrawn is None:
            return
        data = gather(target.withdrawn, pieces)
        decode(data, target.list)
        make_private_directory(self._folder)
        write_bytes(self._folder / target.withdrawn.name, data)

    def holds_withdrawn(self, target: Target) -> bool:
        """Whether the withdrawn entries of ``target`` are there, or there are none."""
        try:
            self._withdrawn(target)
        except FilterError:
            return False
        return True

    def sweep(self) -> None:
        """Remove what a killed sync left half written, before the next needs the room. Raises OSError."""
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.suffix == ".new" and path.name.startswith("."):
                    path.unlink(missing_ok=True)

    def bring_into_force(self, lists: Lists, now: float) -> None:
        """Make ``lists`` the metadata in force and remember ``now``, then drop what neither it nor its predecessor names.

        A scan that has read the old metadata just now still finds its files. Raises `FilterError`, OSError.
        """
        for target in lists.targets:
            self.check_held(target)
        before = self.lists()
        make_private_directory(self._folder)
        write_bytes(self._folder / IN_FORCE, lists.proof)
        clock.write_last_sync(self.clock_file, now)
        targets = [target for one in (before, lists) if one is not None for target in one.targets]
        keep = {file.name for target in targets for file in (target.filter, target.withdrawn) if file is not None}
        for path in self._folder.iterdir():
            if path.suffix in _OURS and path.name not in keep:
                path.unlink(missing_ok=True)
        fsync_directory(self._folder)

    def sieve(self, lists: Lists, *, by_size: bool = True) -> FilterSieve:
        """All filters in force, opened and checked; ``by_size`` as in `FilterSieve`. Raises `FilterError`."""
        from hashscan.known.sieve import FilterSieve  # noqa: PLC0415

        return FilterSieve([self._open_verified(target) for target in lists.targets], by_size=by_size)

    def withdrawn(self, lists: Lists) -> Withdrawn:
        """What the lists in force took back. Raises `FilterError`."""
        rows: dict[ListRef, tuple[Withdrawal, ...]] = {target.list: self._withdrawn(target) for target in lists.targets}
        return Withdrawn(rows, self.ring)

    def _withdrawn(self, target: Target) -> tuple[Withdrawal, ...]:
        if target.withdrawn is None:
            return ()
        path = self._folder / target.withdrawn.name
        try:
            with path.open("rb") as stream:
                data = stream.read(target.withdrawn.length + 1)
        except OSError as error:
            raise FilterError(f"cannot read {path}: {error.strerror}", hint=_SYNC) from None
        return decode(check_file(data, target.withdrawn), target.list)

    def _check(self, file: PublishedFile) -> Path:
        """The path of a stored file, if it is the very one of the signed metadata; what it says of itself proves nothing."""
        path = self._folder / file.name
        try:
            with path.open("rb") as stream:
                right = file_digest(stream, file.length) == file.sha256
        except OSError as error:
            raise FilterError(f"cannot read the filter {path}: {error.strerror}", hint=_SYNC) from None
        if not right:
            raise FilterError(f"the filter {path} is not the one that the signed metadata describes", hint=_SYNC)
        return path

    def _open_verified(self, target: Target) -> FilterInForce:
        return self._open(target, self._check(target.filter))

    def _open(self, target: Target, path: Path) -> FilterInForce:
        filter_key = self.ring.filter_key(target.list.id, target.list.epoch)
        from hashscan.known.bloom import open_filter  # noqa: PLC0415
        from hashscan.known.sieve import FilterInForce  # noqa: PLC0415

        opened = open_filter(path, target.list, filter_key)
        return FilterInForce(target.list, opened, filter_key, opened.header.algorithms, opened.header.also)
