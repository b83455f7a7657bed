"""Corpora of a run are found wherever they lie, and every file has a name of its own."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.errors import InputError
from codemill.highquality.inputs import batches, find_parts, schema_of
from codemill.highquality.settings import InputSettings
from codemill.schema import digest
from tests.sources.test_remote import bucket, put, server  # noqa: F401 - fixtures

ROW = {"content": "x = 1\n", "blob_id": "b", "repo": "o/r", "path": "a.py", "language": "Python", "bytes": 6}


@pytest.fixture
def corpus(tmp_path):
    (tmp_path / "corpus" / "more").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist([ROW]), tmp_path / "corpus" / "part.parquet")
    return tmp_path / "corpus"


def parts(path):
    return find_parts([InputSettings(name="files", path=str(path))])


def test_names_hang_on_the_file_and_not_on_its_folder(corpus, tmp_path):
    info = (corpus / "part.parquet").stat()
    name = f"files-{digest(('files', 'part.parquet', str(info.st_size), str(info.st_mtime_ns)))}"
    assert [part.name for part in parts(corpus)] == [name]
    assert [part.name for part in parts(corpus / "*.parquet")] == [name]
    corpus.rename(tmp_path / "elsewhere")
    assert [part.name for part in parts(tmp_path / "elsewhere")] == [name]


def test_copies_below_a_folder_are_parts_of_their_own(corpus):
    shutil.copy2(corpus / "part.parquet", corpus / "more" / "part.parquet")
    found = parts(corpus)
    assert len({part.name for part in found}) == len(found) == 2


def test_wrong_files_are_one_line(corpus):
    (corpus / "more" / "other.parquet").write_bytes(b"none")
    with pytest.raises(InputError, match=r"input files: expected a Parquet file, got .*other\.parquet"):
        parts(corpus)
    (corpus / "empty").mkdir()
    with pytest.raises(InputError, match=r"input files: expected Parquet files in .*empty, got none"):
        parts(corpus / "empty")


def test_corpora_on_an_object_store(corpus, bucket):  # noqa: F811
    put(bucket, "c/parquet/part.parquet", (corpus / "part.parquet").read_bytes())
    _, name, query = bucket
    (part,) = parts(f"s3://{name}/c{query}")
    assert part.columns == tuple(ROW)
    assert schema_of([part]).names == list(ROW)
    assert [table.to_pylist() for _, table in batches(part.file)] == [[ROW]]
    (again,) = parts(f"s3://{name}/c/parquet/*{query}")
    assert again.name == part.name
