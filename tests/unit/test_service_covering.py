"""Which digests a filter needs: every combination of what entries can have, against the plain definition."""

from __future__ import annotations

from itertools import chain, combinations

import pytest

from hashscan.model import Algorithm
from hashscan.service.covering import COST, cheapest_cover

MD5, SHA1, SHA256, BLAKE3 = Algorithm
EVERY = [frozenset(choice) for count in range(1, 5) for choice in combinations(Algorithm, count)]


def covers(choice: frozenset[Algorithm], patterns: tuple[frozenset[Algorithm], ...]) -> bool:
    return all(choice & pattern for pattern in patterns)


def test_every_list_of_three_kinds_of_entries_is_covered_and_nothing_cheaper_would_do() -> None:
    lists = list(chain.from_iterable(combinations(EVERY, count) for count in range(1, 4)))
    for patterns in lists:
        chosen = cheapest_cover(patterns)
        assert list(chosen) == [one for one in Algorithm if one in chosen]
        assert covers(frozenset(chosen), patterns)
        cheapest = min(sum(COST[one] for one in choice) for choice in EVERY if covers(choice, patterns))
        assert sum(COST[one] for one in chosen) == cheapest
    assert len(lists) == 575


@pytest.mark.parametrize(
    ("patterns", "chosen"),
    [
        ([], ()),
        ([{MD5}], (MD5,)),
        ([{MD5, SHA1}], (SHA1,)),
        ([{MD5, SHA1}, {MD5}], (MD5,)),  # MD5 of every file is needed anyway
        ([{MD5, SHA1}, {MD5}, {SHA1}], (MD5, SHA1)),
        ([{SHA1, SHA256}], (SHA256,)),  # the same price: the stronger
        ([{MD5, SHA1, SHA256, BLAKE3}], (BLAKE3,)),
        ([{MD5, SHA1}, {SHA256, MD5}], (MD5,)),
    ],
)
def test_what_is_chosen(patterns: list[set[Algorithm]], chosen: tuple[Algorithm, ...]) -> None:
    assert cheapest_cover([frozenset(one) for one in patterns]) == chosen
