"""Metrics against known cases and against each other's definitions."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.quality.metrics import (
    auc,
    auc_low,
    calibration,
    cmae,
    kappa,
    lowest_decile,
    mae,
    ranked,
    spearman,
    summary,
)

ratings = st.lists(st.integers(0, 10), min_size=2, max_size=60)


def pairs(draw_from=ratings):
    return draw_from.flatmap(
        lambda rated: st.tuples(
            st.just(rated), st.lists(st.floats(0, 10), min_size=len(rated), max_size=len(rated))
        )
    )  # fmt: skip


def test_known_values():
    rated, predicted = [0, 0, 0, 4, 8], [1, 1, 1, 4, 6]
    assert mae(rated, predicted) == 1.0
    assert cmae(rated, predicted) == pytest.approx((1 + 0 + 2) / 3)
    assert spearman([1, 2, 3, 4], [10, 20, 30, 15]) == pytest.approx(0.4)
    assert spearman([1, 2], [3, 3]) != spearman([1, 2], [3, 3]), "no order, no correlation"
    assert ranked([5, 1, 5, 9]).tolist() == [2.5, 1, 2.5, 4]
    assert auc([True, False, True, False], [3, 1, 2, 2]) == pytest.approx((1 + 1 + 1 + 0.5) / 4)
    assert math.isnan(auc([True], [1]))
    assert auc_low([0, 3, 4, 9], [1, 2, 3, 4]) == 1.0
    assert calibration([0, 2, 10, 10], [1, 3, 7, 9], bins=2) == [(2, 1, 2), (8, 10, 2)]


def test_the_lowest_tenth_counts_ties():
    # Of ten files three are rated 0: those deserve to go, one can.
    found = lowest_decile([0, 0, 0, 5, 5, 5, 5, 5, 5, 5], [3, 1, 3, 4, 4, 4, 4, 4, 4, 4])
    assert found == {"precision": 1.0, "recall": pytest.approx(1 / 3), "best_recall": pytest.approx(1 / 3), "rating": 0}
    assert lowest_decile([0, 5] * 5, [9, 1] * 5)["precision"] == 0


def test_kappa_matches_the_textbook():
    # With two classes the weights change nothing: Cohen's own kappa, by hand.
    one, other = [0, 0, 1, 1], [0, 1, 1, 1]
    assert kappa(one, other, classes=2) == pytest.approx((0.75 - 0.5) / 0.5)
    assert kappa([1, 5, 9], [1, 5, 9]) == 1 and math.isnan(kappa([3, 3], [3, 3]))
    assert kappa([0, 10], [10, 0]) == -1


@settings(deadline=None)
@given(pairs())
def test_bounds_and_symmetries(pair):
    rated, predicted = map(np.asarray, pair)
    assert 0 <= mae(rated, predicted) <= 10 and 0 <= cmae(rated, predicted) <= 10
    rho = spearman(rated, predicted)
    assert math.isnan(rho) or abs(rho) <= 1 + 1e-9
    if not math.isnan(rho):
        assert spearman(predicted, rated) == pytest.approx(rho)
        assert spearman(rated, -predicted) == pytest.approx(-rho)
    area = auc_low(rated, predicted)
    assert math.isnan(area) or 0 <= area <= 1
    lowest = lowest_decile(rated, predicted)
    assert 0 <= lowest["recall"] <= lowest["best_recall"] <= 1 and 0 <= lowest["precision"] <= 1
    points = calibration(rated, predicted)
    assert sum(files for *_, files in points) == len(rated)
    assert np.average([truth for _, truth, _ in points], weights=[n for *_, n in points]) == pytest.approx(rated.mean())
    assert set(summary(rated, predicted)) >= {"mae", "cmae", "spearman", "auc_low"}


@settings(deadline=None)
@given(ratings)
def test_a_perfect_scorer_is_perfect(rated):
    found = lowest_decile(rated, rated)
    assert mae(rated, rated) == cmae(rated, rated) == 0
    assert found["precision"] == 1 and found["recall"] == found["best_recall"]
    assert math.isnan(kappa(rated, rated)) or kappa(rated, rated) == 1
