"""Before anything is timed: both sides compute the same digests, and what is on a list is found, all of it and nothing else."""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchlib.corpora import Corpus
from scripts.benchlib.desk import Desk
from scripts.benchlib.lists import ensure_clamav, plain_lines
from scripts.benchlib.measure import run
from scripts.benchlib.ours import check_summary, engine_digests, found_paths
from scripts.benchlib.peers import MEMORY_FOLDER, PEERS, Digests, clamscan

_ALGORITHMS = ("md5", "sha1", "blake3")  # all that rows compare
_SAMPLE = 2000  # files on the list that a scan must find, all of them and no other


@dataclass(frozen=True, slots=True)
class Difference:
    """Between two sets of digests: paths that only one side has, and paths whose digests are not the same."""

    files: int
    digests: int
    only_ours: tuple[bytes, ...]
    only_theirs: tuple[bytes, ...]
    different: tuple[bytes, ...]

    @property
    def count(self) -> int:
        """All differences."""
        return len(self.only_ours) + len(self.only_theirs) + len(self.different)

    def __str__(self) -> str:
        some = [*self.only_ours[:2], *self.only_theirs[:2], *self.different[:2]]
        named = f", among them {', '.join(repr(one) for one in some)}" if some else ""
        return f"{self.files} files, {self.digests} digests, {self.count} differences{named}"


def compare(ours: Digests, theirs: Digests, algorithms: Sequence[str]) -> Difference:
    """Digest by digest, under these algorithms."""
    both = ours.keys() & theirs.keys()
    return Difference(
        files=len(both),
        digests=len(both) * len(algorithms),
        only_ours=tuple(sorted(ours.keys() - both)),
        only_theirs=tuple(sorted(theirs.keys() - both)),
        different=tuple(
            sorted(path for path in both if any(ours[path].get(one) != theirs[path].get(one) for one in algorithms))
        ),
    )


def infected(text: bytes) -> set[bytes]:
    """The paths that clamscan names: lines "path: Bench.3.UNOFFICIAL FOUND"."""
    return {line.rpartition(b": ")[0] for line in text.split(b"\n") if line.endswith(b" FOUND")}


class Verifier:
    """Checks each peer on each corpus once. Raises `measure.CommandError` and what the engine raises."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ours: dict[str, Digests] = {}
        self._theirs: dict[tuple[str, str, tuple[str, ...]], Digests | None] = {}
        self._listed: dict[tuple[str, str], bool] = {}
        self._clamav: dict[str, bool] = {}

    def agree(self, name: str, tool: str, algorithms: tuple[str, ...]) -> bool:
        """Whether hashscan and ``tool`` agree on the whole corpus, and scans find what the tool's digests say."""
        key = (name, tool, algorithms)
        corpus = self._desk.corpus(name)
        if key not in self._theirs:
            theirs = self._peer_digests(corpus, tool, algorithms)
            seen = compare(self._our_digests(corpus), theirs, algorithms)
            holds = seen.count == 0 and seen.files == corpus.files
            self._desk.checks.that(
                f"{name}, {tool} {' '.join(algorithms)}: {seen}", holds=holds, seen=f"of {corpus.files} files"
            )
            self._theirs[key] = theirs if holds else None
        digests = self._theirs[key]
        if digests is None:
            return False
        found = [self._found(corpus, one, digests) for one in algorithms]  # all of them, also where one failed
        return all(found)

    def clamav_agrees(self, name: str) -> bool:
        """Whether clamscan, with a database of a few of the files, finds these and no others."""
        if name not in self._clamav:
            self._clamav[name] = self.agree(name, "coreutils", ("sha1",)) and self._finds_planted(name)
        return self._clamav[name]

    def _finds_planted(self, name: str) -> bool:
        corpus = self._desk.corpus(name)
        digests = self._theirs[name, "coreutils", ("sha1",)] or {}
        listed = random.Random("hashscan bench clamav").sample(sorted(digests), 5)
        with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
            database = ensure_clamav(Path(folder), "planted", lambda: (digests[path]["sha1"] for path in listed))
            out = Path(folder) / "out"
            temporary = MEMORY_FOLDER if os.access(MEMORY_FOLDER, os.W_OK) else None
            run(clamscan(corpus, database, temporary), output=out, codes=(1,))
            text = out.read_bytes()
        holds = infected(text) == set(listed) and b"Scanned files: %d\n" % corpus.files in text
        return self._desk.checks.that(f"{name}, clamscan: scans all, finds the 5 planted", holds=holds, seen=repr(text[-400:]))

    def _our_digests(self, corpus: Corpus) -> Digests:
        if corpus.name not in self._ours:
            self._ours[corpus.name] = engine_digests(corpus.tree, _ALGORITHMS, self._desk.options.jobs).digests
        return self._ours[corpus.name]

    def _peer_digests(self, corpus: Corpus, tool: str, algorithms: Sequence[str]) -> Digests:
        peer = PEERS[tool]
        with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
            out = Path(folder) / "out"
            run(peer.argv(corpus, algorithms, 1), output=out)  # one process, so that no two lines mix
            return peer.parse(out.read_bytes(), algorithms)

    def _found(self, corpus: Corpus, algorithm: str, digests: Digests) -> bool:
        key = (corpus.name, algorithm)
        if key not in self._listed:
            rng = random.Random("hashscan bench sample")
            listed = rng.sample(sorted(digests), min(_SAMPLE, len(digests)))
            self._listed[key] = self._scan_finds(corpus, algorithm, {path: digests[path][algorithm] for path in listed})
        return self._listed[key]

    def _scan_finds(self, corpus: Corpus, algorithm: str, listed: dict[bytes, str]) -> bool:
        with self._desk.plain_agent() as (agent, folder):
            known = folder / "known.txt"
            known.write_text("".join(plain_lines(algorithm, listed.values())), encoding="ascii")
            out = folder / "out"
            flags = ["--no-cache"] if self._desk.able.no_cache else []
            run(agent.scan(corpus.tree, "--known", known, *flags), output=out, environment=agent.environment(), codes=(10,))
            events = out.read_bytes()
        check_summary(events, corpus, findings=len(listed))
        return self._same(
            f"{corpus.name}, scan --known {algorithm}: {len(listed)} listed files", found_paths(events), set(listed)
        )

    def _same(self, what: str, found: Collection[bytes], listed: Collection[bytes]) -> bool:
        seen = f"{len(found)} found, {len(set(found) ^ set(listed))} differences"
        return self._desk.checks.that(f"{what}, {seen}", holds=set(found) == set(listed), seen=seen)
