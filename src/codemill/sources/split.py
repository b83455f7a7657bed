"""Cuts a table into the pieces that tasks get: rows are ordered once and sliced, however many pieces there are."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from codemill.lexer import Ints


def split(table: pa.Table, home: Ints) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each piece, by ascending number, in the order that they have in the table.

    Args:
        table: n rows.
        home: n numbers of pieces, int64.
    """
    # Arrow takes rows of nested columns out of single chunks alone.
    table = table.combine_chunks()
    order = np.argsort(home, kind="stable")
    numbers, starts = np.unique(home[order], return_index=True)
    ends = [*starts[1:].tolist(), len(order)][: len(starts)]
    for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
        yield number, table.take(pa.array(order[start:end])).combine_chunks()
