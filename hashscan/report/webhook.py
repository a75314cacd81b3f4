"""Events to a receiver over HTTP, signed as Standard Webhooks says, on disk until it has said 2xx.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. The signature is
``v1,`` and the base64 of HMAC-SHA256 over ``ID.TIMESTAMP.BODY``; the id stays with a message, the time is that of the attempt.
The body is ``{"type": "hashscan.finding", "timestamp": ..., "data": {our event}}``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from hashscan.errors import IncompleteError, ServiceUnavailable, UsageError
from hashscan.model import Event
from hashscan.report.minimal import Detail
from hashscan.report.ndjson import Envelope, line_of
from hashscan.report.spool import Message, Spool
from hashscan.units import counted

FINDINGS_A_RUN = 100  # more are in the counts of the summary
_TYPES = frozenset({"finding", "action", "recovered", "withdrawn", "summary", "exit_error", "test"})
_PER_FINDING = frozenset({"finding", "action"})
_ENDS = frozenset({"summary", "exit_error", "test"})
AT_ONCE = 100  # messages of one delivery
MOST_AGE_S = 7 * 86_400.0
_FIRST_WAIT_S, _MOST_WAIT_S = 60.0, 6 * 3600.0
_MIN_KEY, _MAX_KEY = 24, 64  # bytes, by the specification

Post: TypeAlias = Callable[[bytes, Mapping[str, str]], None]
"""Brings a body with headers to the receiver. Raises `ServiceUnavailable` where it has not said 2xx."""


def key_of(secret: str) -> bytes:
    """The key in a secret as receivers show it: ``whsec_`` and base64. Raises `UsageError`, which does not repeat it."""
    try:
        key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _MIN_KEY <= len(key) <= _MAX_KEY:
        hint = "it is 'whsec_' and base64 of 24 to 64 bytes, as the receiver shows it"
        raise UsageError("the secret of the webhook is not one", hint=hint)
    return key


def signed(key: bytes, message: Message, now: float) -> dict[str, str]:
    """The headers of one attempt at ``now``, seconds since 1970."""
    stamp = str(int(now))
    content = b".".join((message.id.encode("ascii"), stamp.encode("ascii"), message.body))
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode("ascii")
    return {
        "Content-Type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{signature}",
    }


def wait_after(attempts: int) -> float:
    """Seconds until the next attempt, after so many in vain: a minute, doubling, six hours at most."""
    return float(min(_FIRST_WAIT_S * 2.0 ** max(attempts - 1, 0), _MOST_WAIT_S))


@dataclass(frozen=True, slots=True)
class Delivery:
    """What came of one delivery: messages that arrived, that wait, that were given up for their age, and why they wait."""

    sent: int = 0
    waiting: int = 0
    expired: int = 0
    why: str = ""


class Courier:
    """Delivers what is spooled, oldest first; after the first failure the others wait, too, for one wait."""

    def __init__(self, spool: Spool, key: bytes, post: Post, clock: Callable[[], float]) -> None:
        self._spool = spool
        self._key = key
        self._post = post
        self._clock = clock

    def deliver(self, *, now_or_never: bool = False) -> Delivery:
        """One round of at most `AT_ONCE` messages; ``now_or_never`` does not keep the waits. Raises `StateError`."""
        with self._spool.alone() as mine:
            return self._round(now_or_never=now_or_never) if mine else Delivery(waiting=self._spool.count())

    def _round(self, *, now_or_never: bool) -> Delivery:
        sent = expired = 0
        why = ""
        for message in self._spool.messages(AT_ONCE):
            now = self._clock()
            if now - message.created > MOST_AGE_S:
                self._spool.remove(message)
                expired += 1
                continue
            if message.not_before > now and not now_or_never:
                break
            try:
                self._post(message.body, signed(self._key, message, now))
            except ServiceUnavailable as error:
                why = str(error)
                wait = max(wait_after(message.attempts + 1), error.retry_after or 0.0)
                self._spool.postpone(message, now + wait)
                break
            self._spool.remove(message)
            sent += 1
        return Delivery(sent, self._spool.count(), expired, why)


class WebhookSink:
    """Spools what is worth an alert and delivers it: at once as long as the receiver answers, and once more at the end.

    ``courier`` None: another part of this host delivers.
    """

    def __init__(self, spool: Spool, courier: Courier | None, envelope: Envelope, detail: Detail) -> None:
        self._spool = spool
        self._courier = courier
        self._envelope = envelope
        self._detail = detail
        self._findings = 0
        self._seq = 0
        self._answers = True

    def tell(self, event: Event) -> None:
        """Spool and deliver. Raises `StateError` (disk), `IncompleteError` (it waits on disk)."""
        self._findings += event.type == "finding"
        if event.type not in _TYPES or (event.type in _PER_FINDING and self._findings > FINDINGS_A_RUN):
            return
        told = self._detail(event)
        if told is None:
            return
        dropped = self._spool.put(self._message(told))
        if self._answers or event.type in _ENDS:
            self._deliver(event)
        if dropped:
            raise IncompleteError(f"the spool is full: {dropped} of the oldest messages were dropped undelivered")

    def _message(self, told: Event) -> Message:
        record = self._envelope.around(told, self._seq)
        self._seq += 1
        body = line_of({"type": f"hashscan.{told.type}", "timestamp": record["time"], "data": record})
        return Message(f"msg_{secrets.token_hex(12)}", self._envelope.clock(), body.rstrip("\n").encode("ascii"))

    def _deliver(self, event: Event) -> None:
        if self._courier is None:
            return
        done = self._courier.deliver(now_or_never=event.type in _ENDS)
        self._answers = not done.why
        if done.expired:
            raise IncompleteError(f"{done.expired} messages were given up: nobody took them for {MOST_AGE_S / 86_400:.0f} days")
        if done.why:
            wait = "waits" if done.waiting == 1 else "wait"
            raise IncompleteError(f"{done.why}; {counted(done.waiting, 'message')} {wait} on disk for the next run")
