"""scripts/mutate: which changes it makes, that a test which notices one is told from one that does not, and going on."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from scripts.mutatelib import ledger, options, trial
from scripts.mutatelib.changes import changed, changes
from scripts.mutatelib.ledger import End, Result
from scripts.mutatelib.options import REPOSITORY, modules_of

SOURCE = '''
"""A module."""
LIMIT = 3

@wrapped(1)
def first(a: int, b: str = "default") -> int:
    """What it does."""
    if a > LIMIT and not b:
        raise ValueError(f"said {a}", "too")
    for one in range(a):
        if one == 2:
            continue
        tell(one, to=b)
    return a + 1

class Thing:
    size = 0

    def grow(self) -> None:
        self.size = 5
        self.size += 2
'''
FIRST = [
    "negated: a > LIMIT and (not b)",
    "or for and: a > LIMIT and (not b)",
    "another comparison (1): a > LIMIT",
    "without its sign: not b",
    "left out: raise ValueError(f'said {a}', 'too')",
    "without its last argument: ValueError(f'said {a}', 'too')",
    "another comparison (1): one == 2",
    "3 for 2",
    "break for continue",
    "left out: tell(one, to=b)",
    "without to: tell(one, to=b)",
    "return nothing: return a + 1",
    "another operator: a + 1",
    "2 for 1",
]


def test_what_is_changed_and_what_is_left_out() -> None:
    every = changes("m.py", SOURCE)
    assert [one.what for one in every if one.function == "first"] == FIRST
    assert {one.function for one in every} == {"first", "Thing.grow"}
    assert every == changes("m.py", SOURCE)
    assert len({one.key for one in every}) == len(every)


def test_each_change_changes_one_thing() -> None:
    whole = ast.unparse(changed(SOURCE, None)).splitlines()
    assert whole == ast.unparse(ast.parse(SOURCE)).splitlines()
    for one in changes("m.py", SOURCE):
        lines = ast.unparse(changed(SOURCE, one)).splitlines()
        assert len([1 for before, after in zip(whole, lines, strict=True) if before != after]) == 1, one
        compile(changed(SOURCE, one), "m.py", "exec")


def test_a_key_outlives_changes_of_other_functions() -> None:
    other = SOURCE.replace("self.size += 2", "self.size += 3").replace("LIMIT = 3", "LIMIT = 4\n\n")
    before, after = ({one.key: one.function for one in changes("m.py", text)} for text in (SOURCE, other))
    assert {before[key] for key in before.keys() - after.keys()} == {"Thing.grow"}


def _result(key: str, end: End, *, control: bool = False) -> Result:
    return Result(key, "m.py", "f", 3, "what", end, "a test", 2, 0.5, control=control)


def test_what_is_not_run_and_what_was_cut_off_is_not_killed(tmp_path: Path) -> None:
    every = changes("m.py", SOURCE)
    path = tmp_path / "results"
    ends = [End.SURVIVED, End.CUT, End.KILLED, End.KILLED]
    rows = [_result(change.key, end) for change, end in zip(every, ends, strict=False)]
    path.write_text("".join(map(ledger.line_of, [*rows, _result(every[0].key, End.KILLED)])) + '{"key": "cut o')
    results = ledger.read(path)
    assert ledger.counted(every, results) == (3, 1, len(every) - 4)
    last = ledger.table(every, results).splitlines()[-1]
    assert last == f"| all | {len(every)} | 3 | 1 ({len(every) - 4} not run) | {300 / len(every):.1f} |"
    assert len(list(ledger.survivors(every, results))) == len(every) - 3


def test_the_table_goes_where_the_old_one_was() -> None:
    table = ledger.table([], {})
    assert ledger.put_into(f"before\n\n{table}\n| old | 1 |\n\nafter\n", table) == f"before\n\n{table}\n\nafter\n"
    with pytest.raises(ValueError, match="no table that begins with"):
        ledger.put_into("nothing", table)


def test_a_control_that_is_killed_is_told() -> None:
    rows = {key: _result(key, end, control=True) for key, end in (("a", End.SURVIVED), ("b", End.KILLED))}
    every, wrong = ledger.control({**rows, "c": _result("c", End.KILLED)})
    assert (len(every), [one.key for one in wrong]) == (2, ["b"])


@pytest.mark.parametrize(
    ("told", "end", "by"),
    [
        (["1", ["1", False, 0.1]], End.SURVIVED, ""),
        (["1", ["1", False, 0.1], "2", ["2", True, 0.3]], End.KILLED, "2"),
        (["1", ["1", False, 0.1], "cut"], End.CUT, ""),
        (["1", ["1", False, 0.1], "2", None], End.KILLED, "no end: 2"),
        ([None], End.KILLED, "no end: before any test"),
        ([], End.SURVIVED, ""),
    ],
)
def test_the_verdict(told: list[object], end: End, by: str) -> None:
    found = trial.verdict(told, 4.0)
    assert (found.end, found.by) == (end, by)


def test_a_child_that_hangs_ends_and_one_that_dies_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(trial, "_HUNG", 0.0)
    assert trial.in_child(tmp_path, lambda tell: (tell("begun"), time.sleep(600))) == ["begun", None]
    assert trial.in_child(tmp_path, lambda _: os.kill(os.getpid(), signal.SIGKILL)) == [None]
    assert trial.in_child(tmp_path, lambda tell: tell([1])) == [[1]]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_modules_by_name() -> None:
    assert modules_of(["holding"]) == ("hashscan/quarantine/holding.py",)
    assert len(modules_of([])) >= 25
    with pytest.raises(ValueError, match="there is no module 'walk'"):
        modules_of(["walk"])
    chosen = options.Options("r", ("m",), ("t",), first=5, shard=1, shards=2)
    assert chosen.of(list(range(9))) == [1, 3]
    assert options.Options.from_json(chosen.to_json()) == chosen


def _mutate(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [str(REPOSITORY / "scripts/mutate"), "--only", "policy", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)


def test_tests_that_notice_and_tests_that_do_not(tmp_path: Path) -> None:
    """The whole way, on a handful of changes of one small module, which is also run unchanged; and gone on with."""
    results = tmp_path / "results.jsonl"
    words = ("--results", str(results), "--tests", "tests/unit/test_quarantine_policy.py", "--first", "6")
    done = _mutate(*words, "--at-least", "100")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| `quarantine/policy.py` | 6 | 6 | 0 | 100.0 |" in done.stdout
    assert "control: 0 of 2 functions that were run unchanged were called killed" in done.stdout
    lines = results.read_text().splitlines()
    assert len(lines) == 8
    assert all(json.loads(line)["by"].startswith("tests/unit/test_quarantine_policy.py::") for line in lines[2:])
    results.write_text("\n".join([*lines[:4], lines[4][:20]]))  # a run that was killed when it had four
    words = ("--results", str(results), "--tests", "tests/unit/test_quarantine_lock.py", "--first", "6")
    other = _mutate(*words, "--at-least", "50")
    assert other.returncode == 1, "tests that look elsewhere notice nothing"
    assert "4 changes and controls to run" in other.stderr
    assert "| all | 6 | 2 | 4 | 33.3 |" in other.stdout
