"""A list of a new epoch comes with a sync: the provider's keys are asked for, checked, and written beside those we hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from hashscan.atomic import write_bytes
from hashscan.errors import FilterError, StateError
from hashscan.known.enrolment import new_nonce, unwrap_ring
from hashscan.known.envelopes import PROVIDER_KEYS, Opened, open_envelope
from hashscan.known.keys import KeyRing
from hashscan.model import VerdictKey
from hashscan.settings import read_secret
from hashscan.strict_json import Fields, StrictJsonError, parse_object

MAX_PAYLOAD_BYTES = 64 * 1024
MAX_AGE, MAX_AHEAD = 900.0, 300.0  # seconds: as for verdicts


class KeySource(Protocol):
    """Where provider keys come from: `central.enrolling.HttpKeys`."""

    def provider_keys(self, nonce: str, have: int) -> bytes:
        """An envelope over keys that only a holder of the key since epoch ``have`` can read."""


class Rekeying:
    """What a sync calls for an epoch that is newer than all keys it holds."""

    def __init__(self, source: KeySource, provider: str, path: Path, now: Callable[[], float]) -> None:
        self._source = source
        self._provider = provider
        self._path = path
        self._now = now

    def __call__(self, keys: Sequence[VerdictKey], epoch: int) -> KeyRing:
        """The ring with the key of ``epoch``, which is in the provider-key file by then.

        ``keys`` are the verdict keys of the offered lists. Raises `FilterError`, `StateError`, `ServiceUnavailable`,
        `RefusedError`, `UsageError`; the file is then as it was.
        """
        held = KeyRing.from_text(read_secret(self._path, lines=True))
        ring = merged(held, fetch_ring(self._source, keys, self._provider, held, self._now), epoch)
        try:
            write_bytes(self._path, ring.text().encode(), mode=0o600)
        except OSError as error:
            hint = "a list of a new epoch needs it; may this process write there?"
            raise StateError(f"the provider key cannot be written to {self._path}: {error.strerror}", hint=hint) from None
        return ring


def fetch_ring(
    source: KeySource, keys: Sequence[VerdictKey], provider: str, held: KeyRing, now: Callable[[], float]
) -> KeyRing:
    """The keys that the service names: signed, for this provider and this nonce, fresh, and readable with what we hold.

    Raises `FilterError`, and what ``source`` raises.
    """
    nonce, have = new_nonce(), max(held.keys)
    opened = open_envelope(source.provider_keys(nonce, have), PROVIDER_KEYS, keys)
    try:
        return _checked(opened, provider, nonce, now(), (have, held.keys[have].raw))
    except StrictJsonError as error:
        raise FilterError(f"the provider keys are not to be trusted: {error}") from None


def _checked(opened: Opened, provider: str, nonce: str, now: float, held: tuple[int, bytes]) -> KeyRing:
    fields = Fields(parse_object(opened.payload, max_bytes=MAX_PAYLOAD_BYTES, max_depth=2), "provider keys")
    if fields.text("provider", max_chars=64) != provider:
        raise StrictJsonError("they are for another provider")
    if fields.text("nonce", max_chars=43) != nonce or fields.integer("have") != held[0]:
        raise StrictJsonError("they answer another question")
    issued = fields.number("issued")
    if not now - MAX_AGE <= issued <= now + MAX_AHEAD:
        raise StrictJsonError("they were not issued just now; is the clock of this host right?")
    opened.check_issued(issued)
    return unwrap_ring(fields, held[1], provider, nonce)


def merged(held: KeyRing, fetched: KeyRing, epoch: int) -> KeyRing:
    """What is known from both. A key that we hold is never forgotten: old verdicts are proven with it.

    ``epoch`` gets a line of its own, so that it is not asked for again. Raises `FilterError` where both contradict each other.
    """
    keys = dict(held.keys)
    for since, key in fetched.keys.items():
        if keys.setdefault(since, key) != key:
            raise FilterError(f"the service names another provider key since epoch {since} than it did before")
    newest = max(fetched.keys)
    if epoch < newest or not fetched.has(epoch):
        return KeyRing(keys)
    keys.setdefault(epoch, fetched.at(epoch))
    return KeyRing(keys)
