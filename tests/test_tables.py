"""Stored tables read in parts, by column and by row, against the table in memory."""

import numpy as np
import pyarrow as pa
import pytest

from codemill.errors import StoreError
from codemill.store import Store
from codemill.tables import MOST_PARTS, PART_ROWS, StoredTable, part_rows, parts, take


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("tables"))
    whole = pa.table({"n": np.arange(25), "t": [f"t{n}" for n in range(25)], "l": [[n] * (n % 3) for n in range(25)]})
    with store.table_writer("t.parquet", whole.schema) as write:
        for start in range(0, 25, 10):
            write(whole.slice(start, 10))
    return whole, StoredTable(store, "t.parquet")


def test_parts_are_the_whole(tables):
    whole, stored = tables
    assert (stored.num_rows, stored.column_names) == (25, whole.column_names)
    assert [(start, part.num_rows) for start, part in parts(stored, ["n"])] == [(0, 10), (10, 10), (20, 5)]
    assert stored.read().equals(whole)
    assert pa.concat_tables([part for _, part in parts(whole, ["t", "n"])]).equals(whole.select(["t", "n"]))
    assert stored["t"].to_pylist() == whole["t"].to_pylist()


@pytest.mark.parametrize("rows", [[], [3], [24, 0, 11, 11, 5], list(range(25))])
def test_rows_come_in_the_order_asked_for(tables, rows):
    whole, stored = tables
    places = np.array(rows, np.int64)
    assert take(stored, places, ["l", "n"]).to_pydict() == take(whole, places, ["l", "n"]).to_pydict()
    assert take(stored, places, ["n"])["n"].to_pylist() == rows


def test_parts_grow_only_with_what_would_make_too_many():
    assert part_rows(1) == part_rows(PART_ROWS * MOST_PARTS) == PART_ROWS
    assert part_rows(PART_ROWS * MOST_PARTS * 3) == PART_ROWS * 3


def test_what_is_not_there_is_one_line(tmp_path):
    with pytest.raises(StoreError, match=r"cannot read none\.parquet"):
        StoredTable(Store(tmp_path), "none.parquet")
