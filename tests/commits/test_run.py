"""A whole run over real histories: every commit has one decision, samples apply, and a killed run ends the same."""

import csv
import json
import re
import subprocess
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import zstandard

from codemill.commits import pipeline as pipeline_module
from codemill.commits.edits import apply_change
from codemill.commits.pipeline import run_commits
from codemill.commits.settings import CommitRecipe
from codemill.engine import Engine
from codemill.errors import InputError, StoreError
from codemill.explain import explain
from codemill.label.prompt import render
from codemill.label.sampling import draw
from codemill.label.settings import SampleSettings
from codemill.quality.rubric import load_rubric
from codemill.store import Store
from tests.commits.histories import gauge

RULES = [
    {"name": "days", "column": "repository.days", "min": 100},
    {"name": "merge", "column": "commit.merge", "equals": False},
    {"name": "bot", "column": "commit.bot", "equals": False},
    {"name": "revert", "column": "commit.revert", "equals": False},
    {"name": "meaningless", "column": "commit.template", "equals": "", "missing": "keep"},
    {"name": "binary", "column": "commit.binary_share", "max": 0.0, "missing": "keep"},
    {"name": "reformatting", "column": "commit.whitespace_share", "max": 0.8, "missing": "keep"},
    {"name": "same", "dedup": "exact", "on": "commit.patch_id", "prefer": ["-repository.stars", "commit.commit_time"]},
    {"name": "near", "dedup": "near", "threshold": 0.8, "prefer": ["-repository.stars", "commit.commit_time"]},
]


def recipe(root, path, **changes):
    corpus = {"rules": [rule["name"] for rule in RULES]}
    values = {
        "kind": "commits",
        "name": "test",
        "store": str(root / "store"),
        "output": str(root / "out"),
        "source": [{"kind": "git", "name": "git", "path": str(path)}],
        "annotate": {"minhash": {"ngram": 3, "threshold": 0.8}},
        "rule": RULES,
        "work": {"shard_commits": 4},
        "corpus": {name: {**corpus, "format": name} for name in ("diff", "blocks", "files")},
    }
    return CommitRecipe.model_validate(values | changes)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory):
    root = tmp_path_factory.mktemp("repositories")
    gauge(root / "gauge")
    return root


@pytest.fixture(scope="module")
def done(repositories, tmp_path_factory):
    root = tmp_path_factory.mktemp("run")
    summary = run_commits(recipe(root, repositories), Engine(workers=1))
    return root, summary


def decisions(root, summary, corpus="diff"):
    return Store(root / "store").read(f"{summary.decisions}/{corpus}.parquet")


def samples(root, corpus="diff"):
    return pa.concat_tables([pq.read_table(path) for path in sorted((root / "out" / corpus / "parquet").iterdir())])


def subjects(root, table):
    store = Store(root / "store")
    folder = next(path for path in (root / "store" / "annotations").iterdir() if path.name.startswith("commit-"))
    known = {}
    for path in sorted(folder.glob("*.parquet")):
        rows = store.read(f"annotations/{folder.name}/{path.name}", ["occurrence_id", "subject"]).to_pylist()
        known |= {row["occurrence_id"]: row["subject"] for row in rows}
    return [known[key] for key in table["occurrence_id"].to_pylist()]


def test_every_commit_has_one_decision_and_its_reason(done, repositories):
    root, summary = done
    table = decisions(root, summary)
    assert table.num_rows == summary.seen == 15
    reasons = dict(zip(subjects(root, table), table["reason"].to_pylist(), strict=True))
    assert reasons == {
        "Add sums and means of readings": None,
        "Report total and mean of readings": None,
        "Refuse to take the mean of no readings": None,
        "fix": "meaningless",
        "Update README.md": "meaningless",
        "Indent the calculations with tabs": "reformatting",
        'Revert "Indent the calculations with tabs"': "revert",
        "Draw a logo for the front page": "binary",
        "Pin the numeric library": "bot",
        "Call the report a text": None,
        "Begin the log of changes in docs": None,
        "Name the unit of voltage": None,
        "Merge branch 'docs'": "merge",
        "Keep constants of old instruments": None,
        "Drop the constants of old instruments": None,
    }
    shas = subprocess.run(
        ["git", "-C", repositories / "gauge", "rev-list", "HEAD"], capture_output=True, text=True, check=True
    )
    assert set(table["revision"].to_pylist()) == set(shas.stdout.split())


@pytest.mark.parametrize("form", ["diff", "blocks", "files"])
def test_samples_give_what_the_commits_made(done, repositories, form):
    root, summary = done
    table = samples(root, form)
    assert table.num_rows == summary.corpora[form]["files"] == 8

    def show(revision, path):
        done = subprocess.run(
            ["git", "-C", repositories / "gauge", "show", f"{revision}:{path}"], capture_output=True, check=False
        )
        if done.returncode:
            raise KeyError(path)
        return done.stdout.decode()

    for row in table.to_pylist():
        parts = {span["part"]: row["text"][span["start"] : span["end"]] for span in row["spans"]}
        paths = parts["paths"].removesuffix("\n")
        change = parts["change"].removeprefix("<|change|>\n").removesuffix("\n")
        after = apply_change(form, paths, change, lambda path, row=row: show(row["parent"], path))
        assert {path for path, text in after.items() if text is None} == {
            one["old_path"] or one["path"] for one in row["changed_paths"] if one["kind"] in ("delete", "rename")
        }
        for path, text in after.items():
            if text is not None:
                assert text == show(row["revision"], path)
        assert row["text"][row["target_start"] :].startswith(parts["paths"])


def test_names_and_addresses_are_nowhere(done):
    root, _ = done
    tables = [pq.read_table(path) for path in root.rglob("*.parquet")]
    text = json.dumps([table.to_pylist() for table in tables], default=str)
    assert "readings" in text
    assert "example.org" not in text
    assert "Eve" not in text
    trailers = [row for table in tables if "trailers" in table.column_names for row in table["trailers"].to_pylist()]
    assert [{"name": "Reviewed-by", "value": None}] in trailers


def test_hashes_of_people_hang_on_the_salt(repositories, tmp_path, monkeypatch):
    found = []
    history = {"identities": "hash", "salt_env": "CODEMILL_TEST_SALT"}
    for salt in ("pepper_one", "pepper_two"):
        root = tmp_path / salt[-3:]
        monkeypatch.setenv("CODEMILL_TEST_SALT", salt)
        run_commits(recipe(root, repositories, history=history), Engine(workers=1))
        paths = sorted((root / "store" / "annotations").glob("commit-*/*.parquet"))
        tables = [pq.read_table(path, columns=["author"]) for path in paths]
        found.append(pa.concat_tables(tables)["author"].to_pylist())
        assert b"pepper" not in b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())
    assert len(set(found[0])) == 3
    assert not set(found[0]) & set(found[1])


def test_a_second_run_computes_nothing_and_a_longer_history_little(repositories, tmp_path):
    history = gauge(tmp_path / "repos" / "gauge")
    settings = recipe(tmp_path, tmp_path / "repos")
    run_commits(settings, Engine(workers=1))
    before = {
        path: path.stat().st_mtime_ns
        for path in (tmp_path / "store").rglob("*.parquet")
        if "decisions" not in str(path)
    }
    told = []
    run_commits(settings, Engine(workers=1), say=lambda stage, line, _: told.append(f"{stage}: {line}"))
    assert "read: 15 commits, 0 of 4 shards new" in told
    assert {path: path.stat().st_mtime_ns for path in before} == before
    history.commit({"gauge/units.py": "VOLT = 'V'\nAMPERE = 'A'\n"}, "Name the unit of current")
    told.clear()
    summary = run_commits(settings, Engine(workers=1), say=lambda stage, line, _: told.append(f"{stage}: {line}"))
    assert "read: 16 commits, 1 of 4 shards new" in told
    assert summary.corpora["diff"]["files"] == 9


def bytes_of(root):
    """Everything that a run leaves, but for times and the marks of files under way."""
    skipped = ("latest.json", ".lock", ".holder", "report.html")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name not in skipped
    }


@pytest.mark.parametrize("stage", ["extract_shard", "write_part"])
def test_an_interrupted_run_ends_with_the_same_bytes(repositories, tmp_path, monkeypatch, stage):
    class Dying(Engine):
        def map(self, function, tasks, weight):
            for count, reply in enumerate(super().map(function, tasks, weight)):
                if function.endswith(stage) and count == 1:
                    raise KeyboardInterrupt
                yield reply

    run_commits(recipe(tmp_path / "whole", repositories), Engine(workers=1))
    settings = recipe(tmp_path / "broken", repositories)
    with pytest.raises(KeyboardInterrupt):
        run_commits(settings, Dying(workers=1))
    assert not (tmp_path / "broken" / "out" / "codemill.json").exists()
    run_commits(settings, Engine(workers=1))
    whole, broken = bytes_of(tmp_path / "whole"), bytes_of(tmp_path / "broken")
    assert whole.keys() == broken.keys()
    for name, data in whole.items():
        assert data.replace(b"/whole/", b"/broken/") == broken[name], name


def test_a_store_has_one_writer(repositories, tmp_path):
    settings = recipe(tmp_path, repositories)
    with Store(settings.store).lock(), pytest.raises(StoreError, match="only writer"):
        run_commits(settings, Engine(workers=1))


def test_forks_and_picks_meet(tmp_path):
    fork = gauge(tmp_path / "repos" / "fork")
    upstream = gauge(tmp_path / "repos" / "gauge")
    calc = fork.trees[fork.head]["gauge/calc.py"][1].decode()
    changed = calc.replace("result = 0", "result = 0.0")
    upstream.commit({"gauge/calc.py": changed}, "Sum in floating point")
    # Picked: the same change with other lines above it, and another message.
    notice = "# Copyright of the fork.\n" * 4
    fork.commit({"gauge/calc.py": notice + calc}, "Mark the fork as ours")
    fork.commit({"gauge/calc.py": notice + changed}, "Use floats for sums, as upstream does now", days=900)
    facts = tmp_path / "facts.csv"
    with facts.open("w", newline="") as stream:
        csv.writer(stream).writerows([("repo", "stars", "forks"), ("gauge", 900, 80), ("fork", 1, 0)])
    source = [{"kind": "git", "name": "git", "path": str(tmp_path / "repos"), "facts": str(facts)}]
    root = tmp_path / "run"
    summary = run_commits(recipe(root, "", source=source), Engine(workers=1))
    table = decisions(root, summary)
    kept = table.filter(pc.equal(table["status"], "kept"))
    assert sorted(kept["repo"].to_pylist()) == ["fork"] + ["gauge"] * 9
    dropped = {s: r for s, r in zip(subjects(root, table), table["reason"].to_pylist(), strict=True) if r == "same"}
    assert "Use floats for sums, as upstream does now" in dropped
    row = table.filter(pc.equal(table["reason"], "same")).to_pylist()[0]
    assert json.loads(row["evidence"])["same"]["similarity"] == 1.0
    stars = pq.read_table(next((root / "store" / "annotations").glob("repository-*/*.parquet")))
    assert set(stars["stars"].to_pylist()) == {900, 1}


def test_what_cannot_be_read_is_errored_with_its_reason(tmp_path):
    history = gauge(tmp_path / "repos" / "gauge")
    (tmp_path / "repos" / "notes").mkdir()
    lost = str(history.repository[list(history.trees)[1]].tree["gauge"]["report.py"].id)
    (Path(history.path) / "objects" / lost[:2] / lost[2:]).unlink()
    summary = run_commits(recipe(tmp_path, tmp_path / "repos"), Engine(workers=1))
    table = decisions(tmp_path, summary)
    assert table.num_rows == 16
    errored = table.filter(pc.equal(table["status"], "errored"))
    assert set(zip(errored["repo"].to_pylist(), errored["reason"].to_pylist(), strict=True)) == {
        ("gauge", "missing_object"),
        ("notes", "no_repository"),
    }


def test_samples_that_cannot_be_are_dropped_by_the_last_rules(repositories, tmp_path):
    corpus = {
        "tight": {"rules": ["merge", "binary"], "budget": {"change": 60}},
        "marked": {"rules": ["merge", "binary"], "tokens": {"file": "readings"}, "formats": ["parquet", "jsonl.zst"]},
    }
    summary = run_commits(recipe(tmp_path, repositories, corpus=corpus), Engine(workers=1))
    reasons = pc.value_counts(decisions(tmp_path, summary, "tight")["reason"]).to_pylist()
    assert {row["values"]: row["counts"] for row in reasons}["over_budget"] > 3
    marked = decisions(tmp_path, summary, "marked")
    assert "special_token" in marked["reason"].to_pylist()
    lines = b"".join(
        zstandard.ZstdDecompressor().stream_reader(path.open("rb")).read()
        for path in (tmp_path / "out" / "marked" / "jsonl").iterdir()
    ).splitlines()
    assert sorted(json.loads(line)["revision"] for line in lines) == sorted(
        samples(tmp_path, "marked")["revision"].to_pylist()
    )


def test_a_sample_that_does_not_come_back_is_errored(repositories, tmp_path, monkeypatch):
    monkeypatch.setattr("codemill.commits.sample.apply_change", lambda *_: {})
    summary = run_commits(recipe(tmp_path, repositories), Engine(workers=1))
    table = decisions(tmp_path, summary)
    errored = table.filter(pc.equal(table["status"], "errored"))
    assert set(errored["reason"].to_pylist()) == {"round_trip"}
    assert errored.num_rows == 8
    assert summary.corpora["diff"]["files"] == 0


def test_outputs_overwrite_nobodys_files(repositories, tmp_path):
    settings = recipe(tmp_path, repositories)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "README.md").write_text("# Mine\n")
    with pytest.raises(InputError, match=r"output .*: expected a new folder .*, got one with a README\.md of its"):
        run_commits(settings, Engine(workers=1))
    assert not (tmp_path / "store").exists()
    assert (tmp_path / "out" / "README.md").read_text() == "# Mine\n"
    with pytest.raises(InputError, match="got a store"):
        run_commits(recipe(tmp_path, repositories, output=str(a_store(tmp_path))), Engine(workers=1))


def a_store(root):
    Store(root / "other").create()
    return root / "other"


def test_corpora_that_a_recipe_no_longer_has_go(repositories, tmp_path):
    run_commits(recipe(tmp_path, repositories), Engine(workers=1))
    corpus = {"blocks": {"rules": [rule["name"] for rule in RULES], "format": "blocks"}}
    run_commits(recipe(tmp_path, repositories, corpus=corpus), Engine(workers=1))
    left = {path.parts[-3] for path in (tmp_path / "out").rglob("*.parquet")}
    assert left == {"blocks"}
    assert "config_name: files" not in (tmp_path / "out" / "README.md").read_text()


def test_workers_change_nothing(repositories, done, tmp_path):
    run_commits(recipe(tmp_path, repositories), Engine(workers=2))
    one, two = bytes_of(done[0]), bytes_of(tmp_path)
    assert [name for name in one if name.endswith(".parquet") and one[name] != two.get(name)] == []


def test_report_explanation_and_card(done):
    root, _ = done
    page = (root / "out" / "report.html").read_text()
    assert "meaningless" in page
    assert "Refuse to take the mean of no readings" in page
    assert "Commit level: each commit by itself." in page
    assert "15 commits seen" in page
    prose = re.sub(r"(?s)<pre.*?</pre>|<script.*?</script>|<style.*?</style>|<[^>]+>", " ", page)
    assert not re.search(r"[\d,]+ files\b|\bfiles (?:that|it|seen|dropped|reached|whose|just|kept)\b", prose)
    card = (root / "out" / "README.md").read_text()
    assert "config_name: blocks" in card
    revision = samples(root)["revision"][0].as_py()
    found = explain(Store(root / "store"), f"{revision[:12]}.diff")
    assert found["occurrences"][0]["annotations"]["commit"]["sha"] == revision
    assert found["occurrences"][0]["decisions"]["diff"]["status"] == "kept"


def test_commits_can_be_labelled_as_files_are(done):
    root, _ = done
    drawn = draw(SampleSettings(source=str(root / "store"), per_language=100), Engine(workers=1))
    contents = [row.decode() for row in drawn.table["content"].to_pylist()]
    assert drawn.table["language"].to_pylist().count("Diff") == drawn.table.num_rows
    assert any("Refuse to take the mean" in text and "+        raise ValueError" in text for text in contents)


def test_the_last_rules_are_the_last(done):
    root, _ = done
    steps = json.loads(next((root / "store" / "decisions").glob("*/diff.json")).read_text())["steps"]
    assert [step["rule"] for step in steps][-4:] == [rule.name for rule in pipeline_module.LAST_RULES]


def test_the_rubric_of_commits_asks_about_commits():
    rubric = load_rubric(101)
    prompt = render(rubric, "Diff", "Fix it\n\n---\ndiff --git", cut=True, structured=True)
    assert prompt.startswith("You rate commits by a rubric. Text inside a commit is material")
    assert "The commit is longer" in prompt
    assert "file" in render(load_rubric(1), "C", "int x;", cut=False, structured=False).splitlines()[0]
