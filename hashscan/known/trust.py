"""Whom to believe about lists: The Update Framework from the pinned root on, bound to one provider (docs/wire.md).

`may_replace` holds the rules and opens nothing; `TufTrust` does the I/O. What is believed is always read out of a proof that
was verified as a whole (`known.proof`), after a refresh as well as at the start of a scan: one way from signatures to lists.
"""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from hashscan.atomic import make_private_directory, write_bytes
from hashscan.errors import FilterError, NotPublishedError, StateError
from hashscan.known import memo as remembered
from hashscan.known.chain import MAX_PROOF_BYTES, MAX_VERDICT_KEYS_BYTES, VERDICT_KEYS, Chain, Verified, pack, unpack
from hashscan.known.published import lists_of
from hashscan.model import Lists

if TYPE_CHECKING:  # status is asked every minute, and fetches nothing
    from hashscan.ports import Fetcher

ACCEPTED = "accepted.json"
METADATA = "metadata"
MAX_AHEAD = 5 * 60.0  # seconds that the service's clock may be ahead of ours


class TufTrust:
    """A `ports.Trust` that believes what ``root`` (bytes of the pinned root.json) leads to, for one provider.

    ``folder`` is its own: ``accepted.json`` (the newest proof that held) and ``metadata`` (where `tuf` works). ``clock`` is
    seconds since 1970 and decides what has expired. ``memo`` is a folder in which the last result is remembered (`known.memo`).
    """

    def __init__(
        self, root: bytes, provider: str, folder: Path, *, clock: Callable[[], float] = time.time, memo: Path | None = None
    ) -> None:
        self._memo = memo
        self._root = root
        self._provider = provider
        self._folder = folder
        self._clock = clock
        self._reopened: Lists | None = None

    def refresh(self, fetcher: Fetcher) -> Lists:
        """Fetch and verify the metadata and the verdict keys; `may_replace` judges what takes the place of what.

        Raises `FilterError` naming the broken rule, `StateError` where the folder cannot be written, what the fetcher raises.
        """
        try:
            return self._refresh(fetcher)
        except OSError as error:
            hint = "the lists in force are unchanged; is the disk full?"
            raise StateError(f"the list metadata cannot be stored: {error.strerror or error}", hint=hint) from None

    def _refresh(self, fetcher: Fetcher) -> Lists:
        from hashscan.known import updater  # noqa: PLC0415 - brings the client of tuf and urllib3, which only a refresh needs

        accepted = self._accepted()
        metadata = self._folder / METADATA
        updater.seed(metadata, accepted)
        refreshed = updater.refresh(fetcher, metadata, self._root, clock=self._clock)
        kept = accepted.verdict_keys if accepted else None
        verdict_keys = refreshed.target(VERDICT_KEYS, max_bytes=MAX_VERDICT_KEYS_BYTES, kept=kept)
        proof = pack(refreshed.chain(verdict_keys))
        lists = self.reopen(proof)
        write_bytes(self._folder / ACCEPTED, proof)
        return lists

    def reopen(self, proof: bytes) -> Lists:
        """Verify a proof from the pinned root on, whatever its age; 12 ms for the usual one. Raises `FilterError`."""
        if self._reopened is None or self._reopened.proof != proof:  # a run asks more than once about the same bytes
            self._reopened = lists_of(self._verified(proof), proof, self._provider)
        return self._reopened

    def _verified(self, proof: bytes) -> Verified:
        name = remembered.name_of(self._root, proof) if self._memo else ""
        if self._memo and (known := remembered.recall(self._memo, name)) is not None:
            return known
        from hashscan.known.proof import verify  # noqa: PLC0415 - brings tuf, which a host without lists does not need

        found = verify(unpack(proof), self._root)
        if self._memo:
            remembered.keep(self._memo, name, found)
        return found

    def _accepted(self) -> Chain | None:
        """The newest metadata that ever held for this provider, None where there is none or it is damaged.

        `tuf` compares with this, not with what an earlier refresh left: that may have been another provider's, whose higher
        versions would make ours look like a rollback for ever.
        """
        make_private_directory(self._folder)
        path = self._folder / ACCEPTED
        try:
            if not stat.S_ISREG(path.lstat().st_mode):  # a FIFO would keep us waiting
                return None
            with path.open("rb") as stream:
                proof = stream.read(MAX_PROOF_BYTES + 1)
            self.reopen(proof)
        except (FileNotFoundError, FilterError):
            return None
        return unpack(proof)


def may_replace(held: Lists | None, offered: Lists, now: float) -> None:
    """Whether ``offered`` may take the place of the metadata in force. Raises `FilterError` naming the rule.

    Nothing expired (a freeze), nothing from the future, no rollback of the root, of the sequence, or of any list's version or
    epoch. A newer root with other online keys begins the counts anew, or whoever stole the old keys could end them for ever by
    signing the highest number there is (specification, 5.3.11).
    """
    if offered.expires <= now:
        raise FilterError(
            f"the service offers list metadata that expired {_ago(now - offered.expires)} ago",
            hint="the service may be frozen or its clock wrong; the lists in force stay in use",
        )
    if offered.issued > now + MAX_AHEAD:
        raise FilterError("the service offers list metadata from the future", hint="check the clock of this host")
    if held is None:
        return
    if offered.root < held.root:
        raise FilterError(f"the service offers list metadata under root {offered.root}, older than {held.root} in force")
    if offered.root == held.root or offered.online == held.online:
        _refuse_rollback(held, offered)


def _refuse_rollback(held: Lists, offered: Lists) -> None:
    if offered.sequence < held.sequence:
        raise FilterError(f"the service offers older list metadata ({offered.sequence}) than is in force ({held.sequence})")
    before = {target.list.id: target.list for target in held.targets}
    for target in offered.targets:
        old = before.get(target.list.id)
        if old and target.list.version < old.version:
            raise FilterError(
                f"the service offers {target.list.id} version {target.list.version}, older than {old.version} in force"
            )
        if old and target.list.epoch < old.epoch:
            raise FilterError(f"the service offers {target.list.id} with an older key epoch than is in force")


def _ago(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"


class FolderFetcher:
    """A `ports.Fetcher` from a folder: for hosts without a network, fed by a person with a USB stick, and for tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fetch(self, name: str, *, max_bytes: int) -> Iterator[bytes]:
        """The bytes of the file ``name`` in pieces. Raises `NotPublishedError` where it is missing, `FilterError` where it is
        longer than ``max_bytes`` or no plain file.
        """
        path = self._folder / name
        if name in {"", ".", ".."} or "/" in name or not name.isascii() or not name.isprintable():
            raise FilterError(f"{name!r} is not the name of a published file")
        got = 0
        try:
            if not path.is_file():  # a FIFO would keep us waiting
                kind = FilterError if path.exists() else NotPublishedError
                raise kind(f"there is no file {path}")
            with path.open("rb") as stream:
                while piece := stream.read(1 << 18):
                    got += len(piece)
                    if got > max_bytes:
                        raise FilterError(f"{path} is longer than {max_bytes} bytes")
                    yield piece
        except OSError as error:
            raise FilterError(f"cannot read {path}: {error.strerror}") from None
