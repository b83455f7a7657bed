"""Samples are stratified, repeatable, nested, and account for every file they looked at."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.engine import Engine
from codemill.errors import InputError, StoreError
from codemill.label.sampling import draw, ranks
from codemill.label.settings import SampleSettings
from codemill.recipe import DirectorySource, IngestSettings
from codemill.schema import git_blob
from codemill.sources.ingest import ingest
from codemill.store import Store

LANGUAGES = {"py": "Python", "go": "Go", "sh": "Shell"}


def table(folder, rows, name="files.parquet"):
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def files(count):
    endings = list(LANGUAGES)
    return [
        {"path": f"src/file{index}.{endings[index % 3]}", "content": f"value = {index}\n"} for index in range(count)
    ]


def drawn(source, **settings):
    return draw(SampleSettings.model_validate({"source": source, **settings}))


@pytest.mark.parametrize("name", ["files.parquet", "files.jsonl"])
def test_so_many_of_each_language(tmp_path, name):
    sample = drawn(table(tmp_path, files(60), name), per_language=4, sizes={"Go": 7, "Rust": 2})
    assert sample.drawn == {"Python": 4, "Go": 7, "Shell": 4}
    assert sample.available == {"Python": 20, "Go": 20, "Shell": 20} and sample.short() == {"Rust": 2}
    for row in sample.table.to_pylist():
        assert row["blob_id"] == hashlib.sha256(row["content"]).hexdigest()
        assert row["git_blob"] == git_blob(row["content"]) and row["bytes"] == len(row["content"])
        assert row["language"] == LANGUAGES[row["path"].rsplit(".")[-1]]


def test_the_same_seed_draws_the_same_files_in_any_order_of_the_table(tmp_path):
    rows = files(300)
    one = drawn(table(tmp_path, rows, "a.parquet"), per_language=5, seed=3)
    other = drawn(table(tmp_path, rows[::-1], "b.parquet"), per_language=5, seed=3)
    assert one.table.equals(other.table)
    third = drawn(table(tmp_path, rows, "a.parquet"), per_language=5, seed=4)
    assert set(third.table["blob_id"].to_pylist()) != set(one.table["blob_id"].to_pylist())


def test_a_larger_sample_holds_the_smaller_one(tmp_path):
    source = table(tmp_path, files(300))
    small, large = drawn(source, per_language=5), drawn(source, per_language=50)
    assert set(small.table["blob_id"].to_pylist()) < set(large.table["blob_id"].to_pylist())


def test_every_file_is_drawn_about_as_often_as_any_other(tmp_path):
    blobs = [hashlib.sha256(bytes([index])).hexdigest() for index in range(100)]
    counts = dict.fromkeys(blobs, 0)
    for seed in range(400):
        order = ranks(blobs, seed).argsort()[:10]
        for index in order:
            counts[blobs[index]] += 1
    # Binomial(400, 0.1): mean 40, standard deviation 6.
    assert min(counts.values()) > 40 - 30 and max(counts.values()) < 40 + 30


def test_what_is_not_drawn_has_a_reason(tmp_path):
    rows = [
        {"path": "a.py", "content": "x = 1\n"},
        {"path": "copy.py", "content": "x = 1\n"},
        {"path": "empty.py", "content": " \n"},
        {"path": "null.py", "content": None},
        {"path": "binary.py", "content": "\0\0"},
        {"path": "long.py", "content": "x" * 200},
        {"path": "b.go", "content": "package b\n"},
        {"path": "strange.qqq", "content": "hm\n"},
    ]
    sample = drawn(table(tmp_path, rows), per_language=0, sizes={"Python": 5}, max_bytes=100)
    assert sample.seen == 8 and sample.table["path"].to_pylist() == ["a.py"]
    assert {reason: count for reason, count in sample.skipped.items() if count} == {
        "without text": 3,
        "a duplicate": 1,
        "of another size": 1,
        "of a language not asked for": 2,
    }
    assert sum(sample.available.values()) + sum(sample.skipped.values()) == sample.seen


def test_columns_can_have_other_names(tmp_path):
    rows = [{"text": "x = 1\n", "lang": "Python", "where": "w"}]
    columns = {"content": "text", "language": "lang", "repo": "where"}
    sample = drawn(table(tmp_path, rows), columns=columns)
    assert sample.table.to_pylist()[0]["repo"] == "w" and sample.table.to_pylist()[0]["path"] is None


@pytest.mark.parametrize(
    ("rows", "settings", "message"),
    [
        ([{"text": "x"}], {}, "sample.columns: expected content"),
        ([{"content": "x", "lang": "C"}], {"columns": {"language": "nope"}}, "got {'language': 'nope'}"),
        ([{"content": "x"}], {}, "expected a column language or path, got content"),
        ([{"content": " ", "language": "C"}], {}, "expected files to draw, got none .1 without text"),
    ],
)
def test_tables_that_will_not_do_are_one_line(tmp_path, rows, settings, message):
    with pytest.raises(InputError, match=message):
        drawn(table(tmp_path, rows), **settings)


def test_sources_that_are_none_are_one_line(tmp_path):
    (tmp_path / "text.parquet").write_text("no")
    for source, message in [
        ("nowhere", "got nothing at"),
        (".", "a folder that is none"),
        ("text.parquet", "readable"),
    ]:
        with pytest.raises((InputError, StoreError), match=message):
            drawn(str(tmp_path / source))


def test_a_store_gives_its_languages(tmp_path):
    for row in files(30):
        file = tmp_path / "in" / "repo" / row["path"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(row["content"])
    (tmp_path / "in" / "repo" / "again.py").write_text("value = 0\n")
    (tmp_path / "in" / "repo" / "nothing.py").write_text("")
    store = Store(tmp_path / "store")
    store.create()
    source = DirectorySource(name="s", kind="directories", path=str(tmp_path / "in"))
    ingest(store, Engine(workers=1), [source], IngestSettings(shard_files=7))
    sample = drawn(str(tmp_path / "store"), per_language=6)
    assert sample.drawn == {"Python": 6, "Go": 6, "Shell": 6} and sample.seen == 32
    assert sum(sample.available.values()) + sum(sample.skipped.values()) == sample.seen
    assert sample.skipped["a duplicate"] == 1 and sample.skipped["without text"] == 1
    from_table = drawn(table(tmp_path, files(30)), per_language=6)
    assert sample.table["blob_id"].to_pylist() == from_table.table["blob_id"].to_pylist()
    assert sample.table["content"].to_pylist() == from_table.table["content"].to_pylist()
