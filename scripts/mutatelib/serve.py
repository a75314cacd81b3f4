"""The process that has the tests collected and everything imported, and puts one change after the other on trial.

Started by `main` in the copy of the tree: ``python -m scripts.mutatelib.serve OPTIONS-AS-JSON HOME RESULTS-DESCRIPTOR``.
"""

from __future__ import annotations

import gc
import glob
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from scripts.mutatelib import ledger, trial
from scripts.mutatelib.changes import Change, changes, functions
from scripts.mutatelib.ground import shut_in
from scripts.mutatelib.ledger import End, Result
from scripts.mutatelib.lines import Covered, Tracer, processor_seconds
from scripts.mutatelib.options import Options
from scripts.mutatelib.trial import Patch

_SLOW = 0.3  # seconds of processor time, traced
_OPTIONS = ("-q", "-p", "no:cacheprovider", "--capture=sys")


@dataclass(frozen=True, slots=True)
class Job:
    """A change to be tried, or (``change`` is None) a function to be run unchanged. ``span``: the lines of the function."""

    key: str
    module: str
    function: str
    span: tuple[int, int]
    change: Change | None


@dataclass
class Killers:
    """Which tests noticed what lately: they are asked first."""

    of: Counter[tuple[str, int]] = field(default_factory=Counter)

    def order(self, job: Job, tests: set[int], covered: Covered) -> list[int]:
        """Those that killed in this function, then those about this module, the quick ones first."""
        function, module = f"{job.module}:{job.function}", job.module
        return sorted(
            tests,
            key=lambda one: (
                -self.of[function, one],
                one in covered.elsewhere,
                covered.seconds[one] > _SLOW,
                one not in covered.about[module],
                -min(self.of[module, one], 3),
                covered.seconds[one],
                one,
            ),
        )

    def note(self, job: Job, test: int) -> None:
        """This one noticed."""
        self.of[f"{job.module}:{job.function}", test] += 1
        self.of[job.module, test] += 1


class Server:
    """A plugin of pytest: in the place of the run of the tests."""

    def __init__(self, options: Options, home: Path, results: int) -> None:
        self._options, self._home, self._tree, self._results = options, home, home / "tree", results
        self._items: list[pytest.Item] = []
        self._reports: list[pytest.TestReport] = []
        self._killers = Killers()
        self.problem = ""

    def pytest_configure(self) -> None:
        from hypothesis import settings  # noqa: PLC0415 - pytest wants to be there first

        settings.register_profile("mutate", derandomize=True, database=None, deadline=None)
        settings.load_profile("mutate")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = session.items
        if session.testsfailed or not self._items:
            self.problem = "the tests cannot be collected"
            return True
        gc.collect()
        gc.freeze()  # what is here stays, and costs the children nothing
        jobs = list(self._jobs())
        say(f"{len(self._items)} tests, {len(jobs)} changes and controls to run")
        if jobs:
            covered = self._covered()
            if not self.problem:
                self._try_all(jobs, covered)
        return True

    def _jobs(self) -> Iterator[Job]:
        """What has no result yet."""
        done = ledger.read(Path(self._options.results))
        for module in self._options.modules:
            source = (self._tree / module).read_text()
            spans = {one.name: (one.node.lineno, one.node.end_lineno or 0) for one in functions(_parsed(source))}
            every = changes(module, source)
            names = list(dict.fromkeys(change.function for change in every))
            step = max(1, len(names) // max(1, self._options.controls))
            for name in names[::step][: self._options.controls]:
                key = f"control {module} {name}"
                if key not in done:
                    yield Job(key, module, name, spans[name], None)
            for change in self._options.of(every):
                before = done.get(change.key)
                if before is None or (self._options.again and before.end is not End.KILLED):
                    yield Job(change.key, module, change.function, spans[change.function], change)

    def _run(self, number: int, after: int | None = None) -> bool:
        """Whether a test failed. A test that asks for what is missing is skipped, which is no failure."""
        self._reports.clear()
        item, following = self._items[number], None if after is None else self._items[after]
        if "no_descriptor_is_lost" in getattr(item, "fixturenames", ()):
            gc.collect()  # what the test before left is not this one's
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        return any(report.failed for report in self._reports)

    def _covered(self) -> Covered:
        """Run every test once, traced: they must pass."""
        covered = Covered()
        notes = os.open(self._home / "notes", os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        tracer = Tracer(str(self._tree), self._options.modules, notes)
        started: list[str] = []
        sys.addaudithook(lambda event, args: started.append(str(args[0])) if event == "subprocess.Popen" else None)

        def work(tell: Callable[[Any], None]) -> None:
            trial.limit(600.0)
            for number in range(len(self._items)):
                begin = processor_seconds()
                started.clear()
                tracer.adopt()
                with tracer.running():
                    failed = self._run(number)
                used = processor_seconds() - begin
                why = "".join(report.longreprtext for report in self._reports if report.failed)
                tell([number, why, used, sys.executable in started, sorted(tracer.taken())])
                if failed:
                    return

        for row in trial.in_child(self._home, work):
            if row is None or row[1]:
                said = "a child of its own" if row is None else f"{self._items[row[0]].nodeid}\n{row[1]}"
                self.problem = f"unchanged, this does not pass: {said}"
                return covered
            number, _, covered.seconds[number], elsewhere, lines = row
            covered.elsewhere |= {number} if elsewhere else set()
            for module in self._options.modules:
                if Path(module).stem in self._items[number].path.stem:
                    covered.about[module].add(number)
            for module, line in lines:
                covered.lines[module, line].add(number)
        os.close(notes)
        say(f"traced: {sum(covered.seconds.values()):.0f} s of processor time, {len(covered.elsewhere)} start an interpreter")
        return covered

    def _try_all(self, jobs: Sequence[Job], covered: Covered) -> None:
        until = time.monotonic() + self._options.minutes * 60 if self._options.minutes else float("inf")
        patches = {module: Patch(self._tree, module, (self._tree / module).read_text()) for module in self._options.modules}
        killed = 0
        for number, job in enumerate(jobs, 1):
            if time.monotonic() > until:
                say(f"the time is over: {len(jobs) - number + 1} are left, the same command goes on")
                return
            result = self._try(job, patches[job.module], covered)
            killed += result.end is End.KILLED
            os.write(self._results, ledger.line_of(result).encode())
            if number % 50 == 0 or number == len(jobs):
                say(f"{number} of {len(jobs)}, {killed} killed: {job.module}")

    def _try(self, job: Job, patch: Patch, covered: Covered) -> Result:
        lines = job.change.lines if job.change else job.span
        order = self._killers.order(job, covered.of(job.module, lines, job.span), covered)
        code = patch.compiled(job.change, job.function)
        on_disk = not covered.elsewhere.isdisjoint(order)
        if on_disk:
            patch.write(job.change)

        def work(tell: Callable[[Any], None]) -> None:
            trial.limit(self._options.seconds)
            patch.apply(code, job.function)
            following = [*order[1:], None]
            pairs = zip(order, following, strict=False)
            tests = [(str(one), lambda one=one, then=then: self._run(one, then)) for one, then in pairs]
            trial.run_tests(tests, self._options.seconds, tell)

        told = trial.verdict(trial.in_child(self._home, work), self._options.seconds)
        if on_disk:
            patch.write(None)
        if told.end is End.KILLED and told.by.isdigit():
            self._killers.note(job, int(told.by))
        by = self._items[int(told.by)].nodeid if told.by.isdigit() else told.by
        what = job.change.what if job.change else "nothing"
        where = (job.key, job.module, job.function, lines[0], what)
        return Result(*where, told.end, by, told.tests, told.seconds, control=job.change is None)


def _parsed(source: str) -> Any:
    import ast  # noqa: PLC0415 - where it is needed

    return ast.parse(source)


def say(text: str) -> None:
    """Progress, for a person."""
    print(f"mutate: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Do it; 0 where all that was asked for has a result."""
    options, home, results = Options.from_json(arguments[0]), Path(arguments[1]), int(arguments[2])
    if not shut_in(home):
        say("without root, a change may write wherever you may")
    tests = sorted({path for pattern in options.tests for path in glob.glob(pattern)})
    server = Server(options, home, results)
    code = pytest.main([*_OPTIONS, *tests], plugins=[server])
    if code not in (0, 5) and not server.problem:
        server.problem = f"pytest ended with {code}"
    if server.problem:
        say(server.problem)
    return 1 if server.problem else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
