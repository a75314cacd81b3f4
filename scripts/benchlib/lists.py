"""Hash lists of random digests, and a service that publishes one: what the files of a corpus are checked against."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hashscan.errors import HashscanError
from hashscan.service.embedded import start_embedded
from scripts.benchlib.corpora import COMPLETE
from scripts.benchlib.ours import PROGRAM, Agent, environment, write_config

SIZES = {"md5": 16, "sha1": 20, "sha256": 32, "blake3": 32}  # bytes
_TAGS = {"md5": "MD5", "sha1": "SHA1", "sha256": "SHA256", "blake3": "BLAKE3"}
_SETUP_SECONDS = 3600  # 20 million entries take a quarter of an hour


Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ListKind:
    """A published list: the digests of each entry, and whether each entry has a size.

    ``mixed``: of ten entries, one has the first digest only and one the others only, so that agents need them all.
    """

    name: str
    algorithms: tuple[str, ...]
    sizes: bool = False
    mixed: bool = False


KINDS = {
    one.name: one
    for one in (
        ListKind("both", ("md5", "sha1")),
        ListKind("newer", ("md5", "sha1")),
        ListKind("mixed", ("md5", "sha1"), mixed=True),
        ListKind("sha1", ("sha1",)),
        ListKind("sized", ("md5", "sha1"), sizes=True),
        ListKind("wide", ("sha1",)),
    )
}


def random_rows(kind: ListKind, entries: int) -> Iterator[str]:
    """A CSV list, line by line: random digests, which no file has.

    Sizes are log-normal around 60 KiB (sigma 1.3): a million entries leave few sizes free below 200 KB, and most above 1 MB.
    """
    rng = random.Random(f"hashscan bench list {kind.name}")
    yield ",".join([*kind.algorithms, *(["size"] if kind.sizes else [])]) + "\n"
    widths = [SIZES[one] for one in kind.algorithms]
    for number in range(entries):
        fields = [rng.randbytes(width).hex() for width in widths]
        if kind.mixed and number % 10 < 2:
            fields = ["" if (index == 0) == (number % 10 == 0) else one for index, one in enumerate(fields)]
        if kind.sizes:
            fields.append(str(1 + int(60 * 1024 * rng.lognormvariate(0.0, 1.3))))
        yield ",".join(fields) + "\n"


def plain_lines(algorithm: str, digests: Iterable[str]) -> Iterator[str]:
    """A plain list that names its algorithm, as ``md5sum --tag`` writes it."""
    return (f"{_TAGS[algorithm]} (file) = {digest}\n" for digest in digests)


def write_control(path: Path, algorithms: Iterable[str], count: int = 100) -> Path:
    """A plain list of digests that no file has, so that a scan must compute these algorithms and find nothing."""
    rng = random.Random("hashscan bench control")
    with path.open("w", encoding="ascii") as stream:
        for one in algorithms:
            stream.writelines(plain_lines(one, (rng.randbytes(SIZES[one]).hex() for _ in range(count))))
    return path


def clamav_lines(digests: Iterable[str]) -> Iterator[str]:
    """A ClamAV hash database (.hsb); ``*`` is any size, which needs functionality level 73."""
    return (f"{digest}:*:Bench.{number}:73\n" for number, digest in enumerate(digests))


def ensure_clamav(folder: Path, name: str, digests: Callable[[], Iterable[str]]) -> Path:
    """The database folder ``name`` with one file of ``digests``, made if it is not there."""
    home = folder / f"clamav-{name}"
    if not (home / "bench.hsb").exists():
        home.mkdir(parents=True, exist_ok=True)
        with (home / "half.txt").open("w", encoding="ascii") as stream:
            stream.writelines(clamav_lines(digests()))
        (home / "half.txt").rename(home / "bench.hsb")
    return home


def random_sha1(entries: int) -> Iterator[str]:
    """The same SHA-1 digests as the list "sha1" holds."""
    rows = random_rows(KINDS["sha1"], entries)
    next(rows)
    return (row.rstrip() for row in rows)


def home_of(folder: Path, kind: ListKind, entries: int) -> Path:
    """Where a published list and its service are."""
    return folder / f"{kind.name}-{entries}"


@contextmanager
def served(home: Path, kind: ListKind, entries: int, jobs: int, proven: set[Path], say: Say) -> Iterator[Agent]:
    """An agent that has synced the list, while its service answers on loopback (a Bloom filter errs: somebody must be asked).

    The list is made once. One that this version of hashscan cannot use is made again; what was ``proven`` is not asked
    again in this run. Raises CalledProcessError.
    """
    if home not in proven and (not (home / COMPLETE).exists() or not _holds(home, say)):
        _make(home, kind, entries, say)
    with start_embedded(home / "service") as service:
        agent = _agent(home, jobs, service.url)
        if home not in proven:
            _prove(agent)
            proven.add(home)
        yield agent


def _holds(home: Path, say: Say) -> bool:
    try:
        with start_embedded(home / "service") as service:
            _prove(_agent(home, 1, service.url))
    except (subprocess.CalledProcessError, HashscanError) as error:
        say(f"the list in {home} cannot be used any more: {error}")
        return False
    return True


def _agent(home: Path, jobs: int, url: str) -> Agent:
    return Agent(write_config(home / "agent", (home / "agent" / "config.toml").read_text(encoding="utf-8")), jobs, url)


def _prove(agent: Agent) -> None:
    """The chain must hold from end to end before anything is timed with it."""
    for words in (["sync", "-q"], ["selftest"]):
        subprocess.run(agent.argv(*words), check=True, env=agent.environment(), stdout=subprocess.DEVNULL, timeout=300)


def _make(home: Path, kind: ListKind, entries: int, say: Say) -> None:
    say(f"making the list {kind.name} of {entries} entries in {home}")
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    source = home / "list.csv"
    with source.open("w", encoding="ascii") as stream:
        stream.writelines(random_rows(kind, entries))
    columns = [*kind.algorithms, *(["size"] if kind.sizes else [])]
    mapping = [word for one in columns for word in ("--column", f"{one}={one}")]
    _service(home, "init", "--name", "Benchmark", "--root-keys", str(home / "root-keys"))
    _service(home, "import", str(source), "--list", "bench", "--format", "csv", *mapping)
    # Agents are told the address of the day in their environment; this one only has to be an address.
    address = ["--url", "http://127.0.0.1:1", "--phase", "regular"]
    _service(home, "provider", "add", "bench", *address, "--out", str(home / "agent"))
    publish(home)
    source.unlink()
    (home / COMPLETE).write_text(json.dumps({"entries": entries}))


def publish(home: Path) -> None:
    """Build and sign a new version. Raises CalledProcessError."""
    _service(home, "publish")


def _service(home: Path, *words: str) -> None:
    argv = [*PROGRAM, "service", "--data", str(home / "service"), *words]
    subprocess.run(argv, check=True, env=environment(), stdout=subprocess.DEVNULL, timeout=_SETUP_SECONDS)
