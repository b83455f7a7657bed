"""The table of labels: its columns, and how labels from anywhere are read and joined with the contents they rate."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
import pyarrow.parquet as pq

from codemill.errors import InputError
from codemill.quality.rubric import ASPECTS, SCORES
from codemill.schema import blob_id, git_blob

# One row per sampled file. `error` says why there is no rating; else the scores are there.
LABELS = pa.schema(
    [
        ("blob_id", pa.string()),  # SHA-256 of the bytes, hex
        ("git_blob", pa.string()),
        ("language", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("bytes", pa.int64()),
        *[(name, pa.int8()) for name in SCORES],  # 0..10
        ("zero", pa.string()),  # reason of a zero
        ("explanation", pa.string()),
        ("model", pa.string()),
        ("rubric", pa.int32()),
        ("shown", pa.int32()),  # characters that the oracle sees of a long file
        ("cut", pa.bool_()),  # the file is longer than that
        ("requests", pa.int32()),
        ("prompt_tokens", pa.int64()),
        ("completion_tokens", pa.int64()),
        ("cost", pa.float64()),
        ("error", pa.string()),
    ]
)

# The files that were drawn. Contents stay out of the labels, so that those can be passed on.
SAMPLE = pa.schema(
    [
        ("blob_id", pa.string()),
        ("git_blob", pa.string()),
        ("language", pa.string()),
        ("repo", pa.string()),
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("content", pa.large_binary()),
    ]
)


def read_table(path: str | Path, what: str) -> pa.Table:
    """A Parquet or JSONL table.

    Raises:
        InputError: it can't be read.
    """
    name = str(path)
    try:
        return pyarrow.json.read_json(name) if name.endswith((".jsonl", ".json")) else pq.read_table(name)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{what} {path}: expected a readable Parquet or JSONL table, got {error}") from error


def read_labels(path: str | Path) -> tuple[pa.Table, int]:
    """Labels of any origin, and how many rows were left out because they hold no rating.

    Expects `overall` (0..10) and `blob_id`, `git_blob` or `blob`; a folder of a labelling run will do. Columns that are
    missing but known (`language`, the aspects, `zero`, ...) come out null.

    Raises:
        InputError: the table can't be read, lacks those columns, or holds a rating out of range.
    """
    file = Path(path) / "labels.parquet" if Path(path).is_dir() else Path(path)
    table = read_table(file, "labels")
    if "git_blob" not in table.column_names and "blob" in table.column_names:
        table = table.rename_columns({"blob": "git_blob"})
    if "repo" not in table.column_names and "group" in table.column_names:
        # The labels that ship number their repositories instead of naming them.
        table = table.append_column("repo", table["group"].cast(pa.string()))
    names = table.column_names
    if "overall" not in names or not {"blob_id", "git_blob"} & set(names):
        raise InputError(f"labels {file}: expected columns overall and blob_id or git_blob, got {', '.join(names)}")
    for name in ("blob_id", "git_blob", "language", "repo", "path", "zero", *ASPECTS):
        if name not in names:
            kind = pa.int8() if name in ASPECTS else pa.string()
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
    rated = pc.is_valid(table["overall"])
    left_out = table.num_rows - pc.sum(rated).as_py() if table.num_rows else 0
    table = table.filter(rated)
    for name in SCORES:
        low, high = pc.min_max(table[name]).as_py().values()
        if low is not None and not 0 <= low <= high <= 10:
            raise InputError(f"labels {file}: expected {name} 0 to 10, got {low} to {high}")
    return table, left_out


def with_contents(
    labels: pa.Table, labels_path: str | Path, contents: str | Path | None = None
) -> tuple[pa.Table, int]:
    """Labels with a column `content` (large_binary), and how many rows were left out because theirs was not found.

    Contents come from the labels' own column, else from `contents`, else from `sample.parquet` beside the labels. A
    table of contents needs a column `content`; its rows are joined by `blob_id` or `git_blob` (computed where missing).

    Raises:
        InputError: there is no such table, or none of its rows matches.
    """
    if contents is None and "content" in labels.column_names:
        return labels.set_column(labels.column_names.index("content"), "content", as_bytes(labels["content"])), 0
    folder = Path(labels_path) if Path(labels_path).is_dir() else Path(labels_path).parent
    source = Path(contents) if contents is not None else folder / "sample.parquet"
    table = read_table(source, "contents")
    if "content" not in table.column_names:
        raise InputError(f"contents {source}: expected a column content, got {', '.join(table.column_names)}")
    content = as_bytes(table["content"])
    if "blob" in table.column_names and "git_blob" not in table.column_names:
        table = table.rename_columns({"blob": "git_blob"})
    usable = [name for name in ("blob_id", "git_blob") if labels[name].null_count == 0]
    if not usable:
        raise InputError(f"labels {labels_path}: expected blob_id or git_blob in every row, got nulls in both")
    key = next((name for name in usable if name in table.column_names), usable[0])
    if key in table.column_names:
        ids = table[key].combine_chunks()
    else:
        make = blob_id if key == "blob_id" else git_blob
        ids = pa.array([make(value) if value is not None else None for value in content.to_pylist()], pa.string())
    index = pc.index_in(labels[key], value_set=ids)
    found = pc.is_valid(index)
    if not pc.any(found).as_py():
        raise InputError(f"contents {source}: expected files of the labels (by {key}), got none of {labels.num_rows}")
    joined = labels.filter(found)
    if "content" in joined.column_names:
        joined = joined.drop_columns("content")
    joined = joined.append_column("content", content.take(index.filter(found).combine_chunks()))
    return joined, labels.num_rows - joined.num_rows


def as_bytes(column: pa.ChunkedArray) -> pa.Array:
    """A text or binary column as one large_binary array."""
    flat = column.combine_chunks()
    if pa.types.is_string(flat.type):
        flat = flat.cast(pa.large_string())
    return flat.cast(pa.large_binary())
