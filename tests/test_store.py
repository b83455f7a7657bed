"""The store writes whole files or nothing, lets one writer in, and says in one line what is wrong."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pytest

from codemill.errors import StoreError
from codemill.store import Store


@pytest.fixture
def store(tmp_path):
    opened = Store(tmp_path / "store")
    opened.create()
    return opened


def test_tables_and_bytes_come_back(store):
    table = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})
    store.write("folder/t.parquet", table)
    assert store.read("folder/t.parquet").equals(table)
    assert store.read("folder/t.parquet", ["b"]).column_names == ["b"]
    store.write_json("folder/j.json", {"k": [1]})
    assert store.read_json("folder/j.json") == {"k": [1]}
    assert store.files("folder", ".parquet") == ["folder/t.parquet"]
    assert store.files("nowhere") == []


def test_table_writer_appends_row_groups(store):
    schema = pa.schema([("a", pa.int64())])
    with store.table_writer("t.parquet", schema) as write:
        write(pa.table({"a": [1, 2]}, schema))
        write(pa.table({"a": [3]}, schema))
    assert store.read("t.parquet")["a"].to_pylist() == [1, 2, 3]
    assert [batch.num_rows for batch in store.batches("t.parquet", rows=2)] == [2, 1]


def test_read_all_keeps_the_schema_when_there_is_nothing(store):
    schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
    assert store.read_all([], schema, ["b"]).schema == pa.schema([("b", pa.string())])


def test_a_failed_write_leaves_nothing_behind(store):
    schema = pa.schema([("a", pa.int64())])
    with pytest.raises(ZeroDivisionError), store.table_writer("t.parquet", schema) as write:
        write(pa.table({"a": [1]}, schema))
        raise ZeroDivisionError
    assert not store.exists("t.parquet")
    assert [path for path in Path(store.base).iterdir() if "t.parquet" in path.name] == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_full_disk_is_one_line_and_leaves_nothing(store):
    # The hidden file a write goes to first, on a device that is always full.
    Path(f"{store.base}/.t.parquet.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(StoreError, match=r"cannot write t\.parquet: no space left on the device") as caught:
        store.write("t.parquet", pa.table({"a": list(range(100_000))}))
    assert "\n" not in str(caught.value)
    assert not store.exists("t.parquet")


def test_other_folders_are_not_taken_for_stores(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="expected an empty folder or a store"):
        Store(tmp_path).create()
    with pytest.raises(StoreError, match="expected a store"):
        Store(tmp_path / "new").require()


def test_a_store_of_another_format_is_refused(store):
    store.write_json("codemill.json", {"format": 99})
    with pytest.raises(StoreError, match="expected format 1, got 99"):
        store.create()


def test_damaged_files_are_one_line(store):
    store.write_bytes("t.parquet", b"no parquet")
    with pytest.raises(StoreError, match=r"cannot read t\.parquet"):
        store.read("t.parquet")
    with pytest.raises(StoreError, match=r"cannot read t\.parquet"):
        list(store.batches("t.parquet"))


def test_two_processes_never_hold_the_same_store(store):
    hold = textwrap.dedent(
        """
        import sys
        from codemill.store import Store
        with Store(sys.argv[1]).lock():
            print("held", flush=True)
            sys.stdin.readline()
        """
    )
    command = [sys.executable, "-c", hold, store.root]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline().strip() == "held"
        with pytest.raises(StoreError, match=rf"only writer, got .* pid {other.pid}"), store.lock():
            pass
        other.kill()
    with store.lock():  # a killed holder does not keep it
        assert True


def test_a_lock_clears_what_killed_writers_left_and_nothing_else(tmp_path):
    store = Store(tmp_path)
    store.create()
    store.write_bytes("blobs/a.parquet", b"whole")
    (tmp_path / "blobs/.b.parquet.99.part").write_bytes(b"half")
    with store.lock():
        assert sorted(path.name for path in (tmp_path / "blobs").iterdir()) == ["a.parquet"]


def test_a_lock_on_a_folder_that_is_no_store_deletes_nothing(tmp_path):
    (tmp_path / ".mine.1.part").write_bytes(b"mine")
    with Store(tmp_path).lock():
        assert (tmp_path / ".mine.1.part").exists()


def test_a_refused_run_leaves_no_lock_behind(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    store = Store(tmp_path)
    with pytest.raises(StoreError, match="expected an empty folder or a store"), store.lock():
        store.create()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_of_many_writers_that_come_and_go_one_holds_the_store_at_a_time(tmp_path):
    work = textwrap.dedent(
        """
        import os, sys, time
        from codemill.errors import StoreError
        from codemill.store import Store
        store, mark, held = Store(sys.argv[1]), sys.argv[2], 0
        while held < 50:
            try:
                with store.lock():
                    os.close(os.open(mark, os.O_CREAT | os.O_EXCL))  # fails if another is inside
                    os.unlink(mark)
                    held += 1
            except StoreError:
                pass
        """
    )
    command = [sys.executable, "-c", work, str(tmp_path / "store"), str(tmp_path / "mark")]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    assert [writer.communicate()[1] for writer in writers] == ["", "", ""]
    assert list((tmp_path / "store").iterdir()) == []


def test_a_file_in_the_place_of_a_store_and_broken_json_are_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="expected a folder, got File exists"), Store(tmp_path / "file").lock():
        pass
    (tmp_path / "codemill.json").write_text("{")
    with pytest.raises(StoreError, match=r"expected JSON in codemill\.json"):
        Store(tmp_path).create()
