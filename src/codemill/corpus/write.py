"""Writes one part of a corpus: content beside provenance, as Parquet or JSONL.zst, at file or repository level."""

import contextlib
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from codemill.annotate.mask import mask
from codemill.annotate.notebook import LANGUAGE, NotebookError
from codemill.corpus.notebook import notebook_text
from codemill.engine import Task
from codemill.errors import ConservationError
from codemill.recipe import NotebookSettings
from codemill.sources.base import split_ranges
from codemill.sources.ingest import contents
from codemill.store import COMPRESSION, Store

# Beyond this much content a repository is continued in a further row: readers hold whole rows in memory.
ROW_BYTES = 64_000_000
# What is read, converted and written at a time.
GROUP_BYTES = 16_000_000
GROUP_ROWS = 4096
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
        sinks = [stack.enter_context(open_sink(output, kind, file)) for kind, file in task["files"].items()]
        rows = _files(store, listing, task["mask"])
        if task["notebooks"]:
            settings = NotebookSettings.model_validate(task["notebooks"])
            rows = (with_notebooks(table, settings) for table in rows)
        written = 0
        for table in _repositories(rows) if task["level"] == "repository" else rows:
            for emit in sinks:
                emit(table)
            written += pc.sum(table["file_count"]).as_py() if task["level"] == "repository" else table.num_rows
        if written != listing.num_rows:
            raise ConservationError(f"{task['listing']}: expected {listing.num_rows} files written, got {written}")
    return {"rows": written}


def _files(store: Store, listing: pa.Table, kinds: list[str]) -> Iterator[pa.Table]:
    """The listed occurrences with their content, in the order of the listing, some megabytes at a time."""
    hidden = [name for name in INTERNAL if name in listing.column_names]
    for start, stop in _runs(listing["shard"]):
        rows = listing.slice(start, stop - start)
        wanted = pc.unique(rows["blob_id"])
        columns = ["blob_id", "git_blob", "content"]
        found = pa.Table.from_batches(list(contents(store, rows["shard"][0].as_py(), wanted, columns)))
        index = pc.index_in(rows["blob_id"], value_set=found["blob_id"].combine_chunks())
        for begin, end, _ in split_ranges(rows["bytes"].to_pylist(), GROUP_BYTES, GROUP_ROWS):
            part, where = rows.slice(begin, end - begin), index.slice(begin, end - begin)
            content = found["content"].take(where).combine_chunks()
            if kinds:
                content = _masked(content, part["spans"], kinds)
            columns_out = {"content": content.cast(pa.large_string()), "git_blob": found["git_blob"].take(where)}
            yield pa.table({**columns_out, **{name: part[name] for name in part.drop_columns(hidden).column_names}})


def _runs(values: pa.ChunkedArray) -> Iterator[tuple[int, int]]:
    """Ranges of equal neighbours."""
    codes = values.combine_chunks().dictionary_encode().indices.to_numpy()
    edges = np.flatnonzero(np.diff(codes)) + 1
    yield from pairwise([0, *edges.tolist(), len(codes)])


def _masked(content: pa.Array, spans: pa.ChunkedArray, kinds: list[str]) -> pa.Array:
    texts = [
        mask(text, found, kinds) if found else text
        for text, found in zip(content.to_pylist(), spans.to_pylist(), strict=True)
    ]
    return pa.array(texts, pa.large_binary())


def with_notebooks(table: pa.Table, settings: NotebookSettings) -> pa.Table:
    """The table with notebooks as text, and a column `notebook_problem`: why a notebook stayed as it was."""
    problems: list[str | None] = [None] * table.num_rows
    places = np.flatnonzero(pc.fill_null(pc.equal(table["language"], LANGUAGE), False).to_numpy())
    content = table["content"]
    if len(places):
        texts = content.to_pylist()
        for place in places.tolist():
            try:
                texts[place] = notebook_text(texts[place].encode(), settings)
            except NotebookError as error:
                problems[place] = str(error)
        content = pa.array(texts, pa.large_string())
    table = table.set_column(table.schema.get_field_index("content"), "content", content)
    return table.append_column("notebook_problem", pa.array(problems, pa.string()))


def _repositories(files: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Files as one row for each repository: its facts, and its files as a list in path order."""
    waiting: list[pa.Table] = []  # files of the repository at hand
    ready: list[pa.Table] = []  # rows of whole repositories, written together
    part = size = ready_size = 0
    key = None
    for table in files:
        names = pc.binary_join_element_wise(table["source"], table["repo"], table["revision"], "\0")
        for start, stop in _runs(names):
            piece, here = table.slice(start, stop - start), names[start].as_py()
            weight = pc.sum(piece["bytes"]).as_py()
            full = here == key and size + weight > ROW_BYTES
            if waiting and (here != key or full):
                ready.append(_repository(waiting, part))
                part, ready_size, size, waiting = (part + 1 if full else 0), ready_size + size, 0, []
            if ready_size > GROUP_BYTES:
                yield pa.concat_tables(ready)
                ready, ready_size = [], 0
            key, size = here, size + weight
            waiting.append(piece)
    if waiting:
        yield pa.concat_tables([*ready, _repository(waiting, part)])


def _repository(pieces: list[pa.Table], part: int) -> pa.Table:
    """One row out of the files of a repository."""
    table = pa.concat_tables(pieces).combine_chunks()
    inner = [name for name in table.column_names if name not in REPOSITORY]
    files = pa.StructArray.from_arrays([table[name].combine_chunks() for name in inner], inner)
    columns = {name: table[name].combine_chunks().slice(0, 1) for name in REPOSITORY}
    columns["part"] = pa.array([part], pa.int32())
    columns["file_count"] = pa.array([table.num_rows], pa.int64())
    columns["files"] = pa.LargeListArray.from_arrays(pa.array([0, table.num_rows], pa.int64()), files)
    return pa.table(columns)


@contextlib.contextmanager
def open_sink(output: Store, kind: str, file: str) -> Iterator[Emit]:
    """A function that appends a table to the file, which appears when all went well."""
    with output.writing(file) as stream:
        if kind == "jsonl.zst":
            with zstandard.ZstdCompressor(level=3).stream_writer(stream, closefd=False) as packed:

                def emit_lines(table: pa.Table) -> None:
                    packed.write(_lines(table))

                yield emit_lines
            return
        with contextlib.ExitStack() as stack:
            writer: pq.ParquetWriter | None = None

            def emit_rows(table: pa.Table) -> None:
                nonlocal writer
                writer = writer or stack.enter_context(pq.ParquetWriter(stream, table.schema, **COMPRESSION))
                writer.write_table(table)

            yield emit_rows


def _lines(table: pa.Table) -> bytes:
    """JSON lines, timestamps in ISO 8601."""
    return b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in table.to_pylist())
