"""Finds the Parquet files of corpora, tells files from repositories, and reads them a bounded piece at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codemill.engine import plain_url
from codemill.errors import InputError
from codemill.schema import REPOSITORY, digest
from codemill.sources.files import PARQUET, find_files, footer_state
from codemill.sources.lines import BROKEN, open_location

Level = Literal["repository", "file"]
BATCH_BYTES = 16_000_000
FILE = pa.schema(
    [
        ("path", pa.string()),
        ("language", pa.string()),
        ("blob_id", pa.string()),
        ("content", pa.large_string()),
    ]
)
TEXTS = ("content", "text")
IDS = ("document_id", "blob_id", "occurrence_id")


@dataclass(frozen=True)
class Input:
    """One Parquet file of a corpus.

    Attributes:
        path: local or remote.
        level: what a row is.
        rows: how many it has.
        bytes: uncompressed.
        state: of its name and footer, which change with its content.
        columns: of its rows; of its files, where a row is a repository.
    """

    path: str
    level: Level
    rows: int
    bytes: int
    state: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Repository:
    """Files of one repository: all of them, or, where it is too large, those of some of its rows.

    Attributes:
        key: source, repo, revision.
        piece: 0, or which piece of a repository that is too large.
        files: as `FILE`, sorted by path.
    """

    key: tuple[str, str, str]
    piece: int
    files: pa.Table


def find_inputs(paths: Sequence[str]) -> list[Input]:
    """The Parquet files of corpora: files, folders with all below them, globs or URLs; sorted by path.

    Raises:
        InputError: there are none, one is named twice, can't be read, or has no column that we know.
    """
    found: list[str] = []
    for path in paths:
        files = [one.path for one in find_files(path, f"corpus {path}") if PARQUET.search(plain_url(one.path)[0])]
        if not files:
            raise InputError(f"corpus {path}: expected Parquet files, got none")
        found += [one if "://" in one else str(Path(one).absolute()) for one in files]
    found.sort()
    twice = next((path for path, other in pairwise(found) if path == other), None)
    if twice:
        raise InputError(f"corpus: expected each file once, got {twice} twice")
    return [_inspect(path) for path in found]


def _inspect(path: str) -> Input:
    try:
        with open_location(path) as stream:
            file = pq.ParquetFile(stream)
            metadata, schema = file.metadata, file.schema_arrow
    except (*BROKEN, pa.ArrowException) as error:
        raise InputError(f"corpus {path}: expected a readable Parquet file, got {error}") from error
    state = digest((path.rpartition("/")[2], footer_state(metadata)))
    size = sum(metadata.row_group(index).total_byte_size for index in range(metadata.num_row_groups))
    if "files" in schema.names:
        inner = getattr(schema.field("files").type, "value_type", None)
        names = [field.name for field in inner] if inner is not None and pa.types.is_struct(inner) else []
        for needed in ("path", "content", "language"):
            if needed not in names:
                raise InputError(f"corpus {path}: files.{needed}: expected a field of it, got {', '.join(names)}")
        if "repo" not in schema.names:
            raise InputError(f"corpus {path}: repo: expected a column of it, got none")
        return Input(path, "repository", metadata.num_rows, size, state, tuple(names))
    if not set(TEXTS) & set(schema.names):
        raise InputError(f"corpus {path}: expected a column files, content or text, got {', '.join(schema.names)}")
    return Input(path, "file", metadata.num_rows, size, state, tuple(schema.names))


def keys_of(table: pa.Table | pa.RecordBatch) -> list[tuple[str, str, str]]:
    """Source, repo and revision of every row; empty where a table has no such column."""
    columns = [
        table.column(name).to_pylist() if name in table.schema.names else [""] * table.num_rows for name in REPOSITORY
    ]
    return [(source or "", repo or "", revision or "") for source, repo, revision in zip(*columns, strict=True)]


def read_scores(one: Input, column: str | None) -> Iterator[tuple[tuple[str, str, str], int, list[float]]]:
    """Of every row of repositories its key, how many files it has, and their scores, nulls left out."""
    leaf = f"files.list.element.{column or 'path'}"
    with open_location(one.path) as stream:
        file = pq.ParquetFile(stream)
        names = [name for name in REPOSITORY if name in file.schema_arrow.names]
        for batch in file.iter_batches(1024, columns=[*names, leaf]):
            lists = batch.column("files")
            for key, files in zip(keys_of(batch), lists, strict=True):
                values = files.values.field(0) if files.is_valid else pa.array([], pa.float64())
                scores = values.drop_null().to_pylist() if column else []
                yield key, len(values), [float(score) for score in scores]


def read_repositories(one: Input, most_bytes: int) -> Iterator[Repository]:
    """The repositories of a file in its order, rows that continue one put together up to `most_bytes` of content."""
    waiting: list[pa.Table] = []
    key: tuple[str, str, str] | None = None
    piece = size = 0
    for here, files in _rows(one):
        more = pc.sum(pc.binary_length(files["content"])).as_py() or 0
        full = here == key and size + more > most_bytes
        if key is not None and (here != key or full):
            yield _together(key, piece, waiting)
            piece, size, waiting = (piece + 1 if full else 0), 0, []
        key, size = here, size + more
        waiting.append(files)
    if key is not None:
        yield _together(key, piece, waiting)


def _rows(one: Input) -> Iterator[tuple[tuple[str, str, str], pa.Table]]:
    with open_location(one.path) as stream:
        file = pq.ParquetFile(stream)
        names = [name for name in REPOSITORY if name in file.schema_arrow.names]
        leaves = [f"files.list.element.{name}" for name in FILE.names if name in one.columns]
        for batch in file.iter_batches(1, columns=[*names, *leaves]):
            files = batch.column("files")[0].values
            yield keys_of(batch)[0], _files(files)


def _files(structs: pa.StructArray | None) -> pa.Table:
    """Files of one row as a table of `FILE`."""
    if structs is None:
        return FILE.empty_table()
    there = {field.name: structs.field(place) for place, field in enumerate(structs.type)}
    columns = {
        field.name: there[field.name].cast(field.type) if field.name in there else pa.nulls(len(structs), field.type)
        for field in FILE
    }
    return pa.table(columns, schema=FILE)


def _together(key: tuple[str, str, str], piece: int, tables: list[pa.Table]) -> Repository:
    table = pa.concat_tables(tables)
    paths = table["path"].to_pylist()
    order = sorted(range(len(paths)), key=lambda row: (paths[row] or "", row))
    # Large columns are laid down anew once, not twice.
    return Repository(key, piece, table.take(pa.array(np.array(order, np.int64))))


def read_file_rows(one: Input) -> Iterator[dict[str, list[Any]]]:
    """The rows of a file-level corpus some megabytes at a time: id, language, text, path, and the repository."""
    text = next(name for name in TEXTS if name in one.columns)
    ident = next((name for name in IDS if name in one.columns), None)
    wanted = {"id": ident, "language": "language", "text": text, "path": "path"}
    with open_location(one.path) as stream:
        file = pq.ParquetFile(stream)
        names = {ours: theirs for ours, theirs in wanted.items() if theirs in one.columns}
        places = [name for name in REPOSITORY if name in one.columns]
        rows = max(1, min(4096, BATCH_BYTES * one.rows // max(one.bytes, 1)))
        for batch in file.iter_batches(rows, columns=sorted({*names.values(), *places})):
            got = {ours: batch.column(names[ours]).to_pylist() if ours in names else None for ours in wanted}
            yield {
                "key": keys_of(batch),
                **{ours: values if values is not None else [None] * batch.num_rows for ours, values in got.items()},
            }
