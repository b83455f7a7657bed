"""Corpora of all shapes become documents; rows that are none are counted with their reason."""

from collections import Counter

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from codemill.corpus.read import Corpus, find_parts, read_documents
from codemill.errors import InputError
from codemill.schema import DOCUMENT, blob_id
from tests.pretrain.corpora import write_files, write_samples


def read(path, columns=None):
    rows, beside = [], Counter()
    for batch, others in read_documents(str(path), columns or {}, "source one"):
        assert batch.schema == DOCUMENT
        rows += batch.to_pylist()
        beside += others
    return rows, dict(beside)


def test_a_corpus_of_files(tmp_path):
    write_files(tmp_path / "a.parquet", ["x = 1\n", "/* c */\n"])
    rows, beside = read(tmp_path / "a.parquet")
    assert [row["text"] for row in rows] == ["x = 1\n", "/* c */\n"]
    assert [row["language"] for row in rows] == ["Python", "C"]
    assert rows[0]["document_id"] == blob_id(b"x = 1\n")
    assert rows[0]["targets"] is None
    assert beside == {}


def test_samples_bear_the_loss_on_their_targets(tmp_path):
    write_samples(tmp_path / "s.parquet", 20)
    rows, _ = read(tmp_path / "s.parquet")
    for number, row in enumerate(rows):
        assert [row["text"][span["start"] : span["end"]] for span in row["targets"]] == [f"return {number}\n"]


def test_columns_of_other_names_and_texts_without_ids(tmp_path):
    pq.write_table(pa.table({"body": ["one", "two"], "lang": ["Go", None]}), tmp_path / "t.parquet")
    rows, _ = read(tmp_path / "t.parquet", {"text": "body", "language": "lang"})
    assert [(row["document_id"], row["language"]) for row in rows] == [(blob_id(b"one"), "Go"), (blob_id(b"two"), None)]


def test_rows_that_are_no_documents_have_reasons(tmp_path):
    contents = pa.array([b"fine", b"", None, b"\xff\xfe"], pa.large_binary())
    pq.write_table(pa.table({"content": contents}), tmp_path / "t.parquet")
    rows, beside = read(tmp_path / "t.parquet")
    assert [row["text"] for row in rows] == ["fine"]
    assert beside == {"empty": 1, "no_text": 2}


def test_lines_have_columns_of_their_own(tmp_path):
    lines = [{"text": "a"}, {"content": "b", "language": "Go", "blob_id": 7}, {"text": "c", "spans": []}, {"url": "x"}]
    (tmp_path / "t.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    rows, beside = read(tmp_path / "t.jsonl")
    assert [(row["text"], row["language"], row["targets"]) for row in rows] == [
        ("a", None, None),
        ("b", "Go", None),
        ("c", None, []),
    ]
    assert rows[1]["document_id"] == "7"
    assert beside == {"no_text": 1}
    assert [row["language"] for row in read(tmp_path / "t.jsonl", {"language": "language"})[0]] == [None, "Go", None]
    with pytest.raises(InputError, match=r"columns\.language: expected a column of .*, got 'lang'"):
        read(tmp_path / "t.jsonl", {"language": "lang"})


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.zst"])
def test_json_lines(tmp_path, name):
    lines = [
        {"text": "abc", "targets": [{"start": 1, "end": 2}]},
        {"text": "def"},
        {"text": 5},
        ["no object"],
        {"text": "ghi", "targets": [{"start": "x", "end": 2}]},
    ]
    data = b"\n".join(orjson.dumps(line) for line in lines) + b"\n{broken\n"
    (tmp_path / name).write_bytes(zstandard.compress(data) if name.endswith("zst") else data)
    rows, beside = read(tmp_path / name)
    assert [(row["text"], row["targets"]) for row in rows] == [("abc", [{"start": 1, "end": 2}]), ("def", None)]
    assert beside == {"invalid_row": 4}


def test_parquet_goes_before_json_lines(tmp_path):
    write_files(tmp_path / "parquet" / "a.parquet", ["x"])
    (tmp_path / "jsonl").mkdir()
    (tmp_path / "jsonl" / "a.jsonl").write_text('{"text": "x"}\n')
    found = find_parts(Corpus("source one", str(tmp_path)))
    assert [file.path for file in found] == [str(tmp_path / "parquet" / "a.parquet")]


def test_large_files_are_read_in_parts(tmp_path, monkeypatch):
    write_files(tmp_path / "a.parquet", [f"x = {number}\n" for number in range(100)])
    monkeypatch.setattr("codemill.corpus.read.PART_BYTES", 300)
    parts = find_parts(Corpus("source one", str(tmp_path)))
    assert len(parts) > 2
    assert len({part.state for part in parts}) == len(parts)
    texts = [
        row["text"]
        for part in parts
        for batch, _ in read_documents(part.path, {}, "source one", part.groups)
        for row in batch.to_pylist()
    ]
    assert texts == [f"x = {number}\n" for number in range(100)]


def test_mistakes_are_one_line(tmp_path):
    with pytest.raises(InputError, match=r"expected Parquet files or JSON lines in .*, got none"):
        find_parts(Corpus("source one", str(tmp_path)))
    pq.write_table(pa.table({"number": [1]}), tmp_path / "n.parquet")
    with pytest.raises(InputError, match=r"columns\.text: expected a column text or content"):
        read(tmp_path / "n.parquet")
    with pytest.raises(InputError, match=r"columns\.text: expected a column of .*, got 'body'"):
        read(tmp_path / "n.parquet", {"text": "body"})
    with pytest.raises(InputError, match=r"columns\.text: expected texts in .*, got int64"):
        read(tmp_path / "n.parquet", {"text": "number"})
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(InputError, match="expected a readable file, got"):
        read(tmp_path / "broken.parquet")
    pq.write_table(pa.table({"text": ["a"], "spans": [1]}), tmp_path / "spans.parquet")
    with pytest.raises(InputError, match=r"columns\.targets: expected lists of start and end"):
        read(tmp_path / "spans.parquet")
