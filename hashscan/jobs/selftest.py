"""Self-test: one harmless file that every list holds goes the whole way. A silent miss becomes an alarm."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hashscan.errors import FilterError
from hashscan.known import selftest as published
from hashscan.model import Candidate, Grade, Standing
from hashscan.ports import Confirmer, Engine, Sieve


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain: its name, whether it holds, and what was seen."""

    name: str
    holds: bool
    seen: str


def selftest(engine: Engine, sieve: Sieve, confirmer: Confirmer) -> Iterator[Step]:
    """Scan the self-test file and confirm it; the last step that is yielded is the first that does not hold, if any.

    Raises what the tools raise: `FilterError`, `UsageError`.
    """
    with tempfile.TemporaryDirectory(prefix="hashscan-selftest-") as folder:
        (Path(folder) / "harmless.txt").write_bytes(published.CONTENT)
        stretches = list(engine.sift([folder.encode()], sieve))
    scanned = sum(one.scanned for one in stretches)
    candidates = [candidate for one in stretches for candidate in one.candidates]
    yield Step("read and hash", scanned == 1, f"{scanned} of 1 file scanned")
    if scanned != 1:
        return
    yield Step("filter", bool(candidates), _lists(candidates) or "the filter does not contain the self-test file")
    if candidates:
        yield _confirmed(confirmer, candidates)


def _lists(candidates: list[Candidate]) -> str:
    return ", ".join(f"{one.id} version {one.version}" for candidate in candidates for one in candidate.lists)


def _confirmed(confirmer: Confirmer, candidates: list[Candidate]) -> Step:
    (ruling,) = confirmer.confirm(candidates)
    if ruling.pending:
        return Step("confirm", holds=False, seen=ruling.pending)
    finding = ruling.finding
    if finding is None:
        return Step("confirm", holds=False, seen="the service does not know the self-test file")
    # Where all lists in force have MD5 only, MD5 is all there is to agree: weak, and still the whole way.
    only_md5 = not any(algorithm.collision_resistant for algorithm in candidates[0].hashed.digests)
    holds = finding.standing is Standing.TEST and (finding.grade is Grade.MATCH or only_md5)
    return Step("confirm", holds=holds, seen=f"verdict {finding.grade}, standing {finding.standing}, signature valid")


def require_self_test(sieve: Sieve) -> None:
    """Before a scan: the sieve must let the self-test file through, or it would miss silently. Raises `FilterError`."""
    row = tuple(published.digest(algorithm, published.CONTENT) for algorithm in sieve.algorithms)
    if not sieve.survivors([row]):
        raise FilterError("the filter does not contain the self-test file: a scan would miss silently", hint="hashscan sync")
