"""The shelf: the signed metadata and the filters in force, on disk. After a crash at any point the old lists are in force.

::

    lists.json                 the signed envelope; replacing it is the moment when new lists come into force
    police-7-1.filter          the filters that it names (list, version, epoch)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from hashscan.atomic import fsync_directory, make_private_directory, replace_file, write_bytes
from hashscan.errors import FilterError
from hashscan.known.bloom import check_order, open_filter
from hashscan.known.keys import ProviderKey
from hashscan.known.sieve import FilterInForce, FilterSieve
from hashscan.known.trust import LISTS_NAME, MAX_LISTS_BYTES
from hashscan.ports import Lists, Target, Trust

_SYNC = "run 'hashscan sync'"
_PIECE = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class ShelfView:
    """What is on the shelf and how old it is at ``now``: ages in seconds, counted from the signing of the metadata."""

    lists: Lists
    age: float
    stale: bool


def file_digest(stream: BinaryIO, length: int) -> str:
    """BLAKE3 (hex) of a file of exactly ``length`` bytes, else ""; 2 ms for the 5 MB of 1.4 M entries. Raises OSError."""
    hasher, got = blake3(), 0
    while got <= length and (piece := stream.read(_PIECE)):
        got += len(piece)
        hasher.update(piece)
    return hasher.hexdigest() if got == length else ""


class Shelf:
    """The folder with the lists in force. Raises `FilterError` for what is missing or not to be trusted."""

    def __init__(self, folder: Path, trust: Trust, key: ProviderKey) -> None:
        self._folder = folder
        self._trust = trust
        self._key = key

    def lists(self) -> Lists | None:
        """The metadata in force, verified again; None on a fresh shelf."""
        path = self._folder / LISTS_NAME
        try:
            with path.open("rb") as stream:
                data = stream.read(MAX_LISTS_BYTES + 1)
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
        lists = self.lists()
        if lists is None or not lists.targets:
            raise FilterError("there is no hash list on this host yet", hint=_SYNC)
        age = now - lists.issued
        if age > max_age:
            raise FilterError(
                f"the lists in force are {age / 86_400:.1f} days old, more than the {max_age / 86_400:.1f} days allowed",
                hint=f"{_SYNC}; the limit is lists.max_age in the configuration",
            )
        return ShelfView(lists, age, stale=now > lists.expires)

    def holds(self, target: Target) -> bool:
        """Whether a usable filter for ``target`` is there: one that was damaged on this disk must be fetched again."""
        path = self._folder / target.name
        try:
            self._open_verified(target, path)
        except FilterError:
            return False
        return True

    def put(self, target: Target, pieces: Iterable[bytes]) -> None:
        """Store a filter: written beside, length and digest checked, opened as a scan would, then put in place.

        Raises `FilterError` (not what the metadata promises), OSError (disk full). What was there stays until then.
        """
        make_private_directory(self._folder)
        path = self._folder / target.name
        with replace_file(path) as stream:
            hasher, length = blake3(), 0
            for piece in pieces:
                length += len(piece)
                if length > target.length:
                    raise FilterError(f"{target.name} is longer than the {target.length} bytes that the metadata states")
                hasher.update(piece)
                stream.write(piece)
            if length != target.length or hasher.hexdigest() != target.blake3:
                raise FilterError(f"{target.name} is not the file that the signed metadata describes")
            stream.flush()
            check_order(self._open(target, Path(stream.name)).filter, target.name)

    def bring_into_force(self, lists: Lists) -> None:
        """Make ``lists`` the metadata in force, then drop filters that neither it nor its predecessor names.

        A scan that has read the old metadata just now still finds its filters. Raises `FilterError`.
        """
        for target in lists.targets:
            if not self.holds(target):
                raise FilterError(f"the filter {target.name} is missing", hint=_SYNC)
        before = self.lists()
        make_private_directory(self._folder)
        write_bytes(self._folder / LISTS_NAME, lists.envelope)
        keep = {target.name for one in (before, lists) if one is not None for target in one.targets}
        for path in self._folder.iterdir():
            if path.suffix in {".filter", ".new"} and path.name not in keep:
                path.unlink(missing_ok=True)
        fsync_directory(self._folder)

    def sieve(self, lists: Lists, *, by_size: bool = True) -> FilterSieve:
        """All filters in force, opened and checked; ``by_size`` as in `FilterSieve`. Raises `FilterError`."""
        opened = [self._open_verified(target, self._folder / target.name) for target in lists.targets]
        return FilterSieve(opened, by_size=by_size)

    def _open_verified(self, target: Target, path: Path) -> FilterInForce:
        """The filter, if its file is the very one that the signed metadata describes; what it says of itself proves nothing."""
        try:
            with path.open("rb") as stream:
                right = file_digest(stream, target.length) == target.blake3
        except OSError as error:
            raise FilterError(f"cannot read the filter {path}: {error.strerror}", hint=_SYNC) from None
        if not right:
            raise FilterError(f"the filter {path} is not the one that the signed metadata describes", hint=_SYNC)
        return self._open(target, path)

    def _open(self, target: Target, path: Path) -> FilterInForce:
        filter_key = self._key.filter_key(target.list.id, target.list.epoch)
        opened = open_filter(path, target.list, filter_key)
        return FilterInForce(target.list, opened, filter_key, opened.header.algorithms)
