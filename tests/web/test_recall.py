"""Pages about code are found without code tags: the model agrees with fastText, thresholds keep what they say."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from codemill.cli import app
from codemill.engine import Engine
from codemill.errors import InputError
from codemill.label.oracle import label
from codemill.label.settings import LabelSettings
from codemill.quality.rubric import load_rubric
from codemill.schema import blob_id
from codemill.store import Store
from codemill.web import recall
from codemill.web.pipeline import run_web
from codemill.web.recall import CHARS, RecallAnnotator, RecallModel, RecallParams, open_model, read_model, words
from codemill.web.recall_fit import RecallSettings, curve, effective, fit, fit_recall, interval, is_validation
from tests.llm_server import Reply, as_json, serve
from tests.web.test_run import recipe
from tests.web.warcs import response

ABOUT = (
    "The function returns a pointer to the array and the compiler checks its type.",
    "Call the method with a string; an exception is raised where the list is empty.",
    "Install the library with the package manager, then set the path in the shell.",
    "A recursive algorithm sorts the array: each call splits it and merges both halves.",
)
OTHER = (
    "Melt the butter in a pan and add the flour, then stir until the sauce is smooth.",
    "The team won the match in the last minute; the crowd sang until midnight.",
    "Our hotel lies by the lake and has forty rooms with a view of the mountains.",
    "The museum shows paintings of the seventeenth century; children pay nothing.",
)
SMALL = {"epochs": 40, "buckets": 4096, "min_count": 1}


def text(number, about):
    lines = ABOUT if about else OTHER
    return f"{lines[number % 4]} {lines[(number // 4 + 1) % 4]} Number {number}."


def labels(count=80):
    """Rated pages of twenty sites, half of them about code."""
    rows = []
    for number in range(count):
        content = text(number, number % 2 == 0)
        site = f"site{number % 20}.example"
        rating = 8 if number % 2 == 0 else 1
        rows.append({"blob_id": blob_id(content.encode()), "repo": site, "overall": rating, "content": content})
    return rows


@pytest.fixture
def rated(tmp_path):
    pq.write_table(pa.Table.from_pylist(labels()), tmp_path / "labels.parquet")
    return tmp_path / "labels.parquet"


def test_words_are_lower_case_with_numbers_and_signs_apart():
    assert words("Print(x1) at 10:42,\n naïve 日本") == "print ( x 0 ) at 0 0 naïve 日 本"
    assert words("") == "" and len(words("ab " * CHARS)) == CHARS


@given(st.text(max_size=400))
def test_any_text_has_words_apart_by_single_spaces_and_a_probability(value):
    found = words(value)
    assert "\n" not in found and found == " ".join(found.split(" ")) and "  " not in found
    assert 0 <= open_model("reference").score(value) <= 1


def test_scores_are_those_of_fasttext(tmp_path, monkeypatch):
    fasttext = pytest.importorskip("fasttext", reason="needs the extra fasttext")
    made = []
    train = fasttext.train_supervised
    monkeypatch.setattr(fasttext, "train_supervised", lambda **settings: made.append(train(**settings)) or made[0])
    texts = [text(number, number % 2 == 0) for number in range(40)]
    about = np.arange(40) % 2 == 0
    model = fit(texts, about, RecallSettings(**{**SMALL, "epochs": 5}))
    for one in [*texts, "words nobody has seen, and ünïcödé 日本語 ()", "x", ""]:
        said = made[0].f.predict(words(one) + "\n", 2, -1.0, "strict")
        wanted = next((chance for chance, name in said if name == "__label__about"), 0.5)
        assert model.score(one) == pytest.approx(min(wanted, 1.0), abs=3e-5)


def test_a_fit_finds_pages_of_sites_it_has_not_seen_and_comes_out_the_same_again(rated, tmp_path):
    pytest.importorskip("fasttext", reason="needs the extra fasttext")
    card = fit_recall(rated, tmp_path / "a", settings=RecallSettings(**SMALL))
    again = fit_recall(rated, tmp_path / "b", settings=RecallSettings(**SMALL))
    found = card["validation"]
    assert found["recall"] == found["precision"] == 1.0 and found["pages"] + card["train"]["pages"] == 80
    assert found["recall_95"][0] < 1.0 == found["recall_95"][1]
    assert card == again == json.loads((tmp_path / "a/recall.json").read_text())
    assert (tmp_path / "a/recall.npz").read_bytes() == (tmp_path / "b/recall.npz").read_bytes()
    model = read_model(tmp_path / "a")
    assert model.fingerprint == read_model(tmp_path / "b").fingerprint != open_model("reference").fingerprint
    assert model.score(text(7, True)) >= found["threshold"] > model.score(text(7, False))


def test_what_cannot_be_fitted_is_said(rated, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="pages of both kinds to learn from, got 3 of one"):
        pytest.importorskip("fasttext", reason="needs the extra fasttext")
        fit(["a", "b", "c"], np.ones(3, np.bool_), RecallSettings())
    monkeypatch.setitem(__import__("sys").modules, "fasttext", None)
    with pytest.raises(InputError, match=r"pip install 'codemill\[fasttext\]'"):
        fit_recall(rated, tmp_path / "out")
    with pytest.raises(InputError, match=r"expected recall\.npz and recall\.json"):
        read_model(tmp_path)


def test_a_model_of_other_words_is_refused(tmp_path):
    shipped = open_model("reference")
    RecallModel(shipped.known, shipped.values, shipped.buckets, {**shipped.card, "words": 0}).save(tmp_path)
    with pytest.raises(InputError, match="expected words 1, got 0"):
        read_model(tmp_path)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=40), st.floats(0.01, 1))
def test_a_threshold_keeps_at_least_the_share_it_was_chosen_for_and_no_higher_one_does(pages, share):
    pages = [*pages, (5, True)]
    scores = np.array([score / 10 for score, _ in pages], np.float32)
    about = np.array([yes for _, yes in pages])
    found = curve(scores, about, np.ones(len(pages), np.float32))
    place = found.at(share)

    def kept(threshold):
        return about[scores >= threshold].sum() / about.sum()

    assert kept(found.thresholds[place]) >= share - 1e-6
    assert found.recall[place] == pytest.approx(kept(found.thresholds[place]))
    assert found.precision[place] == pytest.approx(about[scores >= found.thresholds[place]].mean())
    assert place == 0 or kept(found.thresholds[place - 1]) < share + 1e-6


def test_intervals_and_sites():
    low, high = interval(0.5, 100)
    assert low == pytest.approx(0.4038, abs=1e-4) and high == pytest.approx(0.5962, abs=1e-4)  # by hand
    assert interval(1.0, 10)[1] == pytest.approx(1.0) and effective(np.array([1, 1, 1, 1], np.float32)) == 4
    share = np.mean([is_validation(f"host{number}.example", 0.3) for number in range(3000)])
    assert share == pytest.approx(0.3, abs=0.03)


def test_the_model_that_ships_is_the_one_of_its_labels_and_knows_plain_cases():
    model = open_model("reference")
    shipped = pq.read_table(Path(recall.__file__).with_name("recall_model") / "labels.parquet")
    for split, counts in (("train", model.card["train"]), ("validation", model.card["validation"])):
        here = [row["overall"] for row in shipped.to_pylist() if row["split"] == split]
        assert len(here) == counts["pages"] and sum(rating >= 5 for rating in here) == counts["relevant"]
    groups = {
        split: {r["group"] for r in shipped.to_pylist() if r["split"] == split} for split in ("train", "validation")
    }
    assert not groups["train"] & groups["validation"]
    assert {row["rubric"] for row in shipped.to_pylist()} == {load_rubric(301).version}
    assert min(model.score(" ".join(ABOUT)), 1.0) > 0.03 > model.score(" ".join(OTHER))


def test_the_annotator_scores_the_beginning_of_texts_even_where_a_character_is_cut():
    texts = [" ".join(ABOUT).encode(), " ".join(OTHER).encode(), "日".encode() * 5000, b"\xff\xfe"]
    batch = pa.RecordBatch.from_pydict({"content": pa.array(texts, pa.large_binary())})
    annotator = RecallAnnotator(RecallParams())
    scores = annotator.annotate(batch).column("score").to_pylist()
    assert scores[0] > scores[1] and scores[2] == pytest.approx(open_model("reference").score("日" * CHARS))


def test_both_ways_lead_into_the_corpus_and_the_report_counts_them(tmp_path):
    pages = [
        response("https://a.example/marked", f"<p>{' '.join(OTHER)}<pre>x = 1\ny = 2</pre>".encode()),
        response("https://b.example/unmarked", f"<p>{' '.join(ABOUT)}".encode()),
        response("https://c.example/kitchen", f"<p>{' '.join(OTHER[::-1])}".encode()),
    ]
    (tmp_path / "crawl.warc.gz").write_bytes(b"".join(pages))
    rule = 'column = "recall.score"\nmin = 0.0\nby = "page.code_marks"\nper = { "0" = { min = 0.03 } }'
    changes = {'column = "page.code_marks"\nmin = 1': rule, "[annotate.host]": "[annotate.host]\n[annotate.recall]"}
    made = recipe(tmp_path, **changes)
    run_web(made, Engine(workers=1))
    table = Store(tmp_path / "store").read(f"decisions/{made.fingerprint()}/pages.parquet").to_pylist()
    assert {row["path"]: row["reason"] for row in table} == {"/marked": None, "/unmarked": None, "/kitchen": "no_code"}
    page = (tmp_path / "out/report.html").read_text()
    assert "Shares by page.code_marks" in page and "any other" in page


def test_pages_are_rated_through_an_endpoint_and_the_ratings_fit_a_model(tmp_path):
    pytest.importorskip("fasttext", reason="needs the extra fasttext")
    rows = [{"content": row["content"], "repo": row["repo"], "path": f"/{n}"} for n, row in enumerate(labels())]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "pages.parquet")

    def script(body, number):
        prompt = body["messages"][-1]["content"]
        about = any(line in prompt for line in ABOUT)
        return Reply(as_json(overall=8) if about else as_json(overall=0, zero="unrelated"))

    with serve(script) as server:
        settings = {
            "output": str(tmp_path / "labels"),
            "rubric": 301,
            "sample": {"source": str(tmp_path / "pages.parquet"), "columns": {"language": "repo"}, "per_language": 4},
            "endpoint": {"base_url": server.url, "model": "m", "answer": "json_schema"},
        }
        result = label(LabelSettings.model_validate(settings))
        prompt = server.prompts()[0]
    assert result.labelled == 80
    assert "How much is this web page about code?" in prompt and "\nSite: site" in prompt and "Language:" not in prompt
    said = CliRunner().invoke(
        app, ["fit-recall", str(tmp_path / "labels"), "--out", str(tmp_path / "model"), "--json"]
        + [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["validation"]["recall"] == 1.0
