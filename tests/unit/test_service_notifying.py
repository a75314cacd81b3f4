"""Series and notifications: what is told, what is not, and what a reader notices."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from hashscan.errors import FilterError, HashscanError, UsageError
from hashscan.known import envelopes, notifications
from hashscan.known.envelopes import SigningKey
from hashscan.known.notifications import Count, K, Notification, rounded, told, verify
from hashscan.model import Action, Outcome, VerdictKey
from hashscan.service import keys as service_keys
from hashscan.service.access import authenticate
from hashscan.service.keys import OnlineKeys
from hashscan.service.notifying import notify, set_series
from hashscan.service.parsing import Report
from hashscan.service.receiving import receive
from hashscan.service.store import open_store
from hashscan.service.tables import Entry
from tests.support.service import LIST, Agent, Clock, enrol, load, make, sha1, withdraw

DAY = 86_400.0


@pytest.mark.parametrize(("count", "told_as"), [(0, 0), (1, 0), (K - 1, 0), (K, K), (2 * K - 1, K), (1234, 1230)])
def test_counts_are_told_in_steps(count: int, told_as: int) -> None:
    assert rounded(count) == told_as


def test_small_series_are_not_told_and_one_more_changes_nothing() -> None:
    assert told({"small": (K - 1, K - 1), "none": (0, 0)}) == ()
    seen = {told({"s": (found, removed)}) for found in range(K, 2 * K) for removed in range(K)}
    assert seen == {(Count("s", K, 0),)}, "whoever knows all files but one learns nothing about the last"
    assert told({"b": (25, 11), "a": (10, 9)}) == (Count("a", 10, 0), Count("b", 20, 10))


# The chain

KEY, NEXT, THIEF = (SigningKey.generate() for _ in range(3))


def chain(count: int, *, signers: list[list[SigningKey]] | None = None) -> list[bytes]:
    """Notifications that follow each other; KEY signs all, or each has signers of its own."""
    made: list[bytes] = []
    previous = None
    listed = (VerdictKey(KEY.public_hex(), 0.0), VerdictKey(NEXT.public_hex(), 0.0))
    for number in range(1, count + 1):
        one = Notification("Hotline", number, number * DAY, number * DAY, previous, (Count("s", K * number, 0),), listed)
        payload = notifications.encode(one)
        made.append(envelopes.seal(payload, envelopes.NOTIFICATION, signers[number - 1] if signers else [KEY]))
        previous = notifications.digest_of(payload)
    return made


def test_a_chain_is_read() -> None:
    read = verify(chain(4), KEY.public_hex())
    assert [(one.seq, one.counts[0].found) for one in read] == [(1, 10), (2, 20), (3, 30), (4, 40)]
    assert [one.seq for one in verify(chain(4)[2:], KEY.public_hex())] == [3, 4], "who begins later begins there"


@pytest.mark.parametrize("order", [(0, 2), (1, 0), (0, 0), (0, 1, 3), (0, 1, 1)])
def test_a_gap_a_repetition_and_another_order_are_noticed(order: tuple[int, ...]) -> None:
    made = chain(4)
    with pytest.raises(FilterError, match="does not follow"):
        verify([made[one] for one in order], KEY.public_hex())


def test_a_notification_that_was_exchanged_is_noticed() -> None:
    mine = chain(3)
    forged = Notification(
        "Hotline", 2, 2 * DAY, 2 * DAY, "ab" * 32, (Count("s", 990, 0),), (VerdictKey(KEY.public_hex(), 0.0),)
    )
    bad = envelopes.seal(notifications.encode(forged), envelopes.NOTIFICATION, [KEY])
    with pytest.raises(FilterError, match="2 of 3 does not hold: number 2 does not follow"):
        verify([mine[0], bad, mine[2]], KEY.public_hex())


@pytest.mark.parametrize("wrong", [b"", b"{}", b"x" * 100, b'{"payload": 3}'])
def test_what_is_none_is_refused(wrong: bytes) -> None:
    with pytest.raises(FilterError, match="1 of 1"):
        verify([wrong], KEY.public_hex())


def test_another_key_another_type_and_no_key_are_refused() -> None:
    with pytest.raises(FilterError, match="signature"):
        verify(chain(1), THIEF.public_hex())
    with pytest.raises(FilterError, match="receipts"):
        verify([envelopes.seal(b"{}", envelopes.RECEIPTS, [KEY])], KEY.public_hex())
    with pytest.raises(UsageError, match="64 hex digits"):
        verify(chain(1), "abc")


def test_keys_change_by_what_was_signed_before() -> None:
    rotated = chain(3, signers=[[KEY], [KEY, NEXT], [NEXT]])
    assert len(verify(rotated, KEY.public_hex())) == 3
    with pytest.raises(FilterError, match="3 of 3"):
        verify(chain(3, signers=[[KEY], [KEY], [THIEF]]), KEY.public_hex())


def test_a_key_counts_in_its_time_only() -> None:
    listed = (VerdictKey(KEY.public_hex(), 0.0, DAY),)  # retired after the first
    first = notifications.encode(Notification("H", 1, DAY, DAY, None, (), listed))
    second = notifications.encode(Notification("H", 2, 2 * DAY, 2 * DAY, notifications.digest_of(first), (), listed))
    both = [envelopes.seal(one, envelopes.NOTIFICATION, [KEY]) for one in (first, second)]
    assert len(verify(both[:1], KEY.public_hex())) == 1
    with pytest.raises(FilterError, match="outside the time"):
        verify(both, KEY.public_hex())


# The service


class Service:
    def __init__(self, home: Path) -> None:
        self.data = make(home)
        self.out = home / "public"
        self.clock = Clock()
        load(self.data, "\n".join(sha1(one) for one in "abcd"))
        self.agent = enrol(self.data)
        self.series({"a": "s-1", "b": "s-1", "c": "s-2"})

    def series(self, wanted: dict[str, str]) -> None:
        source = self.data.parent / "series.csv"
        source.write_text("".join(f"{sha1(one)},{name}\n" for one, name in wanted.items()))
        with open_store(self.data) as store:
            set_series(store, LIST, source)

    def find(self, what: str, count: int, agent: Agent | None = None, action: Action = Action.QUARANTINED) -> None:
        with open_store(self.data) as store:
            caller = authenticate(store, f"Bearer {(agent or self.agent).api_key}")
            with store.writing() as session:
                query = select(Entry.public_id).where(Entry.sha1 == bytes.fromhex(sha1(what)))
                entry = session.scalars(query).one()
                at = self.clock()
                told_now = [
                    Outcome(f"o_{what}{at}{number}", entry, LIST, "a" * 64, action, at - 9, at - 5) for number in range(count)
                ]
                receive(session, caller, Report(tuple(told_now)), at)

    def read(self) -> tuple[Notification, ...]:
        with open_store(self.data) as store:
            notify(store, self.out, now=self.clock)
            key = OnlineKeys.open(store, now=self.clock).verdict_keys()[0].public
        return verify([path.read_bytes() for path in sorted(self.out.iterdir())], key)


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


def test_a_day_after_it_is_told_and_once_a_day(service: Service) -> None:
    service.find("a", 7)
    service.find("b", 6, action=Action.REPORTED)
    service.find("c", 9)
    service.find("d", 50)
    (first,) = service.read()
    assert first.counts == (), "nothing of today"
    service.find("c", 30)
    assert service.read() == (first,), "the same day, the same notification"
    service.clock.now += DAY
    first, second = service.read()
    assert second.counts == (Count("s-1", 10, 0), Count("s-2", 30, 30))
    assert (second.seq, second.until - first.until) == (2, DAY)
    text = second.__repr__()
    assert "acme" not in text
    assert "e_" not in text.replace("e_s", "")


def test_what_was_withdrawn_is_not_told_any_more(service: Service) -> None:
    service.find("c", 20)
    service.clock.now += DAY
    assert service.read()[-1].counts == (Count("s-2", 20, 20),)
    withdraw(service.data, LIST, sha1("c"), "a logo")
    service.clock.now += DAY
    assert service.read()[-1].counts == ()


def test_a_folder_that_was_lost_is_written_again(service: Service) -> None:
    service.read()
    service.clock.now += DAY
    before = service.read()
    for path in service.out.iterdir():
        assert path.stat().st_mode & 0o777 == 0o644
        path.unlink()
    assert service.read() == before


def test_a_key_that_is_rotated_is_followed(service: Service) -> None:
    pinned = service.read()[0].keys[0].public
    with open_store(service.data) as store:
        service_keys.rotate_verdict_key(store, now=service.clock())
    for _ in range(20):
        service.clock.now += DAY
        service.read()
    read = verify([path.read_bytes() for path in sorted(service.out.iterdir())], pinned)
    assert len(read) == 21
    assert len({key.public for key in read[-1].keys}) == 2


def test_a_folder_that_cannot_be_written_is_said_and_loses_nothing(service: Service) -> None:
    blocked = service.data.parent / "file"
    blocked.write_text("x")
    with open_store(service.data) as store, pytest.raises(HashscanError, match="cannot write"):
        notify(store, blocked / "out", now=service.clock)
    assert [one.seq for one in service.read()] == [1]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{a},s-1\nnonsense\n", "line 2 is not"),
        ("{a},s-1\n{b},has space\n", "line 2 is not"),
        ("{a},s-1\n{b}," + "x" * 65 + "\n", "line 2 is not"),
        ("{a},s-1\n" + "0" * 40 + ",s-1\n", "line 2: the list 'police' has no such entry"),
        ("{a},s-1\ne_none,s-1\n", "line 2: the list 'police' has no such entry"),
        ("{a},s-1\n" + "x" * 300 + "\n", "line 2: longer than 256"),
        ("{a},s-1\n\u00e9,s\n", "line 2"),
    ],
)
def test_a_file_of_series_is_taken_whole_or_not_at_all(service: Service, text: str, word: str) -> None:
    source = service.data.parent / "bad.csv"
    source.write_text(text.replace("{a}", sha1("d")).replace("{b}", sha1("b")))
    with open_store(service.data) as store:
        with pytest.raises(UsageError, match=word):
            set_series(store, LIST, source)
        with store.reading() as session:
            query = select(Entry.series).where(Entry.sha1 == bytes.fromhex(sha1("d")))
            assert session.scalars(query).one() is None


def test_series_are_set_changed_and_taken_away(service: Service) -> None:
    source = service.data.parent / "more.csv"
    source.write_text(f"# a comment\n\n{sha1('a')}, s-9\n{sha1('b')},\n{sha1('c')},s-2\n")
    with open_store(service.data) as store:
        done = set_series(store, LIST, source)
        assert (done.lines, done.changed) == (3, 2)
        with store.reading() as session:
            rows = session.execute(select(Entry.sha1, Entry.series)).all()
    found = {row.sha1.hex(): row.series for row in rows if row.sha1 is not None}
    assert [found[sha1(one)] for one in "abcd"] == ["s-9", None, "s-2", None]
