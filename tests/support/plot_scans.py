"""Scans of a plot: by an engine in this process, by the command line in a process of its own, and by a usual script."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import hashscan.cli.scan  # noqa: F401  so that a forked child need not import it
from hashscan import flow
from hashscan.cli.main import run
from hashscan.files.cache import Cache, NoCache
from hashscan.files.engine import InProcessEngine
from hashscan.files.roots import distinct_roots, survey
from hashscan.files.sifter import Sifter
from hashscan.files.walk import Kind, Packed, WalkOptions, pack_names
from hashscan.model import Algorithm, Candidate, Reason, Sifted
from hashscan.quarantine.vault import HOLDING_NAME
from hashscan.report.escape import escape
from tests.support import children as kids
from tests.support import world
from tests.support.caches import TICK, cache_in
from tests.support.plots import MAX_FILE, Plot, Told, path_of, write
from tests.support.sieves import FakeSieve
from tests.support.trees import Seen, total

MAX_SECONDS = 90.0  # for any of the trees, on a machine with other work; a scan that is not done by then hangs
MAX_DESCRIPTORS = 256  # in any process of a scan: the limit that it runs under
MAX_RSS_KIB = 100 << 10  # of the largest process of a scan
NAIVE_SECONDS = 1.0  # more than a usual script needs for any tree that it gets right
_NOBODY = 65534

Argument: TypeAlias = str | bytes | Path

_MEASURED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]),) * 2)
child = os.posix_spawn(sys.argv[3], sys.argv[3:], os.environ)
_, status, usage = os.wait4(child, 0)
os.write(int(sys.argv[1]), b"%d" % usage.ru_maxrss)
os._exit(os.waitstatus_to_exitcode(status) & 255)
"""
_NAIVE = """
import hashlib, os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 29,) * 2)
known = set(open(sys.argv[1]).read().split())
for root in sys.argv[2:]:
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            try:
                with open(path, "rb") as stream:
                    if hashlib.sha1(stream.read()).hexdigest() in known:
                        print(path, flush=True)
            except OSError:
                continue
"""


class _Acting(FakeSieve):
    """Lets the tenant act when the first listed file is found."""

    def __init__(self, known: set[bytes], act: Callable[[], None] | None) -> None:
        super().__init__(known, (Algorithm.SHA1,), fingerprint=b"the lists of today")
        self._act = act

    def candidates(self, hashed: object) -> list[Candidate]:
        act, self._act = self._act, None
        if act is not None:
            act()
        return super().candidates(hashed)  # type: ignore[arg-type]


def in_process(plot: Plot) -> Told:
    """What an engine in this process says; where the plot wants a second scan, what that one says."""
    with _meanwhile(plot):
        if plot.then is not None:
            return _twice(plot, plot.then)
        if plot.act_reading is not None:
            return _told(total(_reading(plot, plot.act_reading)))
        roots = [os.path.abspath(root) for root in plot.roots]
        return _told(total(InProcessEngine(_options()).sift(roots, _Acting(plot.digests, plot.act))))


def _options(cache: Cache | None = None) -> WalkOptions:
    own = frozenset({HOLDING_NAME})
    return WalkOptions(max_file_bytes=MAX_FILE, own_names=own, cache=cache or NoCache())


def _reading(plot: Plot, act: Callable[[], None]) -> Iterator[Sifted]:
    waiting = [act]

    def alive() -> None:
        while waiting:
            waiting.pop()()

    roots = distinct_roots(survey(plot.roots))
    frames: list[Packed] = [(Kind.ROOTS, -1, b"", 0, 0, pack_names([str(number) for number in range(len(roots))]))]

    def start(_: Callable[[], None]) -> Sifter:
        return Sifter(_options(), _Acting(plot.digests, None), roots, (), alive)

    yield from flow.alone(frames, start)
    assert not waiting, "no file was read in several pieces: the moment never came"


def _twice(plot: Plot, then: Callable[[], None]) -> Told:
    home = Path(os.fsdecode(plot.home))
    cache = cache_in(home)
    seen: list[Seen] = []
    for between in (then, lambda: None):
        time.sleep(TICK)
        seen.append(total(InProcessEngine(_options(cache)).sift(plot.roots, _Acting(plot.digests, None))))
        time.sleep(TICK)
        between()
    assert seen[0].paths == [], "the first scan must not find what the second one is to find"
    assert seen[1].cached > 0, "nothing was remembered"
    return _told(seen[1])


def _told(seen: Seen) -> Told:
    named = [(note.place.full, note.errno if note.reason is Reason.ERROR else note.reason.value) for note in seen.notes]
    skipped = Counter({reason.value: count for reason, count in seen.skipped.items()})
    hashed = seen.scanned + seen.cached + seen.by_size
    found = [one.hashed.entry.place.full for one in seen.candidates]
    return Told(found, seen.directories, seen.seen, hashed, skipped, seen.errors, named)


@contextmanager
def _meanwhile(plot: Plot) -> Iterator[None]:
    with ExitStack() as stack:
        for body in plot.meanwhile:
            child = kids.start(body)
            stack.callback(kids.end, child)
            stack.callback(os.kill, child, signal.SIGKILL)
        if plot.meanwhile:
            time.sleep(0.05)
        yield


@dataclass
class Run:
    """A scan by the command line: what it said, how long it took, the largest process, and what people were shown."""

    told: Told
    seconds: float
    rss_kib: int
    shown: str


def _known(plot: Plot) -> bytes:
    path = plot.home + b"/known"
    if not os.path.exists(path):
        write(path, b"".join(b"%s\n" % one.hex().encode() for one in plot.digests) or b"# nothing\n" + b"0" * 39 + b"1\n")
    return path


def by_command(plot: Plot) -> Run:
    """``hashscan scan --json --known LIST ROOT...`` under a limit of descriptors and of time."""
    config, home = plot.home + b"/config.toml", os.fsdecode(plot.home)
    lines = [f'paths.{one} = "{home}/{one}"' for one in ("state", "run", "cache")]
    lines += [f"scan.max_file_size = {MAX_FILE}", f"scan.file_deadline = {plot.deadline}", "scan.jobs = 2"]
    write(config, "\n".join(lines).encode() + b"\n")
    arguments: list[Argument] = ["--config", os.fsdecode(config), "scan", "--known", os.fsdecode(_known(plot)), "--json", "-v"]
    arguments += ["--", *plot.roots]
    with _meanwhile(plot):
        if plot.preloaded or (plot.nobody and os.geteuid() == 0):
            code, seconds, rss, out, err = _preloaded(plot, arguments)
        else:
            code, seconds, rss, out, err = _measured(plot, [*world.command(), *arguments])
    told = world.Told(code, out, err.decode())
    assert "Traceback" not in told.err, told.err[-3000:]
    return Run(_told_by(told, plot), seconds, rss, told.err)


def _measured(plot: Plot, arguments: list[Argument]) -> tuple[int, float, int, bytes, bytes]:
    """Run a command to its end. By files and not by pipes: a worker that the kernel does not let die holds its ends open."""
    reading, writing = os.pipe()
    begun = time.monotonic()
    with open(plot.home + b"/out", "w+b") as out, open(plot.home + b"/err", "w+b") as err:
        command = [sys.executable, "-S", "-c", _MEASURED, str(writing), str(MAX_DESCRIPTORS), *arguments]
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=err,
            cwd="/",
            env=world.clean_environment(),
            pass_fds=[writing],
            start_new_session=True,
        )
        os.close(writing)
        reader = subprocess.Popen(["cat"], stdin=child.stdout, stdout=out)
        child.stdout.close()  # type: ignore[union-attr]
        try:
            code = child.wait(MAX_SECONDS)
            reader.wait(MAX_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            reader.kill()
            reader.wait()
            raise AssertionError(f"the scan hangs, or keeps its stdout open: {err.read()[-2000:]!r}") from None
        seconds = time.monotonic() - begun
        out.seek(0)
        err.seek(0)
        said, shown = out.read(), err.read()
    rss = os.read(reading, 100)
    os.close(reading)
    return code, seconds, int(rss), said, shown


def _preloaded(plot: Plot, arguments: list[Argument]) -> tuple[int, float, int, bytes, bytes]:
    """The same in a child that has all modules, for two thirds of the time. For one without root's rights it is the only way

    where Python itself is in a closed folder: it has scanned before, as root.
    """
    begun = time.monotonic()

    def body() -> None:
        signal.alarm(int(MAX_SECONDS))
        null = os.open(os.devnull, os.O_RDWR)
        for fd in (1, 2):
            os.dup2(null, fd)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        if plot.nobody:
            run([os.fsdecode(one) for one in arguments])
        for fd, name in ((1, b"/out"), (2, b"/err")):
            os.dup2(os.open(plot.home + name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), fd)
        if plot.nobody:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        os.environ.update(world.clean_environment())
        os.chdir("/")
        code = run([os.fsdecode(one) for one in arguments])
        sys.stdout.flush()
        os._exit(code)

    code = kids.run(body)
    said, shown = (Path(os.fsdecode(plot.home), name).read_bytes() for name in ("out", "err"))
    return code, time.monotonic() - begun, 0, said, shown


def _told_by(told: world.Told, plot: Plot) -> Told:
    if plot.refused:
        assert "\nhashscan: " in told.err
        return Told([], 0, 0, 0, Counter(), Counter(), [], told.code)
    assert told.out, (told.code, told.err)
    summary = told.summary
    assert summary["complete"] is True
    paths = summary["paths"]
    named = [(path_of(event), event["reason"]) for event in told.of("skipped")]
    named += [(path_of(event), event["errno"]) for event in told.of("error")]
    assert summary["findings"]["by_act"].get("report", 0) == len(told.of("finding"))
    return Told(
        [path_of(event) for event in told.of("finding")],
        summary["directories"],
        paths["seen"],
        paths["scanned"] + paths["cached"] + paths["by_size"],
        Counter(paths["skipped"]),
        Counter(paths["errors"]),
        named,
        told.code,
    )


def assert_shown(plot: Plot, run: Run) -> None:
    """People see every name that they must see, whole, on one line and without anything that moves their cursor."""
    assert all(line.isprintable() for line in run.shown.split("\n"))
    for path in [*plot.must, *plot.named] if not plot.refused else []:
        assert escape(path) in run.shown


def assert_bounded(run: Run) -> None:
    """Time and memory; descriptors are bounded by the limit under which it ran."""
    assert run.seconds < MAX_SECONDS
    assert run.rss_kib < MAX_RSS_KIB, f"{run.rss_kib} KiB"


class Naive:
    """A usual script, `os.walk` and `open`, on the same tree: what the truth is worth. Runs beside the real scan."""

    def __init__(self, plot: Plot) -> None:
        self._plot, self._begun = plot, time.monotonic()
        self._out = open(plot.home + b"/naive", "w+b")  # noqa: SIM115
        self._child = subprocess.Popen(
            [sys.executable, "-S", "-c", _NAIVE, _known(plot), *plot.roots],
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        )

    def _gone(self) -> None:
        self._child.wait(30)

    def verdict(self) -> str:
        """ "right", or what went wrong: "hangs", "crashes", "misses", "too much", "unprintable"."""
        try:
            code = self._child.wait(max(0.1, NAIVE_SECONDS - (time.monotonic() - self._begun)))
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._out.close()
            self._plot.closing.insert(0, self._gone)
            return "hangs"
        self._out.seek(0)
        with self._out as stream:
            data = stream.read()
        told = sorted(data.split(b"\n")[:-1])
        if code:
            return "crashes"
        if set(told) < self._plot.must:
            return "misses"
        if told != sorted(self._plot.must):
            return "wrong"
        return "right" if all(line.decode().isprintable() for line in told) else "unprintable"
