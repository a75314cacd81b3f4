"""What holds for every test: a test that is marked ``optional("x")`` is reported as not run where x is missing."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.optional import COMPONENTS, missing

pytest_plugins = ["tests.support.databases", "tests.support.world"]

_NOT_RUN = pytest.StashKey[Counter[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_NOT_RUN] = Counter()


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("optional"):
        if len(mark.args) != 1 or mark.args[0] not in COMPONENTS:
            pytest.fail(f"optional{mark.args}: name one component of tests/support/optional.py", pytrace=False)
        why = missing(mark.args[0])
        if why:
            item.config.stash[_NOT_RUN][why] += 1
            pytest.skip(f"not run: {why}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for why, count in sorted(config.stash[_NOT_RUN].items()):
        terminalreporter.write_line(f"not run: {count} test{'' if count == 1 else 's'}, {why}", yellow=True)
