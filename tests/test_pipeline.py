"""Whole runs on real input: every file explained, killed runs that resume to the same bytes, cheap second runs."""

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from codemill.engine import Engine
from codemill.errors import StoreError
from codemill.explain import explain
from codemill.pipeline import Pipeline
from codemill.recipe import load_recipe
from codemill.report.summary import RunSummary
from codemill.select.result import read_selection
from codemill.store import Store
from tests.conftest import python_module, write, write_repositories

RECIPE = Path(__file__).parent.parent / "recipes" / "code.toml"


def make_recipe(folder, source, **changes):
    """recipes/code.toml on a folder of repositories, with store and output below `folder`."""
    text = RECIPE.read_text()
    replace = {
        'store = "demo/store"': f'store = "{folder / "store"}"',
        'output = "demo/corpus"': f'output = "{folder / "corpus"}"',
        'kind = "archives"': 'kind = "directories"',
        'path = "demo/packages/*.whl"': f'path = "{source}"',
        'formats = ["parquet"]': 'formats = ["parquet", "jsonl.zst"]',
        **changes,
    }
    for old, new in replace.items():
        assert old in text, old
        text = text.replace(old, new, 1)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def run(path, **engine):
    return Pipeline(load_recipe(path), Engine(**engine)).run()


def corpus_hashes(folder):
    """Name and hash of every file of the corpora, and of the decisions; not of what holds timings."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    wanted = [path for path in files if "corpus" in path.parts or "decisions" in path.parts]
    wanted = [path for path in wanted if path.name != "report.html"]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in wanted}


@pytest.fixture(scope="module")
def finished(tmp_path_factory, repositories):
    folder = tmp_path_factory.mktemp("finished")
    path = make_recipe(folder, repositories)
    return folder, path, run(path)


def decisions(folder, summary, corpus="files"):
    table = read_selection(Store(folder / "store"), summary.decisions, corpus).decisions.read()
    return {f"{row['repo']}/{row['path']}": row for row in table.to_pylist()}


def test_every_file_on_disk_has_one_decision(finished, repositories):
    folder, _, summary = finished
    on_disk = {str(path.relative_to(repositories)) for path in repositories.rglob("*") if not path.is_dir()}
    for corpus in ("files", "repositories"):
        rows = decisions(folder, summary, corpus)
        assert set(rows) == on_disk
        assert all((row["status"] == "kept") == (row["reason"] is None) for row in rows.values())


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("junk/empty.py", "dropped", "empty"),
        ("junk/picture.png", "dropped", "binary"),
        ("junk/latin.py", "dropped", "undecodable"),
        ("junk/large.json", "dropped", "too_large"),
        ("gamma/broken.py", "dropped", "syntax"),
        ("gamma/own.py", "kept", None),
        ("beta/lib/part_10.c", "kept", None),
    ],
)
def test_reasons_are_what_one_would_say(finished, path, status, reason):
    folder, _, summary = finished
    row = decisions(folder, summary)[path]
    assert (row["status"], row["reason"]) == (status, reason)


def test_copies_go_in_favour_of_one_that_stays(finished):
    folder, _, summary = finished
    rows = decisions(folder, summary)
    for number in range(6):
        pair = [rows[f"{repo}/src/module_{number}.py"] for repo in ("alpha", "fork")]
        assert sorted(row["status"] for row in pair) == ["dropped", "kept"]
        dropped = next(row for row in pair if row["status"] == "dropped")
        kept = next(row for row in pair if row["status"] == "kept")
        assert json.loads(dropped["evidence"])["exact"]["duplicate_of"] == kept["occurrence_id"]
    near = [rows["gamma/changed.py"], rows["beta/lib/part_10.py"]]
    assert sorted((row["status"], row["reason"] or "") for row in near) == [("dropped", "near"), ("kept", "")]
    assert {row["reason"] for row in decisions(folder, summary, "repositories").values()} >= {"repository"}


def test_corpora_load_and_hold_what_was_kept(finished):
    datasets = pytest.importorskip("datasets")
    folder, _, summary = finished
    cache = str(folder / "cache")
    files = datasets.load_dataset(str(folder / "corpus"), "files", split="train", cache_dir=cache)
    rows = decisions(folder, summary)
    kept = {name for name, row in rows.items() if row["status"] == "kept"}
    assert {f"{row['repo']}/{row['path']}" for row in files} == kept
    assert all(hashlib.sha256(row["content"].encode()).hexdigest() == row["blob_id"] for row in files)
    lines = datasets.load_dataset(
        "json", data_files=str(folder / "corpus/files/jsonl/*.jsonl.zst"), split="train", cache_dir=cache
    )
    assert sorted(lines["blob_id"]) == sorted(files["blob_id"])
    repositories = datasets.load_dataset(str(folder / "corpus"), "repositories", split="train", cache_dir=cache)
    kept = {name for name, row in decisions(folder, summary, "repositories").items() if row["status"] == "kept"}
    assert {f"{row['repo']}/{one['path']}" for row in repositories for one in row["files"]} == kept


def test_a_second_run_computes_nothing_and_changes_nothing(finished):
    folder, path, _ = finished
    before = corpus_hashes(folder)
    summary = run(path)
    assert {name: entry["computed"] for name, entry in summary.annotations.items() if entry["computed"]} == {}
    assert corpus_hashes(folder) == before


def test_a_threshold_recomputes_decisions_alone(tmp_path, repositories):
    run(make_recipe(tmp_path, repositories))
    changed = make_recipe(tmp_path, repositories, **{"threshold = 0.7": "threshold = 0.9999"})
    summary = run(changed)
    assert not any(entry["computed"] for entry in summary.annotations.values())
    rows = decisions(tmp_path, summary)
    assert rows["gamma/changed.py"]["status"] == rows["beta/lib/part_10.py"]["status"] == "kept"


def test_new_data_is_deduplicated_against_old_and_costs_only_itself(tmp_path):
    source = tmp_path / "source"
    write_repositories(source)
    path = make_recipe(tmp_path, source)
    first = run(path)
    write(source, "late/copy.py", python_module(3))
    write(source, "late/fresh.py", python_module(1234))
    second = run(path)
    assert second.seen == first.seen + 2
    assert second.annotations["language"]["computed"] == 2
    assert second.annotations["rules"]["computed"] == 1  # the copy's blob is known
    rows = decisions(tmp_path, second)
    assert rows["late/fresh.py"]["status"] == "kept"
    assert [rows[name]["status"] for name in ("alpha/src/module_3.py", "fork/src/module_3.py", "late/copy.py")].count(
        "kept"
    ) == 1


def test_workers_and_inline_work_give_the_same_bytes(tmp_path, repositories, monkeypatch):
    monkeypatch.setattr("codemill.engine.INLINE_WEIGHT", 0)
    small = {"max_bytes = 1_000_000": "max_bytes = 1_000_000\nshard_bytes = 20_000"}
    run(make_recipe(tmp_path / "one", repositories, **small), workers=1)
    run(make_recipe(tmp_path / "two", repositories, **small), workers=2)
    one, two = corpus_hashes(tmp_path / "one"), corpus_hashes(tmp_path / "two")
    assert len([name for name in one if name.endswith(".parquet")]) > 6
    assert one == two


KILLER = """
import os, signal, sys
import codemill.engine
from codemill import cli
from codemill.store import Store

count, stop, writing = 0, int(sys.argv.pop()), Store.writing

def killing(self, relative):
    global count
    count += 1
    if count == stop:
        os.kill(os.getpid(), signal.SIGKILL)
    return writing(self, relative)

Store.writing = killing
try:
    cli.main()
finally:
    print("writes", count)
"""


def killed_run(path, stop):
    command = [sys.executable, "-c", KILLER, "run", str(path), "--json", str(stop)]
    return subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=False)


def test_a_run_killed_anywhere_resumes_to_the_same_bytes(tmp_path, repositories):
    small = {"max_bytes = 1_000_000": "max_bytes = 1_000_000\nshard_bytes = 40_000"}
    whole = make_recipe(tmp_path / "whole", repositories, **small)
    undisturbed = killed_run(whole, 0)
    assert undisturbed.returncode == 0, undisturbed.stderr
    writes = int(undisturbed.stdout.rsplit(maxsplit=1)[-1])
    expected = corpus_hashes(tmp_path / "whole")
    points = sorted({1, 2, 5, writes // 4, writes // 2, 3 * writes // 4, writes - 4, writes - 1, writes})
    path = make_recipe(tmp_path / "killed", repositories, **small)
    for stop in points:
        # Each run goes on where the last was killed, and is killed again.
        done = killed_run(path, stop)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
    last = killed_run(path, 0)
    assert last.returncode == 0, last.stderr
    assert corpus_hashes(tmp_path / "killed") == expected
    late = make_recipe(tmp_path / "late", repositories, **small)
    for stop in (writes // 2, writes // 4):  # the second run has less to write
        assert killed_run(late, stop).returncode == -signal.SIGKILL
    assert killed_run(late, 0).returncode == 0
    assert corpus_hashes(tmp_path / "late") == expected


def test_a_run_with_workers_killed_from_outside_resumes(tmp_path, repositories):
    path = make_recipe(
        tmp_path, repositories, **{"max_bytes = 1_000_000": "max_bytes = 1_000_000\nshard_bytes = 20_000"}
    )
    code = "import codemill.engine as e; e.INLINE_WEIGHT = 0; from codemill.cli import main; main()"
    command = [sys.executable, "-c", code, "run", str(path), "--workers", "2"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        for line in process.stderr:
            if line.startswith(b"ingest"):
                break
        process.kill()
    reference = make_recipe(
        tmp_path / "reference", repositories, **{"max_bytes = 1_000_000": "max_bytes = 1_000_000\nshard_bytes = 20_000"}
    )
    run(reference)
    run(path)
    ours = {name: value for name, value in corpus_hashes(tmp_path).items() if not name.startswith("reference/")}
    assert ours == corpus_hashes(tmp_path / "reference")


def test_two_runs_never_write_one_store(tmp_path, repositories):
    path = make_recipe(tmp_path, repositories)
    with Store(tmp_path / "store").lock(), pytest.raises(StoreError, match="expected to be its only writer"):
        # The lock is between processes; a second handle in this one stands for the other process.
        run(path)


def test_explain_knows_files_by_path_id_and_git_blob(finished):
    folder, _, summary = finished
    store = Store(folder / "store")
    result = explain(store, "gamma/broken.py")
    assert result["matches"] == 1
    (row,) = result["occurrences"]
    assert row["decisions"]["files"]["reason"] == "syntax"
    assert row["decisions"]["files"]["failed"][0]["got"] > 0
    assert row["annotations"]["language"]["language"] == "Python"
    for name in ("blob_id", "occurrence_id"):
        assert explain(store, row[name])["occurrences"][0]["path"] == "broken.py"
    blobs = store.read_all(
        [f"blobs/{shard}.parquet" for shard in summary.shards],
        pa.schema([("blob_id", pa.string()), ("git_blob", pa.string())]),
    )
    git_blob = blobs.filter(pc.equal(blobs["blob_id"], row["blob_id"]))["git_blob"][0].as_py()
    assert explain(store, git_blob[:12])["occurrences"][0]["path"] == "broken.py"


def test_the_summary_remembers_the_run(finished):
    folder, path, summary = finished
    read = RunSummary.read(Store(folder / "store"))
    assert read.load_recipe().fingerprint() == load_recipe(path).fingerprint()
    assert [stage.name for stage in read.stages] == ["ingest", "annotate", "select", "assemble", "report"]
    assert read.corpora == summary.corpora


@pytest.mark.parametrize(
    "files",
    [{}, {"large.txt": "a\n" * 600_000}, {"picture.png": b"\0" * 99}, {"notes.zzz": "zz qq\n"}],
    ids=["none", "too large", "binary", "no language"],
)
def test_sources_with_nothing_to_learn_from_are_a_run_all_the_same(tmp_path, files):
    (tmp_path / "repos/a").mkdir(parents=True)
    for name, content in files.items():
        write(tmp_path / "repos/a", name, content)
    summary = run(make_recipe(tmp_path / "run", tmp_path / "repos"))
    assert summary.seen == len(files)
    assert sum(len(decisions(tmp_path / "run", summary, corpus)) for corpus in summary.corpora) == 2 * len(files)


def test_a_source_that_has_become_empty_leaves_no_old_rows(tmp_path):
    write(tmp_path / "repos/a", "one.py", python_module(1))
    path = make_recipe(tmp_path / "run", tmp_path / "repos")
    assert run(path).corpora["files"]["files"] == 1
    (tmp_path / "repos/a/one.py").unlink()
    assert run(path).corpora["files"]["files"] == 0
    assert not list((tmp_path / "run/corpus").rglob("*.parquet"))


def test_folders_may_have_the_names_of_patterns(tmp_path):
    write(tmp_path / "repos/a", "one.py", python_module(1))
    assert run(make_recipe(tmp_path / "run[1]{a,b} x*?", tmp_path / "repos")).corpora["files"]["files"] == 1


def test_a_corpus_that_the_recipe_no_longer_has_goes(tmp_path):
    write(tmp_path / "repos/a", "one.py", python_module(1))
    run(make_recipe(tmp_path / "run", tmp_path / "repos"))
    path = make_recipe(tmp_path / "run", tmp_path / "repos", **{"[corpus.files]": "[corpus.renamed]"})
    run(path)
    parts = (tmp_path / "run/corpus").rglob("*.parquet")
    assert {part.parts[-3] for part in parts} == {"renamed", "repositories"}
