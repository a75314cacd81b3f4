"""scripts/bench: measure hashscan against the tools that people use today.

scripts/bench [run] [--rows PATTERN ...]     all rows: corpora, checks, alternating pairs, a table
scripts/bench --quick                        tiny corpora; checks everything, times nothing
scripts/bench make                           only make corpora and lists
scripts/bench list-sizes                     what lists of 1.4 and 10 million entries cost
scripts/bench publishing                     what publishing 3.2 million entries and for 500 providers costs
scripts/bench confirm-load                   how many questions a second the service answers, and how fast
scripts/bench monitor                        what the monitor's figures of a million findings cost
scripts/bench startup                        how long --help and status take, beside restic and clamscan
scripts/bench digests PATH                   every digest of every file against coreutils and b3sum
scripts/bench table FILE.json [--write DOC]  the table again
scripts/bench plot FILE.json FILE.svg        the plot again
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from hashscan import __version__
from hashscan.atomic import write_bytes
from scripts.benchlib import confirm_load, corpora, measure, peers, publishing, rows, show, sizes, startup, watching
from scripts.benchlib.desk import Desk, Options
from scripts.benchlib.digests import digests
from scripts.benchlib.ours import REPOSITORY, abilities
from scripts.benchlib.results import Book, Result, Status, exit_code, from_json, read
from scripts.benchlib.running import LISTS, Runner, blank

_COMMANDS = ("run", "make", "list-sizes", "publishing", "confirm-load", "monitor", "startup", "digests", "table", "plot")


def main(arguments: Sequence[str]) -> int:
    """Do what was asked for; the exit code."""
    words = list(arguments)
    if not words or words[0] not in (*_COMMANDS, "-h", "--help"):
        words.insert(0, "run")
    told = _parser().parse_args(words)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started ends too, and temporary folders go
    try:
        return int(told.act(told))
    except KeyboardInterrupt:
        print("bench: stopped; rows that were measured are in the file of --json", file=sys.stderr)
        return 130
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    run = commands.add_parser("run", help="measure (the default)")
    make = commands.add_parser("make", help="make corpora and lists, measure nothing")
    for one, act in ((run, _run), (make, _make)):
        one.set_defaults(act=act)
        _add_options(one)
    run.add_argument("--pairs", type=_positive, default=3, help="alternating runs of each side (default: 3)")
    run.add_argument("--quick", action="store_true", help="tiny corpora: check everything, time nothing")
    run.add_argument("--json", type=Path, metavar="FILE", help="results; a run that was broken off goes on from this file")
    run.add_argument("--fresh", action="store_true", help="measure rows again that FILE holds already")
    run.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the ratios")
    run.add_argument("--install-peers", action="store_true", help="install missing peers with apt-get (needs root)")
    compare = commands.add_parser("digests", help="compare the digests of every file below PATH")
    compare.add_argument("path", type=Path)
    compare.add_argument("--jobs", type=_positive, default=2)
    compare.set_defaults(act=lambda told: 1 if digests(told.path, told.jobs, print) else 0)
    sizes_of = commands.add_parser("list-sizes", help="build time, size, delta and load of lists")
    sizes_of.add_argument("--entries", type=_positive, nargs="+", default=[1_400_000, 10_000_000])
    sizes_of.set_defaults(act=_list_sizes)
    out = commands.add_parser("publishing", help="what a publication costs: many providers, a long list")
    out.add_argument("--trial", nargs=2, type=_positive, action="append", metavar=("ENTRIES", "PROVIDERS"))
    out.add_argument("--jobs", type=_positive, help="processes that build (default: one a core)")
    out.set_defaults(act=_publishing)
    _add_confirm_load(commands.add_parser("confirm-load", help="a service under load: every answer is checked"))
    _add_monitor(commands.add_parser("monitor", help="what the monitor's figures cost"))
    start = commands.add_parser("startup", help="how long --help and status take, beside restic and clamscan")
    start.add_argument("--cases", type=_positive, default=5000, help="cases in the vault (default: 5000)")
    start.add_argument("--runs", type=_positive, default=11, help="runs of each command (default: 11)")
    start.set_defaults(act=_startup)
    table = commands.add_parser("table", help="the table of a file of results")
    table.add_argument("file", type=Path)
    table.add_argument("--write", type=Path, metavar="DOC", help="put it into DOC between the marks")
    table.set_defaults(act=_table)
    plot = commands.add_parser("plot", help="the plot of a file of results")
    plot.add_argument("file", type=Path)
    plot.add_argument("svg", type=Path)
    plot.set_defaults(act=lambda told: _plot(_stored(told.file), told.svg))
    return parser


def _add_options(one: argparse.ArgumentParser) -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hashscan-bench"
    one.add_argument(
        "--corpus", type=Path, default=cache, metavar="DIR", help=f"folder of corpora and lists (default: {cache})"
    )
    one.add_argument("--scale", type=float, default=1.0, help="size of the corpora (default: 1)")
    one.add_argument("--list-entries", type=_positive, default=1_400_000, help="entries of the published lists")
    one.add_argument("--wide-entries", type=_positive, default=20_000_000, help="entries of the list of the memory row")
    one.add_argument("--jobs", type=_positive, default=2, help="worker processes of hashscan (default: 2, as the peers)")
    one.add_argument("--rows", nargs="+", default=[], metavar="PATTERN", help="only these rows")


def _add_confirm_load(one: argparse.ArgumentParser) -> None:
    usual = confirm_load.Plan()
    one.add_argument("--entries", type=_positive, default=usual.entries, help="of the list (default: %(default)s)")
    one.add_argument("--providers", type=_positive, default=usual.providers, help="that ask (default: %(default)s)")
    one.add_argument("--workers", type=_positive, nargs="+", default=usual.workers, help="processes (default: 1 2 4)")
    one.add_argument("--items", type=_positive, default=usual.items, help="candidates of a question (default: %(default)s)")
    one.add_argument("--known", type=float, default=usual.known, help="share of them that is listed (default: %(default)s)")
    one.add_argument("--connections", type=_positive, default=usual.connections, help="at once (default: %(default)s)")
    one.add_argument("--seconds", type=float, default=usual.seconds, help="that each row takes (default: %(default)s)")
    one.add_argument("--per-second", type=float, default=0.0, help="questions at most (default: as many as are answered)")
    one.add_argument("--database", type=Path, metavar="FILE", help="the URL of an empty PostgreSQL database (default: SQLite)")
    one.add_argument("--database-pid", type=_positive, metavar="PID", help="of its server: its processor time is told too")
    one.add_argument("--folder", type=Path, metavar="DIR", help="keep the service there and use the one that is there")
    one.set_defaults(act=_confirm_load)


def _add_monitor(one: argparse.ArgumentParser) -> None:
    usual = watching.Plan()
    one.add_argument("--findings", type=_positive, default=usual.findings, help="of all (default: %(default)s)")
    one.add_argument(
        "--providers", type=_positive, default=usual.providers, help="with four agents each (default: %(default)s)"
    )
    one.add_argument("--open", type=float, default=usual.open, help="share that is in its place (default: %(default)s)")
    one.add_argument("--database", type=Path, metavar="FILE", help="the URL of an empty PostgreSQL database (default: SQLite)")
    one.add_argument("--folder", type=Path, metavar="DIR", help="keep the service there and use the one that is there")
    one.set_defaults(act=_monitor)


def _positive(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def _startup(told: argparse.Namespace) -> int:
    """0 where every command of ours is within the goal."""
    with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
        print(f"{told.cases} cases, medians of {told.runs}, load {os.getloadavg()[0]:.1f}\n")
        print("| command | wall clock, s | processor, s | longest, s |\n|---|---:|---:|---:|")
        found = []
        for one in startup.measure(told.cases, told.runs, Path(folder) / "host"):
            found.append(one)
            print(one.row(), flush=True)
    late = [one.name for one in found if one.name.startswith("hashscan") and one.wall >= startup.GOAL]
    print(f"\ngoal {startup.GOAL} s: {'missed by ' + ', '.join(late) if late else 'met'}")
    return 1 if late else 0


def _options(told: argparse.Namespace) -> Options:
    return Options(told.corpus.absolute(), told.scale, told.list_entries, told.wide_entries, jobs=told.jobs)


def _make(told: argparse.Namespace) -> int:
    desk = Desk(_options(told), abilities(), print)
    chosen = rows.chosen(told.rows)
    for name in dict.fromkeys(row.corpus for row in chosen):
        print(desk.corpus(name))
    names = [name for row in chosen for name in LISTS.get(row.kind, (row.service,)) if name]
    for name in dict.fromkeys(names):
        with desk.served(name):
            print(f"the list {name} is there")
    return 0


def _run(told: argparse.Namespace) -> int:
    if told.install_peers:
        peers.install()
    with ExitStack() as stack:
        options = replace(_options(told), pairs=told.pairs)
        if told.quick:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hashscan-bench-")))
            stack.callback(subprocess.run, ["rm", "-rf", "--", str(folder / "deep-0.002")], check=True)  # too deep for shutil
            options = replace(options, folder=folder, scale=0.002, entries=1000, wide=2000, pairs=1, quick=True)
        desk = Desk(options, abilities(), print)
        book = Book(
            told.json,
            {"machine": _machine(options.folder)},
            _settings(options),
        )
        if not told.fresh and (kept := book.resume()):
            print(f"{kept} rows are kept from {told.json}; --fresh measures them again")
        return _run_rows(rows.chosen(told.rows), desk, book, told)


def _list_sizes(told: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
        found = [sizes.measure(entries, Path(folder), lambda said: print(said, file=sys.stderr)) for entries in told.entries]
    print(sizes.table(found), end="")
    return 0


def _publishing(told: argparse.Namespace) -> int:
    trials = [publishing.Trial(*one) for one in told.trial or [(3_200_000, 2), (10_000, 500)]]
    with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
        return publishing.main(trials, Path(folder) / "publishing", told.jobs)


def _confirm_load(told: argparse.Namespace) -> int:
    asked = {key: value for key, value in vars(told).items() if key not in ("act", "folder")}
    with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
        return confirm_load.main(confirm_load.Plan(**asked), told.folder or Path(folder))


def _monitor(told: argparse.Namespace) -> int:
    asked = {key: value for key, value in vars(told).items() if key not in ("act", "folder")}
    with tempfile.TemporaryDirectory(prefix="hashscan-bench-") as folder:
        return watching.main(watching.Plan(**asked), told.folder or Path(folder))


def _run_rows(chosen: list[rows.Row], desk: Desk, book: Book, told: argparse.Namespace) -> int:
    runner = Runner(desk)
    for row in chosen:
        if book.has(row.key):
            continue
        began = time.monotonic()
        book.enter(runner.run(row))
        print(f"{show.line(book.results[-1])}  [{time.monotonic() - began:.0f} s]", flush=True)
    results = book.results
    print("\n" + show.table(results))
    if told.plot:
        _plot(results, told.plot)
    counts = {status: sum(one.status is status for one in results) for status in Status}
    told_rows = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    failed = len(desk.checks.failures) + counts[Status.FAILED]
    good = desk.checks.passed + counts[Status.EXERCISED] + counts[Status.MEASURED]
    missing = len(results) - counts[Status.FAILED] - counts[Status.EXERCISED] - counts[Status.MEASURED]
    print(f"rows: {told_rows}")
    print(f"{good} passed, {failed} failed, {missing} not run")
    return exit_code(results, len(desk.checks.failures))


def _settings(options: Options) -> dict[str, Any]:
    """What must be the same for rows of two runs to stand in one table."""
    told = {key: value for key, value in asdict(options).items() if key not in ("folder", "quick")}
    source = blake3()
    for path in sorted((REPOSITORY / "hashscan").rglob("*.py")):
        source.update(path.read_bytes())
    return {**told, "corpora": corpora.FORMAT, "hashscan": __version__, "source": source.hexdigest(length=8)}


def _machine(folder: Path) -> dict[str, Any]:
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    model = next((line.partition(":")[2].strip() for line in cpus if line.startswith("model name")), platform.machine())
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gb": round(measure.parse_kib(Path("/proc/meminfo").read_bytes())["MemTotal"] / 1e9),
        "kernel": platform.release(),
        "filesystem": _filesystem(folder),
        "python": platform.python_version(),
        "peers": peers.versions(),
    }


def _filesystem(folder: Path) -> str:
    """The type of the filesystem that ``folder`` is on, from proc_pid_mountinfo(5)."""
    device = folder.stat().st_dev
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split()
        if fields[2] == f"{os.major(device)}:{os.minor(device)}":
            return fields[fields.index("-") + 1]
    return "unknown filesystem"


def _stored(path: Path) -> list[Result]:
    """All rows, in the order of the plan; those that the file lacks as not run."""
    found = {one["key"]: from_json(one) for one in read(path)["rows"]}
    return [found.get(row.key) or blank(row) for row in rows.ROWS]


def _table(told: argparse.Namespace) -> int:
    document = read(told.file)
    block = show.machine(document["machine"], document["settings"]) + "\n" + show.table(_stored(told.file))
    if told.write is None:
        print(block)
    else:
        told.write.write_text(show.replaced(told.write.read_text(encoding="utf-8"), block), encoding="utf-8")
    return 0


def _plot(results: list[Result], path: Path) -> int:
    write_bytes(path.absolute(), show.plot(results).encode(), mode=0o644)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
