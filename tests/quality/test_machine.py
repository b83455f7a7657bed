"""The kernel machine: exact sums whatever the company, and a distance that forgets what does not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.quality import machine

pytest.importorskip("scipy", reason="needs the extra `train`")

from codemill.quality.machine_fit import Lesson, fit_machine, rank_tables

LANGUAGES = 3


def lesson(n=600, noise=20, seed=0):
    """Ratings that hang on the first measure and the language alone; zeros where the second measure is high."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, noise + 2)).astype(np.float32)
    codes = rng.integers(0, LANGUAGES, n)
    zero = values[:, 1] > 1
    rating = 5 + 2 * np.tanh(values[:, 0]) + codes
    targets = np.column_stack([np.where(zero, 0, rating), 10.0 * zero, rating])
    opinions = (rating + rng.normal(size=n))[:, None].astype(np.float32)
    return Lesson(values, codes, opinions, targets, 2, ~zero, LANGUAGES)


@pytest.fixture(scope="module")
def fitted():
    known = lesson()
    return fit_machine(known, *rank_tables(known.values), seed=0)


def judge(fitted, unseen, rows=slice(None)):
    return fitted.judge(unseen.values[rows], unseen.codes[rows], unseen.opinions[rows])


def test_learns_what_matters_and_forgets_the_rest(fitted):
    unseen = lesson(400, seed=1)
    error = np.abs(judge(fitted, unseen)[:, 2] - unseen.targets[:, 2]).mean()
    assert error < 0.4 < np.abs(unseen.targets[:, 2] - unseen.targets[:, 2].mean()).mean()
    strength = (fitted.space.metric.astype(np.float64) ** 2).sum(axis=1)
    assert strength[0] > 3 * strength[2:22].max()


def test_targets_after_the_split_are_learned_from_files_that_are_not_zero(fitted):
    known = lesson()
    known.targets[~known.nonzero, 2] = 1e6
    again = fit_machine(known, *rank_tables(known.values), seed=0)
    assert np.abs(judge(again, known)[:, 2]).max() < 100
    assert np.allclose(judge(again, known), judge(fitted, lesson()))


def test_company_does_not_matter(fitted):
    unseen = lesson(50, seed=2)
    together = judge(fitted, unseen)
    for start, stop in ((0, 1), (3, 10), (49, 50)):
        assert np.array_equal(together[start:stop], judge(fitted, unseen, slice(start, stop)))


def test_a_language_never_seen_adds_nothing(fitted):
    unseen = lesson(20, seed=3)
    codes = np.full(20, LANGUAGES)
    points = machine.to_points(unseen.values, codes, unseen.opinions, fitted.space)
    bare = fitted.space._replace(metric=np.delete(fitted.space.metric, range(22, 22 + LANGUAGES), axis=0))
    assert np.array_equal(points, machine.to_points(unseen.values, codes, unseen.opinions, bare))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.floats(5, 2000), st.integers(0, 2**32 - 1))
def test_sums_are_those_of_the_definition(rows, supports, width, reach, seed):
    rng = np.random.default_rng(seed)
    points = rng.integers(-127, 128, (rows, width)).astype(np.int8)
    among = np.concatenate([points[:1], rng.integers(-127, 128, (supports, width)).astype(np.int8)])
    alphas = rng.normal(size=(len(among), 3))
    got = machine.opinions_of(points, machine.ready(among, alphas, reach), 3)
    distance = np.linalg.norm(points[:, None].astype(float) - among[None].astype(float), axis=2)
    assert got.shape == (rows, 3)
    assert np.allclose(got, np.exp(-distance / reach) @ alphas, atol=0.13 * np.abs(alphas).sum() / reach + 1e-5)


def test_a_measure_that_never_varies_has_no_say():
    values = np.column_stack([np.ones(300), np.arange(300)]).astype(np.float32)
    knots, ranks = rank_tables(values)
    scores = machine.normal_scores(np.array([[1, 5], [900, 5]], np.float32), knots, ranks)
    assert np.array_equal(scores[0], scores[1])
    spread = machine.normal_scores(values, knots, ranks)[:, 1]
    assert abs(spread.std() - 1) < 0.05
    assert np.all(np.diff(spread) >= 0)
