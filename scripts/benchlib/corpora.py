"""The trees that are hashed: made from seeds, the same bytes on every machine, and kept for the next run."""

from __future__ import annotations

import json
import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from blake3 import blake3

FORMAT = 1  # counts up when the trees change: older ones are then made again
COMPLETE = "complete.json"
_PIECE = 8 << 20  # bytes written at once


@dataclass(frozen=True, slots=True)
class Down:
    """Make a directory and enter it."""

    name: str


@dataclass(frozen=True, slots=True)
class Up:
    """Go back to the parent."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of ``size`` bytes in the directory that we are in."""

    name: str
    size: int


Step = Down | Up | File


@dataclass(frozen=True, slots=True)
class Corpus:
    """A tree that is there. ``directories`` counts its top, ``size`` is the sum over all files in bytes."""

    name: str
    tree: Path
    files: int
    directories: int
    size: int


def _leaves(files: int, per_leaf: int, leaves_per_site: int, size: Callable[[], int]) -> Iterator[Step]:
    """``files`` files in leaf directories of ``per_leaf``, as sites of ``leaves_per_site`` leaves."""
    number = 0
    leaves = -(-files // per_leaf)
    for leaf in range(leaves):
        if leaf % leaves_per_site == 0:
            if leaf:
                yield Up()
            yield Down(f"site-{leaf // leaves_per_site:05d}")
        yield Down(f"folder-{leaf % leaves_per_site:03d}")
        for _ in range(min(per_leaf, files - number)):
            yield File(f"file-{number:07d}.bin", size())
            number += 1
        yield Up()
    yield Up()


def _small(scale: float, rng: random.Random) -> Iterator[Step]:
    """200,000 files of 1 to 8 KiB in 10,000 leaves of 500 sites."""
    return _leaves(_scaled(200_000, scale), 20, 20, lambda: 1024 + int(rng.random() * 7169))


def _mix(scale: float, rng: random.Random) -> Iterator[Step]:
    """30,000 files, log-normal, median 30 KiB; sigma 1.77 makes them about 4.4 GB."""
    return _leaves(_scaled(30_000, scale), 20, 15, lambda: 1 + int(30 * 1024 * rng.lognormvariate(0.0, 1.77)))


def _large(scale: float, rng: random.Random) -> Iterator[Step]:
    """10 files of 500 MB; the scale shrinks the files, not their number."""
    return _leaves(10, 10, 1, lambda: _scaled(500_000_000, scale) - int(rng.random() * 1000))


def _deep(scale: float, rng: random.Random) -> Iterator[Step]:
    """A chain of 10,000 directories with a file on every tenth level, and 200 levels of names of 255 bytes with a file each."""
    levels = max(100, _scaled(10_000, scale))
    yield Down("levels")
    for level in range(levels):
        yield Down("d")
        if level % 10 == 9:
            yield File(f"file-{level}.bin", 1 + int(rng.random() * 4096))
    yield from (Up() for _ in range(levels + 1))
    yield Down("long")
    for level in range(200):
        yield Down(f"{level:03d}".ljust(255, "n"))
        yield File(f"{level:03d}".ljust(255, "f"), 1 + int(rng.random() * 4096))
    yield from (Up() for _ in range(201))


def _million(scale: float, rng: random.Random) -> Iterator[Step]:
    """1,000,000 files of at most 1 KiB in 50,000 leaves: what a scan must not keep in memory."""
    return _leaves(_scaled(1_000_000, scale), 20, 50, lambda: 1 + int(rng.random() * 1024))


_PLANS: dict[str, Callable[[float, random.Random], Iterator[Step]]] = {
    "small": _small,
    "mix": _mix,
    "large": _large,
    "deep": _deep,
    "million": _million,
}
NAMES = tuple(_PLANS)


def _scaled(count: int, scale: float) -> int:
    return max(1, round(count * scale))


def steps(name: str, scale: float) -> Iterator[Step]:
    """The making of a tree, step by step; the same for the same arguments. Raises KeyError for an unknown name."""
    # random() of a generator that was seeded with a text is the same in every Python from 3.2 on.
    return _PLANS[name](scale, random.Random(f"hashscan bench {name} {FORMAT}"))


def content(name: str, number: int, size: int) -> Iterator[bytes]:
    """The bytes of file ``number``, in pieces: the extendable output of BLAKE3, 8 GB/s, and no two files alike."""
    source = blake3(f"hashscan bench {name} {FORMAT} {number}".encode())
    for at in range(0, size, _PIECE):
        yield source.digest(length=min(_PIECE, size - at), seek=at)


def ensure(folder: Path, name: str, scale: float, say: Callable[[str], None]) -> Corpus:
    """The corpus below ``folder``, made if it is not there in full. Raises OSError."""
    home = folder / f"{name}-{scale:g}"
    tree = home / "tree"
    with suppress(FileNotFoundError, ValueError):
        told = json.loads((home / COMPLETE).read_bytes())
        if told.pop("format", None) == FORMAT:
            return Corpus(name, tree, **told)
    if home.exists():
        subprocess.run(["rm", "-rf", "--", str(home)], check=True)  # shutil.rmtree stops at 1,000 levels
    say(f"making the corpus {name} in {home}")
    tree.mkdir(parents=True)
    made = _make(tree, name, scale)
    os.sync()
    told = {key: value for key, value in asdict(made).items() if key not in ("name", "tree")}
    (home / COMPLETE).write_text(json.dumps({"format": FORMAT, **told}))
    return made


def _make(tree: Path, name: str, scale: float) -> Corpus:
    """By directory descriptor, because the paths of DEEP are longer than any call takes."""
    files = size = 0
    directories = 1
    here = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for step in steps(name, scale):
            if isinstance(step, File):
                _write(here, step, content(name, files, step.size))
                files += 1
                size += step.size
                continue
            below = ".." if isinstance(step, Up) else step.name
            if isinstance(step, Down):
                os.mkdir(below, dir_fd=here)
                directories += 1
            there = os.open(below, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = there
    finally:
        os.close(here)
    return Corpus(name, tree, files, directories, size)


def _write(folder: int, file: File, pieces: Iterator[bytes]) -> None:
    fd = os.open(file.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(fd, rest) :]
    finally:
        os.close(fd)
