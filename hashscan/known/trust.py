"""Whom to believe about lists: one pinned Ed25519 key now, The Update Framework behind the same port next.

`may_replace` holds the rules and opens nothing; `PinnedTrust` does the I/O and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hashscan.errors import FilterError
from hashscan.known import envelopes
from hashscan.known.container import MAX_BODY_BYTES, list_ref
from hashscan.ports import Fetcher, Lists, Target
from hashscan.strict_json import Fields, StrictJsonError, parse_object

LISTS_NAME = "lists.json"
MAX_LISTS_BYTES = 256 * 1024
MAX_LISTS = 32
MAX_LIFETIME = 7 * 86_400.0  # seconds between issued and expires; the service uses 48 hours
MAX_AHEAD = 5 * 60.0  # seconds that the service's clock may be ahead of ours


class PinnedTrust:
    """A `ports.Trust` that believes one pinned key and one provider name. ``now`` arguments are seconds since 1970."""

    def __init__(self, public_key_hex: str, provider: str) -> None:
        self._key = envelopes.public_key(public_key_hex)
        self._provider = provider

    def refresh(self, fetcher: Fetcher) -> Lists:
        """Fetch the list metadata and verify its signature and shape; `may_replace` judges its place in time."""
        data = b"".join(fetcher.fetch(LISTS_NAME, max_bytes=MAX_LISTS_BYTES))
        return self.reopen(data)

    def reopen(self, envelope: bytes) -> Lists:
        """Verify signature and shape of list metadata. Raises `FilterError`."""
        try:
            payload = self.open_envelope(envelope, envelopes.LISTS)
            return _lists(payload, envelope, self._provider)
        except StrictJsonError as error:
            raise FilterError(f"the list metadata cannot be used: {error}") from None

    def open_envelope(self, envelope: bytes, payload_type: str) -> bytes:
        """The payload, after type and signature were checked. Raises `FilterError`."""
        return envelopes.open_envelope(envelope, payload_type, self._key)


def _lists(payload: bytes, envelope: bytes, provider: str) -> Lists:
    fields = Fields(parse_object(payload, max_bytes=MAX_LISTS_BYTES), "lists")
    if fields.text("provider") != provider:
        raise StrictJsonError(f"it is for provider {fields.text('provider')!r}, we are {provider!r}")
    targets = tuple(_target(one) for one in fields.objects("lists", at_most=MAX_LISTS))
    if len({target.list.id for target in targets}) != len(targets):
        raise StrictJsonError("a list is named twice")
    issued, expires = fields.number("issued"), fields.number("expires")
    if not issued < expires <= issued + MAX_LIFETIME:
        raise StrictJsonError("it expires before it was issued, or too long after")
    return Lists(provider, issued, expires, fields.integer("sequence", low=1), targets, envelope)


def _target(fields: Fields) -> Target:
    reference = list_ref(fields, "id")
    return Target(
        list=reference,
        name=f"{reference.id}-{reference.version}-{reference.epoch}.filter",  # ours to choose: a name from outside is a path
        length=fields.integer("length", low=1, high=MAX_BODY_BYTES),
        blake3=fields.hex("blake3", digits=64),
        created=fields.number("created"),
    )


def may_replace(held: Lists | None, offered: Lists, now: float) -> None:
    """Whether ``offered`` may take the place of the metadata in force. Raises `FilterError` naming the rule.

    No rollback of the sequence or of any list's version or epoch, nothing expired (a freeze), nothing from the future.
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
    if offered.sequence < held.sequence:
        raise FilterError(f"the service offers older list metadata ({offered.sequence}) than is in force ({held.sequence})")
    before = {target.list.id: target.list for target in held.targets}
    for target in offered.targets:
        old = before.get(target.list.id)
        if old and (target.list.version, target.list.epoch) < (old.version, old.epoch):
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
        """The bytes of the file ``name`` in pieces. Raises `FilterError` where it is missing or longer than ``max_bytes``."""
        path = self._folder / name
        if name in {"", ".", ".."} or "/" in name or not name.isascii() or not name.isprintable():
            raise FilterError(f"{name!r} is not the name of a published file")
        got = 0
        try:
            if not path.is_file():  # a FIFO would keep us waiting
                raise FilterError(f"there is no file {path}")
            with path.open("rb") as stream:
                while piece := stream.read(1 << 18):
                    got += len(piece)
                    if got > max_bytes:
                        raise FilterError(f"{path} is longer than {max_bytes} bytes")
                    yield piece
        except OSError as error:
            raise FilterError(f"cannot read {path}: {error.strerror}") from None
