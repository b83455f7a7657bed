"""Rows of tables with their texts: what decontamination reads, and writes again as it was.

Files are found as those of corpora are. Rows are not read as documents are (`corpus/read.py`): a table may have any
columns, all texts of a row count, what can't be judged has a reason row by row, and kept rows go out as they came in.
"""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codemill.decontaminate.problems import text_of
from codemill.engine import plain_url
from codemill.errors import InputError
from codemill.sources.files import PARQUET, TABLE, find_files
from codemill.sources.lines import BROKEN, LINE_LIMIT, lines, open_location, unpacked

PIECE_BYTES = 16_000_000  # of rows at a time
PART_BYTES = 128_000_000  # of a file in one task
BORDER = b"\0"  # between the texts of a row: no n-gram crosses it


@dataclass(frozen=True)
class Part:
    """A range of a file: row groups of Parquet, bytes of plain JSON lines; -1 as `stop`: to the end.

    Attributes:
        file: where it lies.
        start, stop: the range.
        weight: bytes of content, about.
    """

    file: str
    start: int
    stop: int
    weight: int

    @property
    def parquet(self) -> bool:
        """Parquet, rather than JSON lines."""
        return bool(PARQUET.search(plain_url(self.file)[0]))


@dataclass(frozen=True)
class Rows:
    """Some rows of a part.

    Attributes:
        origins: where each is in its file: `#12`, the row of a Parquet file; `#@345`, the byte a JSON line begins at.
        texts: large_binary, the texts of each, with a NUL between.
        problems: why a row can't be judged (`invalid_row`, `no_text`, `unreadable`); None where it can.
        whole: the rows as they were: a record batch, or lines with their ends.
    """

    origins: list[str]
    texts: pa.Array
    problems: list[str | None]
    whole: pa.RecordBatch | list[bytes]


def list_parts(inputs: Sequence[str], columns: Sequence[str]) -> list[Part]:
    """The parts of all input files, in order of the inputs and of the files' names.

    Args:
        inputs: files, folders, globs and URLs of them.
        columns: columns that each Parquet file must have.

    Raises:
        InputError: an input matches nothing, or is no readable table.
    """
    parts: list[Part] = []
    for one in inputs:
        files = find_files(one, "input", TABLE)
        if not files:
            raise InputError(f"input {one}: expected tables, got no .parquet or .jsonl file there")
        for file, size, _ in files:
            name = plain_url(file)[0]
            if not TABLE.search(name):
                raise InputError(
                    f"input {file}: expected Parquet or JSON lines (.jsonl, .jsonl.gz, .jsonl.zst), got it"
                )
            if PARQUET.search(name):
                parts += _parquet_parts(file, columns)
            elif name.lower().endswith(("gz", "zst")):
                parts.append(Part(file, 0, -1, size * 4))
            else:
                cuts = [*range(0, max(size, 1), PART_BYTES), -1]
                parts += [Part(file, a, b, min(size, PART_BYTES)) for a, b in pairwise(cuts)]
    return parts


def _parquet_parts(file: str, columns: Sequence[str]) -> Iterator[Part]:
    try:
        with open_location(file) as stream:
            table = pq.ParquetFile(stream)
            schema = table.schema_arrow
            sizes = [table.metadata.row_group(index).total_byte_size for index in range(table.metadata.num_row_groups)]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"input {file}: expected a readable Parquet file, got {error}") from error
    for column in columns:
        top = column.split(".")[0]
        if top not in schema.names or not _has_text(schema.field(top).type):
            raise InputError(
                f"--text: expected a column of {file} with text ({', '.join(schema.names)}), got {column!r}"
            )
    first = weight = 0
    for index, size in enumerate(sizes):
        weight += size
        if weight >= PART_BYTES or index + 1 == len(sizes):
            yield Part(file, first, index + 1, weight)
            first, weight = index + 1, 0
    if not sizes:
        yield Part(file, 0, 0, 0)


def parquet_schema(part: Part) -> pa.Schema:
    """The schema of a Parquet part."""
    with open_location(part.file) as stream:
        return pq.ParquetFile(stream).schema_arrow


def read_rows(part: Part, columns: Sequence[str]) -> Iterator[Rows]:
    """The rows of a part. Texts are those of `columns` (dots lead into them), of all columns where none is named.

    Where the file breaks off, one row with the problem `unreadable` stands for the rest.
    """
    yield from (_parquet_rows if part.parquet else _json_rows)(part, columns)


# -- Parquet ---------------------------------------------------------------------------------------------------------


def _parquet_rows(part: Part, columns: Sequence[str]) -> Iterator[Rows]:
    with open_location(part.file) as stream:
        table = pq.ParquetFile(stream)
        done = sum(table.metadata.row_group(index).num_rows for index in range(part.start))
        for batch in _batches(table, part):
            if batch is None:
                yield broken(f"#{done}", table.schema_arrow.empty_table().to_batches())
                return
            yield _of_batch(batch, columns, done)
            done += batch.num_rows


def _batches(table: pq.ParquetFile, part: Part) -> Iterator[pa.RecordBatch | None]:
    """The batches of a part's row groups; None where the file breaks off."""
    try:
        for index in range(part.start, part.stop):
            group = table.metadata.row_group(index)
            size = max(1, min(8192, PIECE_BYTES * group.num_rows // max(group.total_byte_size, 1)))
            yield from table.iter_batches(size, row_groups=[index])
    except (OSError, pa.ArrowException):
        yield None


def _of_batch(batch: pa.RecordBatch, columns: Sequence[str], first: int) -> Rows:
    origins = [f"#{first + index}" for index in range(batch.num_rows)]
    names = columns or [field.name for field in batch.schema if _has_text(field.type)]
    flat = [name for name in names if name in batch.schema.names and _is_text(batch.schema.field(name).type)]
    if names and len(flat) == len(names):
        values = [batch.column(name).cast(pa.large_binary()) for name in names]
        texts = values[0]
        if len(values) > 1:
            # With nulls skipped, Arrow 25 loses the rows that have nothing else.
            filled = [pc.fill_null(value, b"") for value in values]
            texts = pc.binary_join_element_wise(*filled, pa.scalar(BORDER, pa.large_binary()))
            there = functools.reduce(pc.or_, [pc.is_valid(value) for value in values])
            texts = pc.if_else(there, texts, pa.scalar(None, pa.large_binary()))
    else:
        tops = list(dict.fromkeys(name.split(".")[0] for name in names))
        rows = batch.select(tops).to_pylist()
        texts = pa.array([_joined(row, names) for row in rows], pa.large_binary())
    problems = [None if there else "no_text" for there in pc.is_valid(texts).to_pylist()]
    return Rows(origins, texts, problems, batch)


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def _has_text(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_has_text(kind.field(index).type) for index in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return _has_text(kind.value_type)
    if pa.types.is_map(kind):
        return _has_text(kind.key_type) or _has_text(kind.item_type)
    if pa.types.is_dictionary(kind):
        return _has_text(kind.value_type)
    return _is_text(kind)


# -- JSON lines ------------------------------------------------------------------------------------------------------


def _json_rows(part: Part, columns: Sequence[str]) -> Iterator[Rows]:
    found: list[tuple[int, bytes]] = []
    size = done = 0
    try:
        with open_location(part.file) as packed, unpacked(packed, plain_url(part.file)[0]) as stream:
            for offset, line in lines(stream, part.start, None if part.stop < 0 else part.stop):
                found.append((offset, line))
                size += len(line)
                done = offset + len(line)
                if size >= PIECE_BYTES:
                    yield _of_lines(found, columns)
                    found, size = [], 0
    except BROKEN:
        yield _of_lines(found, columns)
        yield broken(f"#@{done}", [])
        return
    yield _of_lines(found, columns)


def _of_lines(found: list[tuple[int, bytes]], columns: Sequence[str]) -> Rows:
    texts: list[bytes | None] = []
    problems: list[str | None] = []
    for _, line in found:
        row = parse(line) if len(line) < LINE_LIMIT else None
        if not isinstance(row, dict):
            texts.append(None)
            problems.append("invalid_row")
            continue
        texts.append(_joined(row, columns))
        problems.append("no_text" if texts[-1] is None else None)
    origins = [f"#@{offset}" for offset, _ in found]
    return Rows(origins, pa.array(texts, pa.large_binary()), problems, [line for _, line in found])


def parse(line: bytes) -> Any:
    """A line of JSON, NaN and infinity allowed; None if it is none."""
    try:
        return orjson.loads(line)
    except ValueError:
        pass
    try:
        return json.loads(line)  # takes NaN and infinity, which JSON has no word for
    except (ValueError, RecursionError):
        return None


def _joined(row: dict[str, Any], columns: Sequence[str]) -> bytes | None:
    """The texts of a row's columns, None if it has none."""
    parts = [text for name in columns for text in text_of(_inner(row, name.split(".")))] if columns else text_of(row)
    found = [text.encode("utf-8", "surrogatepass") for text in parts]
    return BORDER.join(found) if found else None


def _inner(value: Any, path: list[str]) -> list[Any]:
    """What lies at a path, of every element where there are lists on the way."""
    found = [value]
    for name in path:
        while any(isinstance(one, list) for one in found):
            found = [inner for one in found for inner in (one if isinstance(one, list) else [one])]
        found = [one.get(name) for one in found if isinstance(one, dict)]
    return found


def broken(origin: str, batches: list[pa.RecordBatch]) -> Rows:
    """One row for what can't be read."""
    return Rows([origin], pa.nulls(1, pa.large_binary()), ["unreadable"], batches[0] if batches else [])


def base_name(file: str) -> str:
    """A file's name as tables show it."""
    return Path(plain_url(file)[0]).name
