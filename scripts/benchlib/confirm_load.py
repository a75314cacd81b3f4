"""How many questions a service answers in a second, and how fast: the real service, the real protocol, every answer checked."""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from hashscan.central import wire
from hashscan.known.keys import token
from hashscan.known.verdicts import Asked, open_verdict
from hashscan.model import Algorithm
from hashscan.ports import Question
from hashscan.service.monitor.figures import percentile
from scripts.benchlib import loading
from scripts.benchlib.hotline import Host, Hotline, Server, make, processor, serving
from scripts.benchlib.loading import PLACE_OF_NONCE, Answer, Load, Pace, Request
from scripts.benchlib.measure import tree_of

_QUESTIONS = 512  # different ones of each host
_WARM_SECONDS = 2.0
_DIGEST_BYTES = {Algorithm.MD5: 16, Algorithm.SHA1: 20}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure: entries and providers of the service, processes that answer, how hard it is asked.

    A question has ``items`` candidates, of which ``known`` (0 to 1) are entries.
    """

    entries: int = 200_000
    providers: int = 4
    workers: Sequence[int] = (1, 2, 4)
    items: int = 10
    known: float = 0.5
    connections: int = 8
    seconds: float = 10.0
    per_second: float = 0.0
    database: Path | None = None
    database_pid: int | None = None


@dataclass(frozen=True, slots=True)
class Questions:
    """What is asked, and of each question the digests behind it: of entries, and of files that are none."""

    requests: tuple[Request, ...]
    asked: tuple[tuple[Question, tuple[tuple[dict[Algorithm, str], bool], ...]], ...]


def questions(hotline: Hotline, plan: Plan, port: int) -> Questions:
    """Made before anything is measured: only the nonce is new each time."""
    rng = random.Random(f"hashscan questions {plan.items}")
    requests, asked = [], []
    for number in range(_QUESTIONS):
        host = number % len(hotline.hosts)
        items = tuple(_item(hotline, rng, plan.known) for _ in range(plan.items))
        prefixes = tuple(({kind: one[:8] for kind, one in digests.items()}, 4096) for digests, _ in items)
        question = Question(hotline.list, PLACE_OF_NONCE.decode(), prefixes)
        body = wire.encode_question(question)
        head = loading.http_head(port, hotline.hosts[host].api_key, len(body))
        requests.append(Request(host, number, head, body))
        asked.append((question, items))
    return Questions(tuple(requests), tuple(asked))


def _item(hotline: Hotline, rng: random.Random, known: float) -> tuple[dict[Algorithm, str], bool]:
    if rng.random() < known:
        return rng.choice(hotline.sample), True
    return {kind: loading.random_digest(size) for kind, size in _DIGEST_BYTES.items()}, False


class Wrong(ValueError):
    """An answer that an agent would not have believed, or that does not say what it must."""


def check(hotline: Hotline, asked: Questions, answers: Sequence[Answer], bodies: IO[bytes]) -> int:
    """Every answer as its agent would read it: signature, nonce, each entry found, nothing else. How many entries there were.

    Raises `Wrong`, `ServiceUnavailable`.
    """
    bodies.flush()
    found = 0
    for one in answers:
        question, items = asked.asked[one.request.question]
        host = hotline.hosts[one.request.host]
        envelope = os.pread(bodies.fileno(), one.length, one.at)
        if one.status != 200:
            raise Wrong(f"status {one.status}: {envelope[:200]!r}")
        mine = Question(question.list, one.nonce, question.items)
        verdict = open_verdict(hotline.verdict_keys, envelope, Asked(mine, host.provider, time.time()))
        found += _compare(hotline, host, verdict.answers, items)
    return found


def _compare(hotline: Hotline, host: Host, told: Sequence[object], items: Sequence[tuple[dict[Algorithm, str], bool]]) -> int:
    key = host.keys.confirm_key(hotline.list.id, hotline.list.epoch)
    for entries, (digests, known) in zip(told, items, strict=True):
        tag = token(key, Algorithm.SHA1, bytes.fromhex(digests[Algorithm.SHA1]))
        if any(one.tags.get(Algorithm.SHA1) == tag for one in entries) is not known:  # type: ignore[attr-defined]
            raise Wrong(f"{digests} should {'' if known else 'not '}be among {entries}")
    return sum(known for _, known in items)


HEAD = (
    "| database | entries | workers | items | connections | batches/s | p50 ms | p95 ms | p99 ms | longest ms | 5xx "
    "| ms CPU a batch | of the database | generator | load |\n|---|" + "---:|" * 14
)


def main(plan: Plan, folder: Path) -> int:
    """Measure and print; 1 where anything was answered with an error."""
    began = time.monotonic()
    hotline = make(folder, plan.entries, plan.providers, plan.database)
    print(f"{hotline.entries} entries, {len(hotline.hosts)} providers, {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(HEAD, flush=True)
    failed = 0
    for workers in plan.workers:
        for line, wrong in _measure(hotline, plan, workers):
            print(line, flush=True)
            failed += wrong
    return 1 if failed else 0


def _measure(hotline: Hotline, plan: Plan, workers: int) -> Iterator[tuple[str, int]]:
    with serving(hotline.data, workers) as server, tempfile.TemporaryFile(dir=hotline.data.parent) as bodies:
        asked = questions(hotline, plan, server.port)
        before = os.getloadavg()[0]
        warm = loading.load(server.port, asked.requests, Pace(plan.connections, _WARM_SECONDS), bodies, lambda: None)
        check(hotline, asked, warm.answers, bodies)
        bodies.seek(0)
        bodies.truncate()
        used = _Used(server, plan.database_pid)
        pace = Pace(plan.connections, plan.seconds, plan.per_second)
        done = loading.load(server.port, asked.requests, pace, bodies, used.begin)
        used.end()
        wrong = sum(count for status, count in done.statuses().items() if status >= 500)
        good = [one for one in done.answers if one.status == 200]
        entries = check(hotline, asked, good, bodies)
        print(
            f"{len(good)} of {len(done.answers)} answers are signed and right, {entries} entries found in them; "
            f"statuses {dict(done.statuses())}",
            file=sys.stderr,
        )
        yield _row(hotline, plan, workers, done, used, before), len(done.answers) - len(good) + wrong


class _Used:
    """Processor seconds of the service, of its database and of this process, between two moments."""

    def __init__(self, server: Server, database_pid: int | None) -> None:
        self._trees = [server.pid, *([] if database_pid is None else [database_pid])]
        self.seconds: list[float] = []

    def _now(self) -> list[float]:
        own = os.times()
        return [*(processor(tree_of(one)) for one in self._trees), own.user + own.system]

    def begin(self) -> None:
        self.seconds = self._now()

    def end(self) -> None:
        self.seconds = [after - before for after, before in zip(self._now(), self.seconds, strict=True)]


def _row(hotline: Hotline, plan: Plan, workers: int, done: Load, used: _Used, before: float) -> str:
    waits = sorted(1000 * (one.done - one.due) for one in done.answers)
    count = max(1, len(waits))
    first, last = min(one.due for one in done.answers), max(one.done for one in done.answers)
    p50, p95, p99 = (f"{percentile([waits], one) or 0.0:.1f}" for one in (50, 95, 99))
    errors = sum(number for status, number in done.statuses().items() if status >= 500)
    of_database = f"{1000 * used.seconds[1] / count:.2f}" if len(used.seconds) == 3 else "-"
    return (
        f"| {'SQLite' if plan.database is None else 'PostgreSQL'} | {hotline.entries:,} | {workers} | {plan.items} "
        f"| {plan.connections} | {count / (last - first):.0f} | {p50} | {p95} | {p99} | {waits[-1]:.0f} | {errors} "
        f"| {1000 * used.seconds[0] / count:.2f} | {of_database} | {1000 * used.seconds[-1] / count:.2f} | {before:.1f} |"
    )
