"""Corpora as documents: finds their files and reads them, whatever their columns are called, batch by batch."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from codemill.engine import plain_url
from codemill.errors import InputError
from codemill.schema import DOCUMENT, blob_id, digest
from codemill.sources.base import split_ranges
from codemill.sources.files import PARQUET, File, find_files
from codemill.sources.lines import BROKEN, lines, open_location, unpacked

# Without .json: what lies beside a corpus under that name is no data of it.
JSON_LINES = re.compile(r"\.(jsonl|ndjson)(\.(zst|gz))?$", re.IGNORECASE)
# What codemill's corpora call them, the telling names first. `spans` of samples mark the target.
NAMES = {
    "document_id": ("document_id", "blob_id", "occurrence_id"),
    "language": ("language",),
    "text": ("text", "content"),
    "targets": ("targets", "spans"),
}
# Of the rows that are no documents, those that should have been.
ERRORS = ("no_text", "invalid_row")
BATCH_BYTES = 16_000_000
Targets = DOCUMENT.field("targets").type

PART_BYTES = 64_000_000
PACKED = 4  # source code packs about so well


@dataclass(frozen=True)
class Corpus:
    """Tables of documents.

    Attributes:
        label: how messages begin.
        path: folder, file, glob or URL of Parquet, or of JSON lines where there is no Parquet.
        columns: ours -> theirs, where they are not called as in `NAMES`.
    """

    label: str
    path: str
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InputPart:
    """A file of a corpus, or of a large Parquet file some row groups.

    Attributes:
        path: of the file.
        bytes: about so much text.
        state: changes with the content.
        groups: the first row group, and the one after the last; None: the whole file.
    """

    path: str
    bytes: int
    state: str
    groups: tuple[int, int] | None = None


def find_parts(corpus: Corpus) -> list[InputPart]:
    """The files of a corpus in parts that are work for one process each, sorted.

    Raises:
        InputError: there are none, or one can't be read or lacks the columns.
    """
    files = find_files(corpus.path, corpus.label)
    for pattern in (PARQUET, JSON_LINES):
        if matching := [file for file in files if pattern.search(plain_url(file.path)[0])]:
            return [part for file in matching for part in _cut(corpus, file)]
    raise InputError(f"{corpus.label}: expected Parquet files or JSON lines in {corpus.path}, got none")


def _cut(corpus: Corpus, one: File) -> list[InputPart]:
    path, size, changed = one
    state = digest((path, str(size), changed))
    name = plain_url(path)[0]
    if not PARQUET.search(name):
        packed = name.lower().endswith((".zst", ".gz"))
        return [InputPart(path, size * PACKED if packed else size, state)]
    try:
        with open_location(path) as stream:
            file = pq.ParquetFile(stream)
            found, there = file.metadata, file.schema_arrow.names
    except (*BROKEN, pa.ArrowException) as error:
        raise InputError(f"{corpus.label}: expected a readable file, got {path}: {error}") from error
    text = _names(there, corpus.columns, path, corpus.label)["text"]
    sizes = [_text_bytes(found.row_group(index), text) for index in range(found.num_row_groups)]
    cuts = list(split_ranges(sizes, PART_BYTES, len(sizes) + 1))
    if len(cuts) < 2:
        return [InputPart(path, sum(sizes), state)]
    return [InputPart(path, weight, digest((state, str(start))), (start, stop)) for start, stop, weight in cuts]


def _text_bytes(group: pq.RowGroupMetaData, text: str) -> int:
    columns = [group.column(index) for index in range(group.num_columns)]
    return sum(column.total_uncompressed_size for column in columns if column.path_in_schema == text)


def read_documents(
    path: str, columns: Mapping[str, str], label: str, groups: tuple[int, int] | None = None
) -> Iterator[tuple[pa.RecordBatch, Counter[str]]]:
    """The documents of a file (or of some row groups of it) as batches of `DOCUMENT`, each with the rows beside them
    that are none, by reason.

    Reasons are `empty` (a text of no characters), and, as errors, `no_text` (null, or no UTF-8) and `invalid_row` (a
    line that is no JSON object, or has values of the wrong type).

    Raises:
        InputError: the file can't be read, or lacks the columns.
    """
    try:
        with open_location(path) as stream:
            if PARQUET.search(plain_url(path)[0]):
                yield from _parquet(stream, groups, path, columns, label)
            else:
                yield from _json_lines(stream, path, columns, label)
    except (*BROKEN, pa.ArrowException) as error:
        raise InputError(f"{label}: expected a readable file, got {path}: {error}") from error


def _parquet(
    stream: BinaryIO, groups: tuple[int, int] | None, path: str, columns: Mapping[str, str], label: str
) -> Iterator[tuple[pa.RecordBatch, Counter[str]]]:
    file = pq.ParquetFile(stream)
    names = _names(file.schema_arrow.names, columns, path, label)
    for index in range(*(groups or (0, file.metadata.num_row_groups))):
        group = file.metadata.row_group(index)
        rows = max(1, min(8192, BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)))
        for batch in file.iter_batches(rows, row_groups=[index], columns=sorted(set(names.values()))):
            yield _document(batch, names, path, label)


def _names(there: list[str], columns: Mapping[str, str], path: str, label: str) -> dict[str, str]:
    """Ours -> theirs. Only the text must be there; ids are made of it where there are none."""
    for ours, theirs in columns.items():
        if theirs not in there:
            raise InputError(f"{label}: columns.{ours}: expected a column of {path}, got {theirs!r}")
    found = {ours: next((name for name in names if name in there), "") for ours, names in NAMES.items()}
    found = {ours: name for ours, name in {**found, **columns}.items() if name}
    if "text" not in found:
        raise InputError(f"{label}: columns.text: expected a column text or content in {path}, got neither")
    return found


def _document(
    batch: pa.RecordBatch, names: dict[str, str], path: str, label: str
) -> tuple[pa.RecordBatch, Counter[str]]:
    kind = batch.column(names["text"]).type
    if not _textual(kind.value_type if pa.types.is_dictionary(kind) else kind):
        raise InputError(f"{label}: columns.text: expected texts in {path}, got {kind}")
    try:
        text = batch.column(names["text"]).cast(pa.large_string())
    except pa.ArrowInvalid:  # bytes that are no UTF-8
        text = pa.array([_decoded(value) for value in batch.column(names["text"]).to_pylist()], pa.large_string())
    arrays = {"text": text}
    for name in ("document_id", "language"):
        field = DOCUMENT.field(name)
        arrays[name] = batch.column(names[name]).cast(field.type) if name in names else pa.nulls(len(text), field.type)
    arrays["targets"] = (
        _targets(batch.column(names["targets"]), path, label) if "targets" in names else pa.nulls(len(text), Targets)
    )
    rows = pa.RecordBatch.from_pydict(arrays, schema=DOCUMENT)
    beside = Counter({"no_text": text.null_count, "empty": pc.sum(pc.equal(pc.binary_length(text), 0)).as_py() or 0})
    rows = rows.filter(pc.fill_null(pc.greater(pc.binary_length(text), 0), False))
    return _with_ids(rows), +beside


def _textual(kind: pa.DataType) -> bool:
    types = pa.types
    strings = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return bool(strings or types.is_binary(kind) or types.is_large_binary(kind) or types.is_null(kind))


def _decoded(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _targets(column: pa.Array, path: str, label: str) -> pa.Array:
    """Spans that bear the loss; of `spans` those whose `target` is true. Empty lists stay: no loss at all."""
    kind = column.type
    inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else None
    if inner is None or not pa.types.is_struct(inner) or not {"start", "end"} <= {field.name for field in inner}:
        raise InputError(f"{label}: columns.targets: expected lists of start and end in {path}, got {kind}")
    offsets = np.asarray(column.offsets, np.int64)
    values = column.values
    keep = np.ones(len(values), bool)
    if "target" in {field.name for field in inner}:
        keep = np.asarray(values.field("target").fill_null(False).to_numpy(zero_copy_only=False), bool)
    before = np.concatenate([[0], np.cumsum(keep)])[offsets]
    first, last = offsets[0], offsets[-1]
    chosen = np.flatnonzero(keep[first:last]) + first
    spans = pa.StructArray.from_arrays(
        [values.field(name).take(pa.array(chosen)).cast(pa.int64()) for name in ("start", "end")],
        fields=list(Targets.value_type),
    )
    starts = pa.array((before - before[0]).astype(np.int32), mask=None)
    return pa.ListArray.from_arrays(starts, spans, type=Targets, mask=column.is_null() if column.null_count else None)


def _with_ids(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Rows without an id are named by their text's hash."""
    ids = rows.column("document_id")
    if not ids.null_count:
        return rows
    made = [
        one if one is not None else blob_id(text.encode())
        for one, text in zip(ids.to_pylist(), rows.column("text").to_pylist(), strict=True)
    ]
    return rows.set_column(0, DOCUMENT.field(0), pa.array(made, pa.string()))


def _json_lines(
    stream: BinaryIO, path: str, columns: Mapping[str, str], label: str
) -> Iterator[tuple[pa.RecordBatch, Counter[str]]]:
    rows: list[dict[str, Any]] = []
    beside: Counter[str] = Counter()
    size = 0
    there: set[str] = set()
    with unpacked(stream, path) as whole:
        for _, line in lines(whole, 0, None):
            try:
                value = orjson.loads(line)
            except ValueError:
                value = None
            if not isinstance(value, dict):
                beside["invalid_row"] += 1
                continue
            there.update(value)
            rows.append(_row(value, columns))
            size += len(line)
            if size > BATCH_BYTES:
                yield _from_rows(rows, beside, path, label)
                rows, beside, size = [], Counter(), 0
    if there:
        _names(sorted(there), columns, path, label)  # columns that no row has are a mistake of the recipe
    if rows or beside:
        yield _from_rows(rows, beside, path, label)


def _row(value: dict[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """Ours of a line's values; every line may have columns of its own."""
    row = {}
    for ours, names in NAMES.items():
        chosen = (columns[ours],) if ours in columns else names
        row[ours] = next((value[name] for name in chosen if value.get(name) is not None), None)
    if type(row["document_id"]) is int:
        row["document_id"] = str(row["document_id"])
    return row


def _from_rows(
    rows: list[dict[str, Any]], beside: Counter[str], path: str, label: str
) -> tuple[pa.RecordBatch, Counter[str]]:
    good = [row for row in rows if all(_fits(name, row[name]) for name in NAMES)]
    beside["invalid_row"] += len(rows) - len(good)
    columns = {
        name: pa.array([row[name] for row in good], SPANS if name == "targets" else DOCUMENT.field(name).type)
        for name in NAMES
    }
    found, others = _document(pa.RecordBatch.from_pydict(columns), {name: name for name in NAMES}, path, label)
    return found, +(beside + others)


SPANS = pa.list_(pa.struct([("start", pa.int64()), ("end", pa.int64()), ("target", pa.bool_())]))


def _fits(name: str, value: Any) -> bool:
    if name != "targets" or value is None:
        return value is None or isinstance(value, str)
    if not isinstance(value, list):
        return False
    for span in value:
        if not isinstance(span, dict) or not all(type(span.get(key)) is int for key in ("start", "end")):
            return False
        span.setdefault("target", True)
    return True
