"""Exact dedup against a plain loop."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from codemill.dedup.exact import exact_duplicates
from codemill.keys import keys_of

rows = st.lists(st.one_of(st.none(), st.sampled_from("abcd")), max_size=30).flatmap(
    lambda blobs: st.tuples(st.just(blobs), st.permutations(range(len(blobs))))
)


@given(rows)
def test_all_but_the_best_ranked_of_the_same_bytes_go(case) -> None:
    blobs, ranks = case
    best: dict[str, int] = {}
    expected = []
    for rank in range(len(blobs)):
        place = ranks.index(rank)
        if blobs[place] is None:
            continue
        if blobs[place] in best:
            expected.append((place, best[blobs[place]]))
        else:
            best[blobs[place]] = place
    known = np.array([blob is not None for blob in blobs], dtype=bool)
    keys = keys_of(pa.array(blobs, pa.string())).take(known)
    dropped, kept = (np.flatnonzero(known)[rows] for rows in exact_duplicates(keys, np.array(ranks, int)[known]))
    assert list(zip(dropped.tolist(), kept.tolist(), strict=True)) == expected
