"""Exact duplicates: occurrences of the same bytes, of which the best-ranked stays."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from codemill.schema import EVIDENCE


def exact_duplicates(rows: pa.Table) -> pa.Table:
    """Evidence of exact duplicates.

    Args:
        rows: columns `occurrence_id`, `blob_id` (SHA-256 of the bytes; null: unread, never a duplicate) and `rank`
            (unique, lower is better).

    Returns:
        Schema `EVIDENCE` over occurrence ids, similarity 1: every occurrence but the best-ranked of its blob, by rank.
    """
    table = rows.select(["occurrence_id", "blob_id", "rank"]).filter(pc.is_valid(rows["blob_id"])).sort_by("rank")
    codes = pc.index_in(table["blob_id"], value_set=pc.unique(table["blob_id"])).to_numpy()
    # The first row of a blob is its best-ranked one, since rows are in the order of their rank.
    _, first = np.unique(codes, return_index=True)
    dropped = np.flatnonzero(first[codes] != np.arange(len(codes)))
    ids = table["occurrence_id"].combine_chunks()
    columns = [ids.take(pa.array(dropped)), ids.take(pa.array(first[codes[dropped]])), pa.array(np.ones(len(dropped)))]
    return pa.Table.from_arrays(columns, schema=EVIDENCE)
