"""Sums, bins, samples and clusters against plain loops over rows."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codemill.recipe import DedupRule, QuantileRule, ValueRule
from codemill.report import wording
from codemill.report.clusters import dedup_view, difference
from codemill.report.contents import EXCERPT_LINES, EXCERPT_WIDTH, Head, excerpt
from codemill.report.frame import NO_TEXT, Frame, Weight
from codemill.report.histogram import BINS, Cut, Scale, fill, make_edges, make_scale
from codemill.report.samples import at_random, describe, nearest
from codemill.report.tallies import MOST_GROUPS, by_group, funnel, overview, remarks
from codemill.report.thresholds import rule_view
from codemill.schema import EVIDENCE
from codemill.select.result import Selection, Step
from tests.report.conftest import select_rows, shuffled

PROBLEMS = st.sampled_from([None, None, None, "empty", "binary", "unreadable"])
ROWS = st.lists(
    st.tuples(PROBLEMS, st.one_of(st.none(), st.floats(0, 10)), st.sampled_from(["C", "Go", "Rust"])),
    min_size=1,
    max_size=40,
)
RULES = (
    ValueRule(name="low", column="x.a", min=2, missing="keep", per_language={"C": {"min": 4}}),
    QuantileRule(name="top", column="x.a", drop_highest=0.2, by="tokens", within="language"),
)


def made(rows):
    problems, values, languages = zip(*rows, strict=True)
    values = [value if problem is None else None for value, problem in zip(values, problems, strict=True)]
    return select_rows({"x.a": pa.array(values, pa.float64())}, RULES, list(problems), list(languages))


@given(ROWS)
def test_sums_are_those_of_a_loop(rows):
    selection = made(rows)
    frame = Frame(selection)
    decisions = selection.decisions.to_pylist()

    def weigh(wanted):
        chosen = [row for row in decisions if wanted(row)]
        return Weight(len(chosen), sum(row["bytes"] for row in chosen), sum(row["tokens"] or 0 for row in chosen))

    whole = overview(frame)
    assert whole.adds_up
    assert whole.seen == weigh(lambda row: True)
    assert whole.kept == weigh(lambda row: row["status"] == "kept")
    for term in whole.terms:
        status = "errored" if term.errored else "dropped"
        assert term.weight == weigh(lambda row, t=term, s=status: row["reason"] == t.reason and row["status"] == s)
    assert sum(term.weight.files for term in whole.terms) + whole.kept.files == len(rows)

    steps = funnel(frame)
    assert steps[-1].left == whole.kept
    for row, step in zip(steps, selection.steps, strict=True):
        assert (row.reached.files, row.dropped.files, row.errored.files) == (step.seen, step.dropped, step.errored)
        assert (row.dropped.bytes, row.dropped.tokens) == (step.dropped_bytes, step.dropped_tokens)
    for row in steps[1:]:
        assert row.failed == sum(row.rule in one["reasons"] for one in decisions)
        assert row.alone == weigh(lambda one, r=row: one["reasons"] == [r.rule] and one["status"] == "dropped").files

    table = by_group(frame, *frame.languages)
    for group in table.rows:
        mine = [
            row for row in decisions if (NO_TEXT if row["reason"] in PROBLEM_NAMES else row["language"]) == group.name
        ]
        assert group.seen.files == len(mine)
        assert group.kept.files == sum(row["status"] == "kept" for row in mine)
        assert group.errored == sum(row["status"] == "errored" for row in mine)
        assert dict(zip(table.columns, group.reasons, strict=True)) == {
            name: sum(row["reason"] == name for row in mine) for name in table.columns
        }
    assert table.total.seen == whole.seen
    assert sum(table.total.reasons) + table.total.kept.files == len(rows)


PROBLEM_NAMES = {"empty", "binary", "unreadable"}


def test_small_groups_are_added_up_and_none_is_lost():
    languages = [f"L{number % 40:02d}" for number in range(400)] + ["L00"] * 30
    frame = Frame(select_rows({"x.a": [float(number % 10) for number in range(430)]}, RULES, None, languages))
    table = by_group(frame, *frame.languages)
    assert [row.name for row in table.rows[:3]] == ["L00", "L01", "L02"]
    assert len(table.rows) == MOST_GROUPS
    assert table.rest.name == "15 others"
    assert sum(row.seen.files for row in table.rows) + table.rest.seen.files == 430 == table.total.seen.files


def test_a_group_is_named_by_the_short_id_of_its_commit():
    selection = select_rows({"x.a": [1.0] * 3}, RULES)
    columns = [
        pa.array(["made"] * 3),
        pa.array(["owner/name"] * 3),
        pa.array(["0123456789abcdef" * 2 + "01234567"] * 3),
    ]
    names = pc.binary_join_element_wise(*columns, "\0")
    table = by_group(Frame(selection), np.zeros(3, np.int32), names[:1])
    assert [row.name for row in table.rows] == ["made owner/name 0123456789ab"]


def test_remarks_name_what_is_unusual():
    rules = [ValueRule(name="all", column="x.a", min=100), ValueRule(name="idle", column="x.a", max=100)]
    frame = Frame(select_rows({"x.a": [1.0] * 60}, rules))
    rows = funnel(frame)
    said = " ".join(remarks(frame, rows, by_group(frame, *frame.languages)))
    assert "Nothing was kept." in said
    assert "Rule all dropped all 60 files that reached it." in said
    assert "Python (60, all)" in said
    assert "No file breaks these rules: idle." in said


VALUES = st.lists(
    st.one_of(st.floats(0, 1), st.floats(-1e6, 1e6), st.integers(0, 10**9).map(float)), min_size=1, max_size=60
)


@given(VALUES, st.lists(st.floats(-100, 1e5), max_size=2, unique=True))
@example([0.0, 5e-324], [])
@example([1.0] * 9 + [1e6], [-100.0])
def test_bins_hold_every_value_once_and_a_cut_splits_none(values, bounds):
    numbers = np.array(values)
    low, high = [*sorted(bounds), None, None][:2]
    cuts = [Cut(value, side) for value, side in ((low, "low"), (high, "high")) if value is not None]
    gone = np.zeros(len(numbers), dtype=bool)
    for cut in cuts:
        gone |= numbers < cut.value if cut.side == "low" else numbers > cut.value
    scale = make_scale(numbers, cuts)
    edges = make_edges(scale, cuts)
    data = fill(numbers, gone, scale, edges)
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= BINS + 3
    assert data.passed.sum() + data.dropped.sum() == len(numbers)
    assert data.dropped.sum() == gone.sum()
    mixed = (data.passed > 0) & (data.dropped > 0)
    # Ends gather what lies beyond the axis, and two cuts may fall into one bin: nothing else mixes.
    assert mixed[1:-1].sum() <= (len(cuts) == 2)
    assert all(0 <= scale.place(tick) <= 1 for tick in scale.ticks())


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1e6, [0, 10, 1e3, 1e5]),
        (40, 3500, [50, 100, 200, 500, 1000, 2000]),
        (3, 90, [5, 10, 20, 50]),
    ],
)
def test_a_logarithmic_axis_is_marked_all_along(low, high, ticks):
    assert Scale(low, high, True).ticks() == ticks


@pytest.mark.parametrize(
    ("values", "cut"), [([0.0] * 50 + [0.3, 0.9, 1.0], Cut(0.0, "high")), ([1.0] * 50 + [0.2, 0.4], Cut(1.0, "low"))]
)
def test_what_equals_a_bound_at_the_end_has_a_bar_of_its_own(values, cut):
    numbers = np.array(values)
    gone = numbers != cut.value
    scale = make_scale(numbers, [cut])
    edges = make_edges(scale, [cut])
    data = fill(numbers, gone, scale, edges)
    end = 0 if cut.side == "high" else -1
    assert (data.passed[end], data.dropped[end]) == (50, 0)
    assert np.diff(edges)[end] > 0.02


@pytest.mark.parametrize(
    ("cut", "end", "passed", "dropped"),
    [
        (Cut(1e-4, "low"), 0, 0, 90),
        (Cut(0.05, "high"), 0, 97, 0),
        (Cut(9.9, "low"), -1, 45, 0),
        (Cut(9.99, "high"), -1, 0, 40),
    ],
)
def test_what_a_cut_near_an_end_divides_can_be_seen(cut, end, passed, dropped):
    """A scorer rates a tenth of all next to nothing: a bar from the axis's end to the cut would be a hair."""
    numbers = np.array([1e-5] * 90 + [0.04] * 7 + [3.0, 5.0, 7.0] * 100 + [9.95] * 5 + [10.0] * 40)
    gone = numbers < cut.value if cut.side == "low" else numbers > cut.value
    scale = make_scale(numbers, [cut])
    edges = make_edges(scale, [cut])
    data = fill(numbers, gone, scale, edges)
    assert (data.passed[end], data.dropped[end]) == (passed, dropped)
    assert np.diff(edges)[end] > 0.2
    assert not ((data.passed > 0) & (data.dropped > 0)).any()


@given(st.lists(st.tuples(st.floats(0, 9), st.booleans()), min_size=1, max_size=80), st.integers(1, 6))
def test_nearest_is_that_of_a_loop(rows, limit):
    selection = select_rows({"x.a": [value for value, _ in rows]}, [])
    frame = Frame(selection)
    mask = np.array([chosen for _, chosen in rows])
    distances = np.array([value for value, chosen in rows if chosen])
    ids = selection.decisions["occurrence_id"].to_pylist()
    order = sorted(np.flatnonzero(mask), key=lambda row: (rows[row][0], ids[row]))
    assert nearest(frame, mask, distances, limit).tolist() == order[:limit]
    by_id = sorted(np.flatnonzero(mask), key=lambda row: ids[row])
    assert at_random(frame, mask, limit).tolist() == by_id[:limit]


def test_a_content_is_shown_once():
    selection = select_rows({"x.a": [1.0] * 8}, [])
    place = selection.decisions.schema.get_field_index("blob_id")
    copies = selection.decisions.set_column(place, "blob_id", pa.array(["a" * 64] * 6 + ["b" * 64, None]))
    frame = Frame(Selection(**{**vars(selection), "decisions": copies}))
    shown = frame.take(at_random(frame, np.ones(8, dtype=bool), 8), ["blob_id"])["blob_id"].to_pylist()
    assert sorted(map(str, shown)) == ["None", "a" * 64, "b" * 64]


def test_samples_lie_on_both_sides_of_each_groups_own_cut():
    rule = ValueRule(name="low", column="x.a", min=20, max=90, per_language={"C": {"min": 40}}, missing="keep")
    values = [float(number % 100) for number in range(1000)]
    languages = ["C" if number % 2 else "Go" for number in range(1000)]
    selection = select_rows({"x.a": values}, [rule], None, languages)
    view = rule_view(Frame(selection), 1, 4)
    assert [sample.value for sample in view.at_cut["low"].gone] == ["39"] * 4 or {
        (sample.language, sample.value) for sample in view.at_cut["low"].gone
    } <= {("C", "39"), ("Go", "18")}
    assert {(one.language, one.value) for one in view.at_cut["low"].stayed} <= {("C", "41"), ("Go", "20")}
    assert all(one.status == "dropped" and one.reason == "low" for one in view.at_cut["low"].gone)
    assert {(one.language, one.value) for one in view.at_cut["high"].gone} == {("Go", "92")}
    assert {(one.language, one.value) for one in view.at_cut["high"].stayed} == {("Go", "90")}
    assert [panel.title for panel in view.panels] == ["C", "Go"]
    assert view == rule_view(Frame(shuffled(selection)), 1, 4)


def test_a_group_of_whole_numbers_keeps_the_axis_of_all():
    rule = ValueRule(name="high", column="x.a", max=0, per_language={"C": {"max": 0.2}})
    values = [0.0, 0.25, 0.5, 1.0] * 5 + [0.0] * 9
    view = rule_view(Frame(select_rows({"x.a": values}, [rule], None, ["C"] * 20 + ["Go"] * 9)), 1, 4)
    widths = [float(width) for width in re.findall(r'class="kept"[^>]* width="([0-9.]+)"', view.panels[1].chart)]
    assert len(widths) == 1
    assert widths[0] < 20


def test_missing_values_are_counted():
    rule = ValueRule(name="low", column="x.a", min=5)
    view = rule_view(Frame(select_rows({"x.a": pa.array([None, 1.0, 9.0], pa.float64())}, [rule])), 1, 4)
    assert (view.missing, view.missing_dropped) == (1, 1)
    assert "1 dropped" in view.chart


def test_one_value_alone_is_said_and_not_drawn():
    rule = ValueRule(name="low", column="x.a", max=3)
    view = rule_view(Frame(select_rows({"x.a": pa.array([7.0, 7.0, None])}, [rule])), 1, 4)
    assert (view.only, view.chart, view.facts) == ("7", None, [])
    assert len(view.random.gone) == 3


def test_axes_have_names():
    rule = ValueRule(name="low", column="x.a", min=5)
    chart = rule_view(Frame(select_rows({"x.a": [10.0 ** (number / 10) for number in range(60)]}, [rule])), 1, 4).chart
    assert ">x.a, log scale</text>" in chart
    assert ">files</text>" in chart or ">files, √ scale</text>" in chart


def test_decisions_are_told_in_words():
    rules = [ValueRule(name="low", column="x.a", min=5), ValueRule(name="big", column="x.b", max=1)]
    frame = Frame(select_rows({"x.a": [1.0, 9.0], "x.b": [0.25, 70.0]}, rules))
    (first,), (second,) = (rule_view(frame, step, 4).at_cut[side].gone for step, side in ((1, "low"), (2, "high")))
    assert (first.value, first.note) == ("1", "")  # it stands beside the sample
    assert (second.value, second.note) == ("70", "")
    both = Frame(select_rows({"x.a": [1.0], "x.b": [70.0]}, rules))
    assert rule_view(both, 1, 4).at_cut["low"].gone[0].note == "big: 70"
    everything = describe(both, np.array([0]))[0]
    assert everything.note == "low: 1 · big: 70"


@pytest.mark.parametrize("values", [["a", "b", "a", None], [True, False, True, None]])
def test_names_and_truths_are_bars(values):
    rule = ValueRule(name="is", column="x.a", equals=values[0])
    view = rule_view(Frame(select_rows({"x.a": pa.array(values)}, [rule])), 1, 4)
    assert view.chart.count("<text") == 4
    assert "1, all dropped" in view.chart


def test_clusters_count_files_and_say_what_became_of_the_kept_one():
    selection = select_rows({"x.a": [0.0] * 10}, [])
    blobs = selection.decisions["blob_id"].to_pylist()
    rule = DedupRule(name="near", dedup="near", threshold=0.7)
    reasons = ["later", None, "near", "near", "near", "near", None, None, None, None]
    pairs = [(2, 0, 0.9), (3, 0, 0.71), (4, 0, 0.8), (5, 1, 1.0)]
    evidence = pa.table(
        {
            "dropped": [blobs[a] for a, _, _ in pairs],
            "kept": [blobs[b] for _, b, _ in pairs],
            "similarity": [s for *_, s in pairs],
        },
        schema=EVIDENCE,
    )
    decisions = selection.decisions
    for name, values in (("reason", reasons), ("status", ["dropped" if reason else "kept" for reason in reasons])):
        decisions = decisions.set_column(decisions.schema.get_field_index(name), name, pa.array(values, pa.string()))
    later = ValueRule(name="later", column="x.a", min=1)
    steps = [selection.steps[0], Step("near", rule, 10, 4, 0, 0, 0), Step("later", later, 6, 1, 0, 0, 0)]
    values = {**vars(selection), "decisions": decisions, "steps": steps, "evidence": {"near": evidence}}
    view = dedup_view(Frame(Selection(**values)), 1)
    assert (view.clusters, view.copies, view.files) == (2, 4, 4)
    assert view.sizes == [("2", 1, 1), ("3 to 5", 1, 3)]
    largest = view.largest[0]
    assert (largest.copies, largest.files, largest.lowest, largest.highest) == (3, 3, 0.71, 0.9)
    assert largest.kept.name == "folder/file_0.py"
    assert largest.kept.fate == "later dropped by later"
    assert next((one.name, one.similarity) for one in largest.members) == ("folder/file_3.py", 0.71)
    assert [pair.similarity for pair in view.pairs] == [0.71, 1.0]
    assert view.largest[1].kept.fate == ""


def test_clusters_of_commits_have_their_subjects():
    selection = select_rows({"x.a": [0.0] * 3}, [])
    ids = selection.decisions["occurrence_id"].to_pylist()
    evidence = pa.table({"dropped": ids[1:2], "kept": ids[:1], "similarity": [1.0]}, schema=EVIDENCE)
    rule = DedupRule(name="same", dedup="exact", on="commit.patch_id")
    decisions = selection.decisions
    for name, values in (("reason", [None, "same", None]), ("status", ["kept", "dropped", "kept"])):
        decisions = decisions.set_column(decisions.schema.get_field_index(name), name, pa.array(values, pa.string()))
    steps = [selection.steps[0], Step("same", rule, 3, 1, 0, 0, 0)]
    values = {**vars(selection), "decisions": decisions, "steps": steps, "evidence": {"same": evidence}}
    blobs = selection.decisions["blob_id"].to_pylist()
    heads = {blobs[0]: Head("Fix <it>\u202e\n\nmore", 3), blobs[1]: Head("x" * 99, 1), blobs[2]: Head("other", 1)}
    with wording.speaking_of(wording.COMMITS):
        view = dedup_view(Frame(Selection(**values)), 1)
        assert view.blobs() == set(blobs[:2])
        view.compare(heads)
    assert view.titles == {blobs[0]: "Fix <it>⟨202E⟩", blobs[1]: "x" * 71 + "…"}
    assert dedup_view(Frame(Selection(**values)), 1).blobs() == set()  # a file's first line is no title


def test_excerpts_are_bounded_and_begin_below_a_licence():
    text = "# line of a licence\n" * 9 + "\nimport os\n" + "x = 1 \x07\n" * 50 + "y" * 900
    shown = excerpt(Head(text, 61))
    assert (shown.first, shown.last, shown.lines) == (11, 22, 61)
    assert shown.text.startswith("import os\nx = 1 ⟨07⟩")
    assert len(shown.text.split("\n")) == EXCERPT_LINES
    wide = excerpt(Head("z" * 900 + "\r\nend\r\n", 2))
    assert wide.text == "z" * (EXCERPT_WIDTH - 1) + "…\nend"
    only = excerpt(Head("# comment\n" * 20, 20))
    assert only.first == 1


def test_difference_is_bounded():
    old, new = "".join(f"line {n}\n" for n in range(900)), "".join(f"line {n * 3}\n" for n in range(900))
    lines = difference(Head(old, 900), Head(new, 900))
    assert 0 < len(lines) <= 14
    assert {kind for kind, _ in lines} <= {"added", "removed", "place", "same"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (wording.share(1, 100_000), "<0.1%"),
        (wording.share(99_999, 100_000), ">99.9%"),
        (wording.share(0, 5), "0.0%"),
        (wording.share(0, 0), "n/a"),
        (wording.size(0), "0 B"),
        (wording.size(999), "999 B"),
        (wording.size(999_999), "1.00 MB"),
        (wording.size(1_234_567), "1.23 MB"),
        (wording.size(9_994), "9.99 kB"),
        (wording.size(9_996), "10.0 kB"),
        (wording.size(99_960), "100 kB"),
        (wording.short(2_000_000), "2.00 M"),
        (wording.short(999), "999"),
        (wording.mark(2_000), "2 k"),
        (wording.mark(0.5), "0.5"),
        (wording.number(0.25), "0.25"),
        (wording.number(1573.4), "1,573"),
        (wording.number(123_456.7), "123,457"),
        (wording.number(0.00009756), "9.756\u00d710⁻⁵"),
        (wording.number(1e-6), "1\u00d710⁻⁶"),
        (wording.number(float("inf")), "inf"),
        (wording.plural(1, "shard"), "1 shard"),
        (wording.plural(1_234, "shard"), "1,234 shards"),
        (wording.COMMITS.of(1), "1 commit"),
        (wording.COMMITS.of(0), "0 commits"),
        (wording.FILES.key_names, "source, repository, revision"),
        (wording.PAGES.key_names, "source, host"),
        (wording.number(200_000.0), "200,000"),
        (wording.seconds(3.14159), "3.14 s"),
        (wording.seconds(3725), "62 min 05 s"),
        (wording.seconds(7300), "2 h 01 min"),
        (wording.clip("abcdef", 4), "abc…"),
        (wording.marked("`a<b`: <i>"), "<code>a&lt;b</code>: &lt;i&gt;"),
    ],
)
def test_numbers_in_words(said, expected):
    assert said == expected
