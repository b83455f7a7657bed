"""Corpora become packed shards: every token accounted for, documents whole, the same bytes whoever does the work."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.engine import Engine
from codemill.errors import ConservationError, InputError, RecipeError, StoreError
from codemill.pretrain.pipeline import PretrainPipeline
from codemill.pretrain.report import build_pretrain_report
from codemill.pretrain.settings import PretrainRecipe
from codemill.pretrain.summary import PretrainSummary
from codemill.pretrain.write import write_shard
from codemill.report.summary import RunSummary
from codemill.store import Store
from codemill.tokens.tokenizer import open_tokenizer
from tests.conftest import python_module
from tests.pretrain.corpora import texts, train_tokenizer, write_files, write_samples

FILES, PAGES, SAMPLES = texts(60), texts(30, seed=1), 100


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpora")
    write_files(root / "files" / "a.parquet", FILES[:40])
    write_files(root / "files" / "b.parquet", FILES[40:])
    write_files(root / "pages" / "a.parquet", PAGES)
    write_samples(root / "commits" / "a.parquet", SAMPLES)
    train_tokenizer(root / "tokenizer.json", FILES + PAGES)
    return root


def recipe(corpora, out, **changes):
    sources = [{"name": name, "path": str(corpora / name), "repeats": 2} for name in ("files", "pages", "commits")]
    regular = {
        "name": "regular",
        "fim": {"rate": 0.5},
        "stage": [{"name": "base", "tokens": 30_000, "length": 2048, "weights": {"files": 3, "pages": 1}}],
    }
    continued = {
        "name": "continued",
        "fim": {"rate": 0.1},
        "stage": [
            {"name": "all", "tokens": 20_000, "length": 2048, "weights": {"files": 5, "pages": 3, "commits": 1}},
            {
                "name": "long",
                "tokens": 20_000,
                "length": 2048,
                "weights": {"files": 1, "commits": 1},
                "order": "sources",
            },
        ],
    }
    values = {
        "kind": "pretrain",
        "name": "test",
        "store": str(out / "store"),
        "output": str(out / "shards"),
        "tokenizer": {"path": str(corpora / "tokenizer.json")},
        "source": sources,
        "phase": [regular, continued],
        "shards": {"tokens": 8000, "formats": ["parquet"]},
    }
    return PretrainRecipe.model_validate(values | changes)


def run(made, **engine):
    return PretrainPipeline(made, Engine(**engine)).run()


def sequences(folder):
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def documents(folder, tokenizer):
    """Documents as they stand in the sequences, what bears the loss, and whether the end token ends them."""
    end = tokenizer.special("<|endoftext|>")
    for row in sequences(folder):
        borders = [*row["document_starts"], row["length"]]
        for start, stop in pairwise(borders):
            yield row["input_ids"][start:stop], row["loss_mask"][start:stop], row["input_ids"][stop - 1] == end


def whole_texts(folder, tokenizer):
    """Texts of the documents, fill-in-the-middle undone."""
    suffix, prefix, middle = (tokenizer.special(f"<[fim-{name}]>") for name in ("suffix", "prefix", "middle"))
    for tokens, _, ended in documents(folder, tokenizer):
        assert ended, "no document here is longer than a sequence"
        ids = np.array(tokens[:-1])
        if suffix in ids:
            places = [int(np.flatnonzero(ids == mark)[0]) for mark in (suffix, prefix, middle)]
            parts = [ids[places[0] + 1 : places[1]], ids[places[1] + 1 : places[2]], ids[places[2] + 1 :]]
            yield "".join(tokenizer.decode(parts[one]) for one in (1, 2, 0)), True
        else:
            yield tokenizer.decode(ids), False


def tree(folder):
    """Relative path -> bytes of all shards."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.suffix == ".parquet"}


@pytest.fixture(scope="module")
def finished(corpora, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished")
    made = recipe(corpora, out)
    return made, run(made, workers=1), out


def test_tokens_are_accounted_for(finished):
    _, summary, out = finished
    for stage in summary.phases:
        rows = sequences(out / "shards" / stage["phase"] / stage["name"] / "parquet")
        assert len(rows) == stage["sequences"]
        assert (
            sum(row["length"] for row in rows) == stage["tokens"] == sum(s["tokens"] for s in stage["sources"].values())
        )
        assert sum(len(row["input_ids"]) for row in rows) == stage["tokens"] + stage["padding"]
        assert sum(sum(row["loss_mask"]) for row in rows) == stage["loss"]
        for source in stage["sources"].values():
            assert sum(source["languages"].values()) == source["tokens"]
            assert source["tokens"] == pytest.approx(source["planned"], rel=0.2)
    for name, source in summary.sources.items():
        assert source["used"] == sum(summary.languages[name].values())


def test_documents_come_through_whole(finished, corpora):
    _, summary, out = finished
    tokenizer = open_tokenizer(corpora / "tokenizer.json")
    found = list(whole_texts(out / "shards" / "continued" / "long" / "parquet", tokenizer))
    known = set(FILES) | {row for row, _ in found if "# change" in row}
    assert found
    assert {text for text, _ in found} <= known
    base = list(whole_texts(out / "shards" / "regular" / "base" / "parquet", tokenizer))
    assert {text for text, _ in base} <= set(FILES) | set(PAGES)
    # Half of the documents are split, as far as chance goes.
    stage = summary.phases[0]["sources"]
    split, all_of_them = sum(one["fim"] for one in stage.values()), sum(one["documents"] for one in stage.values())
    assert 0.3 < split / all_of_them < 0.7


def test_no_document_is_seen_twice_before_all_were(finished, corpora):
    made, _, out = finished
    tokenizer = open_tokenizer(corpora / "tokenizer.json")
    counts = Counter(
        text
        for phase in made.phase
        for stage in phase.stage
        for text, _ in whole_texts(out / "shards" / phase.name / stage.name / "parquet", tokenizer)
    )
    for contents in (FILES, PAGES):
        times = [counts[text] for text in contents]
        assert max(times) - min(times) <= 1
        assert max(times) >= 1


def test_samples_bear_the_loss_on_their_targets_alone(finished, corpora):
    _, _, out = finished
    tokenizer = open_tokenizer(corpora / "tokenizer.json")
    checked = 0
    for ids, loss, ended in documents(out / "shards" / "continued" / "all" / "parquet", tokenizer):
        text = tokenizer.decode(ids[:-1]) if ended else ""
        if found := re.fullmatch(r"# change (\d+)\n.*\n(return \1\n)", text, re.DOTALL):
            borne = tokenizer.decode([one for one, bears in zip(ids, loss, strict=True) if bears][:-1])
            assert found[2].strip() in borne
            assert "def " not in borne
            checked += 1
    assert checked > 5


def test_the_same_bytes_whoever_does_the_work(finished, corpora, tmp_path, monkeypatch):
    made, _, out = finished
    monkeypatch.setattr("codemill.engine.INLINE_WEIGHT", 0)
    first = {"phase": made.phase[:1], "source": made.source[:2]}  # each map starts its workers, which takes its time
    run(recipe(corpora, tmp_path, **first), workers=2)
    written = tree(tmp_path / "shards")
    assert written
    assert written.items() <= tree(out / "shards").items()


def test_a_second_run_does_nothing(corpora, tmp_path, monkeypatch):
    made = recipe(corpora, tmp_path)
    first = run(made)
    before = tree(tmp_path / "shards")
    monkeypatch.setattr("codemill.pretrain.write.write_shard", None)
    monkeypatch.setattr("codemill.pretrain.tokenize.tokenize_file", None)
    monkeypatch.setattr("codemill.pretrain.spread.spread_file", None)
    second = run(made)
    assert tree(tmp_path / "shards") == before
    assert (second.phases, second.sources) == (first.phases, first.sources)


def test_a_killed_run_goes_on(finished, corpora, tmp_path, monkeypatch):
    _, summary, out = finished
    made = recipe(corpora, tmp_path)
    calls = []

    def failing(task):
        calls.append(task["part"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write_shard(task)

    monkeypatch.setattr("codemill.pretrain.write.write_shard", failing)
    with pytest.raises(KeyboardInterrupt):
        run(made, workers=1)
    again = run(made, workers=1)
    assert tree(tmp_path / "shards") == tree(out / "shards")
    assert again.phases == summary.phases
    assert len(calls) == 1 + sum(stage["shards"] for stage in summary.phases)


def test_a_changed_recipe_leaves_nothing_stale(corpora, tmp_path):
    made = recipe(corpora, tmp_path)
    run(made)
    changed = made.model_dump(mode="json")
    changed["phase"] = changed["phase"][:1]
    changed["phase"][0]["stage"][0]["tokens"] = 9000
    changed["source"] = changed["source"][:2]
    summary = run(PretrainRecipe.model_validate(changed))
    assert not (tmp_path / "shards" / "continued").exists()
    rows = sequences(tmp_path / "shards" / "regular" / "base" / "parquet")
    assert len(rows) == summary.phases[0]["sequences"]


def test_stages_of_killed_runs_go_too(corpora, tmp_path):
    made = recipe(corpora, tmp_path)
    run(made)
    (tmp_path / "shards" / "codemill.json").unlink()  # as a killed run leaves it
    (tmp_path / "shards" / "continued" / "notes.txt").write_text("not ours")
    changed = made.model_dump(mode="json")
    changed["phase"], changed["source"] = changed["phase"][:1], changed["source"][:2]
    run(PretrainRecipe.model_validate(changed))
    assert [file.name for file in (tmp_path / "shards" / "continued").iterdir()] == ["notes.txt"]


def test_one_run_writes_to_an_output(corpora, tmp_path):
    made = recipe(corpora, tmp_path, store=str(tmp_path / "another"))
    with Store(made.output).lock(), pytest.raises(StoreError, match="expected to be its only writer"):
        run(made)


def test_rows_that_should_have_been_documents_are_said(corpora, tmp_path):
    (tmp_path / "lines").mkdir()
    (tmp_path / "lines" / "a.jsonl").write_text('{"text": "x = 1"}\n[]\n{"text": null}\n{"text": ""}\n')
    made = recipe(corpora, tmp_path).model_dump(mode="json")
    made["source"][1]["path"] = str(tmp_path / "lines")
    alarms = run(PretrainRecipe.model_validate(made)).alarms
    assert "pages: 1 rows are errors (invalid_row)" in alarms
    assert "pages: 1 rows are errors (no_text)" in alarms
    assert not any("(empty)" in alarm for alarm in alarms)


def test_a_source_that_gives_nothing_is_said(corpora, tmp_path):
    alarms = run(recipe(corpora, tmp_path, scale=1e-6)).alarms
    assert any(alarm.startswith("regular/base: files gives nothing: 0.0 tokens") for alarm in alarms)


def test_bare_formats_can_leave_padding_out(corpora, tmp_path):
    shards = {"tokens": 8000, "formats": ["nanogpt"], "padding": False, "loss_mask": False}
    summary = run(recipe(corpora, tmp_path, shards=shards))
    for stage in summary.phases:
        assert stage["padding"]
        assert stage["formats"]["nanogpt"]["bytes"] == 2 * stage["tokens"]


def test_later_stages_leave_earlier_shards_alone(corpora, tmp_path):
    made = recipe(corpora, tmp_path)
    run(made)
    file = next((tmp_path / "shards" / "regular" / "base" / "parquet").glob("*.parquet"))
    stamp = file.stat().st_mtime_ns
    changed = made.model_dump(mode="json")
    changed["phase"][1]["stage"][0]["tokens"] = 12_000
    run(PretrainRecipe.model_validate(changed))
    assert file.stat().st_mtime_ns == stamp


def test_a_source_that_has_too_little_is_said(corpora, tmp_path):
    made = recipe(corpora, tmp_path, scale=10.0)
    summary = run(made)
    assert any(alarm.startswith("regular/base: pages gives") for alarm in summary.alarms)
    stage = summary.phases[0]
    assert stage["sources"]["pages"]["epochs"] == [0, 1]
    assert summary.sources["pages"]["unused"] == 0
    shrunk = run(recipe(corpora, tmp_path / "other", scale=10.0, shortfall="shrink"))
    shares = shrunk.phases[0]["sources"]
    assert shares["files"]["tokens"] == pytest.approx(3 * shares["pages"]["tokens"], rel=0.1)


def test_formats_stand_side_by_side(corpora, tmp_path):
    made = recipe(corpora, tmp_path, shards={"tokens": 8000, "formats": ["parquet", "megatron", "nanogpt", "mds"]})
    summary = run(made)
    formats = summary.phases[0]["formats"]
    assert set(formats) == {"parquet", "megatron", "nanogpt", "mds"}
    for name, one in formats.items():
        folder = tmp_path / "shards" / "regular" / "base" / name
        assert one["files"] and one["bytes"] > 0
        assert any(folder.iterdir())


def test_the_report_and_the_summary(finished):
    made, summary, out = finished
    page = (out / "shards" / "report.html").read_text()
    assert "Mixture as planned and as delivered" in page
    for stage in summary.phases:
        assert f"{stage['phase']}/{stage['name']}" in page
        assert f"{stage['tokens']:,}" in page
    card = (out / "shards" / "README.md").read_text()
    assert "Made by codemill" in card
    store = Store(made.store)
    read = PretrainSummary.read(store)
    assert read.phases == summary.phases
    # Written again, it is the same page: largest languages first, sources in the order of the recipe.
    assert build_pretrain_report(store, read) == page
    assert f'<td>all stages</td><td class="n">{sum(stage["planned"] for stage in summary.phases):,}</td>' in page
    for counts in read.languages.values():
        assert list(counts.values()) == sorted(counts.values(), reverse=True)
    with pytest.raises(StoreError, match="expected a run over files, commits or pages, got one of kind pretrain"):
        RunSummary.read(store)


def test_lost_tokens_fail_the_run(corpora, tmp_path, monkeypatch):
    def losing(task):
        return write_shard({**task, "tokens": task["tokens"] + 1})

    monkeypatch.setattr("codemill.pretrain.write.write_shard", losing)
    with pytest.raises(ConservationError, match=r"expected .* tokens, got"):
        run(recipe(corpora, tmp_path), workers=1)


def test_mistakes_are_one_line(corpora, tmp_path):
    good = recipe(corpora, tmp_path).model_dump(mode="json")

    def broken(change):
        values = {**good, **change}
        return PretrainRecipe.model_validate(values)

    with pytest.raises(ValueError, match=r"expected names of sources .*, got 'nothing'"):
        stage = {**good["phase"][0]["stage"][0], "weights": {"nothing": 1}}
        broken({"phase": [{**good["phase"][0], "stage": [stage]}]})
    with pytest.raises(ValueError, match="expected every source in the weights of a stage, got 'pages' in none"):
        stage = {**good["phase"][0]["stage"][0], "weights": {"files": 1, "commits": 1}}
        broken({"phase": [{**good["phase"][0], "stage": [stage]}]})
    with pytest.raises(ValueError, match=r"shards\.tokens: expected at least .*base\.length, 2048, got 1024"):
        broken({"shards": {"tokens": 1024}})
    for amount in (float("inf"), float("nan"), 0.5, 1e300):
        with pytest.raises(ValueError, match="tokens"):
            stage = {**good["phase"][0]["stage"][0], "tokens": amount}
            broken({"phase": [{**good["phase"][0], "stage": [stage]}]})
    with pytest.raises(RecipeError, match="expected a local folder"):
        PretrainPipeline(broken({"output": "s3://bucket/shards"}), Engine())
    with pytest.raises(ValueError, match="columns: expected none with longcontext"):
        broken({"source": [{**good["source"][0], "columns": {"text": "body"}, "longcontext": {}}, *good["source"][1:]]})
    with pytest.raises(RecipeError, match="expected the special token '<end>'"):
        run(broken({"tokenizer": {**good["tokenizer"], "end": "<end>"}}))
    with pytest.raises(InputError, match="source files: expected a file or folder, got none at"):
        run(broken({"source": [{**good["source"][0], "path": str(tmp_path / "none")}, *good["source"][1:]]}))


def test_a_tokenizer_is_trained_where_there_is_none(corpora, tmp_path):
    path = tmp_path / "own" / "tokenizer.json"
    own = {"path": str(path), "train": {"vocab_size": 400}}
    summary = run(recipe(corpora, tmp_path, tokenizer=own))
    assert summary.vocabulary == 400
    stamp = path.stat().st_mtime_ns
    assert run(recipe(corpora, tmp_path, tokenizer=own)).phases == summary.phases
    assert path.stat().st_mtime_ns == stamp


def test_repositories_become_long_documents(corpora, tmp_path):
    files = [
        {"path": f"module_{number}.py", "content": python_module(number), "language": "Python", "bytes": 1000}
        for number in range(12)
    ]
    rows = [
        {"source": "s", "repo": f"r{number}", "revision": "", "part": 0, "file_count": 12, "files": files}
        for number in range(3)
    ]
    (tmp_path / "repositories").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "repositories" / "a.parquet")
    made = recipe(corpora, tmp_path).model_dump(mode="json")
    made["source"][1] |= {"path": str(tmp_path / "repositories"), "longcontext": {"window": 2048, "header": "comment"}}
    summary = run(PretrainRecipe.model_validate(made))
    assert 3 < summary.sources["pages"]["documents"] < 36  # several files in each, and more than one for a repository
    tokenizer = open_tokenizer(corpora / "tokenizer.json")
    found = "\n".join(text for text, _ in whole_texts(tmp_path / "shards" / "regular" / "base" / "parquet", tokenizer))
    assert "module_0.py" in found


def test_contexts_are_not_torn(corpora, tmp_path):
    made = recipe(corpora, tmp_path).model_dump(mode="json")
    made["phase"][0]["fim"] = {"rate": 0.5, "level": "context"}
    summary = run(PretrainRecipe.model_validate(made))
    assert summary.phases[0]["sources"]["files"]["fim"] > 0
    made["phase"][0]["stage"][0]["packing"] = "concatenate"
    with pytest.raises(ValueError, match='packing: expected "best_fit" with fim'):
        PretrainRecipe.model_validate(made)
