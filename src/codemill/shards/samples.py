"""What the two formats of samples with a table of offsets share: columns of a row as bytes, one after the other."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from codemill.shards.base import Ints, flat

# NumPy's name of what a column's values are, as written.
TYPES = {
    "input_ids": "int32",
    "length": "int64",
    "document_starts": "int32",
    "loss_mask": "uint8",
    "position_ids": "int32",
}


def column_bytes(rows: pa.RecordBatch, name: str) -> tuple[memoryview, Ints]:
    """The values of a column as bytes, and where each row begins and the last one ends in them."""
    kind = np.dtype(TYPES[name])
    if pa.types.is_list(rows.column(name).type):
        values, offsets = flat(rows, name)
    else:
        values, offsets = rows.column(name).to_numpy(), np.arange(rows.num_rows + 1, dtype=np.int64)
    data: Any = np.ascontiguousarray(values, kind)
    return memoryview(data).cast("B"), offsets * kind.itemsize


def pieces(rows: pa.RecordBatch, names: list[str]) -> Iterator[list[memoryview]]:
    """The columns of each row as bytes, in the order of `names`."""
    columns = [column_bytes(rows, name) for name in names]
    for row in range(rows.num_rows):
        yield [data[offsets[row] : offsets[row + 1]] for data, offsets in columns]


def payload(rows: pa.RecordBatch) -> Ints:
    """Bytes of the values of each row."""
    return np.asarray(sum(np.diff(column_bytes(rows, name)[1]) for name in rows.schema.names), np.int64)


def table_of_offsets(sizes: list[int], before: int) -> bytes:
    """Number of samples, and the place of each and the end of the last in a file, as u32.

    Args:
        sizes: bytes of n samples.
        before: bytes between this table and the first sample.
    """
    places = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(sizes, np.int64))])
    places += 4 + 4 * len(places) + before
    return np.uint32(len(sizes)).tobytes() + places.astype("<u4").tobytes()
