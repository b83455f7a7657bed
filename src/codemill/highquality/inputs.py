"""Reads documents out of the corpora's files, notebooks already as text: what all stages go through.

Not by `corpus/read.py`, which gives documents of four columns: a set keeps every column of its corpus, rules look at
any of them, and a document is known by its file and its row there.
"""

import base64
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codemill.annotate.notebook import LANGUAGE, NotebookError, read_notebook
from codemill.corpus.notebook import render
from codemill.engine import plain_url
from codemill.errors import InputError
from codemill.highquality.settings import InputSettings
from codemill.recipe import NotebookSettings
from codemill.schema import digest
from codemill.sources.files import PARQUET, File, find_files, footer_state
from codemill.sources.lines import open_location
from codemill.tables import one_chunk

NEEDED = ("content", "blob_id", "repo", "path", "language", "bytes")
ROWS = 512
CONVERTED = "notebook_problem"  # a column of corpora whose notebooks were written as text
NO_CONTENT = "no_content"
UNREADABLE = "unreadable_notebook"


@dataclass(frozen=True)
class Part:
    """One Parquet file of an input.

    Attributes:
        input: the input's name.
        file: where it lies.
        name: names it in this run's folders; hangs on the file's identity.
        bytes: content in it, uncompressed, about.
        columns: its columns.
    """

    input: str
    file: str
    name: str
    bytes: int
    columns: tuple[str, ...]


def find_parts(inputs: Sequence[InputSettings]) -> list[Part]:
    """The files of all inputs in order.

    Raises:
        InputError: an input has no files, or one of them is no corpus at file level.
    """
    parts = []
    for one in inputs:
        files = find_files(one.path, f"input {one.name}", PARQUET)
        if not files:
            raise InputError(f"input {one.name}: expected Parquet files in {one.path}, got none")
        places = [Path(plain_url(file.path)[0]) for file in files]
        top = os.path.commonpath([place.parent for place in places])
        parts += [
            _part(one.name, file, place.relative_to(top).as_posix()) for file, place in zip(files, places, strict=True)
        ]
    return parts


def _part(input_: str, file: File, below: str) -> Part:
    try:
        with open_parquet(file.path) as opened:
            meta, columns = opened.metadata, tuple(opened.schema_arrow.names)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"input {input_}: expected a Parquet file, got {file.path}: {str(error)[:120]}") from error
    for name in NEEDED:
        if name not in columns:
            raise InputError(
                f"input {input_}: expected a corpus at file level with column {name}, got none in {file.path}"
            )
    name = digest((input_, below, str(file.bytes), file.changed or footer_state(meta)))
    size = sum(meta.row_group(index).total_byte_size for index in range(meta.num_row_groups))
    return Part(input_, file.path, f"{input_}-{name}", size, columns)


@contextmanager
def open_parquet(file: str) -> Iterator[pq.ParquetFile]:
    """A local or remote Parquet file."""
    with open_location(file) as stream, pq.ParquetFile(stream) as opened:
        yield opened


def schema_of(parts: Sequence[Part]) -> pa.Schema:
    """The columns of all inputs together, in the order in which they come up.

    Raises:
        InputError: two inputs have a column of the same name and different types.
    """
    schemas = []
    for file in {part.columns: part.file for part in parts}.values():
        with open_parquet(file) as opened:
            schemas.append(opened.schema_arrow.remove_metadata())
    try:
        return pa.unify_schemas(schemas)
    except pa.ArrowException as error:
        raise InputError(f"input: expected columns of the same types in all inputs, got {error}") from error


def pack_schema(schema: pa.Schema) -> str:
    """A schema as text for tasks."""
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


def unpack_schema(text: str) -> pa.Schema:
    """The inverse of `pack_schema`."""
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


def batches(file: str, columns: list[str] | None = None) -> Iterator[tuple[int, pa.Table]]:
    """The rows of a file, some hundreds at a time, each with the place of its first row."""
    start = 0
    with open_parquet(file) as opened:
        for batch in opened.iter_batches(batch_size=ROWS, columns=columns):
            yield start, pa.Table.from_batches([batch])
            start += batch.num_rows


def chosen_batches(
    file: str, places: np.ndarray, columns: list[str] | None = None
) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """Only the rows at `places` (sorted), with the index of each into `places`."""
    for start, table in batches(file, columns):
        low, high = np.searchsorted(places, [start, start + table.num_rows])
        if high > low:
            yield np.arange(low, high), table.take(pa.array(places[low:high] - start))


def as_text(table: pa.Table, settings: NotebookSettings) -> tuple[pa.Array, list[str | None]]:
    """The content of every row as text, notebooks rendered, and why a row has none (reason, what was found).

    Args:
        table: columns content and language, and `notebook_problem` where a corpus has written notebooks as text.
    """
    problems: list[str | None] = [None] * table.num_rows
    contents = one_chunk(table["content"])
    for place in np.flatnonzero(pc.is_null(contents).to_numpy(zero_copy_only=False)).tolist():
        problems[place] = NO_CONTENT
    done = CONVERTED in table.column_names
    places = [place for place in notebook_places(table) if problems[place] is None]
    if done:
        for place, problem in zip(places, (table[CONVERTED][place].as_py() for place in places), strict=True):
            problems[place] = f"{UNREADABLE}: {problem}" if problem else None
        return contents, problems
    if places:
        texts = contents.to_pylist()
        for place in places:
            try:
                texts[place] = render(read_notebook(_bytes(texts[place])), settings)
            except NotebookError as error:
                problems[place] = f"{UNREADABLE}: {error}"
        contents = pa.array(
            [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in texts], pa.large_string()
        )
    return contents, problems


def notebook_places(table: pa.Table) -> list[int]:
    """Rows that are notebooks."""
    found: list[int] = np.flatnonzero(pc.fill_null(pc.equal(table["language"], LANGUAGE), False).to_numpy()).tolist()
    return found


def _bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
