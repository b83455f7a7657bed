"""Two oracles side by side: counts, agreement, and the files they differ on."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.assess.compare import compare_labels
from codemill.errors import InputError


def labels(path, ratings, model, **more):
    rows = [
        {
            "blob_id": blob,
            "language": "Go" if blob in "ab" else "C",
            "path": f"{blob}.src",
            "overall": rating,
            "zero": "data" if rating == 0 else None,
            "clarity": rating,
            "explanation": f"<b>{model}</b> on {blob}",
            "model": model,
            **more,
        }
        for blob, rating in ratings.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def both(tmp_path):
    one = labels(tmp_path / "one.parquet", {"a": 0, "b": 5, "c": 7, "d": 7, "e": 3, "x": 1}, "strict")
    other = labels(tmp_path / "other.parquet", {"e": 9, "d": 7, "c": 8, "b": 5, "a": 0, "y": 2, "z": 2}, "kind")
    return one, other


def test_agreement(both):
    result = compare_labels(*both)
    assert (result.one, result.other, result.files, result.only_one, result.only_other) == ("strict", "kind", 5, 1, 2)
    assert result.counts[0, 0] == result.counts[5, 5] == result.counts[7, 8] == result.counts[3, 9] == 1
    assert result.counts.sum() == 5
    overall, clarity = result.agreement
    assert (overall.exact, overall.within_one, overall.mae, overall.bias) == (0.6, 0.8, 1.4, 1.4)
    assert clarity.name == "clarity" and clarity.mae == 1.4
    assert 0 < overall.kappa < 1 and 0 < overall.spearman < 1
    assert result.zero_alike == 1 and result.same_reason == 1
    assert {row.name: row.files for row in result.languages} == {"C": 3, "Go": 2}
    assert math.isnan(next(row for row in result.languages if row.name == "Go").kappa) is False


def test_the_files_that_differ_most_come_first_and_those_that_agree_not_at_all(both):
    differences = compare_labels(*both).differences
    assert [(row.file, row.one, row.other) for row in differences] == [("e.src", 3, 9), ("c.src", 7, 8)]
    assert "strict" in differences[0].one_says and "kind" in differences[0].other_says
    assert len(compare_labels(*both, differences=1).differences) == 1


def test_text_json_and_page(both, tmp_path):
    result = compare_labels(*both)
    assert "5 files rated by strict and kind" in result.text() and "overall" in result.text()
    assert json.loads(json.dumps(result.to_json(), allow_nan=False))["counts"][3][9] == 1
    page = tmp_path / "page.html"
    result.write_html(page)
    html = page.read_text()
    assert html.count("<table") == html.count('<div class="wide"><table') == 3  # none makes a phone scroll the page
    assert html.count('class="heat"') == 121 and "&lt;b&gt;strict" in html and "<b>" not in html and "http" not in html


def test_two_readings_of_one_model_get_numbers(both, tmp_path):
    again = labels(tmp_path / "again.parquet", {"a": 1}, "strict")
    result = compare_labels(both[0], again)
    assert (result.one, result.other) == ("strict (1)", "strict (2)") and result.zero_alike == 0
    assert math.isnan(result.same_reason)
    assert compare_labels(both[0], again, names=("x", "y")).one == "x"


def test_a_file_in_another_language_is_another_file(both, tmp_path):
    with pytest.raises(InputError, match="by blob_id and language"):
        compare_labels(both[0], labels(tmp_path / "p.parquet", {"a": 1}, "m", language="Perl"))
