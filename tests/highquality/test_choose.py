"""Draws are of the rows they may be of, as many as asked for, varied, and hang on ids alone."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from codemill.highquality.choose import first, matched, varied
from codemill.highquality.documents import hashes, shuffled
from codemill.highquality.measure import auc, drift

ROWS = st.lists(st.integers(0, 99), min_size=1, max_size=60, unique=True).map(sorted).map(np.array)
KEYS = hashes(pa.chunked_array([[f"{number}" for number in range(100)]]))


@given(ROWS, st.integers(0, 80))
def test_first_is_a_subset_that_grows(rows, count):
    order = shuffled(KEYS, "a")
    found = first(rows, order, count)
    assert len(found) == min(count, len(rows))
    assert set(found) <= set(first(rows, order, count + 1)) <= set(rows)
    assert list(found) == sorted(found)


@given(ROWS, st.integers(1, 5), st.integers(1, 40))
def test_no_repository_has_too_many(rows, each, count):
    groups = (np.arange(100) % 7).astype(np.uint64)
    found = varied(rows, shuffled(KEYS, "a"), groups, each, count)
    sizes = np.bincount(groups[found].astype(int), minlength=7)
    there = np.bincount(groups[rows].astype(int), minlength=7)
    assert (sizes <= each).all()
    assert len(found) == min(count, np.minimum(there, each).sum())


@given(ROWS, ROWS, st.integers(0, 80))
def test_negatives_come_in_the_languages_of_the_positives(rows, like, count):
    languages = pa.chunked_array([["A" if number < 50 else "B" if number < 90 else None for number in range(100)]])
    found = matched(rows, like, shuffled(KEYS, "a"), languages, count)
    assert set(found) <= set(rows)
    assert len(set(found)) == len(found)
    assert len(found) >= min(count, len(rows))
    assert len(found) <= count + 3  # each language is rounded
    if (like < 50).all() and (rows < 50).sum() >= count:
        assert (found < 50).all()


def test_orders_hang_on_salt_and_content():
    assert (shuffled(KEYS, 1) == shuffled(KEYS, 1)).all()
    assert (shuffled(KEYS, 1) != shuffled(KEYS, 2)).any()
    assert len(np.unique(shuffled(KEYS, 1))) == 100
    assert (np.argsort(shuffled(KEYS, 1)) != np.argsort(KEYS)).any()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_auc_is_the_share_of_pairs_in_order(above, below):
    wins = [(one > other) + (one == other) / 2 for one in above for other in below]
    assert abs(auc(np.array(above, float), np.array(below, float)) - np.mean(wins)) < 1e-9


def test_drift():
    assert drift({"A": 2}, {"A": 5}) == 0
    assert drift({"A": 1}, {"B": 1}) == 1
    assert drift({"A": 1, "B": 1}, {"A": 3, "B": 1}) == 0.25
