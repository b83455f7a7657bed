"""Sequences come back from every format as they went in, read by the loader the format is for."""

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codemill.errors import InputError, RecipeError, StoreError
from codemill.shards import FORMATS, ShardSettings, finish, open_writer
from codemill.tokens.encode import Encoded
from codemill.tokens.pack import materialize, pack

SIZE = 32


def sequences(count=40, seed=1, vocab=70_000, position_ids=True):
    """Packed documents of random ids, with some tokens that bear no loss."""
    pick = np.random.default_rng(seed)
    lengths = pick.integers(1, 2 * SIZE, count)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    ids = pick.integers(0, vocab, offsets[-1]).astype(np.uint32)
    loss = pick.integers(0, 2, offsets[-1]).astype(np.uint8)
    encoded = Encoded(ids, offsets, loss, np.arange(count), np.zeros(count, np.uint8))
    return materialize(pack(lengths, SIZE), encoded, pad=0, position_ids=position_ids)


def write(name, folder, batch, *, rows=7, parts=1, vocab_size=70_000, **options):
    options.setdefault("shard_bytes", 900)
    written = []
    bounds = np.linspace(0, batch.num_rows, parts + 1).astype(int)
    for part in range(parts):
        writer = open_writer(name, folder, ShardSettings(**options), vocab_size=vocab_size, part=part)
        for start in range(bounds[part], bounds[part + 1], rows):
            writer.write(batch.slice(start, min(rows, bounds[part + 1] - start)))
        written.append(writer.close())
    finish(name, folder, written)
    assert sum(one["sequences"] for one in written) == batch.num_rows
    assert sum(one["tokens"] for one in written) == sum(batch.column("length").to_pylist())
    return written


def masked(batch, name):
    """A column without what stands in the place of padding."""
    lengths = batch.column("length").to_pylist()
    return [row[:length] for row, length in zip(batch.column(name).to_pylist(), lengths, strict=True)]


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_depend_neither_on_batches_nor_on_what_was_there(name, tmp_path):
    batch = sequences()
    write(name, tmp_path / "one", batch, rows=1)
    write(name, tmp_path / "two", sequences(count=300, seed=2), parts=3)
    write(name, tmp_path / "two", batch, rows=100)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / half).iterdir()} for half in ("one", "two"))
    assert len(one) > 3
    assert one == two


@pytest.mark.parametrize("name", FORMATS)
def test_files_roll_over_at_their_size(name, tmp_path):
    batch = sequences(count=200)
    (written,) = write(name, tmp_path, batch, shard_bytes=4000, loss_mask=False)
    sizes = [one["bytes"] for one in written["files"] if not one["name"].endswith(".idx")]
    assert len(sizes) > 3
    if name != "parquet":  # which is compressed
        assert all(3000 < size < 6000 for size in sizes[:-1])
    assert all((tmp_path / one["name"]).stat().st_size == one["bytes"] for one in written["files"])


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_a_dataset_too(name, tmp_path):
    written = open_writer(name, tmp_path, vocab_size=10).close()
    finish(name, tmp_path, [written])
    assert written["sequences"] == 0
    assert written["files"] == []


def test_unknown_formats_and_uneven_sequences_are_one_line(tmp_path):
    with pytest.raises(RecipeError, match=r"format: expected one of parquet, .*, got 'tfrecord'"):
        open_writer("tfrecord", tmp_path, vocab_size=10)
    writer = open_writer("nanogpt", tmp_path, vocab_size=10)
    writer.write(sequences())
    short = sequences().to_pylist()[:1]
    short[0]["input_ids"] = short[0]["input_ids"][:5]
    with pytest.raises(InputError, match="expected 32 tokens in each, got 5"):
        writer.write(pa.RecordBatch.from_pylist(short, schema=sequences().schema))
    with pytest.raises(InputError, match="expected columns"):
        writer.write(sequences(position_ids=False))


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="cannot write"):
        open_writer("parquet", tmp_path / "file", vocab_size=10)


def test_datasets_reads_parquet(tmp_path):
    datasets = pytest.importorskip("datasets")
    batch = sequences()
    write("parquet", tmp_path / "shards", batch, parts=2)
    files = sorted(str(path) for path in (tmp_path / "shards").glob("*.parquet"))
    assert len(files) > 3
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert found.to_list() == batch.to_pylist()
    assert found.features["input_ids"].feature.dtype == "int32"


@pytest.mark.parametrize("vocab", [65_536, 65_537])
def test_nanogpt_is_bare_ids(tmp_path, vocab):
    batch = sequences(vocab=vocab)
    write("nanogpt", tmp_path, batch, vocab_size=vocab)
    kind = np.uint16 if vocab == 65_536 else np.uint32
    names = sorted(path.name for path in tmp_path.iterdir() if "loss" not in path.name)
    ids = np.concatenate([np.memmap(tmp_path / name, dtype=kind, mode="r") for name in names])
    assert ids.reshape(-1, SIZE).tolist() == batch.column("input_ids").to_pylist()
    mask = b"".join((tmp_path / name.replace(".bin", "_loss_mask.bin")).read_bytes() for name in names)
    assert np.frombuffer(mask, np.uint8).reshape(-1, SIZE).tolist() == batch.column("loss_mask").to_pylist()


@pytest.mark.parametrize(("vocab", "kind", "magic"), [(50_257, np.uint16, 20240520), (128_256, np.uint32, 20240801)])
def test_nanogpt_has_the_header_of_llm_c(tmp_path, vocab, kind, magic):
    batch = sequences(vocab=50_000)
    write("nanogpt", tmp_path, batch, vocab_size=vocab, header=True, padding=False, shard_bytes=10**6)
    data = (tmp_path / "00000-00000.bin").read_bytes()
    head, ids = np.frombuffer(data[:1024], np.int32), np.frombuffer(data[1024:], kind)
    assert head[0] == magic
    assert head[2] == len(ids)
    assert ids.tolist() == [token for row in masked(batch, "input_ids") for token in row]


# -- Megatron ----------------------------------------------------------------------------------------------------


def read_megatron(prefix):
    """Sequences by the layout that Megatron documents, read on its own terms: no offset is assumed."""
    index, data = prefix.with_name(f"{prefix.name}.idx").read_bytes(), prefix.with_name(f"{prefix.name}.bin")
    assert index[:9] == b"MMIDIDX\0\0"
    assert int.from_bytes(index[9:17], "little") == 1
    kind = np.dtype({1: "u1", 4: "<i4", 8: "<u2"}[index[17]])
    count, borders = np.frombuffer(index[18:34], "<u8").astype(int)
    lengths = np.frombuffer(index, "<i4", count, 34)
    pointers = np.frombuffer(index, "<i8", count, 34 + 4 * count)
    documents = np.frombuffer(index, "<i8", borders, 34 + 12 * count)
    assert len(index) == 34 + 12 * count + 8 * borders
    assert documents.tolist() == list(range(count + 1))
    raw = np.memmap(data, mode="r", dtype="u1")
    assert len(raw) == lengths.sum() * kind.itemsize
    return [np.frombuffer(raw, kind, size, place).tolist() for size, place in zip(lengths, pointers, strict=True)]


@pytest.mark.parametrize("vocab", [60_000, 70_000])
@pytest.mark.parametrize("padding", [True, False])
def test_megatron_layout(tmp_path, vocab, padding):
    batch = sequences(vocab=vocab)
    write("megatron", tmp_path, batch, vocab_size=vocab, padding=padding)
    names = sorted(path.stem for path in tmp_path.glob("*[0-9].bin"))
    assert len(names) > 2
    ids = [row for name in names for row in read_megatron(tmp_path / name)]
    mask = [row for name in names for row in read_megatron(tmp_path / f"{name}_loss_mask")]
    assert ids == (batch.column("input_ids").to_pylist() if padding else masked(batch, "input_ids"))
    assert mask == (batch.column("loss_mask").to_pylist() if padding else masked(batch, "loss_mask"))


def test_megatron_reads_megatron(tmp_path):
    indexed = pytest.importorskip("megatron.core.datasets.indexed_dataset", reason="needs PyTorch and megatron-core")
    for vocab in (60_000, 70_000):
        batch = sequences(vocab=vocab)
        write("megatron", tmp_path / str(vocab), batch, vocab_size=vocab, shard_bytes=10**6)
        found = indexed.IndexedDataset(str(tmp_path / str(vocab) / "00000-00000"))
        assert [row.tolist() for row in found[0 : len(found)]] == batch.column("input_ids").to_pylist()
        assert found.document_indices.tolist() == list(range(batch.num_rows + 1))


# -- formats of samples ------------------------------------------------------------------------------------------


def plain(sample):
    return {key: value.tolist() if hasattr(value, "tolist") else int(value) for key, value in sample.items()}


def read_mds(folder):
    """Samples by the layout that MosaicML documents."""
    index = json.loads((folder / "index.json").read_text())
    for shard in index["shards"]:
        data = (folder / shard["raw_data"]["basename"]).read_bytes()
        assert len(data) == shard["raw_data"]["bytes"]
        count = int(np.frombuffer(data, "<u4", 1)[0])
        assert count == shard["samples"]
        places = np.frombuffer(data, "<u4", count + 1, 4)
        head = json.loads(data[8 + 4 * count : places[0]])
        assert head["column_names"] == sorted(head["column_names"]) == shard["column_names"]
        assert places[-1] == len(data)
        for begin, end in pairwise(places):
            yield read_mds_sample(data[begin:end], head)


def read_mds_sample(data, head):
    free = head["column_sizes"].count(None)
    sizes, at = iter(np.frombuffer(data, "<u4", free).tolist()), 4 * free
    sample = {}
    for name, encoding, fixed in zip(head["column_names"], head["column_encodings"], head["column_sizes"], strict=True):
        size = next(sizes) if fixed is None else fixed
        value, at = data[at : at + size], at + size
        kind, _, rest = encoding.partition(":")
        if kind == "int":
            sample[name] = int(np.frombuffer(value, "<i8")[0])
            continue
        if fixed is None:
            assert value[0] >> 2 == 1
            width = 1 << (value[0] & 3)
            assert int.from_bytes(value[1 : 1 + width], "little") * 4 == len(value) - 1 - width
            value = value[1 + width :]
        sample[name] = np.frombuffer(value, rest.partition(":")[0]).tolist()
    assert at == len(data)
    return sample


@given(st.integers(1, 60), st.integers(1, 3), st.integers(300, 5000), st.booleans())
@settings(max_examples=20)
def test_mds_layout(tmp_path_factory, count, parts, shard_bytes, position_ids):
    folder = tmp_path_factory.mktemp("mds")
    batch = sequences(count=count, position_ids=position_ids)
    write("mds", folder, batch, parts=parts, shard_bytes=shard_bytes)
    assert list(read_mds(folder)) == batch.to_pylist()


def test_mds_counts_many_documents(tmp_path):
    """One sequence of more documents than a byte can count, and than two can."""
    for count in (255, 256, 70_000):
        starts = pa.array([list(range(count))], pa.list_(pa.int32()))
        ids = pa.array([[1] * count], pa.list_(pa.int32()))
        batch = pa.record_batch({"input_ids": ids, "length": pa.array([count], pa.int32()), "document_starts": starts})
        write("mds", tmp_path / str(count), batch, shard_bytes=10**7)
        assert next(read_mds(tmp_path / str(count)))["document_starts"] == list(range(count))


def test_streaming_reads_mds(tmp_path):
    streaming = pytest.importorskip("streaming", reason="needs mosaicml-streaming, which brings PyTorch")
    batch = sequences()
    write("mds", tmp_path, batch, parts=2)
    found = streaming.StreamingDataset(local=str(tmp_path), shuffle=False, batch_size=1)
    assert [plain(found[row]) for row in range(len(found))] == batch.to_pylist()


LITDATA = """
import json, sys
import litdata
found = litdata.StreamingDataset(sys.argv[1], shuffle=False)
rows = [{k: v.tolist() if hasattr(v, "tolist") else v for k, v in found[i].items()} for i in range(len(found))]
json.dump(rows, open(sys.argv[2], "w"))
"""


def test_litdata_reads_litdata(tmp_path):
    pytest.importorskip("litdata", reason="needs litdata, which brings PyTorch")
    batch = sequences()
    write("litdata", tmp_path / "shards", batch, parts=2)
    # A process of its own: it leaves threads and caches behind.
    subprocess.run([sys.executable, "-c", LITDATA, tmp_path / "shards", tmp_path / "rows.json"], check=True)
    assert json.loads((tmp_path / "rows.json").read_text()) == batch.to_pylist()


def test_litdata_layout(tmp_path):
    batch = sequences()
    write("litdata", tmp_path, batch, parts=2)
    index = json.loads((tmp_path / "index.json").read_text())
    kinds = {"no_header_tensor:16": "<i4", "no_header_tensor:11": "u1", "int": "<i8"}
    names = json.loads(json.loads(index["config"]["data_spec"])[1]["context"])
    rows = []
    for chunk in index["chunks"]:
        data = (tmp_path / chunk["filename"]).read_bytes()
        places = np.frombuffer(data, "<u4", chunk["chunk_size"] + 1, 4)
        assert places[-1] == len(data) == chunk["chunk_bytes"]
        for place in places[:-1]:
            sizes, at, row = np.frombuffer(data, "<u4", len(names), place), place + 4 * len(names), {}
            for name, kind, size in zip(names, index["config"]["data_format"], sizes, strict=True):
                row[name] = np.frombuffer(data[at : at + size], kinds[kind]).tolist()
                at += size
            rows.append({**row, "length": row["length"][0]})
    assert rows == batch.to_pylist()


def test_parquet_keeps_row_groups_small_and_types_narrow(tmp_path):
    batch = sequences()
    write("parquet", tmp_path, batch, shard_bytes=10**6)
    found = pq.ParquetFile(tmp_path / "00000-00000.parquet")
    assert found.schema_arrow == batch.schema
    assert found.read().to_pylist() == batch.to_pylist()
