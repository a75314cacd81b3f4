"""Killed under load: an outcome that got a receipt is there afterwards, and once; nothing is answered with an error but while
the database is away; workers that die are replaced.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import os
import random
import re
import secrets
import signal
import threading
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from hashscan.central import wire
from hashscan.central.client import HttpService, Link
from hashscan.errors import ServiceUnavailable
from hashscan.known import verdicts
from hashscan.model import Action, Algorithm, ListRef, Outcome
from hashscan.ports import Question
from hashscan.service import admin
from hashscan.service.keys import OnlineKeys
from hashscan.service.store import open_store
from hashscan.service.tables_back import OutcomeRow
from tests.support import databases
from tests.support.budget import attempts
from tests.support.databases import both
from tests.support.service import LIST, enrol, load, make, sha1
from tests.support.serving import Running

CLIENTS = 3
KILLS = 3


class Teller(threading.Thread):
    """An agent that tells outcomes in order, each until it has a receipt: what it holds receipts of is in ``receipts``."""

    def __init__(self, number: int, url: str, api_key: str, keys: object) -> None:
        super().__init__(daemon=True)
        self.receipts: list[str] = []
        self.lost = 0
        self.error: BaseException | None = None
        self.enough = threading.Event()
        self._number, self._link, self._keys = number, Link(url, api_key), keys

    def run(self) -> None:
        service = HttpService(self._link)
        try:
            for count in itertools.count():
                if self.enough.is_set():
                    return
                self._tell(service, f"o_{self._number}_{count}")
        except BaseException as error:
            self.error = error
        finally:
            service.close()

    def _tell(self, service: HttpService, name: str) -> None:
        outcome = Outcome(name, "e_unknown", LIST, "0" * 64, Action.REPORTED, 1.0, 2.0)
        while not self.enough.is_set():
            try:
                answer = service.report_outcomes([outcome])
            except ServiceUnavailable:  # it is down, or died before it answered: told again, as agents do
                self.lost += 1
                time.sleep(0.02)
                continue
            (receipt,) = verdicts.open_receipts(self._keys, answer, "acme")  # type: ignore[arg-type]
            assert receipt.outcome_id == name
            self.receipts.append(name)
            return


class Asker(threading.Thread):
    """An agent that asks all the time and reads every answer as agents do; ``statuses`` counts them, ``broken`` the missing."""

    def __init__(self, port: int, api_key: str, keys: object) -> None:
        super().__init__(daemon=True)
        self.statuses: Counter[int] = Counter()
        self.broken = 0
        self.error: BaseException | None = None
        self.enough = threading.Event()
        self._port, self._api_key, self._keys = port, api_key, keys

    def run(self) -> None:
        try:
            while not self.enough.is_set():
                self._connect()
        except BaseException as error:
            self.error = error

    def _connect(self) -> None:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)) as line:
            try:
                while not self.enough.is_set():
                    self.ask(line)
            except (OSError, http.client.HTTPException):  # it is down, or died before it answered
                self.broken += 1
                time.sleep(0.02)

    def ask(self, line: http.client.HTTPConnection) -> int:
        """One question; its status."""
        question = Question(ListRef(LIST, 1, 1), secrets.token_urlsafe(32), (({Algorithm.SHA1: sha1("a")[:8]}, 10),))
        line.request("POST", "/v1/confirm", wire.encode_question(question), {"Authorization": f"Bearer {self._api_key}"})
        response = line.getresponse()
        body = response.read()
        self.statuses[response.status] += 1
        if response.status == 200:
            asked = verdicts.Asked(question, "acme", time.time())
            verdict = verdicts.open_verdict(self._keys, body, asked)  # type: ignore[arg-type]
            assert len(verdict.answers[0]) == 1
        return response.status


def ready(tmp_path: Path) -> tuple[Path, str, object]:
    data = make(tmp_path)
    agent = enrol(data)
    load(data, sha1("a"))
    admin.publish(data)
    with open_store(data) as store:
        return data, agent.api_key, OnlineKeys.open(store).verdict_keys()


def until(condition: object, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@both
@pytest.mark.slow
def test_no_outcome_with_a_receipt_is_lost_and_none_counts_twice(tmp_path: Path) -> None:
    data, api_key, keys = ready(tmp_path)
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    kinds = ["all", "worker", *(["database"] if databases.chosen() == "postgresql" else [])]
    done = []
    with Running(data, workers=2) as running:
        tellers = [Teller(number, running.url, api_key, keys) for number in range(CLIENTS)]
        asker = Asker(running.port, api_key, keys)
        for one in (asker, *tellers):
            one.start()

        def met() -> int:
            """Requests without an answer: where a kill met none, it has shown nothing, and another follows."""
            return sum(one.lost for one in tellers) + asker.broken

        for number in range(attempts(KILLS) + 50):
            if number >= attempts(KILLS) and met():
                break
            before = sum(len(one.receipts) for one in tellers)
            until(lambda before=before: sum(len(one.receipts) for one in tellers) > before + 3)
            time.sleep(chance.random() * 0.2)
            done.append(kinds[number % len(kinds)])
            if done[-1] == "all":
                running.kill()
                running.again()
            elif done[-1] == "worker":
                victim = chance.choice(running.workers())
                os.kill(victim, signal.SIGKILL)
                until(lambda victim=victim: victim not in running.workers() and len(running.workers()) == 2)
            else:
                databases.server().stop(kill=True)
                databases.server().start()
        before = sum(len(one.receipts) for one in tellers)
        until(lambda: sum(len(one.receipts) for one in tellers) > before + 3)
        answered = asker.statuses[200]
        until(lambda: asker.statuses[200] > answered + 3 or asker.error)
        for one in (asker, *tellers):
            one.enough.set()
        for one in (asker, *tellers):
            one.join(60)
            assert one.error is None, (seed, one.error)
        # 503 is for a database that is away; whatever else dies is a connection that breaks, or the next worker's answer
        assert set(asker.statuses) <= ({200, 503} if "database" in done else {200}), (seed, asker.statuses)
        admin.revoke_api_key(data, "acme", "1")
        for _ in range(8):  # each connection goes to any of the workers
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", running.port, timeout=60)) as line:
                assert asker.ask(line) == 401
        assert running.stop() == 0
    with open_store(data) as store, store.reading() as session:
        stored = list(session.scalars(select(OutcomeRow.outcome_id)))
    receipts = [name for teller in tellers for name in teller.receipts]
    assert len(stored) == len(set(stored)), (seed, "counted twice")
    assert not set(receipts) - set(stored), (seed, "a receipt for nothing")
    assert len(stored) - len(receipts) <= CLIENTS, "at most the last of each was stored without its receipt"
    lost = met()
    assert lost > 0, "the kills must have met requests, or this has shown nothing"
    print(f"{len(done)} kills ({', '.join(done)}), {len(receipts)} receipts, answers {dict(asker.statuses)}, {lost} without")


def test_a_worker_that_dies_is_replaced_and_all_stop_in_order(tmp_path: Path) -> None:
    data, _, _ = ready(tmp_path)
    with Running(data, workers=2) as running:
        first = running.workers()
        assert len(first) == 2
        for victim in first:
            os.kill(victim, signal.SIGKILL)
        until(lambda: len(running.workers()) == 2 and not set(first) & set(running.workers()))
        second = running.workers()
        assert running.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in second)
        assert running.said().count(b"answering on") == 1


def test_workers_count_together_and_what_a_dead_one_counted_stays(tmp_path: Path) -> None:
    data, _, _ = ready(tmp_path)

    def get(url: str) -> bytes:
        with urllib.request.urlopen(url, timeout=30) as answer:  # a new connection each time: any worker may take it
            return bytes(answer.read())

    def health(url: str) -> float:
        (value,) = re.findall(rb'requests_total\{[^}]*route="/health"[^}]*\} ([0-9.e+]+)', get(f"{url}/metrics"))
        return float(value)

    with Running(data, workers=2) as running:
        for _ in range(20):
            get(f"{running.url}/health")
        assert [health(running.url) for _ in range(6)] == [20.0] * 6
        victim, _ = running.workers()
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in running.workers() and len(running.workers()) == 2)
        get(f"{running.url}/health")
        assert [health(running.url) for _ in range(6)] == [21.0] * 6


def test_workers_end_with_a_parent_that_was_killed(tmp_path: Path) -> None:
    data, _, _ = ready(tmp_path)
    with Running(data, workers=2) as running:
        workers = running.workers()
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        until(lambda: not any(_alive(pid) for pid in workers))


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
