"""scripts/mutate: would a test notice? One change at a time in what touches a customer's files.

scripts/mutate                         every change, into mutation.jsonl; run again, it goes on where it was stopped
scripts/mutate --only holding          one module (repeatable)
scripts/mutate --again --seconds 60    those that survived once more, with the tests written since
scripts/mutate --table                 only the table and the survivors, from results that are there
scripts/mutate --table --write docs/quarantine.md      the table there
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hashscan.atomic import write_bytes
from scripts.mutatelib import ledger
from scripts.mutatelib.changes import changes
from scripts.mutatelib.ground import copy_of_the_tree
from scripts.mutatelib.options import REPOSITORY, TESTS, Options, modules_of


def main(arguments: Sequence[str]) -> int:
    """Do what was asked for: 0; 1 where it could not be done, a control was killed, or too many survived."""
    told = _parser().parse_args(arguments)
    try:
        options = _options(told)
    except ValueError as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 2
    if not told.table:
        code = _serve(options)
        if code:
            return code
    try:
        return _show(options, told.at_least, told.write)
    except (ValueError, OSError) as error:
        print(f"mutate: {error}", file=sys.stderr)
        return 2


def _options(told: argparse.Namespace) -> Options:
    shard, _, shards = told.shard.partition("/")
    if not (shard.isdigit() and shards.isdigit() and 1 <= int(shard) <= int(shards)):
        raise ValueError(f"--shard {told.shard} is not like 1/4")
    return Options(
        results=os.path.abspath(told.results),
        modules=modules_of(told.only),
        tests=tuple(told.tests or TESTS),
        seconds=told.seconds,
        minutes=told.budget,
        shard=int(shard) - 1,
        shards=int(shards),
        first=told.first,
        controls=told.controls,
        again=told.again,
    )


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="scripts/mutate", description=__doc__, formatter_class=shape)
    add = parser.add_argument
    add("--results", default="mutation.jsonl", metavar="FILE", help="a JSON line for each change (default: mutation.jsonl)")
    add("--only", action="append", default=[], metavar="MODULE", help="only this module; repeatable")
    add("--tests", action="append", metavar="PATTERN", help="these tests, not those of scripts/coverage; repeatable")
    add("--seconds", type=float, default=4.0, metavar="S", help="of processor time for each change (default: 4)")
    add("--budget", type=float, default=0.0, metavar="MINUTES", help="stop after so many; the same command goes on")
    add("--shard", default="1/1", metavar="I/N", help="every N-th change, from the I-th: for N processes")
    add("--first", type=int, default=0, metavar="N", help="only the first N changes of a module")
    add("--controls", type=int, default=2, metavar="N", help="so many functions of a module are run unchanged (default: 2)")
    add("--again", action="store_true", help="run those once more that survived")
    add("--at-least", type=float, default=0.0, metavar="PERCENT", help="fail where fewer are killed")
    add("--table", action="store_true", help="run nothing")
    add("--write", metavar="DOC", help="put the table in the place of the one in this document")
    return parser


def _serve(options: Options) -> int:
    with copy_of_the_tree() as home, open(options.results, "a+b") as results:
        if results.tell() and not Path(options.results).read_bytes().endswith(b"\n"):
            results.write(b"\n")  # a run was killed in a line; the next one must not be lost with it
            results.flush()
        tree = str(home / "tree")
        env = {**os.environ, "PYTHONPATH": tree, "TMPDIR": str(home / "tmp"), "PYTHONHASHSEED": "0"}
        argv = [sys.executable, "-m", "scripts.mutatelib.serve", options.to_json(), str(home), str(results.fileno())]
        return subprocess.run(argv, cwd=tree, env=env, pass_fds=[results.fileno()], check=False).returncode


def _show(options: Options, at_least: float, document: str | None) -> int:
    results = ledger.read(Path(options.results))
    every = [change for module in options.modules for change in options.of(changes(module, (REPOSITORY / module).read_text()))]
    table = ledger.table(every, results)
    if document:
        path = Path(document)
        write_bytes(path, ledger.put_into(path.read_text(), table).encode(), mode=0o644)
    print(f"\n{table}\n")
    for line in ledger.survivors(every, results):
        print(line)
    controls, wrong = ledger.control(results)
    print(f"\ncontrol: {len(wrong)} of {len(controls)} functions that were run unchanged were called killed")
    for one in wrong:
        print(f"  {one.module} {one.function}: {one.by}")
    killed = ledger.counted(every, results)[0]
    return 1 if wrong or 100 * killed < at_least * len(every) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
