"""The parsers of `tests/hostile/test_fuzz_parsers.py` under atheris, which looks for inputs that reach code not met before.

::

    pip install atheris
    python -m tests.fuzz.fuzz_parsers --names
    python -m tests.fuzz.fuzz_parsers "delta.apply" CORPUS -max_total_time=300 -rss_limit_mb=1024 -timeout=10

Arguments after the folder of the corpus go to libFuzzer. An input that fails is written to the current folder and printed. It
belongs into a test in tests/regress. With ``--replay FILE`` in place of the folder one such input is judged again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import atheris

with atheris.instrument_imports(include=["hashscan"]):
    from hashscan.central import retry  # noqa: F401 - all that is fuzzed has to be imported in here
    from tests.support import fuzz_known, fuzz_others

from tests.support.fuzzing import Target, judge

SEEDS = 64  # files that an empty corpus begins with: the valid inputs, and some that are bent


def every_target() -> dict[str, Target]:
    return {target.name: target for target in (*fuzz_known.targets(), *fuzz_others.targets())}


def begin(target: Target, corpus: Path) -> None:
    """Fill an empty corpus. It holds what is bent, before `Target.wrap`."""
    corpus.mkdir(parents=True, exist_ok=True)
    if any(corpus.iterdir()):
        return
    rnd = Random(0)
    bent = [target.bender.bend(rnd) for _ in range(SEEDS - len(target.seeds))]
    for number, data in enumerate((*target.seeds, *bent)):
        (corpus / f"seed-{number}").write_bytes(data)


def read(target: Target, data: bytes) -> None:
    wrapped = target.wrap(data)
    if problem := judge(target, wrapped):
        raise AssertionError(f"{target.name}: {problem}; input {wrapped[:2000]!r}")


def mutate(target: Target, data: bytes, max_size: int, seed: int) -> bytes:
    """Half of the inputs are bent by libFuzzer, half by us: it knows the code, we know JSON."""
    if seed % 2:
        return atheris.Mutate(data, max_size)
    return target.bender.again(Random(seed), data)[:max_size]


def main() -> None:
    targets = every_target()
    if len(sys.argv) < 3 or sys.argv[1] not in targets:
        print("\n".join(targets))
        sys.exit(sys.argv[1:] != ["--names"])
    name, corpus, *more = sys.argv[1:]
    target = targets[name]
    if corpus == "--replay":
        read(target, Path(more[0]).read_bytes())
        return
    begin(target, Path(corpus))
    atheris.Setup(
        [sys.argv[0], corpus, "-max_len=4096", *more],
        lambda data: read(target, data),
        custom_mutator=lambda data, max_size, seed: mutate(target, data, max_size, seed),
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
