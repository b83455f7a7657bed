"""Tables and stores on an object store: a real S3 server on this machine, spoken to over HTTP."""

import io
import json
import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
import zstandard

from codemill.engine import Engine, list_urls, open_url, plain_url
from codemill.errors import InputError, StoreError
from codemill.recipe import DirectorySource, IngestSettings, TableSource
from codemill.sources.ingest import ingest
from codemill.store import Store
from tests.sources.helpers import rows_of

ROWS = [{"content": f"x = {index}\n", "repo": f"o/r{index % 2}", "path": f"f{index}.py"} for index in range(7)]
SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def server():
    """The server's port. It runs in its own process, so that its warnings stay there."""
    pytest.importorskip("moto")
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    yield int(next(line for line in process.stdout if line.strip().isdigit()))
    process.communicate("")


@pytest.fixture
def bucket(server, monkeypatch, request):
    """An empty bucket as (file system, its name, the query that names the server)."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    query = f"?endpoint_override=127.0.0.1:{server}&scheme=http&region=us-east-1&allow_bucket_creation=true"
    name = f"b{abs(hash(request.node.nodeid)) % 10**9}"
    fs, _ = pa.fs.FileSystem.from_uri(f"s3://{name}{query}")
    fs.create_dir(name)
    return fs, name, query


def put(bucket, key, data):
    fs, name, _ = bucket
    with fs.open_output_stream(f"{name}/{key}", compression=None) as stream:  # else Arrow packs *.zst once more
        stream.write(data)


def parquet(rows):
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), out, row_group_size=2)
    return out.getvalue()


def test_remote_tables_read_as_local_ones(bucket, tmp_path):
    lines = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
    files = {"t.parquet": parquet(ROWS), "t.jsonl": lines, "t.jsonl.zst": zstandard.compress(lines), "no.parquet": b"x"}
    for name, data in files.items():
        put(bucket, f"data/{name}", data)
        (tmp_path / name).write_bytes(data)
    columns = {"repo": "repo", "path": "path"}
    local = rows_of(TableSource(kind="table", name="t", path=str(tmp_path), columns=columns))
    _, name, query = bucket
    for path in (f"s3://{name}/data/{query}", f"s3://{name}/data/*{query}"):
        remote = rows_of(TableSource(kind="table", name="t", path=path, columns=columns))
        assert sorted(remote, key=lambda row: row["origin"]) == sorted(local, key=lambda row: row["origin"])
    assert len(local) == 22


def test_the_server_may_come_from_the_environment(bucket, server, monkeypatch):
    put(bucket, "a/t.parquet", parquet(ROWS))
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server}")
    rows = rows_of(TableSource(kind="table", name="t", path=f"s3://{bucket[1]}/a/*.parquet"))
    assert [row["content"].decode() for row in rows] == [row["content"] for row in ROWS]


def test_nothing_there_is_one_line(bucket):
    _, name, query = bucket
    for path in (f"s3://{name}/none*{query}", f"s3://nobucket/x*{query}"):
        with pytest.raises(InputError, match="expected") as caught:
            list_urls(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(OSError, match="s3://"):
        open_url(f"s3://{name}/none{query}").read()


def test_remote_files_are_read_in_pieces(bucket):
    data = os.urandom(3_000_000)
    put(bucket, "f", data)
    _, name, query = bucket
    with open_url(f"s3://{name}/f{query}") as stream:
        assert stream.seek(0, 2) == len(data)
        stream.seek(1_000_000)
        assert stream.read(10) == data[1_000_000:1_000_010]
        stream.seek(-5, 2)
        assert stream.read() == data[-5:]


def test_a_wildcard_is_no_query():
    assert plain_url("s3://b/f?.parquet") == ("s3://b/f?.parquet", None)
    assert plain_url("s3://b/f*?endpoint_override=h:1&scheme=http")[0] == "s3://b/f*"


@pytest.fixture
def store(bucket):
    _, name, query = bucket
    made = Store(f"s3://{name}/some/store{query}")
    made.create()
    return made


def test_a_store_on_s3_keeps_its_promises(store):
    store.create()
    store.require()
    table = pa.table({"x": [1, 2, 3]})
    store.write("t/a.parquet", table)
    with store.table_writer("t/b.parquet", table.schema) as write:
        write(table)
        write(table)
    assert store.files("t", ".parquet") == ["t/a.parquet", "t/b.parquet"]
    assert store.read("t/a.parquet") == table
    assert store.read_all(store.files("t"), table.schema).num_rows == 9
    assert sum(batch.num_rows for batch in store.batches("t/b.parquet", ["x"])) == 6
    store.delete_folder("t")
    assert store.files("t") == []
    assert not store.exists("t/a.parquet")


def test_what_fails_half_way_never_appears_on_s3(store):
    schema = pa.schema([("x", pa.int64())])
    with pytest.raises(ZeroDivisionError), store.table_writer("t/a.parquet", schema) as write:
        write(pa.table({"x": [1]}))
        raise ZeroDivisionError
    assert not store.exists("t/a.parquet")
    assert store.files("t") == []


def test_one_writer_on_s3(store):
    with store.lock(), pytest.raises(StoreError, match="only writer"), Store(store.root).lock():
        pass
    with store.lock():
        pass


def test_ingest_to_s3(store, tmp_path):
    (tmp_path / "all" / "one").mkdir(parents=True)
    for index in range(5):
        (tmp_path / "all" / "one" / f"f{index}").write_text(f"{index}\n")
    given = DirectorySource(kind="directories", name="d", path=str(tmp_path / "all"))
    done = ingest(store, Engine(workers=1), [given], IngestSettings())
    assert (done.occurrences, done.blobs) == (5, 5)
    shard = done.shards[0]
    held = store.read(f"occurrences/{shard}.parquet", ["blob_id"])["blob_id"].to_pylist()
    assert len(held) == 5
    assert set(held) == set(store.read(f"blobs/{shard}.parquet", ["blob_id"])["blob_id"].to_pylist())
