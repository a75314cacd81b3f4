"""Webhooks: signed as the published library checks it, kept until somebody took them, bounded, never twice at a time."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from hashscan.errors import IncompleteError, ServiceUnavailable, StateError, UsageError
from hashscan.model import Event
from hashscan.report import events, spool, webhook
from hashscan.report.minimal import minimal
from hashscan.report.ndjson import Envelope
from hashscan.report.spool import Message, Spool
from hashscan.report.tally import Tally
from hashscan.report.webhook import Courier, WebhookSink, key_of, signed, wait_after
from tests.support import nouns

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # of the published examples
KEY = key_of(SECRET)


class Clock:
    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Far:
    """The receiver: takes, or does not."""

    def __init__(self) -> None:
        self.took: list[tuple[bytes, dict[str, str]]] = []
        self.asked = 0
        self.failure: ServiceUnavailable | None = None

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        self.took.append((body, dict(headers)))


@pytest.fixture
def far() -> Far:
    return Far()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sink(folder: Path, far: Far, clock: Clock) -> WebhookSink:
    kept = Spool(folder / "spool")
    return WebhookSink(kept, Courier(kept, KEY, far.post, clock), Envelope("ab" * 8, "host", clock), minimal)


def summary() -> Event:
    return events.summary(Tally(), complete=True, seconds=1.0)


def message(number: int = 0, body: bytes = b"{}") -> Message:
    return Message(f"msg_{number:024x}", 1_790_000_000.0 + number, body)


def test_the_published_vector() -> None:
    """The example of the specification and of every library of it."""
    one = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", 0.0, b'{"test": 2432232314}')
    headers = signed(KEY, one, 1614265330.0)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_the_published_library_believes_it(tmp_path: Path, far: Far) -> None:
    sink(tmp_path, far, Clock(time.time())).tell(summary())
    ((body, headers),) = far.took
    told: Any = Webhook(SECRET).verify(body.decode(), headers)
    assert told["type"] == "hashscan.summary"
    assert told["data"]["run_id"] == "ab" * 8
    assert told["timestamp"] == told["data"]["time"]
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.decode().replace("summary", "finding"), headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(body.decode(), headers)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_short", "whsec_" + "A" * 400, "whsec_%%%", "whsec_QQ=="])
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(UsageError) as caught:
        key_of(secret)
    assert len(secret) < 8 or secret not in f"{caught.value} {caught.value.hint}"


def test_what_is_not_taken_stays_and_is_sent_later(tmp_path: Path, far: Far, clock: Clock) -> None:
    far.failure = ServiceUnavailable("the webhook answered 503")
    with pytest.raises(IncompleteError, match="1 message waits on disk"):
        sink(tmp_path, far, clock).tell(summary())
    assert Spool(tmp_path / "spool").count() == 1
    far.failure = None
    again = Courier(Spool(tmp_path / "spool"), KEY, far.post, clock)
    assert again.deliver() == webhook.Delivery(0, 1, 0, ""), "not before its time"
    clock.now += wait_after(1) + 1
    assert again.deliver() == webhook.Delivery(1, 0, 0, "")
    ((body, _),) = far.took
    assert json.loads(body)["type"] == "hashscan.summary"


def test_the_id_stays_and_the_time_is_that_of_the_attempt(tmp_path: Path, far: Far, clock: Clock) -> None:
    kept = Spool(tmp_path)
    kept.put(message(7))
    heard: list[Mapping[str, str]] = []

    def post(_: bytes, headers: Mapping[str, str]) -> None:
        heard.append(headers)
        if len(heard) < 3:
            raise ServiceUnavailable("no")

    for _ in range(3):
        Courier(kept, KEY, post, clock).deliver(now_or_never=True)
        clock.now += 100
    assert {one["webhook-id"] for one in heard} == {message(7).id}
    assert [int(one["webhook-timestamp"]) - 1_790_000_000 for one in heard] == [0, 100, 200]
    assert kept.count() == 0


def test_waits_grow_and_are_bounded() -> None:
    waits = [wait_after(attempt) for attempt in range(1, 40)]
    assert waits[0] == 60.0
    assert waits == sorted(waits)
    assert waits[-1] == 6 * 3600.0


def test_a_wait_that_the_receiver_names_is_kept(tmp_path: Path, far: Far, clock: Clock) -> None:
    kept = Spool(tmp_path)
    kept.put(message())
    far.failure = ServiceUnavailable("busy", retry_after=3000.0)
    Courier(kept, KEY, far.post, clock).deliver()
    (one,) = kept.messages(9)
    assert (one.attempts, one.not_before) == (1, clock.now + 3000.0)


def test_one_failure_stops_the_round(tmp_path: Path, far: Far, clock: Clock) -> None:
    kept = Spool(tmp_path)
    for number in range(5):
        kept.put(message(number))
    far.failure = ServiceUnavailable("no")
    assert Courier(kept, KEY, far.post, clock).deliver().waiting == 5
    assert far.asked == 1


def test_very_old_ones_are_given_up_and_told(tmp_path: Path, far: Far, clock: Clock) -> None:
    kept = Spool(tmp_path)
    kept.put(message())
    clock.now += webhook.MOST_AGE_S + 10
    assert Courier(kept, KEY, far.post, clock).deliver() == webhook.Delivery(0, 0, 1, "")
    assert far.asked == 0


def test_a_dead_receiver_is_asked_twice_a_run_not_for_every_finding(tmp_path: Path, far: Far, clock: Clock) -> None:
    far.failure = ServiceUnavailable("no")
    one = sink(tmp_path, far, clock)
    for _ in range(50):
        try:
            one.tell(events.finding(nouns.finding()))
        except IncompleteError:
            continue
    with pytest.raises(IncompleteError):
        one.tell(summary())
    assert far.asked == 2
    assert Spool(tmp_path / "spool").count() == 51


def test_findings_are_bounded_and_the_summary_still_comes(tmp_path: Path, far: Far, clock: Clock) -> None:
    one = sink(tmp_path, far, clock)
    for _ in range(webhook.FINDINGS_A_RUN + 20):
        one.tell(events.finding(nouns.finding()))
        one.tell(events.action(nouns.result()))
    one.tell(summary())
    kinds = [json.loads(body)["type"] for body, _ in far.took]
    assert kinds.count("hashscan.finding") == kinds.count("hashscan.action") == webhook.FINDINGS_A_RUN
    assert kinds[-1] == "hashscan.summary"


def test_the_spool_is_bounded_and_drops_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Spool(tmp_path)
    big = b"x" * 400_000
    dropped = sum(kept.put(message(number, big)) for number in range(45))
    assert dropped > 0
    assert sum(os.stat(tmp_path / name).st_size for name in os.listdir(tmp_path)) <= spool.MOST_BYTES
    first = next(iter(kept.messages(1)))
    assert first.id == message(dropped).id


def test_files_in_the_spool_are_private_and_strangers_are_left_alone(tmp_path: Path) -> None:
    kept = Spool(tmp_path / "spool")
    kept.put(message())
    (tmp_path / "spool" / "notes").write_text("mine")
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700
    assert kept.count() == 1
    (name,) = [name for name in os.listdir(tmp_path / "spool") if name.endswith(".json")]
    assert (tmp_path / "spool" / name).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"", b"{", b'{"id": "msg_x"}', b"[]"])
def test_a_damaged_message_stops_no_other(tmp_path: Path, far: Far, clock: Clock, damage: bytes) -> None:
    kept = Spool(tmp_path)
    kept.put(message(1))
    kept.put(message(2))
    (tmp_path / message(1).name).write_bytes(damage)
    clock.now += 10
    assert Courier(kept, KEY, far.post, clock).deliver().sent == 1
    assert kept.count() == 0


def test_two_do_not_deliver_at_once(tmp_path: Path, far: Far, clock: Clock) -> None:
    kept = Spool(tmp_path)
    kept.put(message())
    with kept.alone() as mine:
        assert mine
        assert Courier(Spool(tmp_path), KEY, far.post, clock).deliver() == webhook.Delivery(waiting=1)
    assert Courier(kept, KEY, far.post, clock).deliver(now_or_never=True).sent == 1


def test_a_folder_that_cannot_be_written_is_an_error_of_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="spool"):
        Spool(tmp_path / "file" / "spool").put(message())
