"""Single rules against plain Python, for any column hypothesis can think of."""

import json
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.errors import RecipeError
from codemill.recipe import QuantileRule, ValueRule, parse_rule
from codemill.select.reasons import json_text
from codemill.select.rules import beyond_cut, draws, fails, quantile_cuts, rank

LANGUAGES = ("C", "Python", "unknown")
numbers = st.one_of(st.none(), st.floats(-10, 10, allow_nan=False))
rows = st.lists(st.tuples(numbers, st.sampled_from(LANGUAGES)), max_size=30)


def broken(value, low, high):
    return (low is not None and value < low) or (high is not None and value > high)


@given(rows, st.floats(-5, 0), st.floats(0, 5), st.sampled_from(["keep", "drop"]))
def test_bounds_and_languages_judge_as_plain_python_does(data, low, high, missing):
    rule = ValueRule(name="r", column="rules.x", min=low, max=high, missing=missing, per_language={"C": {"max": 9}})
    values = pa.array([value for value, _ in data], pa.float64())
    failed = fails(rule, values, pa.array([language for _, language in data], pa.string()))
    for (value, language), got in zip(data, failed.tolist(), strict=True):
        if value is None:
            assert got == (missing == "drop")
        elif language == "C":
            assert got == broken(value, None, 9)
        else:
            assert got == broken(value, low, high)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"equals": "MIT"}, [False, True, True]),
        ({"not_equals": "MIT"}, [True, False, True]),
        ({"in": ["MIT", "ISC"]}, [False, False, True]),
        ({"not_in": ["MIT"]}, [True, False, True]),
    ],
)
def test_texts_are_compared_and_missing_ones_dropped(bounds, expected):
    rule = parse_rule({"name": "r", "column": "licence.spdx", **bounds})
    values = pa.array(["MIT", "ISC", None])
    assert fails(rule, values, pa.array(["C"] * 3)).tolist() == expected


def test_a_bound_of_the_wrong_type_names_rule_and_bound():
    rule = ValueRule(name="r", column="licence.spdx", min=3)
    with pytest.raises(RecipeError, match=r"rule r\.min: expected a value comparable with string, got 3"):
        fails(rule, pa.array(["MIT"]), pa.array(["C"]))


@given(
    st.lists(st.tuples(st.floats(0, 10), st.integers(1, 100)), min_size=1, max_size=40),
    st.floats(0.01, 0.99),
    st.booleans(),
)
def test_quantiles_never_take_more_than_their_share_and_ties_stay_together(data, share, lowest):
    rule = QuantileRule(name="q", column="quality.overall", **{"drop_lowest" if lowest else "drop_highest": share})
    values = np.array([value for value, _ in data])
    weights = np.array([weight for _, weight in data], dtype=float)
    groups = (np.zeros(len(data), np.int32), ["all"])
    cuts = quantile_cuts(rule, values, weights, groups)
    gone = beyond_cut(rule, values, groups, cuts)
    assert weights[gone].sum() <= share * weights.sum() * (1 + 1e-9)
    # The next value would have been too much.
    rest = values[~gone]
    edge = rest.min() if lowest else rest.max()
    assert weights[gone].sum() + weights[values == edge].sum() > share * weights.sum() * (1 - 1e-9)


def test_groups_are_cut_by_themselves():
    rule = QuantileRule(name="q", column="quality.overall", drop_lowest=0.5, by="rows", within="language")
    values, groups = np.array([1.0, 2, 3, 4, 5, 6]), (np.array([1, 1, 1, 0, 0, 0]), ["b", "a"])
    cuts = quantile_cuts(rule, values, np.ones(6), groups)
    assert cuts == {"a": 2.0, "b": 5.0}
    assert beyond_cut(rule, values, groups, cuts).tolist() == [True, False, False, True, False, False]


def test_nan_lies_beyond_no_cut():
    rule = QuantileRule(name="q", column="quality.overall", drop_lowest=0.5)
    assert beyond_cut(rule, np.array([math.nan, 0.0]), (np.zeros(2, np.int32), ["all"]), {"all": 1.0}).tolist() == [
        False,
        True,
    ]


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 3)), min_size=1, max_size=20))
def test_ranks_are_a_total_order_with_missing_values_last(data):
    table = pa.table({"s": pa.array([a for a, _ in data], pa.int64()), "t": pa.array([b for _, b in data], pa.int64())})
    ranks = rank(table, ["-s", "t"], np.ones(len(data), dtype=bool)).tolist()
    assert sorted(ranks) == list(range(len(data)))
    expected = sorted(range(len(data)), key=lambda i: (data[i][0] is None, -(data[i][0] or 0), data[i][1], i))
    assert [expected.index(i) for i in range(len(data))] == ranks


@given(st.lists(st.one_of(st.none(), st.text(max_size=8))))
def test_texts_become_json(texts):
    got = json_text(pa.array(texts, pa.string())).to_pylist()
    assert [None if text is None else json.loads(text) for text in got] == texts


def test_numbers_and_flags_become_json():
    values = json_text(pa.array([1.25, float("nan"), None])).to_pylist()
    assert [value and json.loads(value) for value in values] == [1.25, None, None]
    assert json_text(pa.array([True, False])).to_pylist() == ["true", "false"]


def test_a_share_of_what_weighs_nothing_is_nothing():
    rule = QuantileRule(name="q", column="a.b", drop_lowest=0.1)
    values = np.array([3.0, 1.0, 2.0])
    assert quantile_cuts(rule, values, np.zeros(3), (np.zeros(3, np.int32), ["all"])) == {"all": 1.0}


@given(rows)
def test_bounds_go_by_the_values_of_any_column(data):
    rule = parse_rule(
        {"name": "r", "column": "page_quality.overall", "min": 1, "by": "category.name", "per": {"C": {"min": -5}}}
    )
    values = pa.array([value for value, _ in data], pa.float64())
    failed = fails(rule, values, pa.array([group for _, group in data], pa.string()))
    for (value, group), got in zip(data, failed.tolist(), strict=True):
        assert got == (value is None or value < (-5 if group == "C" else 1))


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=50), st.integers(0, 3))
def test_draws_hang_on_blob_and_seed_alone(blobs, seed):
    ids = [blob.hex() for blob in blobs]
    drawn = draws(pa.array(ids, pa.string()), seed)
    assert ((drawn >= 0) & (drawn < 1)).all()
    assert drawn[::-1].tolist() == draws(pa.array(ids[::-1], pa.string()), seed).tolist()


def test_draws_are_even_and_seeds_differ():
    ids = pa.array([f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{0:048x}" for number in range(4000)])
    one, other = draws(ids, 0), draws(ids, 1)
    assert abs((one < 0.3).mean() - 0.3) < 0.03
    assert abs(((one < 0.3) & (other < 0.3)).mean() - 0.09) < 0.03


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"column": "a.b", "per": {"x": {"min": 1}}}, "by: expected the column"),
        ({"column": "a.b", "min": 1, "by": "c.d"}, "per: expected a table"),
        ({"column": "a.b", "by": "c.d", "per": {"x": {"min": 1}}, "per_language": {"C": {"min": 1}}}, "got both"),
        ({"sample": 2}, "sample: "),
        ({"sample": 0.5, "by": "c.d", "per": {"x": -1}}, "per.x: "),
        ({"sample": 0.5, "per": {"x": 1}}, "by: expected the column"),
        ({"column": "a.b", "drop_lowest": 0.1, "within": "category"}, "within: "),
    ],
)
def test_groups_that_make_no_sense_are_one_line(rule, message):
    with pytest.raises(RecipeError, match=message):
        parse_rule({"name": "r", **rule})
