"""The tools that people use today: their command lines, what they print, and how to get them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.benchlib.corpora import Corpus

PACKAGES = {"hashdeep": "hashdeep", "rhash": "rhash", "b3sum": "b3sum", "clamscan": "clamav"}
_BATCH = 1000  # paths a call under xargs, or an eighth of each process's share where that is less
# tree, paths a call, processes, then the command. find's order and NUL bytes: the fastest plain way to feed them all.
_XARGS = 'tree=$1 n=$2 p=$3; shift 3; find "$tree" -type f -print0 | xargs -0 -r -n "$n" -P "$p" "$@"'
# Everything off that is not a hash, and no limit that leaves a file out.
_CLAMSCAN_OFF = ("pe", "elf", "ole2", "pdf", "swf", "html", "xmldocs", "hwp3", "onenote", "archive", "mail", "image")

Digests = dict[bytes, dict[str, str]]
"""Path to digests by the name of their algorithm, lowercase hex."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A tool: the programs that it takes, its command line on a tree, and how to read what that prints."""

    programs: tuple[str, ...]
    argv: Callable[[Corpus, Sequence[str], int], list[str]]
    parse: Callable[[bytes, Sequence[str]], Digests]


def xargs(tree: Path, files: int, processes: int, *command: str) -> list[str]:
    """``command`` on every file below ``tree``, ``processes`` at a time."""
    batch = max(1, min(_BATCH, files // (8 * processes)))
    return ["sh", "-c", _XARGS, "sh", str(tree), str(batch), str(processes), *command]


def _hashdeep(corpus: Corpus, algorithms: Sequence[str], processes: int) -> list[str]:
    del processes  # it picks its threads itself, one a core
    return ["hashdeep", "-c", ",".join(algorithms), "-r", str(corpus.tree)]


def _rhash(corpus: Corpus, algorithms: Sequence[str], processes: int) -> list[str]:
    form = " ".join({"md5": "%m", "sha1": "%h"}[one] for one in algorithms) + " %p\\n"
    return xargs(corpus.tree, corpus.files, processes, "rhash", *(f"--{one}" for one in algorithms), f"--printf={form}")


def _b3sum(corpus: Corpus, algorithms: Sequence[str], processes: int) -> list[str]:
    del algorithms
    if processes == 1:
        return xargs(corpus.tree, corpus.files, 1, "b3sum")  # it uses all cores itself, and mmap
    return xargs(corpus.tree, corpus.files, processes, "b3sum", "--num-threads", "1")


def _coreutils(corpus: Corpus, algorithms: Sequence[str], processes: int) -> list[str]:
    (only,) = algorithms
    return xargs(corpus.tree, corpus.files, processes, f"{only}sum", "-z")


def parse_hashdeep(text: bytes, algorithms: Sequence[str]) -> Digests:
    """Lines "size,digest,...,path" below a header that says the order."""
    found: Digests = {}
    columns: list[bytes] = []
    for line in text.split(b"\n"):
        if line.startswith(b"%%%% size,"):
            columns = line.removeprefix(b"%%%% ").split(b",")
        elif columns and line and not line.startswith((b"%", b"#")):
            fields = dict(zip(columns, line.split(b",", len(columns) - 1), strict=True))
            found[fields[b"filename"]] = {one: fields[one.encode()].decode() for one in algorithms}
    return found


def parse_lines(text: bytes, algorithms: Sequence[str], end: bytes = b"\n") -> Digests:
    """Records "digest ... path" with one digest for each algorithm; one or two blanks before the path."""
    found: Digests = {}
    for line in text.split(end):
        if line:
            *digests, path = line.split(b" ", len(algorithms))
            named = dict(zip(algorithms, (one.decode() for one in digests), strict=True))
            found[path.removeprefix(b" ")] = named
    return found


def parse_nul(text: bytes, algorithms: Sequence[str]) -> Digests:
    """What coreutils print with -z: names as they are, ended by NUL."""
    return parse_lines(text, algorithms, b"\0")


PEERS = {
    "hashdeep": Peer(("hashdeep",), _hashdeep, parse_hashdeep),
    "rhash": Peer(("rhash", "find", "xargs"), _rhash, parse_lines),
    "b3sum": Peer(("b3sum", "find", "xargs"), _b3sum, parse_lines),
    "coreutils": Peer(("sha1sum", "md5sum", "sha256sum", "find", "xargs"), _coreutils, parse_nul),
}


MEMORY_FOLDER = Path("/dev/shm")


def clamscan(corpus: Corpus, database: Path, temporary: Path | None = None) -> list[str]:
    """clamscan with nothing but the hashes in ``database``. Its summary says how many files it scanned.

    It makes and removes a folder for each file, in the system's folder for such things or in ``temporary``; on an ext4 that is
    mounted with ``discard`` it waits for the disk each time.
    """
    off = [f"--scan-{one}=no" for one in _CLAMSCAN_OFF]
    limits = ["--max-filesize=2000M", "--max-scansize=2000M", "--max-dir-recursion=100"]
    return [
        *(
            "clamscan",
            "-r",
            "-i",
            f"--database={database}",
            "--heuristic-alerts=no",
            "--bytecode=no",
            "--phishing-sigs=no",
            "--scan-image-fuzzy-hash=no",
        ),
        *off,
        *limits,
        *([f"--tempdir={temporary}"] if temporary else []),
        str(corpus.tree),
    ]


def find_printf(tree: Path) -> list[str]:
    """What it takes at least to look at a tree again: the stat of each file."""
    return ["find", str(tree), "-type", "f", "-printf", "%D %i %s %T@ %C@ %p\\n"]


def missing(programs: Sequence[str]) -> str:
    """ "" where all programs are here, else "install X Y"."""
    absent = [PACKAGES.get(one, one) for one in programs if shutil.which(one) is None]
    return f"install {' '.join(sorted(set(absent)))}" if absent else ""


def install() -> None:
    """Install what is missing with apt-get; needs root. Raises CalledProcessError."""
    absent = sorted({package for program, package in PACKAGES.items() if shutil.which(program) is None})
    if absent:
        subprocess.run(["apt-get", "update", "-q"], check=True)
        subprocess.run(["apt-get", "install", "-q", "-y", "--no-install-recommends", *absent], check=True)


def versions() -> dict[str, str]:
    """The first line that each program says of itself."""
    found = {}
    for program, flag in {"hashdeep": "-V", "rhash": "-V", "b3sum": "-V", "clamscan": "-V", "sha1sum": "--version"}.items():
        if shutil.which(program):
            said = subprocess.run([program, flag], capture_output=True, text=True, check=False).stdout
            first = said.partition("\n")[0]
            found[program] = first if program in first else f"{program} {first}"
    return found
