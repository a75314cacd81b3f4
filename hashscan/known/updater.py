"""The gate of `tuf.ngclient`: brings the metadata of a repository into a folder by the workflow of The Update Framework.

Source: https://theupdateframework.github.io/specification/latest/#detailed-client-workflow (5.3 root to 5.6 targets), whose
rules python-tuf keeps; its own public conformance suite drives this module (tests/conformance). Ours are: strict JSON
before it sees a byte, limits, a private and durable folder, the pinned root given anew each time, and plain errors.

Slow to import (25 ms, it brings urllib3): only a refresh loads it.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree

from tuf.api.exceptions import DownloadHTTPError, RepositoryError
from tuf.api.metadata import TargetFile
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from hashscan.atomic import fsync_directory, make_private_directory
from hashscan.errors import FilterError, NotPublishedError
from hashscan.known.chain import (
    MAX_METADATA_DEPTH,
    MAX_ROOT_BYTES,
    MAX_ROTATIONS,
    MAX_SNAPSHOT_BYTES,
    MAX_TARGETS_BYTES,
    MAX_TIMESTAMP_BYTES,
    Chain,
)
from hashscan.known.refusals import refusing
from hashscan.ports import Fetcher
from hashscan.strict_json import StrictJsonError, parse_object

ROOTS = "root_history"
_ROOT_NAME = re.compile(r"[1-9][0-9]{0,8}\.root\.json")
_OTHERS = {"timestamp.json": MAX_TIMESTAMP_BYTES, "snapshot.json": MAX_SNAPSHOT_BYTES}
_MAX_NAMES = 512  # entries of the folder that are looked at; more is damage, and all of it goes


@dataclass(frozen=True, slots=True)
class Layout:
    """How a repository is made. Ours has no delegated roles, no digests in names, and everything in one place; others may.

    ``delegations`` is how many delegated roles are followed; ``targets`` stands before the names of target files.
    """

    delegations: int = 0
    digest_in_names: bool = False
    targets: str = ""


OURS = Layout()


def refresh(
    fetcher: Fetcher, folder: Path, root: bytes, *, clock: Callable[[], float] = time.time, layout: Layout = OURS
) -> Refreshed:
    """Bring the metadata in ``folder`` up to date, trusting what ``root`` leads to; ``clock`` is seconds since 1970.

    The folder belongs to this module. What is damaged in it is thrown away and fetched again; afterwards it holds
    ``root.json`` (a link into ``root_history``), ``timestamp.json``, ``snapshot.json`` and ``targets.json``, durable.
    Raises `FilterError` naming the broken rule, what ``fetcher`` raises, and OSError of the folder.
    """
    _tidy(folder)
    bridge = _Bridge(fetcher)
    try:
        with refusing(lambda: bridge.name):
            updater = _updater(folder, root, bridge, layout)
            # The one way to give it our clock: by itself it asks the operating system once, when it is made.
            updater._trusted_set.reference_time = datetime.fromtimestamp(clock(), UTC)  # noqa: SLF001
            updater.refresh()
    finally:
        _make_durable(folder)
    return Refreshed(updater, folder, root, bridge, layout)


def _updater(folder: Path, root: bytes, bridge: _Bridge, layout: Layout) -> Updater:
    config = UpdaterConfig(
        max_root_rotations=MAX_ROTATIONS,
        max_delegations=layout.delegations,
        root_max_length=MAX_ROOT_BYTES,
        timestamp_max_length=MAX_TIMESTAMP_BYTES,
        snapshot_max_length=MAX_SNAPSHOT_BYTES,
        targets_max_length=MAX_TARGETS_BYTES,
        prefix_targets_with_hash=layout.digest_in_names,
    )
    _strict(root, MAX_ROOT_BYTES)
    return Updater(str(folder), "", fetcher=bridge, config=config, bootstrap=root)


def seed(folder: Path, chain: Chain | None) -> None:
    """Make ``chain`` what the next `refresh` in ``folder`` compares with; with None it compares with nothing. Raises OSError.

    The roots that are there stay: each is verified again from the pinned one on.
    """
    _tidy(folder)
    files = {"timestamp": b"", "snapshot": b"", "targets": b""}
    if chain is not None:
        files = {"timestamp": chain.timestamp, "snapshot": chain.snapshot, "targets": chain.targets}
    for role, data in files.items():
        path = folder / f"{role}.json"
        path.unlink(missing_ok=True)
        if data:
            path.write_bytes(data)  # torn by a kill, it is written again by the next call


class Refreshed:
    """A repository whose metadata is up to date."""

    def __init__(self, updater: Updater, folder: Path, root: bytes, bridge: _Bridge, layout: Layout) -> None:
        self._folder = folder
        self._root = root
        self._updater = updater
        self._bridge = bridge
        self._layout = layout

    def target(self, name: str, *, max_bytes: int, kept: bytes | None = None) -> bytes:
        """The target file ``name``: ``kept`` where that is the very file, else fetched. Raises as `refresh`."""
        with refusing(lambda: name):
            info = self._updater.get_targetinfo(name)
            if info is None:
                raise RepositoryError("the targets do not name it")
            if kept is not None and _is(info, kept):
                return kept
            data = self._bridge.get(self._published(info), min(info.length, max_bytes))
            info.verify_length_and_hashes(data)
            return data

    def chain(self, verdict_keys: bytes) -> Chain:
        """The files that are in force, with the target file that belongs to them. Raises `FilterError`, OSError."""
        return Chain(
            roots=self._roots(),
            timestamp=(self._folder / "timestamp.json").read_bytes(),
            snapshot=(self._folder / "snapshot.json").read_bytes(),
            targets=(self._folder / "targets.json").read_bytes(),
            verdict_keys=verdict_keys,
        )

    def _roots(self) -> tuple[bytes, ...]:
        """From the pinned one to the one that ``root.json`` links to."""
        newest = int(os.path.basename(os.readlink(self._folder / "root.json")).partition(".")[0])
        found: list[bytes] = []
        for version in range(newest, max(newest - MAX_ROTATIONS, 1) - 1, -1):
            found.insert(0, (self._folder / ROOTS / f"{version}.root.json").read_bytes())
            if found[0] == self._root:
                return tuple(found)
        raise FilterError("the folder of the metadata was changed while it was read")

    def _published(self, info: TargetFile) -> str:
        if not self._layout.digest_in_names:
            return self._layout.targets + info.path
        folder, slash, name = info.path.rpartition("/")
        return f"{self._layout.targets}{folder}{slash}{next(iter(info.hashes.values()))}.{name}"


def _is(info: TargetFile, data: bytes) -> bool:
    try:
        info.verify_length_and_hashes(data)
    except RepositoryError:
        return False
    return True


class _Bridge(FetcherInterface):
    """Our fetcher as `tuf` sees it. Every metadata file is read strictly before `tuf` reads it."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self.name = "the pinned root"

    def get(self, name: str, max_bytes: int) -> bytes:
        """The bytes of ``name``, at most that many, whatever the fetcher hands over."""
        self.name = name
        data = bytearray()
        for piece in self._fetcher.fetch(name, max_bytes=max_bytes):
            data += piece
            if len(data) > max_bytes:
                raise FilterError(f"{name} is longer than {max_bytes} bytes")
        return bytes(data)

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """One metadata file; ``url`` is its name behind the slash that `tuf` puts there. Raises what the fetcher raises."""
        try:
            data = self.get(url.removeprefix("/"), max_length)
        except NotPublishedError as error:
            raise DownloadHTTPError(str(error), 404) from error  # of a root this means: there is no newer one
        _strict(data, max_length)
        return data

    def _fetch(self, url: str) -> Iterator[bytes]:
        """Never called: `download_bytes` bounds what it reads, this could not."""
        raise NotImplementedError(url)


def _strict(data: bytes, max_bytes: int) -> None:
    # tuf takes the last of two equal keys, reads NaN, and recurses as deep as the document says.
    parse_object(data, max_bytes=max_bytes, max_depth=MAX_METADATA_DEPTH)


def _tidy(folder: Path) -> None:
    """Make the folder private, and leave only what can be read: no torn files of a killed run, no FIFO, no link."""
    make_private_directory(folder)
    folder.chmod(0o700)
    _keep(folder, _is_metadata)
    make_private_directory(folder / ROOTS)
    _keep(folder / ROOTS, _is_root)


def _keep(folder: Path, usable: Callable[[Path, os.stat_result], bool]) -> None:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        path = folder / name
        status = path.lstat()
        if len(names) > _MAX_NAMES or not usable(path, status):
            _remove(path, status)


def _remove(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        rmtree(path)
    else:
        path.unlink()


def _is_metadata(path: Path, status: os.stat_result) -> bool:
    if path.name == ROOTS:
        return stat.S_ISDIR(status.st_mode)
    return path.suffix == ".json" and _readable(path, status, _OTHERS.get(path.name, MAX_TARGETS_BYTES))


def _is_root(path: Path, status: os.stat_result) -> bool:
    return _ROOT_NAME.fullmatch(path.name) is not None and _readable(path, status, MAX_ROOT_BYTES)


def _readable(path: Path, status: os.stat_result, max_bytes: int) -> bool:
    if not stat.S_ISREG(status.st_mode) or status.st_size > max_bytes:
        return False
    try:
        _strict(path.read_bytes(), max_bytes)
    except StrictJsonError:
        return False
    return True


def _make_durable(folder: Path) -> None:
    """What is there now survives a power cut. Raises OSError."""
    for path in (*folder.glob("*.json"), *folder.glob(f"{ROOTS}/*.json")):
        if not path.is_symlink():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
    fsync_directory(folder / ROOTS)
    fsync_directory(folder)
