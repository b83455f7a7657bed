"""The walk over sets against a plain one in Python, and what must hold whatever the buckets are."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.dedup import candidates
from codemill.dedup.candidates import Buckets
from codemill.dedup.representatives import KEPT, Choice, Sets, choose

families = st.lists(st.frozensets(st.integers(1, 12), min_size=1), min_size=1, max_size=14)
thresholds = st.sampled_from([0.3, 0.5, 0.7, 2 / 3, 0.75, 1.0])


def as_sets(family: list[frozenset[int]]) -> Sets:
    sizes = np.array([len(one) for one in family], np.int64)
    values = np.array([value for one in family for value in sorted(one)], np.uint64)
    return Sets(values, np.cumsum(sizes) - sizes, sizes)


def as_buckets(groups: list[list[int]]) -> Buckets:
    offsets = np.cumsum([0, *(len(one) for one in groups)])
    return Buckets(offsets.astype(np.int64), np.array([place for one in groups for place in sorted(one)], np.int64))


def jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    return len(left & right) / len(left | right)


def walk(family: list[frozenset[int]], threshold: float) -> tuple[list[int], list[float]]:
    """Every set against every kept better one."""
    kept: list[int] = []
    by, how = [], []
    for place, one in enumerate(family):
        similar = [(jaccard(one, family[other]), -other) for other in kept]
        best, other = max(similar, default=(0.0, 0))
        if best >= threshold:
            by.append(-other)
            how.append(best)
        else:
            kept.append(place)
            by.append(KEPT)
            how.append(0.0)
    return by, how


def check(family: list[frozenset[int]], found: Choice, threshold: float) -> None:
    """What holds in any case: evidence is true, and names a better-ranked set that is kept."""
    for place, by in enumerate(found.kept_by.tolist()):
        if by != KEPT:
            assert by < place
            assert found.kept_by[by] == KEPT
            assert found.similarity[place] == jaccard(family[place], family[by]) >= threshold


@given(families, thresholds)
@settings(deadline=None)
def test_with_one_bucket_the_walk_is_exact(family: list[frozenset[int]], threshold: float) -> None:
    buckets = as_buckets([list(range(len(family)))])
    found = choose(as_sets(family), buckets, threshold, len(family))
    by, how = walk(family, threshold)
    assert found.kept_by.tolist() == by
    assert found.similarity.tolist() == how
    assert not found.capped.any()
    check(family, found, threshold)


@given(families, thresholds, st.data())
@settings(deadline=None)
def test_any_buckets_and_caps_never_drop_wrongly(family, threshold, data) -> None:
    places = st.lists(st.integers(0, len(family) - 1), min_size=2, max_size=8, unique=True)
    groups = data.draw(st.lists(places, max_size=6)) if len(family) > 1 else []
    most = data.draw(st.integers(1, 4))
    found = choose(as_sets(family), as_buckets(groups), threshold, most)
    check(family, found, threshold)
    free = choose(as_sets(family), as_buckets(groups), threshold, len(family))
    if not found.capped.any():
        assert (found.kept_by == free.kept_by).all()
    # Whoever stays resembles none of the kept better ones that it shares an uncapped bucket with.
    for place in np.flatnonzero(free.kept_by == KEPT):
        for one in groups:
            for other in one:
                if place in one and other < place and free.kept_by[other] == KEPT:
                    assert jaccard(family[place], family[other]) < threshold


def test_nothing_goes_through_a_chain() -> None:
    """Each set resembles the next, the first and the last have nothing in common: every other one stays."""
    family = [frozenset(range(i, i + 10)) for i in range(1, 60)]
    found = choose(as_sets(family), as_buckets([list(range(59))]), 0.8, 64)
    assert found.kept_by.tolist()[:6] == [KEPT, 0, KEPT, 2, KEPT, 4]


def test_cost_of_a_huge_cluster_is_bounded_and_the_cap_reported() -> None:
    alien = [frozenset({i + 1}) for i in range(500)]
    found = choose(as_sets(alien), as_buckets([list(range(500))]), 0.7, 8)
    assert found.candidates.sum() <= 8 * 500
    assert found.capped.tolist() == [True]
    twins = choose(as_sets([frozenset({1, 2, 3})] * 500), as_buckets([list(range(500))]), 0.7, 8)
    assert twins.candidates.sum() == 499
    assert not twins.capped.any()


@given(st.lists(st.lists(st.integers(0, 5), min_size=3, max_size=3), max_size=20), st.integers(1, 3))
@settings(deadline=None)
def test_buckets_are_the_groups_of_equal_hashes(rows: list[list[int]], turns: int) -> None:
    # High bits differ, as those of real hashes do; the low ones give way to the position.
    hashes = np.array(rows, np.uint64).reshape(-1, 3) * np.uint64(3) + np.arange(3, dtype=np.uint64)
    hashes = hashes << np.uint64(candidates.POSITION_BITS + 8)
    order = np.random.default_rng(len(rows)).permutation(len(rows)).astype(np.int64)
    bits = candidates.position_bits(len(rows))
    whole = candidates.group(order, hashes[order], len(rows))
    words, starts = candidates.piles(candidates.pack(order, hashes[order], bits), bits, turns)
    several = [candidates.buckets_of(words[a:b].copy(), bits) for a, b in itertools.pairwise(starts.tolist())]
    expected: dict[int, set[int]] = {}
    for place, row in enumerate(hashes.tolist()):
        for value in row:
            expected.setdefault(value, set()).add(place)
    for made in ([whole], several):
        groups = [one.members[a:b].tolist() for one in made for a, b in itertools.pairwise(one.offsets.tolist())]
        assert sorted(groups) == sorted(sorted(one) for one in expected.values() if len(one) > 1)


@given(st.lists(st.lists(st.integers(0, 19), min_size=2, max_size=4, unique=True), max_size=12))
@settings(deadline=None)
def test_components_are_those_of_the_graph(groups: list[list[int]]) -> None:
    label = list(range(20))
    for _ in range(20):
        for one in groups:
            least = min(label[place] for place in one)
            for place in one:
                label[place] = least
    parent = np.arange(20)
    for one in groups:
        candidates.link(parent, as_buckets([one]))
    assert candidates.components(parent).tolist() == label
