"""What every implementation of `ports.Sieve` promises: never no for a known file, and the same answer both ways."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashscan.known.bloom import Bloom
from hashscan.known.container import split
from hashscan.known.exact import ExactSieve
from hashscan.known.keys import ProviderKey
from hashscan.known.sieve import FilterInForce, FilterSieve
from hashscan.known.sizes import SizeSet
from hashscan.model import Algorithm, ListRef
from hashscan.ports import Sieve
from tests.support.budget import attempts
from tests.support.hotline import build_filter, hashed, raw

KEY = ProviderKey(bytes(range(32)))
Known = dict[str, tuple[list[bytes], tuple[Algorithm, ...]]]
"""Lists by id: their contents and algorithms."""


def in_force(name: str, contents: list[bytes], algorithms: tuple[Algorithm, ...], *, sized: bool = False) -> FilterInForce:
    reference = ListRef(name, 1, 1)
    data = build_filter(KEY, reference, contents, algorithms, sizes=map(len, contents) if sized else ())
    header, body, section = split(memoryview(data), "x")
    filter_key = KEY.filter_key(name, 1)
    sizes = SizeSet(section, filter_key) if sized else None
    return FilterInForce(reference, Bloom(header, body, sizes), filter_key, algorithms)


def by_filters(known: Known) -> Sieve:
    return FilterSieve([in_force(name, contents, algorithms) for name, (contents, algorithms) in known.items()])


def by_set(known: Known) -> Sieve:
    found: dict[Algorithm, set[bytes]] = {}
    for contents, algorithms in known.values():
        for algorithm in algorithms:
            found.setdefault(algorithm, set()).update(raw(algorithm, content) for content in contents)
    return ExactSieve("x", {algorithm: frozenset(digests) for algorithm, digests in found.items()})


MAKERS = {"filters": by_filters, "set": by_set}
ALGORITHMS = st.lists(st.sampled_from(Algorithm), min_size=1, max_size=4, unique=True).map(
    lambda names: tuple(algorithm for algorithm in Algorithm if algorithm in names)
)
LISTS: st.SearchStrategy[Known] = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.tuples(st.lists(st.binary(max_size=4), min_size=1, max_size=8), ALGORITHMS), min_size=1
)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@settings(max_examples=attempts(40), deadline=None)
@given(known=LISTS, others=st.lists(st.binary(max_size=4), max_size=8))
def test_never_no_for_a_known_file(make: Callable[[Known], Sieve], known: Known, others: list[bytes]) -> None:
    sieve = make(known)
    assert sieve.algorithms == tuple(a for a in Algorithm if any(a in algorithms for _, algorithms in known.values()))
    everything = [content for contents, _ in known.values() for content in contents] + others
    rows = [tuple(raw(algorithm, content) for algorithm in sieve.algorithms) for content in everything]
    survivors = list(sieve.survivors(rows))
    assert survivors == sorted(set(survivors))
    on_a_list = {content for contents, _ in known.values() for content in contents}
    assert {index for index, content in enumerate(everything) if content in on_a_list} <= set(survivors)
    files = [hashed(content, b"%d" % index, sieve.algorithms) for index, content in enumerate(everything)]
    candidates = sieve.candidates(files)
    assert [one.hashed for one in candidates] == [files[index] for index in survivors]
    for one in candidates:
        assert one.lists
        assert list(one.lists) == sorted(set(one.lists))


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_nothing_asked_nothing_answered(make: Callable[[Known], Sieve]) -> None:
    sieve = make({"a": ([b"x"], (Algorithm.SHA1,))})
    assert list(sieve.survivors([])) == []
    assert sieve.candidates([]) == []


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_a_file_without_the_digest_of_a_list_is_no_candidate_of_it(make: Callable[[Known], Sieve]) -> None:
    sieve = make({"a": ([b"x"], (Algorithm.SHA1, Algorithm.SHA256))})
    assert sieve.candidates([hashed(b"x", algorithms=[Algorithm.MD5])]) == []
    assert len(sieve.candidates([hashed(b"x", algorithms=[Algorithm.SHA256])])) == 1


@settings(max_examples=attempts(25), deadline=None)
@given(LISTS, st.lists(st.binary(max_size=4), max_size=20))
def test_filters_answer_as_pybloom_does_for_each_list(known: Known, files: list[bytes]) -> None:
    filters = [in_force(name, contents, algorithms) for name, (contents, algorithms) in known.items()]
    sieve = FilterSieve(filters)
    for content in files:
        file = hashed(content, algorithms=sieve.algorithms)
        expected = tuple(sorted(one.list for one in filters if one.contains(file)))
        found = sieve.candidates([file])
        assert [one.lists for one in found] == ([expected] if expected else [])
        row = tuple(raw(algorithm, content) for algorithm in sieve.algorithms)
        assert list(sieve.survivors([row])) == ([0] if expected else [])


def test_filters_of_all_rates_of_false_positives(tmp_path: Path) -> None:
    """Among many absent files about one in ten thousand survives a filter of 1e-4; a set lets none through."""
    contents = [b"harmless %d" % number for number in range(500)]
    reference = ListRef("a", 1, 1)
    data = build_filter(KEY, reference, contents, (Algorithm.SHA1,), error_rate=1e-3)
    header, body, _ = split(memoryview(data), "x")
    sieve = FilterSieve([FilterInForce(reference, Bloom(header, body), KEY.filter_key("a", 1), (Algorithm.SHA1,))])
    rows = [(raw(Algorithm.SHA1, b"absent %d" % number),) for number in range(attempts(20_000))]
    survivors = sieve.survivors(rows)
    assert 0 < len(survivors) < 4e-3 * len(rows)
    assert list(by_set({"a": (contents, (Algorithm.SHA1,))}).survivors(rows)) == []


# Sizes.


def test_sizes_rule_out_only_where_every_list_states_them() -> None:
    a, b = [b"12", b"1234"], [b"123456"]
    sized_a, sized_b = (in_force(n, c, (Algorithm.SHA1,), sized=True) for n, c in (("a", a), ("b", b)))
    unsized = in_force("c", b, (Algorithm.SHA1,))
    assert FilterSieve([]).admits_size is None
    assert FilterSieve([sized_a, unsized]).admits_size is None
    assert FilterSieve([unsized]).admits_size is None
    assert FilterSieve([sized_a, sized_b], by_size=False).admits_size is None
    for sieve, sizes in ((FilterSieve([sized_a]), {2, 4}), (FilterSieve([sized_a, sized_b]), {2, 4, 6})):
        admits = sieve.admits_size
        assert admits is not None
        assert {size for size in range(100) if admits(size)} == sizes
        assert not admits(2**63 - 1)


def test_a_fingerprint_changes_with_anything_that_may_change_an_answer() -> None:
    one = in_force("a", [b"x"], (Algorithm.SHA1,))
    sized = in_force("a", [b"x"], (Algorithm.SHA1,), sized=True)
    others = [
        FilterSieve([one]),
        FilterSieve([one], by_size=False),
        FilterSieve([sized]),
        FilterSieve([in_force("a", [b"y"], (Algorithm.SHA1,))]),
        FilterSieve([in_force("b", [b"x"], (Algorithm.SHA1,))]),
        FilterSieve([in_force("a", [b"x"], (Algorithm.MD5,))]),
        FilterSieve([one, in_force("b", [b"x"], (Algorithm.SHA1,))]),
        FilterSieve([]),
    ]
    assert len({sieve.fingerprint for sieve in others}) == len(others)
    again = in_force("b", [b"x"], (Algorithm.SHA1,))
    assert FilterSieve([one, again]).fingerprint == FilterSieve([again, one]).fingerprint
