"""The scorer of commits reads any text, learns from few labels, and rates alike in any company."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from codemill.cli import app
from codemill.errors import InputError
from codemill.quality.backends import open_scorer
from codemill.quality.commits.labels import SHIPPED, load_labels
from codemill.quality.commits.measures import hashed_words, measure, take_apart
from codemill.quality.commits.model import CommitScorer
from codemill.quality.commits.train import cross_validate, fit_commits
from codemill.quality.rubric import SCORES, load_rubric

GOOD = """\
Refuse to take the mean of no readings

Dividing by their number crashed, since an empty log has none.

---
diff --git a/gauge/calc.py b/gauge/calc.py
--- a/gauge/calc.py
+++ b/gauge/calc.py
@@ def mean(readings):
 def mean(readings):
+    if not readings:
+        raise ValueError("no readings")
     return total(readings) / len(readings)
diff --git a/tests/test_calc.py b/tests/test_calc.py
new file mode 100644
--- /dev/null
+++ b/tests/test_calc.py
@@
+def test_no_readings():
+    with pytest.raises(ValueError):
+        mean([])
"""
BAD = """\
Bump gauge from 1.0.3 to 1.0.4

---
diff --git a/package.json b/package.json
--- a/package.json
+++ b/package.json
@@
-  "version": "1.0.3",
+  "version": "1.0.4",
"""


def test_a_commit_is_taken_apart():
    parts = take_apart(GOOD)
    assert parts.subject == "Refuse to take the mean of no readings"
    assert parts.paths == ["gauge/calc.py", "tests/test_calc.py"]
    assert (len(parts.added), len(parts.removed), parts.context, parts.hunks, parts.created) == (5, 0, 2, 2, 1)


def test_measures_say_what_they_are_named_for():
    good, bad = measure(GOOD), measure(BAD)
    assert good["says_reason"] > 0 == bad["says_reason"]
    assert good["unsaid"] > bad["unsaid"] >= 0
    assert good["in_changed"] > 0
    assert bad["renumbered"] == 1.0 > good["renumbered"]
    assert (good["any_test"], bad["any_manifest"]) == (1, 1)
    assert good["line_length"] > 0


@settings(max_examples=60)
@given(st.text(max_size=300) | st.builds(lambda a, b: f"{a}\n\n---\ndiff --git a/x b/x\n{b}", st.text(), st.text()))
def test_any_text_has_the_same_measures_all_finite(text):
    values = measure(text)
    assert list(values) == list(measure(GOOD))
    assert np.isfinite(list(values.values())).all()
    assert all(count > 0 for count in hashed_words(text).values())


def test_the_scorer_that_ships_tells_good_from_bad_in_any_company():
    scorer = open_scorer("commits")
    assert scorer.fingerprint.startswith("commits-")
    alone = scorer.score([GOOD]).to_pylist()
    both = scorer.score(pa.array([BAD.encode(), GOOD.encode()], pa.large_binary())).to_pylist()
    assert both[1] == alone[0]
    assert alone[0]["overall"] > both[0]["overall"] + 3
    assert all(0 <= row[name] <= 10 for row in both for name in SCORES)
    assert scorer.score([]).num_rows == 0
    with pytest.raises(InputError, match="got null"):
        scorer.score([None])


def rated(count=40):
    rows = []
    for number in range(count):
        good = number % 2
        text = (GOOD if good else BAD).replace("gauge", f"gauge{number}")
        ratings = dict.fromkeys(SCORES, 8) if good else dict.fromkeys(SCORES, 2) | {"overall": 0}
        rows.append({"content": text.encode(), "repo": f"r{number % 5}", "blob_id": f"{number:064}", **ratings})
    return pa.Table.from_pylist(rows)


def test_a_scorer_is_fitted_to_labels_and_opened_again(tmp_path):
    pq.write_table(rated(), tmp_path / "labels.parquet")
    command = [
        "fit",
        str(tmp_path / "labels.parquet"),
        "--backend",
        "commits",
        "--out",
        str(tmp_path / "model"),
        "--json",
    ]
    card = json.loads(CliRunner().invoke(app, command, catch_exceptions=False).stdout)
    assert (card["commits"], card["groups"]) == (40, 5)
    scorer = open_scorer(str(tmp_path / "model"))
    assert isinstance(scorer, CommitScorer)
    good, bad = scorer.score([GOOD, BAD])["overall"].to_pylist()
    assert good > 6
    assert bad < 3
    again = fit_commits(rated(), tmp_path / "again")
    assert again["fingerprint"] == card["fingerprint"]


def test_repositories_are_judged_by_what_others_taught():
    table, predicted = cross_validate(rated())
    assert predicted.shape == (40, 5)
    assert table["overall"]["mae"] < table["overall, mean of the others"]["mae"] / 2


def test_labels_without_ratings_or_repositories_are_one_line(tmp_path):
    with pytest.raises(InputError, match="not so repo"):
        fit_commits(rated().drop_columns(["repo"]), tmp_path)
    (tmp_path / "card.json").write_text('{"name": "commits", "measures": 0}')
    with pytest.raises(InputError, match="expected a fitted scorer of commits"):
        open_scorer(str(tmp_path))


def test_shipped_labels_name_commits_and_nothing_else():
    labels = load_labels()
    assert labels.schema.equals(SHIPPED)
    assert labels.num_rows == len(set(labels["revision"].to_pylist())) >= 400
    assert len(set(labels["group"].to_pylist())) >= 12
    zero = load_rubric(101).zero
    for row in labels.to_pylist():
        assert (len(row["revision"]), len(row["blob_id"]), row["rubric"]) == (40, 64, 101)
        assert all(0 <= row[name] <= 10 for name in SCORES)
        assert (row["zero"] in zero) == (row["overall"] == 0)
