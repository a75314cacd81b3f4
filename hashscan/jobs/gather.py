"""Batches that leave by count or by age: by count alone, a rare hit would wait for hours until ninety-nine others came."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from hashscan.model import Candidate


def gather(
    stretches: Iterable[Sequence[Candidate]], *, count: int, seconds: float, clock: Callable[[], float]
) -> Iterator[list[Candidate]]:
    """Batches of at most ``count`` candidates, none kept longer than ``seconds`` while stretches keep coming."""
    batch: list[Candidate] = []
    oldest = 0.0
    for stretch in stretches:
        for candidate in stretch:
            if not batch:
                oldest = clock()
            batch.append(candidate)
            if len(batch) >= count:
                yield batch
                batch = []
        if batch and clock() - oldest >= seconds:
            yield batch
            batch = []
    if batch:
        yield batch
