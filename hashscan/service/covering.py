"""Which digests a filter needs, so that every entry has at least one token in it: a decision, no I/O.

What agents pay for each choice is paid for every file of every host; what is left out, candidates are asked about.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

from hashscan.model import Algorithm

COST = {Algorithm.MD5: 8, Algorithm.SHA1: 4, Algorithm.SHA256: 4, Algorithm.BLAKE3: 3}
"""What a digest of every file costs an agent, in quarters of SHA-1: measured with files of 4.6 KB and of 500 MB."""


def cheapest_cover(patterns: Collection[frozenset[Algorithm]]) -> tuple[Algorithm, ...]:
    """The cheapest set of algorithms that shares one with each of ``patterns``: the sets of digests that entries have.

    Of equally cheap ones it is that with fewer, then with stronger algorithms. Empty where there are no patterns.
    """
    every = [choice for count in range(len(Algorithm) + 1) for choice in combinations(Algorithm, count)]
    covering = [choice for choice in every if all(pattern.intersection(choice) for pattern in patterns)]
    strength = {algorithm: rank for rank, algorithm in enumerate(reversed(Algorithm))}
    return min(covering, key=lambda choice: (sum(COST[one] for one in choice), len(choice), [strength[one] for one in choice]))
