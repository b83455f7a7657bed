"""Writes one part of a corpus: content beside provenance, as Parquet or JSONL.zst, at file or repository level."""

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from codemill.annotate.mask import mask
from codemill.engine import Task
from codemill.errors import ConservationError
from codemill.sources.ingest import contents
from codemill.store import COMPRESSION, Store

# Beyond this much content a repository is continued in a further row: readers hold whole rows in memory.
ROW_BYTES = 64_000_000
REPOSITORY = ("source", "repo", "revision", "stars", "forks", "created_at", "pushed_at", "declared_licence")
INTERNAL = ("place", "shard", "spans")

Emit = Callable[[pa.Table], None]


def write_part(task: Task) -> Task:
    """Write the files of one part; returns how many occurrences went in.

    Raises:
        ConservationError: a listed occurrence has no content in the store.
    """
    store, output = Store(task["store"]), Store(task["output"])
    listing = store.read(task["listing"])
    with contextlib.ExitStack() as stack:
        sinks = [stack.enter_context(_sink(output, kind, file)) for kind, file in task["files"].items()]
        rows = _files(store, listing, task["mask"])
        written = 0
        for table in _repositories(rows) if task["level"] == "repository" else rows:
            for emit in sinks:
                emit(table)
            written += pc.sum(table["file_count"]).as_py() if task["level"] == "repository" else table.num_rows
        if written != listing.num_rows:
            raise ConservationError(f"{task['listing']}: expected {listing.num_rows} files written, got {written}")
    return {"rows": written}


def _files(store: Store, listing: pa.Table, kinds: list[str]) -> Iterator[pa.Table]:
    """The listed occurrences with their content, in the order of the listing, a few megabytes at a time."""
    hidden = [name for name in INTERNAL if name in listing.column_names]
    for shard in pc.unique(listing["shard"]).to_pylist():
        rows = listing.filter(pc.equal(listing["shard"], shard))
        found = pa.Table.from_batches(
            list(contents(store, shard, pc.unique(rows["blob_id"]), ["blob_id", "git_blob", "content"]))
        )
        index = pc.index_in(rows["blob_id"], value_set=found["blob_id"].combine_chunks())
        for start in range(0, rows.num_rows, 1024):
            part, where = rows.slice(start, 1024), index.slice(start, 1024)
            content = found["content"].take(where).combine_chunks()
            if kinds:
                content = _masked(content, part["spans"], kinds)
            columns = {"content": content.cast(pa.large_string()), "git_blob": found["git_blob"].take(where)}
            for name in part.drop_columns(hidden).column_names:
                columns[name] = part[name]
            yield pa.table(columns)


def _masked(content: pa.Array, spans: pa.ChunkedArray, kinds: list[str]) -> pa.Array:
    texts = [
        mask(text, found, kinds) if found else text
        for text, found in zip(content.to_pylist(), spans.to_pylist(), strict=True)
    ]
    return pa.array(texts, pa.large_binary())


def _repositories(files: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Files as one row for each repository: its facts, and its files as a list in path order."""
    waiting: list[dict[str, Any]] = []
    part = size = 0
    schema: pa.Schema | None = None
    key: tuple[Any, ...] | None = None
    for table in files:
        schema = schema or table.schema
        for row in table.to_pylist():
            here = tuple(row[name] for name in REPOSITORY[:3])
            full = here == key and size + row["bytes"] > ROW_BYTES
            if waiting and (here != key or full):
                yield _repository(waiting, part, schema)
                part, size, waiting = (part + 1 if full else 0), 0, []
            key = here
            size += row["bytes"]
            waiting.append(row)
    if waiting and schema is not None:
        yield _repository(waiting, part, schema)


def _repository(rows: list[dict[str, Any]], part: int, schema: pa.Schema) -> pa.Table:
    inner = pa.struct([field for field in schema if field.name not in REPOSITORY])
    files = [{field.name: row[field.name] for field in inner} for row in rows]
    columns = {name: pa.array([rows[0][name]], schema.field(name).type) for name in REPOSITORY}
    columns["part"] = pa.array([part], pa.int32())
    columns["file_count"] = pa.array([len(rows)], pa.int64())
    columns["files"] = pa.array([files], pa.large_list(inner))
    return pa.table(columns)


@contextlib.contextmanager
def _sink(output: Store, kind: str, file: str) -> Iterator[Emit]:
    """A function that appends a table to the file, which appears when all went well."""
    with output.writing(file) as stream:
        if kind == "jsonl.zst":
            with zstandard.ZstdCompressor(level=3).stream_writer(stream, closefd=False) as packed:
                yield lambda table: packed.write(_lines(table)) and None
            return
        writer: list[pq.ParquetWriter] = []

        def emit(table: pa.Table) -> None:
            if not writer:
                writer.append(pq.ParquetWriter(stream, table.schema, **COMPRESSION))
            writer[0].write_table(table)

        yield emit
        for one in writer:
            one.close()


def _lines(table: pa.Table) -> bytes:
    """JSON lines, timestamps in ISO 8601."""
    rows = table.to_pylist()
    return "".join(
        json.dumps(row, ensure_ascii=False, default=lambda time: time.isoformat()) + "\n" for row in rows
    ).encode()
