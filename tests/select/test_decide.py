"""Decisions add up and name the first failed rule, whatever the values, the problems and the rules."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.errors import ConservationError
from codemill.recipe import AlarmSettings, QuantileRule, SampleRule, ValueRule, parse_rule
from codemill.schema import CONTENT_PROBLEMS, READ_PROBLEMS
from codemill.select.decide import check_conservation
from codemill.select.judged import Judged

PROBLEMS = [None, None, None, CONTENT_PROBLEMS[0], READ_PROBLEMS[0]]
row = st.fixed_dictionaries(
    {
        "problem": st.sampled_from(PROBLEMS),
        "a": st.one_of(st.none(), st.floats(0, 10)),
        "failed": st.booleans(),
        "b": st.integers(0, 5),
        "tokens": st.integers(0, 50),
        "language": st.sampled_from(["C", "Python"]),
    }
)
rule = st.one_of(
    st.builds(
        lambda low, missing: {"column": "x.a", "min": low, "missing": missing},
        st.floats(0, 10),
        st.sampled_from(["keep", "drop"]),
    ),
    st.builds(lambda high: {"column": "y.b", "max": high}, st.integers(0, 5)),
    st.builds(
        lambda low, high: {"column": "x.a", "min": low, "by": "y.b", "per": {"3": {"max": high}}},
        st.floats(0, 10),
        st.floats(0, 10),
    ),
    st.builds(
        lambda rate, other: {"sample": rate, "by": "y.b", "per": {"1": other, "2": 0}}, st.floats(0, 1), st.floats(0, 1)
    ),
    st.builds(
        lambda share, by, within: {"column": "x.a", "drop_lowest": share, "by": by, "within": within},
        st.floats(0.05, 0.9),
        st.sampled_from(["rows", "tokens", "bytes"]),
        st.sampled_from(["all", "language", "source", "y.b"]),
    ),
)


def signals(rows):
    """A table as `gather` makes it: annotator x failed on some rows, y knows all that are readable."""
    count = len(rows)
    readable = [one["problem"] is None for one in rows]
    broken = [ok and one["failed"] for ok, one in zip(readable, rows, strict=True)]
    values = [one["a"] if ok and not bad else None for one, ok, bad in zip(rows, readable, broken, strict=True)]
    return pa.table(
        {
            "occurrence_id": [f"{number:032x}" for number in range(count)],
            "source": ["s"] * count,
            "repo": ["r"] * count,
            "revision": [""] * count,
            "path": [f"p{number}" for number in range(count)],
            "blob_id": [f"{number:064x}" for number in range(count)],
            "bytes": pa.array([7] * count, pa.int64()),
            "problem": pa.array([one["problem"] for one in rows], pa.string()),
            "language.language": pa.array(
                [one["language"] if ok else None for one, ok in zip(rows, readable, strict=True)], pa.string()
            ),
            "rules.tokens": pa.array(
                [one["tokens"] if ok else None for one, ok in zip(rows, readable, strict=True)], pa.int64()
            ),
            "x.a": pa.array(values, pa.float64()),
            "x.error": pa.array(["it broke" if bad else None for bad in broken], pa.string()),
            "y.b": pa.array([one["b"] if ok else None for one, ok in zip(rows, readable, strict=True)], pa.int64()),
        }
    )


@given(st.lists(row, min_size=1, max_size=25), st.lists(rule, max_size=4))
def test_every_row_has_one_decision_and_it_is_the_first_that_failed(rows, settings_of_rules):
    run = Judged(signals(rows))
    rules = []
    for number, settings in enumerate(settings_of_rules):
        rules.append(parse_rule({"name": f"r{number}", **settings}))
        decide = {QuantileRule: run.quantile, SampleRule: run.sample, ValueRule: run.value}
        decide[type(rules[-1])](rules[-1])
    selection = run.finish("c", AlarmSettings())
    check_conservation(selection, len(rows))
    for one, decision in zip(rows, selection.decisions.to_pylist(), strict=True):
        broken = one["problem"] is None and one["failed"]
        if one["problem"]:
            assert decision["status"] == ("errored" if one["problem"] in READ_PROBLEMS else "dropped")
            assert decision["reasons"] == [decision["reason"]] == [one["problem"]]
            continue
        looked = json.loads(decision["evidence"]) if decision["evidence"] else {}
        assert list(looked) == decision["reasons"]
        if decision["status"] == "kept":
            assert decision["reasons"] == []
        elif decision["status"] == "dropped":
            assert decision["reason"] == decision["reasons"][0]
        else:
            # Errored: the rule that met it needed a value its annotator failed to give.
            assert broken
            assert next(r for r in rules if r.name == decision["reason"]).column == "x.a"
        if broken and any(getattr(r, "column", "") == "x.a" for r in rules):
            assert decision["status"] != "kept"


def test_samples_say_what_was_drawn_and_larger_ones_hold_smaller_ones():
    rows = [{"problem": None, "a": 1.0, "failed": False, "b": n % 2, "tokens": 1, "language": "C"} for n in range(400)]
    table = signals(rows)
    ids = pa.array([f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{0:048x}" for number in range(400)])
    table = table.set_column(table.column_names.index("blob_id"), "blob_id", ids)
    kept = {}
    for rate in (0.2, 0.6):
        run = Judged(table)
        run.sample(parse_rule({"name": "rates", "sample": rate, "by": "y.b", "per": {"1": 1.0}}))
        assert run.steps[-1].cuts == {"0": rate, "1": 1.0}
        decisions = run.finish("c", AlarmSettings()).decisions.to_pylist()
        kept[rate] = {one["occurrence_id"] for one in decisions if one["status"] == "kept"}
        for row, one in zip(rows, decisions, strict=True):
            if one["status"] == "dropped":
                said = json.loads(one["evidence"])["rates"]
                assert row["b"] == 0 and said["group"] == "0" and said["rate"] == rate <= said["draw"] < 1
    assert kept[0.2] < kept[0.6]
    assert abs(len(kept[0.6]) - 320) < 30


def test_counts_that_do_not_add_up_are_refused():
    run = Judged(signals([{"problem": None, "a": 1.0, "failed": False, "b": 1, "tokens": 1, "language": "C"}]))
    selection = run.finish("c", AlarmSettings())
    with pytest.raises(ConservationError, match="expected 2 seen = kept"):
        check_conservation(selection, 2)


def test_groups_that_lose_too_much_to_dedup_are_named():
    rows = [{"problem": None, "a": 1.0, "failed": False, "b": 1, "tokens": 1, "language": name} for name in "CCCCP"]
    for one in rows:
        one["language"] = {"C": "C", "P": "Python"}[one["language"]]
    run = Judged(signals(rows), "commits")
    lost = [True, True, True, False, False]
    run.before_dedup, run.lost = run.alive.copy(), np.array(lost)
    alarms = run.finish("c", AlarmSettings(share=0.7, min_files=2)).alarms
    assert alarms == ["language C lost 3 of 4 commits (75%) to deduplication"]
