"""Any tree, digest by digest: hashscan's engine against coreutils and b3sum."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts.benchlib.ours import engine_digests
from scripts.benchlib.peers import Digests, missing, parse_nul
from scripts.benchlib.verifying import compare

_LIMIT_SECONDS = 3600
_COREUTILS = ("md5", "sha1", "sha256")


def digests(tree: Path, jobs: int, say: Callable[[str], None]) -> int:
    """Compare every digest of every regular file on the filesystem of ``tree``; the number of differences.

    Raises `FileNotFoundError` where a peer is missing, CalledProcessError where one cannot read a file.
    """
    if todo := missing(("find", "xargs", "b3sum", *(f"{one}sum" for one in _COREUTILS))):
        raise FileNotFoundError(todo)
    tree = tree.resolve()
    algorithms = (*_COREUTILS, "blake3")
    ours = engine_digests(tree, algorithms, jobs)
    for note in ours.notes[:20]:
        say(f"not hashed: {note.decode(errors='replace')}")
    with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
        names = Path(folder) / "names"
        with names.open("wb") as stream:
            subprocess.run(
                ["find", str(tree), "-xdev", "-type", "f", "-print0"], stdout=stream, check=True, timeout=_LIMIT_SECONDS
            )
        total = 0
        for algorithm in algorithms:
            seen = compare(ours.digests, _theirs(names, algorithm), (algorithm,))
            say(f"{algorithm:7} {seen}")
            total += seen.count
    files = len(ours.digests)
    say(f"{files} files below {tree}, {files * len(algorithms)} digests, {total} differences, {ours.unread} unreadable")
    return total + (not files)  # a comparison of nothing proves nothing


def _theirs(names: Path, algorithm: str) -> Digests:
    """Names that end in NUL and are not escaped; b3sum escapes, so it prints no names and keeps the order."""
    command = ["b3sum", "--no-names"] if algorithm == "blake3" else [f"{algorithm}sum", "-z", "--"]
    with names.open("rb") as stream:
        done = subprocess.run(
            ["xargs", "-0", "-r", *command], stdin=stream, stdout=subprocess.PIPE, check=True, timeout=_LIMIT_SECONDS
        )
    if algorithm != "blake3":
        return parse_nul(done.stdout, (algorithm,))
    paths = names.read_bytes().split(b"\0")[:-1]
    return {path: {algorithm: line.decode()} for path, line in zip(paths, done.stdout.split(), strict=True)}
