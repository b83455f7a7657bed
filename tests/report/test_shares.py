"""Shares of groups before and after, and the views of rules that go by group."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codemill.recipe import parse_rule
from codemill.report import wording
from codemill.report.frame import Frame, Weight
from codemill.report.shares import MOST_GROUPS, share_tables
from codemill.report.thresholds import rule_view, sample_view
from tests.report.conftest import select_rows

WORTH = {"name": "worth", "column": "x.score", "min": 5, "by": "x.kind", "per": {"forum": {"min": 2}}}
RATES = {"name": "rates", "sample": 1.0, "by": "x.kind", "per": {"docs": 0.5}}
FIRST = {"name": "first", "column": "x.score", "min": 1, "missing": "keep"}
rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(0, 10)),
        st.sampled_from(["docs", "forum", None]),
        st.sampled_from([None, None, "empty", "unreadable"]),
    ),
    min_size=1,
    max_size=40,
)


def made(data, *rules):
    scores, kinds, problems = zip(*data, strict=True)
    columns = {"x.score": pa.array(scores, pa.float64()), "x.kind": pa.array(kinds, pa.string())}
    return select_rows(columns, [parse_rule(rule) for rule in rules], list(problems))


@given(rows)
def test_shares_are_those_of_a_loop(data):
    selection = made(data, FIRST, WORTH, RATES)
    decisions, signals = selection.decisions.to_pylist(), selection.signals.to_pylist()
    [table] = share_tables(Frame(selection))
    assert (table.column, table.rule) == ("x.kind", "worth")

    def weigh(kind, wanted):
        both = zip(decisions, signals, strict=True)
        chosen = [row for row, signal in both if (signal["x.kind"] or "unknown") == kind and wanted(row)]
        return Weight(len(chosen), sum(row["bytes"] for row in chosen), sum(row["tokens"] or 0 for row in chosen))

    for row in table.rows:
        assert row.seen == weigh(row.name, lambda one: one["reason"] not in {"empty", "unreadable"})
        assert row.before == weigh(row.name, lambda one: one["reason"] not in {"empty", "unreadable", "first"})
        assert row.kept == weigh(row.name, lambda one: one["status"] == "kept")
    assert sum(row.kept.files for row in table.rows) == table.total.kept.files


def test_small_groups_are_one_row():
    data = [(9.0, f"kind {number}", None) for number in range(MOST_GROUPS + 5)]
    [table] = share_tables(Frame(made(data, WORTH)))
    assert [row.name for row in table.rows][-1] == "5 others"
    assert table.rows[-1].kept.files == 5


def test_each_group_has_a_panel_with_its_own_cut_and_samples_beside_it():
    data = [(number / 10, ("docs", "forum")[number % 2], None) for number in range(100)]
    frame = Frame(made(data, WORTH, RATES))
    view = rule_view(frame, 1, 2)
    assert view.panels_by == "x.kind"
    details = {panel.title: panel.detail for panel in view.panels}
    assert "≥ 2 kept" in details["forum"] and "≥ 5 kept" in details["docs"]
    assert {sample.value for sample in view.at_cut["low"].gone} == {"1.9", "4.8"}
    rates = sample_view(frame, 2, 3)
    assert dict(rates.facts) == {"docs": "50%", "forum": "100%"}
    assert {sample.reason for sample in rates.random.gone} == {"rates"}
    assert "docs" in rates.chart


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (WORTH, "x.score ≥ 5; by x.kind: ≥ 2 for forum"),
        (RATES, "at random 50% of docs, 100% of all others (by x.kind)"),
        ({"name": "s", "sample": 0.25}, "at random 25%"),
        (
            {"name": "t", "column": "x.template", "equals": "", "missing": "keep"},
            'x.template = ""; without a value: kept',
        ),
        ({"name": "t", "column": "x.a", "in": ["a b", "c, d"]}, 'x.a one of a b, "c, d"'),
        (
            {"name": "g", "column": "x.a", "per_language": {"C": {"max": 1}, "Go": {"max": 2}, "D": {"max": 1}}},
            "x.a by language: ≤ 1 for C, D; ≤ 2 for Go",
        ),
        ({"name": "q", "column": "x.a", "drop_lowest": 0.1, "within": "x.kind"}, "in each value of x.kind"),
        ({"name": "e", "dedup": "exact"}, "no copy of a page that is kept (same content)"),
    ],
)
def test_rules_in_words(rule, said):
    with wording.speaking_of(wording.PAGES):
        assert said in wording.condition(parse_rule(rule))
    assert wording.units() == wording.FILES
