"""Labels from anywhere are read alike and find their contents."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.errors import InputError
from codemill.quality.table import read_labels, with_contents
from codemill.schema import blob_id, git_blob

FILES = [b"a = 1\n", b"b = 2\n", b"\xff\n"]


def write(path, rows):
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def labels(key="blob_id"):
    make = blob_id if key == "blob_id" else git_blob
    return [{key: make(text), "overall": 3 * index, "language": "Python"} for index, text in enumerate(FILES)]


def test_jsonl_with_git_blobs_reads_like_parquet(tmp_path):
    path = tmp_path / "labels.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in labels("blob")))
    table, left_out = read_labels(path)
    assert table["git_blob"].to_pylist() == [git_blob(text) for text in FILES] and left_out == 0
    assert table["clarity"].null_count == 3 and table["blob_id"].null_count == 3


def test_rows_without_a_rating_are_counted(tmp_path):
    rows = [*labels(), {"blob_id": "x", "overall": None, "language": "C"}]
    table, left_out = read_labels(write(tmp_path / "labels.parquet", rows))
    assert (table.num_rows, left_out) == (3, 1)


def test_numbered_groups_stand_for_repositories(tmp_path):
    table, _ = read_labels(write(tmp_path / "labels.parquet", [{**row, "group": 7} for row in labels()]))
    assert table["repo"].to_pylist() == ["7"] * 3


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"blob_id": "x"}], "expected columns overall and blob_id or git_blob, got blob_id"),
        ([{"overall": 3}], "expected columns overall and blob_id or git_blob, got overall"),
        ([{"blob_id": "x", "overall": 11}], "expected overall 0 to 10, got 11 to 11"),
        ([{"blob_id": "x", "overall": 3, "clarity": -1}], "expected clarity 0 to 10"),
    ],
)
def test_other_tables_are_one_line(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        read_labels(write(tmp_path / "labels.parquet", rows))


def test_a_missing_table_is_one_line(tmp_path):
    with pytest.raises(InputError, match="expected a readable Parquet or JSONL table"):
        read_labels(tmp_path / "nothing.parquet")


@pytest.mark.parametrize("key", ["blob_id", "git_blob", "blob"])
@pytest.mark.parametrize("columns", [("blob_id",), ("git_blob",), ()])
def test_contents_join_by_either_id_or_none(tmp_path, key, columns):
    make = {"blob_id": blob_id, "git_blob": git_blob}
    rows = [{"content": text, **{name: make[name](text) for name in columns}} for text in FILES[::-1]]
    path = write(tmp_path / "labels.parquet", labels(key))
    table, missing = with_contents(read_labels(path)[0], path, write(tmp_path / "contents.parquet", rows))
    assert table["content"].to_pylist() == FILES and missing == 0 and table["overall"].to_pylist() == [0, 3, 6]


def test_contents_lie_beside_the_labels_or_in_them(tmp_path):
    path = write(tmp_path / "labels.parquet", labels())
    write(tmp_path / "sample.parquet", [{"content": FILES[1], "blob_id": blob_id(FILES[1])}])
    table, missing = with_contents(read_labels(tmp_path)[0], tmp_path)
    assert table["content"].to_pylist() == [FILES[1]] and missing == 2
    rows = [{**row, "content": text.decode("latin-1")} for row, text in zip(labels(), FILES, strict=True)]
    path = write(tmp_path / "whole.parquet", rows)
    table, missing = with_contents(read_labels(path)[0], path)
    assert table["content"].to_pylist()[:2] == FILES[:2] and table["content"].type == pa.large_binary() and missing == 0


def test_contents_of_other_files_are_one_line(tmp_path):
    path = write(tmp_path / "labels.parquet", labels())
    with pytest.raises(InputError, match=r"expected files of the labels \(by git_blob\), got none of 3"):
        other = write(tmp_path / "c.parquet", [{"content": b"other"}])
        with_contents(read_labels(write(path, labels("git_blob")))[0], path, other)
    with pytest.raises(InputError, match="expected a column content"):
        with_contents(read_labels(path)[0], path, write(tmp_path / "d.parquet", [{"text": "x"}]))
