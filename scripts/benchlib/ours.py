"""hashscan as it is measured: its command lines, what this version can do, and what its summary must say."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hashscan import settings
from hashscan.files.engine import LocalEngine
from hashscan.files.walk import WalkOptions
from hashscan.model import Algorithm, Candidate, HashedFile, ListRef
from scripts.benchlib.corpora import Corpus
from scripts.benchlib.peers import Digests

PROGRAM = (sys.executable, "-m", "hashscan")
REPOSITORY = Path(__file__).resolve().parents[2]
_EVERYTHING = ListRef("bench", 1, 1)


class WrongSummary(Exception):
    """A scan did not see what is there."""


def environment() -> dict[str, str]:
    """That of this process without settings of hashscan; the package is found where this script stands."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HASHSCAN_")}
    return {**kept, "PYTHONPATH": str(REPOSITORY)}


@dataclass(frozen=True, slots=True)
class Abilities:
    """What ``--help`` of this version offers; rows that need more are listed as not available."""

    no_cache: bool
    recheck: bool
    sizes: bool

    @property
    def cache(self) -> bool:
        """Whether digests are remembered between scans."""
        return self.no_cache


def abilities(program: Sequence[str] = PROGRAM) -> Abilities:
    """Ask the program. Raises CalledProcessError where it does not start."""
    sizes = importlib.util.find_spec("hashscan.known.sizes") is not None  # nothing in the help tells
    return Abilities(no_cache="--no-cache" in _help(program, "scan"), recheck="recheck" in _help(program), sizes=sizes)


def _help(program: Sequence[str], *command: str) -> str:
    asked = [*program, *command, "--help"]
    return subprocess.run(asked, capture_output=True, text=True, check=True, env=environment()).stdout


@dataclass(frozen=True, slots=True)
class Agent:
    """One configuration of the agent: a folder of its own for everything that it keeps, never the system's."""

    config: Path
    jobs: int
    url: str = ""
    cache: Path | None = None

    def environment(self) -> dict[str, str]:
        """With the address at which the service answers today, and the folder of this row's digest cache."""
        found = environment()
        if self.url:
            found["HASHSCAN_SERVICE_URL"] = self.url
        if self.cache:
            found["HASHSCAN_PATHS_CACHE"] = str(self.cache)
        return found

    def argv(self, *words: str | Path) -> list[str]:
        """Any command of it."""
        return [*PROGRAM, "--config", str(self.config), *map(str, words)]

    def scan(self, tree: Path, *flags: str | Path) -> list[str]:
        """A quiet scan, whose events go to stdout."""
        return self.argv("scan", "--json", "-q", "-j", str(self.jobs), *flags, tree)


def write_config(folder: Path, head: str = "") -> Path:
    """A configuration ``bench.toml`` whose state, lock, and (where this version has one) cache are below ``folder``."""
    names = {one.name for one in dataclasses.fields(settings.PathSettings)}
    lines = [f'{name} = "{folder}/{name}"' for name in ("state", "run", "cache") if name in names]
    config = folder / "bench.toml"
    config.write_text(head + "\n[paths]\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return config


def summary_of(events: bytes) -> Mapping[str, Any]:
    """The last event. Raises `WrongSummary` where it is not a summary."""
    last = events.rstrip().rpartition(b"\n")[2]
    summary: dict[str, Any] = json.loads(last) if last else {}
    if summary.get("type") != "summary":
        raise WrongSummary(f"the last event is {summary.get('type')!r}: {summary.get('message', '')}")
    return summary


def check_summary(events: bytes, corpus: Corpus, *, findings: int = 0) -> Mapping[str, Any]:
    """The summary of a complete scan that read every file of ``corpus``. Raises `WrongSummary`."""
    summary = summary_of(events)
    paths = summary["paths"]
    read = paths["scanned"] + paths["cached"] + paths["by_size"]
    seen = {
        "complete": (summary["complete"], True),
        "files": (read, corpus.files),
        "directories": (summary["directories"], corpus.directories),
        "errors": (paths["errors"], {}),
        "findings": (summary["candidates"]["findings"], findings),
        "pending": (summary["candidates"]["pending"], 0),
    }
    wrong = [f"{name}: {got}, expected {expected}" for name, (got, expected) in seen.items() if got != expected]
    if wrong:
        raise WrongSummary("; ".join(wrong))
    return summary


def check_recheck(events: bytes, files: int) -> None:
    """The summary of a complete recheck of at least ``files`` remembered files. Raises `WrongSummary`."""
    summary = summary_of(events)
    candidates = summary["candidates"]
    seen = (summary["complete"], summary["paths"]["cached"] >= files, candidates["findings"], candidates["pending"])
    if seen != (True, True, 0, 0):
        told = {name: summary[name] for name in ("complete", "paths", "candidates")}
        raise WrongSummary(f"a recheck of {files} files ended with {told}")


def found_paths(events: bytes) -> set[bytes]:
    """The paths of all findings."""
    return {
        os.fsencode(event["path"])
        for event in map(json.loads, events.splitlines())
        if event["type"] == "finding" and "path_b64" not in event
    }


class Everything:
    """A `ports.Sieve` that lets every file through: how digests leave the engine to be compared."""

    def __init__(self, algorithms: Sequence[str]) -> None:
        self.algorithms = self.confirming = tuple(Algorithm(one) for one in algorithms)
        self.admits_size = None
        self.fingerprint = b""

    def survivors(self, digests: Sequence[tuple[bytes, ...]]) -> range:
        """All rows."""
        return range(len(digests))

    def candidates(self, hashed: Sequence[HashedFile]) -> list[Candidate]:
        """All files."""
        return [Candidate(one, (_EVERYTHING,)) for one in hashed]


@dataclass(frozen=True, slots=True)
class Hashed:
    """Every digest that the engine computed, how many of the names it met it did not hash, and the first of them."""

    digests: Digests
    unread: int
    notes: tuple[bytes, ...]


def engine_digests(tree: Path, algorithms: Sequence[str], jobs: int) -> Hashed:
    """The digests of every file below ``tree``, computed by the very engine of a scan: forked workers."""
    digests: Digests = {}
    unread = 0
    notes: list[bytes] = []
    for sifted in LocalEngine(WalkOptions(), jobs).sift([os.fsencode(tree)], Everything(algorithms)):
        unread += sum(sifted.errors.values())
        notes += [b"%s: %s" % (note.place.full, (note.errno or note.reason).encode()) for note in sifted.notes]
        for one in sifted.candidates:
            digests[one.hashed.entry.place.full] = {name.value: text for name, text in one.hashed.digests.items()}
    return Hashed(digests, unread, tuple(notes))
