"""What a publication costs, from nothing and with a change of a thousandth: a long list, many providers."""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hashscan.service import admin
from hashscan.service.batches import Published, Terms
from hashscan.service.tables import Phase
from scripts.benchlib.growing import grow

LIST = "bench"


@dataclass(frozen=True, slots=True)
class Trial:
    """So many entries (MD5 and SHA-1 each, random) for so many providers."""

    entries: int
    providers: int


def measure(trial: Trial, folder: Path, jobs: int | None) -> Iterator[str]:
    """Lines of the table; the service is made in ``folder`` and removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data = folder / "service"
    admin.init(data, name="bench", root_keys=folder / "root-keys")
    rng = random.Random(f"hashscan bench publishing {trial}")
    for number in range(trial.providers):
        admin.add_provider(data, f"provider-{number}", phase=Phase.REGULAR)
    grow(data, LIST, rng, trial.entries)
    yield _row("from nothing", trial, *_publish(data, jobs))
    grow(data, LIST, rng, max(trial.entries // 1000, 1))
    yield _row("+0.1 %", trial, *_publish(data, jobs))
    yield _row("no change", trial, *_publish(data, jobs))
    shutil.rmtree(folder)


def _publish(data: Path, jobs: int | None) -> tuple[list[Published], float, float]:
    began, used = time.monotonic(), _used()
    done = admin.publish(data, terms=Terms(jobs=jobs))
    return done, time.monotonic() - began, _used() - used


def _used() -> float:
    """Processor seconds of this process and of all that it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _row(what: str, trial: Trial, done: list[Published], seconds: float, used: float) -> str:
    each = sorted(one.seconds for one in done)
    middle = f"{each[len(each) // 2]:.2f} s" if each else "-"
    deltas = [one.delta for one in done if one.delta is not None]
    length = f"{done[0].length / 1e6:.1f} MB" if done else "-"
    delta = f"{deltas[0] / 1e3:.0f} kB" if deltas else "-"
    load = os.getloadavg()[0]
    return (
        f"| {trial.entries:,} | {trial.providers} | {what} | {seconds:.1f} s | {used:.1f} s | {middle} | {length} | {delta} "
        f"| {load:.1f} |"
    )


HEAD = (
    "| entries | providers | what | whole publication | processor | one provider | filter | delta | load |\n"
    "|---:|---:|---|---:|---:|---:|---:|---:|---:|"
)


def main(trials: list[Trial], folder: Path, jobs: int | None) -> int:
    """Measure and print."""
    sys.stdout.write(f"{HEAD}\n")
    for trial in trials:
        for line in measure(trial, folder, jobs):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    return 0
