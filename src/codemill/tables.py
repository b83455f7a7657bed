"""Tables that need not fit into memory: rows lie in a Parquet file and are read a part at a time, or by column.

A part is a row group. All that goes over whole sets of rows goes over parts, so that what it holds is bounded by the
size of a part; tables that are in memory anyway take the same way, in slices.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from codemill.errors import StoreError
from codemill.lexer import Ints
from codemill.store import Store

PART_ROWS = 16_384  # of a part, unless that made too many
MOST_PARTS = 64

Numbers = npt.NDArray[Any]


class StoredTable:
    """A Parquet file of a store as a table that is read as far as needed.

    Attributes:
        schema, num_rows, column_names: as those of an Arrow table.

    Raises:
        StoreError: it is not there or can't be read.
    """

    def __init__(self, store: Store, relative: str) -> None:
        self._store, self._relative = store, relative
        self._footer: pq.FileMetaData | None = None
        with self._open() as file:
            self._footer = file.metadata
            self.schema: pa.Schema = file.schema_arrow
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        self._starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.array(sizes, np.int64))])
        self.num_rows = int(self._starts[-1])
        self.column_names: list[str] = self.schema.names

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        return self.read([name])[name]

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The table, or these columns of it, in memory."""
        return pa.concat_tables([*self.parts(columns)] or [self._empty(columns)])

    def parts(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows in order, a row group at a time."""
        with self._open() as file:
            for group in range(file.num_row_groups):
                yield self._group(file, group, columns)

    def take(self, rows: Ints, columns: Sequence[str] | None = None) -> pa.Table:
        """These rows in this order; only the row groups that hold them are read."""
        if not len(rows):
            return self._empty(columns)
        with self._open() as file:
            return take_across(self._starts, rows, lambda group, here: _take(self._group(file, group, columns), here))

    def _empty(self, columns: Sequence[str] | None) -> pa.Table:
        table = self.schema.empty_table()
        return table if columns is None else table.select(list(columns))

    def _group(self, file: pq.ParquetFile, group: int, columns: Sequence[str] | None) -> pa.Table:
        try:
            table = file.read_row_group(group, None if columns is None else list(columns), use_threads=False)
        except (OSError, pa.ArrowException) as error:
            raise self._unreadable(error) from error
        return table if columns is None else table.select(list(columns))

    @contextmanager
    def _open(self) -> Iterator[pq.ParquetFile]:
        try:
            stream = self._store.fs.open_input_file(self._store.path(self._relative))
        except OSError as error:
            raise self._unreadable(error) from error
        with stream:
            try:
                file = pq.ParquetFile(stream, metadata=self._footer)
            except (OSError, pa.ArrowException) as error:
                raise self._unreadable(error) from error
            yield file

    def _unreadable(self, error: Exception) -> StoreError:
        return StoreError(f"store {self._store.root}: cannot read {self._relative}: {error}")


AnyTable: TypeAlias = pa.Table | StoredTable


def part_rows(total: int) -> int:
    """How many rows a part of a table of so many rows has: a bounded number, or a bounded share."""
    return max(PART_ROWS, -(-total // MOST_PARTS))


def parts(table: AnyTable, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.Table]]:
    """The rows in order as (number of the first one, some rows), each column of them as one chunk at most."""
    start = 0
    for part in table.parts(columns) if isinstance(table, StoredTable) else _slices(table, columns):
        yield start, part.combine_chunks()
        start += part.num_rows


def _slices(table: pa.Table, columns: Sequence[str] | None) -> Iterator[pa.Table]:
    table = table if columns is None else table.select(list(columns))
    size = part_rows(table.num_rows)
    for start in range(0, table.num_rows, size):
        yield table.slice(start, size)


def take(table: AnyTable, rows: Ints, columns: Sequence[str]) -> pa.Table:
    """These rows in this order, with these columns."""
    return table.take(rows, columns) if isinstance(table, StoredTable) else _take(table.select(list(columns)), rows)


def take_across(starts: Ints, rows: Ints, read: Callable[[int, Ints], pa.Table]) -> pa.Table:
    """Rows of tables that lie one after the other, in this order; at least one.

    Args:
        starts: the number of each table's first row, and of all rows.
        rows: by number over all tables.
        read: gives rows of one table, by the table's number and the rows' numbers in it; each is asked once.
    """
    table_of = np.searchsorted(starts, rows, side="right") - 1
    order = np.argsort(table_of, kind="stable")
    numbers, firsts = np.unique(table_of[order], return_index=True)
    runs = zip(numbers.tolist(), firsts, [*firsts[1:], len(order)], strict=True)
    table = pa.concat_tables([read(number, rows[order[first:last]] - starts[number]) for number, first, last in runs])
    back = np.empty(len(rows), np.int64)
    back[order] = np.arange(len(rows))
    return table if (back == np.arange(len(rows))).all() else _take(table, back)


def gathered(table: AnyTable, column: str, make: Callable[[pa.Array], Numbers], kind: type) -> Numbers:
    """A column as one numpy array of fixed width: `make` turns the values of a part into those of the array."""
    out: Numbers = np.empty(table.num_rows, kind)
    for start, part in parts(table, [column]):
        out[start : start + part.num_rows] = make(one_chunk(part[column]))
    return out


def encode(values: pa.Array, known: dict[Any, int]) -> npt.NDArray[np.int32]:
    """Values as numbers by a dictionary that grows with them, in the order in which they come up; null is a value."""
    coded = values.dictionary_encode(null_encoding="encode")
    numbers = [known.setdefault(one, len(known)) for one in coded.dictionary.to_pylist()]
    codes = np.array(numbers, dtype=np.int32)
    return np.asarray(codes[coded.indices.to_numpy()])


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """A column of a part as an array; a single chunk is not copied."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _take(table: pa.Table, rows: Ints) -> pa.Table:
    # Arrow takes rows of nested columns out of single chunks alone.
    return table.combine_chunks().take(pa.array(rows)) if table.num_rows else table
