"""Commits are rated by an oracle and scored by a scorer through what does so for files."""

import pyarrow.compute as pc
import pyarrow.parquet as pq

from codemill.commits.pipeline import run_commits
from codemill.engine import Engine
from codemill.explain import explain
from codemill.label.oracle import label
from codemill.label.settings import LabelSettings
from codemill.store import Store
from tests.commits.histories import gauge
from tests.commits.test_run import RULES, recipe
from tests.llm_server import Reply, as_json, serve


def test_an_oracle_rates_commits_by_their_rubric(tmp_path):
    gauge(tmp_path / "repositories" / "gauge")
    run_commits(recipe(tmp_path, tmp_path / "repositories"), Engine(workers=1))

    def script(body, _):
        prompt = body["messages"][-1]["content"]
        good = "Refuse to take the mean" in prompt
        return Reply(as_json(overall=8) if good else as_json(overall=0, zero="trivial"))

    with serve(script) as server:
        settings = LabelSettings.model_validate(
            {
                "output": str(tmp_path / "labels"),
                "rubric": 101,
                "sample": {"source": str(tmp_path / "store"), "per_language": 100},
                "endpoint": {"base_url": server.url, "model": "m", "answer": "json_schema"},
            }
        )
        done = label(settings)
        assert all("rate commits by a rubric" in prompt for prompt in server.prompts())
    table = pq.read_table(done.path)
    assert done.labelled == table.num_rows > 10
    best = table.filter(pc.equal(table["overall"], 8))
    assert best.num_rows == 1
    decisions = next((tmp_path / "store" / "decisions").glob("*/diff.parquet"))
    blobs = pq.read_table(decisions)["blob_id"].to_pylist()
    assert best["blob_id"][0].as_py() in blobs


def test_a_scorer_decides_as_for_files(tmp_path):
    gauge(tmp_path / "repositories" / "gauge")
    worst = {"name": "worst", "column": "quality.overall", "drop_lowest": 0.5, "by": "rows"}
    settings = recipe(
        tmp_path,
        tmp_path / "repositories",
        annotate={"language": {}, "quality": {}},
        rule=[*RULES[:2], worst],
        corpus={"best": {"rules": ["days", "merge", "worst"]}},
    )
    summary = run_commits(settings, Engine(workers=1))
    decided = Store(tmp_path / "store").read(f"{summary.decisions}/best.parquet")
    reasons = decided["reason"].to_pylist()
    assert reasons.count("worst") == 7
    assert summary.corpora["best"]["files"] == reasons.count(None)
    assert set(decided["language"].to_pylist()) == {"Diff"}


def test_the_scorer_of_commits_decides_explains_and_is_drawn(tmp_path):
    gauge(tmp_path / "repositories" / "gauge")
    settings = recipe(
        tmp_path,
        tmp_path / "repositories",
        annotate={"quality": {"model": "commits"}},
        rule=[*RULES[:2], {"name": "quality", "column": "quality.overall", "min": 4}],
        corpus={"best": {"rules": ["days", "merge", "quality"], "columns": ["quality.overall"]}},
    )
    summary = run_commits(settings, Engine(workers=1))
    store = Store(tmp_path / "store")
    decided = store.read(f"{summary.decisions}/best.parquet")
    assert "Python" in decided["language"].to_pylist()
    dropped = decided.filter(pc.equal(decided["reason"], "quality"))
    assert 0 < dropped.num_rows < decided.num_rows
    row = dropped.to_pylist()[0]
    found = explain(store, row["path"])["occurrences"][0]
    assert 0 <= found["annotations"]["quality"]["clarity"] <= 10
    assert found["decisions"]["best"]["failed"][-1]["got"] < 4
    samples = pq.read_table(next((tmp_path / "out" / "best" / "parquet").iterdir()))
    assert min(samples["quality_overall"].to_pylist()) >= 4
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Values of quality.overall" in page
