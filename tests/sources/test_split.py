"""Pieces hold every row once, in its order, whatever its columns are."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from codemill.sources.split import split


@given(st.lists(st.integers(0, 4), max_size=40), st.integers(1, 40))
def test_every_row_is_in_its_piece(home, chunk):
    rows = [{"number": number, "spans": [{"start": number}] * (number % 3)} for number in range(len(home))]
    schema = pa.schema([("number", pa.int64()), ("spans", pa.list_(pa.struct([("start", pa.int64())])))])
    parts = [pa.Table.from_pylist(rows[start : start + chunk], schema) for start in range(0, len(rows), chunk)]
    table = pa.concat_tables(parts) if parts else schema.empty_table()
    pieces = list(split(table, np.array(home, dtype=np.int64)))
    assert [number for number, _ in pieces] == sorted(set(home))
    for number, piece in pieces:
        assert piece.to_pylist() == [row for row, where in zip(rows, home, strict=True) if where == number]
