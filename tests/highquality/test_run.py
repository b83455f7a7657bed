"""A run takes what resembles its seed, says of every document what became of it, repeats to the byte, and resumes."""

import json

import pyarrow.parquet as pq
import pytest

from codemill.cli import main
from codemill.engine import Engine
from codemill.errors import CodemillError, InputError, RecipeError
from codemill.highquality import rounds as rounds_module
from codemill.highquality.pipeline import HighQuality
from codemill.highquality.settings import load_highquality_recipe
from tests.highquality.corpora import modules, notebook, recipe, write

pytest.importorskip("fasttext")


def run(path):
    return HighQuality(load_highquality_recipe(str(path)), Engine(workers=1)).run()


def decisions(root, source="modules"):
    return pq.read_table(root / f"out/{source}/decisions.parquet").to_pylist()


def contents(root):
    """Every file of the output but those that hold timings."""
    files = sorted(file for file in (root / "out").rglob("*") if file.is_file() and not file.name.startswith("."))
    return {
        str(file.relative_to(root)): file.read_bytes()
        for file in files
        if file.name not in ("report.html", "highquality.json")
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = tmp_path_factory.mktemp("highquality")
    path = recipe(root, write(root, "corpus", modules()))
    return root, path, run(path)


def test_what_resembles_the_seed_is_found(finished):
    root, _, summary = finished
    rows = decisions(root)
    kept = {row["path"] for row in rows if row["status"] == "kept"}
    like_seed = {row["path"] for row in rows if row["path"].startswith("app/good")}
    assert len(kept & like_seed) > 0.8 * len(like_seed)
    assert not any("bare" in path for path in kept)
    first = summary["sources"]["modules"]["rounds"][0]
    assert first["recall"] > 0.8
    assert first["precision"] > 0.8
    assert first["held_positives"] > 0
    assert first["held_hard"] > 0


def test_every_document_has_one_fate(finished):
    root, _, summary = finished
    rows = decisions(root)
    source = summary["sources"]["modules"]
    assert len(rows) == summary["documents"] == sum(source["tally"].values()) == len(modules())
    assert all((row["status"] == "kept") == (row["reason"] is None) for row in rows)
    assert {row["reason"] for row in rows if row["language"] == "Shell"} == {"not_a_candidate"}
    assert all((row["probability"] is None) == (row["language"] == "Shell") for row in rows)
    set_rows = pq.read_table(root / "out/modules/parquet").to_pylist()
    assert sorted(row["path"] for row in set_rows) == sorted(row["path"] for row in rows if row["status"] == "kept")
    assert {row["round"] for row in set_rows if row["path"].startswith("lib/good")} == {0}
    assert all(row["content"] and row["quality_overall"] for row in set_rows)


def test_held_out_documents_are_never_learned_from(tmp_path, monkeypatch):
    seen = []
    original = rounds_module.Rounds._learn

    def watched(self, number, folder, chosen):
        seen.extend(chosen.rows.tolist())
        assert not self.pool.held[chosen.rows].any()
        assert len(set(chosen.rows.tolist())) == len(chosen.rows)
        original(self, number, folder, chosen)

    monkeypatch.setattr(rounds_module.Rounds, "_learn", watched)
    run(
        recipe(
            tmp_path,
            write(tmp_path, "corpus", modules()),
            'held_out_by = "repository"\nheld_out = 0.4\nleast_precision = 0',
        )
    )
    assert seen


def test_same_input_same_bytes(finished, tmp_path):
    root, _, _ = finished
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for file in (root / "corpus").iterdir():
        (corpus / file.name).write_bytes(file.read_bytes())
    run(recipe(tmp_path, corpus))
    here, there = contents(tmp_path), contents(root)
    models = [name for name in there if name.endswith("model.bin")]
    assert models
    assert [here[name] for name in models] == [there[name] for name in models]
    name = "out/modules/decisions.parquet"
    assert pq.read_table(tmp_path / name).equals(pq.read_table(root / name))


def test_finished_rounds_are_not_done_again(finished, monkeypatch):
    root, path, _ = finished
    before = contents(root)
    monkeypatch.setattr(rounds_module, "train", lambda *_: pytest.fail("trained again"))
    run(path)
    assert contents(root) == before


def test_a_killed_run_goes_on(tmp_path, monkeypatch):
    path = recipe(tmp_path, write(tmp_path, "corpus", modules()))
    original, calls = rounds_module.train, []

    def killed(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        original(*arguments)

    monkeypatch.setattr(rounds_module, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run(path)
    assert not (tmp_path / "out/codemill.json").exists()
    monkeypatch.setattr(rounds_module, "train", lambda *arguments: (calls.append(2), original(*arguments)))
    summary = run(path)
    whole = tmp_path / "whole"
    whole.mkdir()
    other = run(recipe(whole, tmp_path / "corpus"))
    assert summary["sources"] == other["sources"]
    assert 2 in calls
    assert calls.count(1) == 2


def test_a_round_of_noise_is_put_aside(tmp_path):
    corpus = write(tmp_path, "corpus", modules())
    summary = run(recipe(tmp_path, corpus, "least_score = 9.5"))["sources"]["modules"]
    assert summary["used"] == 0
    assert "newly recalled score" in summary["rounds"][0]["noise"]
    rows = decisions(tmp_path)
    assert {row["path"] for row in rows if row["status"] == "kept"} == {
        row["path"] for row in rows if row["path"].startswith("lib/good")
    }
    assert {row["reason"] for row in rows} == {None, "not_a_candidate", "not_in_seed"}
    assert not (tmp_path / "out/modules/model.bin").exists()
    assert "No round counts" in (tmp_path / "out/report.html").read_text()


def test_recalled_and_bad_documents_become_negatives(tmp_path):
    rows = [row if "app/good" not in row[1] else (*row[:4], 1.0) for row in modules()]
    summary = run(recipe(tmp_path, write(tmp_path, "corpus", rows), "least_score = 0\nleast_gain = 0"))
    figures = summary["sources"]["modules"]["rounds"]
    assert figures[0]["drawn"]["bad"] == 0
    assert figures[0]["new_bad"] > 0.5
    assert figures[1]["drawn"]["bad"] > 0
    assert figures[1]["recalled"] <= figures[0]["recalled"]
    assert {row["reason"] for row in decisions(tmp_path) if "app/good" in row["path"]} <= {
        "below_threshold",
        "take: scores_well",
    }


NOTEBOOKS = """
[source.notebooks]
languages = ["Jupyter Notebook"]
seed = ["explains"]
take = ["scores"]
[[rule]]
name = "explains"
column = "notebook.text_bytes"
min = 200
[[rule]]
name = "scores"
column = "quality.readability"
min = 0.0
"""


def test_notebooks_are_looked_at_and_written_as_text(tmp_path):
    rows = modules(20)
    rows += [
        ("n", f"long_{seed}.ipynb", "Jupyter Notebook", notebook(seed, "Why and how. " * 20), 0.1) for seed in range(12)
    ]
    rows += [("n", f"short_{seed}.ipynb", "Jupyter Notebook", notebook(seed + 50, "x"), 0.1) for seed in range(12)]
    rows.append(("n", "broken.ipynb", "Jupyter Notebook", '{"cells": [', 0.1))
    summary = run(
        recipe(tmp_path, write(tmp_path, "corpus", rows, 3), "least_precision = 0\nleast_score = 0", NOTEBOOKS)
    )
    assert summary["sources"]["notebooks"]["pool"]["seed"] == 12
    kept = pq.read_table(tmp_path / "out/notebooks/parquet").to_pylist()
    assert kept
    assert all("```python" in row["content"] and "iVBOR" not in row["content"] for row in kept)
    broken = [row for row in decisions(tmp_path, "notebooks") if row["path"] == "broken.ipynb"]
    assert [(row["status"], row["reason"]) for row in broken] == [("errored", "unreadable_notebook")]
    # A score of the JSON says nothing: what counts is that of the notebook as a script.
    values = [
        pq.read_table(file).to_pylist() for file in sorted((tmp_path / "store/highquality").glob("values-*/*.parquet"))
    ]
    scores = [row["quality.overall"] for rows in values for row in rows if row["path"].startswith("long_")]
    assert all(score > 0.2 for score in scores)


def test_the_same_content_is_taken_once(tmp_path):
    rows = modules(20)
    path = recipe(tmp_path, write(tmp_path, "corpus", [*rows, *rows], 2))
    summary = run(path)
    assert summary["sources"]["modules"]["tally"]["dropped: duplicate"] == len(rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("min = 6.0", "matches = '('"), "matches: expected a regular expression"),
        (("quality.overall", "nothing.overall"), "column nothing.overall: expected one of"),
        (("outline.documented_share", "outline.share"), "column outline.share: expected one of"),
        (("outline.documented_share", "occurrence.stars"), "column occurrence.stars: expected it in the corpus"),
        (('seed = ["in_lib"]', 'seed = ["other"]'), "source.modules.seed: expected names of rules"),
        (("/corpus", "/none"), "input files: expected a file or folder"),
        (('hard = ["scores_well"', 'dropped = ["scores_well"'), "source.modules.dropped: expected one of bad, "),
        (('languages = ["Python"]', 'languages = ["Ada"]'), "source.modules: expected positives and negatives"),
        (('kind = "highquality"', 'kind = "web"'), "kind: expected highquality for this command, got 'web'"),
        (("max = 0.1", 'dedup = "exact"'), "expected bounds, any_of, none_of or matches"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path, change, message):
    path = recipe(tmp_path, write(tmp_path, "corpus", modules(8)))
    text = path.read_text()
    if change[1].startswith("dedup"):
        text = text.replace('column = "outline.documented_share"\n', "")
    assert change[0] in text
    path.write_text(text.replace(*change))
    with pytest.raises(CodemillError) as caught:
        run(path)
    assert isinstance(caught.value, RecipeError | InputError)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_repository_level_corpus_is_refused(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    pq.write_table(
        pq.read_table(write(tmp_path, "other", modules(4), 1)).drop_columns(["content"]), folder / "a.parquet"
    )
    with pytest.raises(InputError, match="expected a corpus at file level with column content"):
        run(recipe(tmp_path, folder))


def test_the_command(finished, monkeypatch, capsys):
    _, path, _ = finished
    monkeypatch.setattr("sys.argv", ["codemill", "highquality", str(path), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["modules"]["used"] > 0


def test_the_page_loads_nothing_and_hides_nothing(finished):
    root, _, summary = finished
    page = (root / "out/report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert f"{summary['sources']['modules']['files']}" in page
    card = (root / "out/README.md").read_text()
    assert "config_name: modules" in card
    assert "| round |" in card
