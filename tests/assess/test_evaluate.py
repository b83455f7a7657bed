"""A scorer is evaluated beside baselines that never saw the file they judge."""

import json
import math
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.assess import baselines
from codemill.assess.evaluate import FIGURES, evaluate_scorer
from codemill.errors import InputError
from codemill.quality.metrics import folds
from codemill.quality.scorer import SCHEMA


class Reader:
    """Rates a file by the number it states, a little too kindly."""

    fingerprint = "reader"

    def __init__(self, gift=0.5):
        self.gift = gift

    def score(self, contents, languages=None, paths=None):
        told = [float(re.search(rb"rated (\d+)", bytes(content)).group(1)) for content in contents.to_pylist()]
        values = np.clip(np.asarray(told) + self.gift, 0, 10)
        return pa.RecordBatch.from_arrays([pa.array(values, pa.float32())] * 5, schema=SCHEMA)


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    """Good files speak of `alpha`, bad ones of `omega`; the worst are long lines of digits."""
    pick = random.Random(0)
    rows = []
    for index in range(240):
        rating = pick.choice([0, 2, 3, 5, 7, 8])
        word = "alpha" if rating > 4 else "omega"
        body = "".join(f"    {word}_{pick.randint(0, 9)} = {word} + other\n" for _ in range(12))
        if rating == 0:
            body = "    data = [" + ", ".join(str(pick.randint(0, 9**9)) for _ in range(300)) + "]\n"
        rows.append(
            {
                "blob_id": f"{index:064x}",
                "repo": f"repo{index // 5}",
                "path": f"src/file{index}.py",
                "language": pick.choice(["Python", "Ruby"]),
                "overall": rating,
                "clarity": rating if index % 2 else None,
                "content": f"# rated {rating}\ndef run(other):\n{body}".encode(),
            }
        )
    rows.append({**rows[0], "blob_id": "f" * 64, "overall": None})
    path = tmp_path_factory.mktemp("labels") / "labels.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_everything_is_measured(labels, tmp_path):
    pytest.importorskip("fasttext", reason="needs the extra fasttext")
    result = evaluate_scorer(Reader(), labels, name="reader")
    scorer, mean, rules, fasttext = result.methods
    assert scorer.figures["mae"] == pytest.approx(0.5) and scorer.figures["spearman"] == pytest.approx(1)
    assert scorer.figures["auc_low"] == 1 and scorer.figures["precision_lowest"] == 1
    assert mean.figures["mae"] > 2 and math.isnan(mean.figures["spearman"])
    assert rules.figures["mae"] < mean.figures["mae"] and rules.figures["precision_lowest"] == 1
    assert fasttext.figures["mae"] < rules.figures["mae"] and fasttext.figures["auc_low"] > 0.9
    assert (result.files, result.left_out, result.missing) == (240, 1, 0)
    assert [row["name"] for row in result.aspects] == ["clarity"] and result.aspects[0]["files"] == 120
    assert {row["name"] for row in result.languages} == {"Python", "Ruby"}
    assert sum(row["files"] for row in result.languages) == sum(box["files"] for box in result.boxes) == 240
    assert {box["rating"]: box["p50"] for box in result.boxes} == {r: r + 0.5 for r in (0, 2, 3, 5, 7, 8)}
    assert "by repository" in result.folds

    text = result.text()
    assert text.splitlines()[2].split() == [
        "method",
        "MAE",
        "cMAE",
        "Spearman",
        "AUC<=3",
        "prec",
        "10%",
        "recall",
        "10%",
    ]
    assert re.search(r"^reader +0\.50 +0\.50 +1\.00 +1\.00 +1\.00", text, re.MULTILINE)
    values = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert values["methods"][1]["figures"]["spearman"] is None and values["fingerprint"] == "reader"

    page = tmp_path / "page.html"
    result.write_html(page)
    html = page.read_text()
    assert html.count("<svg") == 2 and html.count("</tr>") == 10 and "http" not in html
    assert html.count('class="box"') == 6 and "reader" in html
    assert html.count("<table") == html.count('<div class="wide"><table') == 3
    assert (">note</th>" in html) == any(method.note for method in result.methods)


def test_a_missing_extra_is_a_note_in_the_table(labels, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fasttext", None)
    result = evaluate_scorer(Reader(0), labels, with_baselines=("fasttext",))
    assert "codemill[fasttext]" in result.methods[1].note and math.isnan(result.methods[1].figures["mae"])
    assert set(FIGURES) <= set(result.methods[1].figures) and "codemill[fasttext]" in result.text()


def test_baselines_never_see_the_repository_they_judge():
    groups = [f"repo{index // 7}" for index in range(100)]
    fold = folds(groups, 5)
    assert {len({fold[i] for i in range(100) if groups[i] == group}) for group in groups} == {1}
    assert np.bincount(fold).max() - np.bincount(fold).min() <= 7
    rated = np.where(fold == 2, 10.0, 0.0)
    predicted = baselines.mean(rated, fold)
    assert (predicted[fold == 2] == 0).all() and (predicted[fold != 2] > 0).all()


def test_rules_count_what_a_file_breaks():
    digits = b"x = [" + b"1234567890, " * 900 + b"]\n"
    plain = b"".join(b"def run_%d(a):\n    # adds %d\n    return a + %d\n\n\n" % (n, n, n) for n in range(20))
    table = pa.table(
        {
            "content": pa.array([plain, digits], pa.large_binary()),
            "language": pa.array(["Python", None]),
            "path": pa.array(["a.py", None], pa.string()),
        }
    )
    whole, broken = baselines.broken_rules(table, "baseline")
    assert whole == 0 and broken >= 2


def test_labels_that_will_not_do_are_one_line(tmp_path):
    path = tmp_path / "labels.parquet"
    pq.write_table(pa.Table.from_pylist([{"blob_id": "x", "overall": 1, "content": b"rated 1"}]), path)
    with pytest.raises(InputError, match="at least two rated files, got 1"):
        evaluate_scorer(Reader(), path)
    pq.write_table(pa.Table.from_pylist([{"blob_id": c, "overall": 1, "content": b"rated 1"} for c in "xy"]), path)
    with pytest.raises(InputError, match="baselines: expected mean, rules, fasttext, got 'magic'"):
        evaluate_scorer(Reader(), path, with_baselines=("magic",))
