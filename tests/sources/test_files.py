"""Tables are found by folder, file, glob and URL, sorted; what is named itself is never passed over."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codemill.errors import InputError
from codemill.sources.files import PARQUET, TABLE, find_files, footer_state, row_ranges
from tests.sources.test_remote import bucket, put, server  # noqa: F401 - fixtures

NAMES = ("b.parquet", "a/c.jsonl.zst", "a/d.PARQ", "a/.hidden.parquet", "notes.txt")


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def names(found, folder):
    return [one.path.removeprefix(f"{folder}/") for one in found]


def test_a_folder_with_all_below_it(folder):
    assert names(find_files(str(folder), "x"), folder) == ["a/c.jsonl.zst", "a/d.PARQ", "b.parquet", "notes.txt"]
    assert names(find_files(str(folder), "x", TABLE), folder) == ["a/c.jsonl.zst", "a/d.PARQ", "b.parquet"]
    found = find_files(str(folder), "x", PARQUET)
    assert names(found, folder) == ["a/d.PARQ", "b.parquet"]
    info = (folder / "b.parquet").stat()
    assert found[1][1:] == (info.st_size, str(info.st_mtime_ns))


def test_what_is_named_is_given(folder):
    assert names(find_files(f"{folder}/notes.txt", "x", PARQUET), folder) == ["notes.txt"]
    assert names(find_files(f"{folder}/a/.hidden.parquet", "x"), folder) == ["a/.hidden.parquet"]
    assert names(find_files(f"{folder}/*.*", "x", PARQUET), folder) == ["b.parquet", "notes.txt"]
    assert names(find_files(f"{folder}/*", "x", PARQUET), folder) == ["a/d.PARQ", "b.parquet", "notes.txt"]
    assert names(find_files(f"{folder}/**/*.parquet", "x"), folder) == ["b.parquet"]


def test_nothing_there_is_one_line(folder):
    for path in (f"{folder}/none", f"{folder}/*.none"):
        with pytest.raises(InputError, match=r"^input one: expected a file or folder, got none at ") as caught:
            find_files(path, "input one")
        assert "\n" not in str(caught.value)
    (folder / "empty").mkdir()
    assert find_files(f"{folder}/empty", "x") == []


def test_remote_folders_and_files(bucket):  # noqa: F811
    for name in NAMES[:3]:
        put(bucket, f"t/{name}", name.encode())
    _, name, query = bucket
    for place in (f"s3://{name}/t{query}", f"s3://{name}/t/{query}"):
        found = find_files(place, "x", PARQUET)
        assert found == [(f"s3://{name}/t/{one}{query}", len(one), "") for one in ("a/d.PARQ", "b.parquet")]
    one = f"s3://{name}/t/a/c.jsonl.zst{query}"
    assert find_files(one, "x", PARQUET) == [(one, len("a/c.jsonl.zst"), "")]


def test_footers_tell_files_apart(tmp_path):
    states = []
    for values in ([1, 2], [1, 2], [1, 3]):
        pq.write_table(pa.table({"x": values}), tmp_path / "t.parquet")
        states.append(footer_state(pq.read_metadata(tmp_path / "t.parquet")))
    assert states[0] == states[1] != states[2]


def test_ranges_of_rows_begin_at_row_groups_and_leave_none_out(tmp_path):
    pq.write_table(pa.table({"x": range(10)}), tmp_path / "t.parquet", row_group_size=3)
    metadata = pq.read_metadata(tmp_path / "t.parquet")
    assert [(start, stop) for start, stop, _ in row_ranges(metadata, 1)] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    ((start, stop, size),) = row_ranges(metadata, 1 << 20)
    assert (start, stop) == (0, 10)
    assert size == sum(metadata.row_group(index).total_byte_size for index in range(4))
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "t.parquet")
    assert list(row_ranges(pq.read_metadata(tmp_path / "t.parquet"), 1)) == []
