"""What all rows share: the options of the run, the corpora, and the count of checks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from scripts.benchlib import corpora
from scripts.benchlib.corpora import Corpus
from scripts.benchlib.lists import KINDS, home_of, publish, served, write_control
from scripts.benchlib.ours import Abilities, Agent, write_config
from scripts.benchlib.rows import Row


@dataclass(frozen=True, slots=True)
class Options:
    """``folder`` holds corpora and lists. ``scale`` shrinks corpora; ``entries`` of published lists, ``wide`` of the largest.

    ``jobs`` are our workers. ``quick`` runs and checks everything once, and times nothing.
    """

    folder: Path
    scale: float = 1.0
    entries: int = 1_400_000
    wide: int = 20_000_000
    pairs: int = 3
    jobs: int = 2
    quick: bool = False


@dataclass(slots=True)
class Checks:
    """What was compared before anything was timed; a failure is told at once, and counted."""

    say: Callable[[str], None]
    passed: int = 0
    failures: list[str] = field(default_factory=list)

    def that(self, what: str, *, holds: bool, seen: str = "") -> bool:
        """Count one; whether it holds."""
        if holds:
            self.passed += 1
            self.say(f"ok      {what}")
        else:
            self.failures.append(what)
            self.say(f"FAILED  {what}: {seen}")
        return holds


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan of hashscan, ready to be run, and the tree that it must read."""

    corpus: Corpus
    agent: Agent
    flags: tuple[str | Path, ...]

    @property
    def argv(self) -> list[str]:
        """The command line."""
        return self.agent.scan(self.corpus.tree, *self.flags)


class Desk:
    """Corpora, agents and lists, made when a row asks for them."""

    def __init__(self, options: Options, able: Abilities, say: Callable[[str], None]) -> None:
        self.options, self.able, self.say = options, able, say
        self.checks = Checks(say)
        self._corpora: dict[str, Corpus] = {}
        self._proven: set[Path] = set()

    def corpus(self, name: str) -> Corpus:
        """One of the trees."""
        if name not in self._corpora:
            self._corpora[name] = corpora.ensure(self.options.folder, name, self.options.scale, self.say)
        return self._corpora[name]

    @contextmanager
    def plain_agent(self) -> Iterator[tuple[Agent, Path]]:
        """An agent without a service, and a temporary folder beside its configuration."""
        with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as name:
            folder = Path(name)
            yield Agent(write_config(folder), self.options.jobs), folder

    @contextmanager
    def scan(self, row: Row, *, service: str | None = None, remember: bool = False) -> Iterator[Scan]:
        """Our side of ``row``; every file is read unless it is to ``remember`` digests. ``service``: not that of the row."""
        corpus = self.corpus(row.corpus)
        flags = ["--no-cache"] if self.able.no_cache and not remember else []
        kind = row.service if service is None else service
        if not kind:
            with self.plain_agent() as (agent, folder):
                control = write_control(folder / "control.txt", row.digests)
                yield Scan(corpus, agent, ("--known", control, *flags))
            return
        with self.served(kind) as agent, tempfile.TemporaryDirectory(prefix="cache-", dir=self.options.folder) as cache:
            yield Scan(corpus, replace(agent, cache=Path(cache)) if self.able.cache else agent, tuple(flags))

    def publish_again(self, kind: str) -> None:
        """A new version of a list, as this hashscan publishes it."""
        publish(self._list_home(kind))
        self._proven.discard(self._list_home(kind))

    def _list_home(self, kind: str) -> Path:
        return home_of(self.options.folder / "lists", KINDS[kind], self._entries(kind))

    def _entries(self, kind: str) -> int:
        return self.options.wide if kind == "wide" else self.options.entries

    @contextmanager
    def served(self, kind: str) -> Iterator[Agent]:
        """An agent of a published list."""
        where, options = self._list_home(kind), self.options
        with served(where, KINDS[kind], self._entries(kind), options.jobs, self._proven, self.say) as agent:
            yield agent
